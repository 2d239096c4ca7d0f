"""Samples on their way: each look becomes a numbered batch in the buffer, and batches go to the server in order."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime

import msgspec
from msgspec import Struct

from tocsin import telemetry
from tocsin.agent.buffer import Buffer
from tocsin.agent.client import Refused, Servers, pause_s
from tocsin.agent.disk import Disk, Hand
from tocsin.agent.monitors import Monitor
from tocsin.agent.wire import MOST_SERIES, SAMPLES, Batch, Samples, Taken
from tocsin.clock import Clock, rest
from tocsin.core.plain import clip
from tocsin.core.sample import Reading, Service
from tocsin.errors import PeerLost

log = telemetry.logger("tocsin.agent.push")

MOST_BATCHES, MOST_PLAIN, MOST_PACKED = 500, 600_000, 300_000
"""What one message holds at most; the server takes a megabyte."""
LATE = 2
"""What waits for longer than so many intervals is late."""
PACE_S = 0.2
"""Between two messages when many wait: a server that was away gets all its agents' days at once."""
LAST_S = 3.0
SLOW_S = 300.0
"""How often a server that does not take this agent is asked again."""
SERVICES_S = 600.0
"""Services go along with each change, and so often even without one."""
_TOO_MUCH = (400, 413, 422)


class Stored(Struct, frozen=True, omit_defaults=True):
    """A batch as the buffer keeps it."""

    at: datetime
    collector: str
    values: dict[str, float] = {}
    services: list[Service] | None = None
    trouble: str = ""


_STORED = msgspec.json.Decoder(Stored)


