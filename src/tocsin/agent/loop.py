"""Looks at everything in turn: each source in a task of its own, at its own place in its interval, never twice at once."""

from __future__ import annotations

import asyncio
import hashlib
import math
from collections.abc import Awaitable, Callable
from contextlib import suppress

from msgspec.structs import replace

from tocsin import collectors, telemetry
from tocsin.agent.checking import checker
from tocsin.agent.monitors import Monitor
from tocsin.clock import Clock, rest
from tocsin.collectors import Facility, Source
from tocsin.core.plain import clip
from tocsin.core.sample import Reading
from tocsin.errors import CheckFailed, CheckInvalid, EgressRefused, Invalid, PeerLost
from tocsin.net import Net

log = telemetry.logger("tocsin.agent.loop")

Took = Callable[[Monitor, Reading], Awaitable[float]]
LONGEST_LOOK_S, SHORTEST_LOOK_S = 30.0, 2.0
LONGEST_PAUSE_S = 300.0
PATIENT = 3
"""So many failures in a row are met by the usual interval; then it looks less often."""
MOST_TROUBLE = 300
_EXPECTED = (CheckFailed, CheckInvalid, EgressRefused, Invalid, PeerLost, OSError)


class Look:
    """One source that is looked at until it is stopped. `took` is given each reading, one with `trouble` when there was
    none, and says in how many seconds another look would decide something."""

    def __init__(self, monitor: Monitor, net: Net, clock: Clock, host: str, took: Took) -> None:
        self.monitor, self._net, self._clock, self._host, self._took = monitor, net, clock, host, took
        self._wake = asyncio.Event()
        self._source: Source | None = None
        self._failures = 0
        self._task: asyncio.Task[None] | None = None
        self.trouble = ""

    def start(self) -> None:
        """Begin, with a first look at once."""
        self._task = asyncio.create_task(self._run(), name=f"look {self.monitor.id}")

    def wake(self) -> None:
        """Look now, or right after the look that is under way."""
        self._wake.set()

    async def stop(self) -> None:
        """End the look that is under way, and let go of the source."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._let_go()

    async def _run(self) -> None:
        every = self.monitor.every_s
        place = hashlib.sha256(f"{self._host}\n{self.monitor.id}".encode()).digest()[0] / 256 * every
        began = self._clock.monotonic()
        while True:
            self._wake.clear()
            wanted_s = await self._look()
            now = self._clock.monotonic()
            pause = self._pause_s(every)
            due = now - began - place
            wait = pause if pause > every else every - due % every
            await rest(self._clock, max(min(wait, wanted_s), 0.05), self._wake)

    async def _look(self) -> float:
        """Look once; how soon another look is wanted. What goes wrong with a reading is said, and ends no look after it."""
        reading = await self._reading()
        try:
            return await self._took(self.monitor, reading)
        except Exception:
            telemetry.faults.labels("agent").inc()
            log.exception("agent.reading_not_taken", collector=self.monitor.id)
            return math.inf

    def _pause_s(self, every: float) -> float:
        doubled = min(self._failures - PATIENT, 10)
        return max(every, min(LONGEST_PAUSE_S, every * 2.0**doubled)) if doubled > 0 else every

    async def _reading(self) -> Reading:
        """What there is to see now, sound; or the trouble."""
        try:
            async with asyncio.timeout(min(LONGEST_LOOK_S, max(SHORTEST_LOOK_S, self.monitor.every_s))):
                found = _sound(await self._looked())
        except TimeoutError:
            found = Reading(trouble="it took too long")
        except _EXPECTED as error:
            found = Reading(trouble=clip(str(error) or type(error).__name__, MOST_TROUBLE))
        except Exception as error:
            if not self.trouble:
                log.exception("agent.collector_failed", collector=self.monitor.id)
            found = Reading(trouble=f"failed inside: {type(error).__name__}")
        failed = bool(found.trouble) and not found.values and not found.services
        self._failures = self._failures + 1 if failed else 0
        if found.trouble != self.trouble:
            self._say(found.trouble)
        return found

    async def _looked(self) -> Reading:
        if self._source is None:
            made = checker(self._net, self._clock, self._host)
            facility = Facility(net=self._net, clock=self._clock, wake=self.wake, checker=made)
            self._source = collectors.kind(self.monitor.type).source(self.monitor.options, facility)
        return await self._source.collect()

    def _say(self, trouble: str) -> None:
        if trouble:
            log.warning("agent.collector_troubled", collector=self.monitor.id, trouble=trouble)
        else:
            log.info("agent.collector_well", collector=self.monitor.id)
        self.trouble = trouble

    async def _let_go(self) -> None:
        source, self._source = self._source, None
        if source is not None:
            try:
                with suppress(TimeoutError):
                    async with asyncio.timeout(SHORTEST_LOOK_S):
                        await source.close()
            except Exception:
                log.exception("agent.collector_not_closed", collector=self.monitor.id)


def _sound(reading: Reading) -> Reading:
    """The reading without values that are no numbers; that there were some is its trouble."""
    odd = [name for name, value in reading.values.items() if not _is_number(value)]
    if not odd:
        return reading
    kept = {name: value for name, value in reading.values.items() if name not in odd}
    says = f"no number: {', '.join(odd[:5])}"
    return replace(reading, values=kept, trouble=clip(f"{reading.trouble}; {says}".strip("; "), MOST_TROUBLE))


def _is_number(value: object) -> bool:
    return (
        isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and abs(value) < 1e300
    )
