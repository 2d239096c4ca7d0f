"""Sends each channel its canary: intends it once in each stretch of its schedule; delivery does the rest."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tocsin import telemetry
from tocsin.clock import Clock
from tocsin.core.alert import Channel, OutboxRow
from tocsin.core.canary import canary_key, canary_row, slot
from tocsin.pipeline.pulse import Rounds
from tocsin.pipeline.watchlist import Watchlist
from tocsin.store import Store
from tocsin.store.batch import Batch

log = telemetry.logger("tocsin.canary")

LOOK_S = 30.0
SILENT_S = 300.0


class Canary:
    """Looks now and then which channels are due."""

    def __init__(
        self,
        store: Store,
        watchlist: Watchlist,
        clock: Clock,
        handed: Callable[[Sequence[OutboxRow], bool], None],
        base_url: str = "",
    ) -> None:
        self._store, self._watchlist, self._clock, self._handed = store, watchlist, clock, handed
        self._base_url = base_url
        self._intended: dict[str, str] = {}
        self._rounds = Rounds("canary", "channels have not been tried", SILENT_S, clock, self.look, LOOK_S)
        self.pulse = self._rounds.pulse

    def start(self) -> None:
        """Begin."""
        self._rounds.start()

    async def stop(self) -> None:
        """End."""
        await self._rounds.stop()

    async def latest(self, channels: Sequence[Channel]) -> dict[str, OutboxRow]:
        """The latest canary of each channel that has one, by the channel's id."""
        now = self._clock.now()
        keys = {
            canary_key(c, slot(c, now) - ago): c for c in channels if c.canary_s for ago in (1, 0)
        }  # the newer one comes last, and stays
        rows = await self._store.everything().read(lambda s: [(c, s.outbox.get(key)) for key, c in keys.items()])
        return {channel.id: row for channel, row in rows if row is not None}

    async def look(self) -> int:
        """How many were intended."""
        now, made = self._clock.now(), 0
        for channel in self._watchlist.every_channel():
            if not channel.canary_s or not channel.enabled:
                continue
            row = canary_row(channel, now, base_url=self._base_url)
            if self._intended.get(channel.id) == row.key:
                continue
            if await self._store.everything().read(lambda s, key=row.key: s.outbox.get(key)) is None:
                kept = await self._store.commit(Batch(id=row.key, outbox=(row,)))
                self._handed([row], kept == "spooled")
                made += 1
            self._intended[channel.id] = row.key
        return made