class Push:
    """Takes readings, and hands them over every `every_s` seconds, or at once when a service changed."""

    def __init__(self, hand: Hand, disk: Disk, buffer: Buffer, servers: Servers, clock: Clock) -> None:
        self._hand, self._disk, self._buffer, self._servers, self._clock = hand, disk, buffer, servers, clock
        self.every_s = 30.0
        self.refused = ""
        self.trouble = ""
        self.away = False
        self.news: Callable[[], None] = lambda: None
        self.ready = asyncio.Event()  # there is a key to call with
        self._wake = asyncio.Event()
        self._delivered = clock.monotonic()
        self._services: dict[str, tuple[float, Sequence[Service]]] = {}
        self._seen_drops = 0
        self._greeted = ""
        self._most = MOST_BATCHES

    async def took(self, monitor: Monitor, reading: Reading) -> None:
        """Keep what one look gave."""
        now = self._clock.monotonic()
        services = self._news(monitor.id, reading, now)
        values = dict(list(reading.values.items())[:MOST_SERIES])
        stored = Stored(self._clock.now(), monitor.id, values, services, reading.trouble)
        body = zlib.compress(msgspec.json.encode(stored), 1)
        await self._hand.do(self._buffer.add, body, now)

    def _news(self, collector: str, reading: Reading, now: float) -> list[Service] | None:
        """The services of a reading when they are to go along: when they changed, or long did not."""
        if self._seen_drops != self._buffer.dropped:
            self._seen_drops = self._buffer.dropped
            self._services.clear()
        sent_at, before = self._services.get(collector, (0.0, None))
        if not reading.services and (before is None or reading.trouble):
            return None
        states = [(s.kind, s.name, s.state, s.ok) for s in reading.services]
        same = before is not None and states == [(s.kind, s.name, s.state, s.ok) for s in before]
        if same and now - sent_at < SERVICES_S:
            return None
        self._services[collector] = now, reading.services
        if before is not None and not same:
            self._wake.set()
        return list(reading.services)

    def late_s(self) -> float:
        """For how long something has waited that should be handed over by now; 0 while nothing has."""
        waits = self._clock.monotonic() - self._delivered
        return waits if self._buffer.count and waits > LATE * self.every_s else 0.0

    def wake(self) -> None:
        """Hand over now."""
        self._wake.set()

    async def run(self) -> None:
        """Hand over again and again, until it is cancelled."""
        await self.ready.wait()
        failures = 0
        while True:
            wait = self.every_s
            try:
                await self.deliver()
                failures, self.trouble, self.away, self._delivered = 0, "", False, self._clock.monotonic()
            except PeerLost as lost:
                failures += 1
                self.away = not isinstance(lost, Refused) or lost.cause == "key"
                wait = self._wait_s(lost, failures)
                if self.trouble != str(lost):
                    log.warning("agent.not_handed_over", reason=str(lost), waiting=self._buffer.count)
                self.trouble = str(lost)
            except Exception:
                telemetry.faults.labels("agent").inc()
                log.exception("agent.push_failed")
            self._wake.clear()
            await rest(self._clock, wait, self._wake)

    def _wait_s(self, lost: PeerLost, failures: int) -> float:
        pause = pause_s(self._servers.name, failures)
        if isinstance(lost, Refused):
            slow = pause_s(self._servers.name, 10, SLOW_S) if lost.cause == "key" else 0.0
            return max(pause, slow, lost.retry_after_s or 0.0)
        return pause

    async def deliver(self) -> None:
        """Hand over all that waits. Raises PeerLost."""
        while True:
            await self._hand.do(self._buffer.save, self._clock.monotonic(), safely=True)
            if self._greeted != self._disk.incarnation:
                await self._greet()
            taken = await self._hand.do(self._buffer.take, self._most, MOST_PACKED)
            if not taken:
                return
            rows = _fitting(taken)
            if not rows:
                await self._spoilt(taken[0][0])
                continue
            await self._give(rows)
            if len(rows) == len(taken) and self._buffer.count == 0:
                return
            await self._clock.sleep(PACE_S)

    async def _spoilt(self, seq: int) -> None:
        """The disk gave back something else than was written."""
        log.warning("agent.batch_spoilt", seq=seq)
        await self._hand.do(self._buffer.refuse, seq, self._clock.monotonic())

    async def last(self) -> None:
        """Hand over once more what can be, before the end."""
        with suppress(PeerLost, TimeoutError):
            async with asyncio.timeout(LAST_S):
                await self.deliver()

    async def _greet(self) -> None:
        """Ask once what the server has of this incarnation: it may be more than this disk knows."""
        incarnation = self._disk.incarnation
        taken = await self._post(Samples(incarnation=incarnation, life=self._disk.life, series=[], batches=[]))
        await self._hand.do(self._buffer.done, taken.acked, self._clock.monotonic())
        self._greeted = incarnation

    async def _give(self, rows: list[tuple[int, Stored]]) -> None:
        try:
            taken = await self._post(message(self._disk.incarnation, rows, self._disk.life))
        except Refused as refused:
            if refused.status not in _TOO_MUCH:
                raise
            if len(rows) > 1:
                self._most = max(1, len(rows) // 2)
                return
            self.refused = f"the server does not take batch {rows[0][0]}: {refused}"
            log.warning("agent.batch_refused", seq=rows[0][0], reason=str(refused))
            await self._hand.do(self._buffer.refuse, rows[0][0], self._clock.monotonic())
            return
        self._most = min(MOST_BATCHES, self._most * 2)
        self.refused = clip("; ".join(taken.refused), 500)
        if taken.refused:
            log.warning("agent.partly_refused", reason=self.refused)
        await self._hand.do(self._buffer.done, taken.acked, self._clock.monotonic())
        if taken.acked < rows[0][0]:
            raise PeerLost("the server took nothing of what it was given")

    async def _post(self, samples: Samples) -> Taken:
        taken = await self._servers.ask("POST", SAMPLES, samples, Taken, timeout_s=30.0)
        self._servers.learn(taken.urls)
        if taken.beat:
            self.news()
        return taken


def message(incarnation: str, rows: Sequence[tuple[int, Stored]], life: str = "") -> Samples:
    """What is said of these: each name of a series once."""
    index: dict[str, int] = {}
    batches = [
        Batch(
            seq=seq, at=stored.at, collector=stored.collector, services=stored.services, trouble=stored.trouble,
            values=[(index.setdefault(name, len(index)), value) for name, value in stored.values.items()],
        )
        for seq, stored in rows
    ]  # fmt: skip
    return Samples(incarnation=incarnation, life=life, series=list(index), batches=batches)


def _fitting(taken: Sequence[tuple[int, bytes]]) -> list[tuple[int, Stored]]:
    """The first of them that fit in one message, one at least; none when the first cannot be read any more."""
    rows: list[tuple[int, Stored]] = []
    size, names = 0, set[str]()
    for seq, body in taken:
        try:
            plain = zlib.decompress(body)
            stored = _STORED.decode(plain)
        except (zlib.error, msgspec.MsgspecError, UnicodeDecodeError):
            break
        size += len(plain) + 100
        names |= stored.values.keys()
        if rows and (size > MOST_PLAIN or len(names) > MOST_SERIES):
            break
        rows.append((seq, stored))
    return rows
