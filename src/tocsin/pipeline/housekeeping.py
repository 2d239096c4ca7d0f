"""What has to be done now and then: move results out of the tail, forget what is past its retention."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from tocsin import telemetry
from tocsin.clock import Clock
from tocsin.pipeline.pulse import Rounds
from tocsin.pipeline.ticking import Ticking
from tocsin.store import Session, Store

log = telemetry.logger("tocsin.housekeeping")

LOOK_EVERY_S = 10.0
"""How often is looked whether the tail should move."""
MOVE_EVERY_S = 3600.0
WORTH = 120
"""So many results a monitor are worth a move: it writes some pages for each monitor, however few its results."""
LEAST, MOST = 20_000, 200_000
"""A tail is not moved for being long below the first and always above the second."""
FORGET_EVERY_S = 3600.0
TICKS_EVERY_S = 60.0
SILENT_S = 2 * 3600.0
"""Longer than this nothing may take or fail."""
YEARS = timedelta(days=730)
"""How long verdicts, the audit log and hourly rollups are kept (daily ones, incidents: for ever)."""
SIGN_INS = timedelta(days=7)
"""How long a sign-in that is over stays on record."""
SLICE = 5000
DAY_S = 86_400.0
KEEPS = {10: 2 * DAY_S, 60: 14 * DAY_S, 3600: 730 * DAY_S, 86_400: 3650 * DAY_S}
"""How long what agents saw is kept, by step."""
SAMPLES_WAIT_S = 3600.0
"""So long samples wait before they are gathered into steps."""
SAMPLES_EVERY_S = 60.0
UNSEEN = timedelta(days=90)
"""A series that nobody has seen for so long is forgotten."""
PAUSE_S = 0.2
"""Between slices, so that results get through."""


class Housekeeping:
    """Moves, keeps ticks, and forgets. `retention_days` holds for single results, `ticks_kept` for ticks; hourly rollups
    stay two years, daily ones for ever."""

    def __init__(self, store: Store, clock: Clock, ticking: Ticking, *, retention_days: int) -> None:
        self._store, self._clock = store, clock
        self.ticks_kept = timedelta(days=90)
        self.leads = True
        self._retention = timedelta(days=retention_days)
        self._loops = (
            Rounds(
                "move", "results have not been moved to their place", SILENT_S, clock, self.move_when_due, LOOK_EVERY_S,
                waits=True,
            ),
            Rounds(
                "retention", "old results have not been deleted", SILENT_S, clock, self.forget, FORGET_EVERY_S, waits=True
            ),
            Rounds(
                "ticks", "what locations agreed on has not been kept", SILENT_S, clock, ticking.settle, TICKS_EVERY_S,
                waits=True,
            ),
            Rounds(
                "samples", "samples have not been gathered into steps", SILENT_S, clock, self.move_samples,
                SAMPLES_EVERY_S, waits=True,
            ),
        )  # fmt: skip
        self.pulses = tuple(loop.pulse for loop in self._loops)

    def start(self) -> None:
        """Begin."""
        for loop in self._loops:
            loop.start()

    async def stop(self) -> None:
        """End (the store moves the rest of the tail when it closes)."""
        for loop in self._loops:
            await loop.stop()

    async def move_when_due(self) -> int:
        """Move the tail when it is long enough or has waited for an hour: how many results."""
        tail = self._store.tail
        due = tail >= min(max(LEAST, WORTH * self._store.tail_monitors), MOST)
        return await self.move() if due or (tail and self._store.tail_age_s >= MOVE_EVERY_S) else 0

    async def move(self) -> int:
        """Move the tail to the main table and the rollups: how many results."""
        moved = await self._store.move_tail()
        if moved:
            log.info("housekeeping.moved", results=moved)
        return moved

    async def move_samples(self) -> int:
        """Gather into steps what agents brought an hour ago, a host at a time: how many values."""
        before, everything = self._clock.now() - timedelta(seconds=SAMPLES_WAIT_S), self._store.everything()

        def due(s: Session) -> list[tuple[str, str]]:
            hosts = [(host.workspace_id, host.id) for host in s.hosts.list()]
            return [host for host in hosts if (since := s.samples.waits_since(host)) is not None and since < before]

        moved = 0
        for host in await everything.read(due):
            found = await everything.read(lambda s, host=host: s.samples.gathered(host))
            moved += await everything.write(lambda s, found=found: s.samples.move(found, KEEPS), local=True)
            await self._clock.sleep(PAUSE_S)
        return moved

    async def forget(self) -> int:
        """Delete what is past its retention, in slices: how many rows. What all instances share only who leads forgets."""
        now = self._clock.now()
        gone = await self._slices(lambda s: s.results.expire(now - self._retention, SLICE))
        long_ago, everything = now - YEARS, self._store.everything()
        gone += await self._slices(lambda s: s.ticks.expire(now - self.ticks_kept, SLICE), local=True)
        gone += await everything.write(lambda s: s.rollups.expire(hours_before=long_ago), local=True)
        gone += await everything.write(lambda s: s.sessions.expire(now - SIGN_INS), local=True)
        gone += await everything.write(lambda s: s.samples.expire(now - UNSEEN, SLICE), local=True)
        gone += await everything.write(
            lambda s: s.heartbeats.expire(long_ago) + s.host_states.expire(long_ago), local=True
        )
        if self.leads:
            gone += await everything.write(lambda s: s.outbox.expire(now - self._retention))
            gone += await everything.write(lambda s: s.notices.expire(now - self._retention))
            gone += await everything.write(
                lambda s: s.invitations.expire(now - SIGN_INS) + s.probes.expire(now - SIGN_INS)
            )
            gone += await everything.write(lambda s: s.verdicts.expire(long_ago) + s.changes.expire(long_ago))
        if gone:
            log.info("housekeeping.forgotten", rows=gone)
        return gone

    async def _slices(self, work: Callable[[Session], int], *, local: bool = False) -> int:
        gone = 0
        while count := await self._store.everything().write(work, local=local):
            gone += count
            await self._clock.sleep(PAUSE_S)
        return gone
