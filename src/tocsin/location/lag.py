"""How far our own event loop is behind: a check that ran while it stood still was not judged fairly."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

from msgspec.structs import replace

from tocsin import telemetry
from tocsin.core.result import CheckError, Outcome

LAG_LIMIT_S = 0.5
BEAT_S = 0.1
KEPT_S = 320.0
"""Longer than the longest timeout of a check."""
NOTED_S = 0.1
SILENT_S = 30.0
STOOD_S = 5.0
"""Whoever stood still for longer has heard nothing meanwhile: nobody's silence is held against them."""


class Beats(Protocol):
    """Who watches that the meter itself still turns."""

    def begin(self, task: asyncio.Task[None]) -> None: ...

    def beat(self) -> None: ...

    def end(self) -> None: ...

    def trouble(self) -> str | None: ...


class LagMeter:
    """Measures the lag by sleeping 100 ms at a time, in real time (a test's clock does not stop our own loop). `pulse` may
    be set before the start."""

    def __init__(self) -> None:
        self.latest_s = 0.0
        self._notable: deque[tuple[float, float]] = deque()
        self._expected: float | None = None
        self._wakes_at: float | None = None
        self._stood_s = 0.0
        self._task: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self.pulse: Beats | None = None

    def start(self) -> None:
        """Begin to measure."""
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.create_task(self._beat(), name="lag")
        if self.pulse is not None:
            self.pulse.begin(self._task)

    async def stop(self) -> None:
        """End measuring."""
        if self.pulse is not None:
            self.pulse.end()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task, self._expected, self._wakes_at = None, None, None

    def now(self) -> float:
        """Seconds of the loop's own clock: what `worst_since` wants."""
        return self._loop.time() if self._loop is not None else 0.0

    def worst_since(self, start: float) -> float:
        """The largest lag in seconds since `start`, a stall that is just ending included."""
        worst = 0.0
        if self._expected is not None:
            worst = max(0.0, self.now() - self._expected)
        for moment, lag in reversed(self._notable):
            if moment < start:
                break
            worst = max(worst, lag)
        return worst

    def stood_s(self) -> float:
        """For how many seconds in all this process, or its machine, has stood still for long, what is just ending
        included. By the clock that also counts while the machine sleeps."""
        return self._stood_s + self._standing_s()

    def standstills(self) -> Callable[[], bool]:
        """Gives whether it has stood still for long since that was asked last."""
        known = self.stood_s()

        def newly() -> bool:
            nonlocal known
            before, known = known, max(known, self.stood_s())
            return known - before > STOOD_S

        return newly

    def _standing_s(self) -> float:
        late = 0.0 if self._wakes_at is None else _awake() - self._wakes_at
        return late if late > STOOD_S else 0.0

    def fair(self, outcome: Outcome, since: float) -> Outcome:
        """The outcome, or invalid when our own loop stood still since `since`, while it was looked for."""
        lag = self.worst_since(since)
        if lag <= LAG_LIMIT_S or outcome.status == "invalid":
            return outcome
        telemetry.checks_invalid.labels("lag").inc()
        reason = CheckError("unknown", f"not judged: our own event loop stood still for {lag * 1000:.0f} ms")
        return replace(outcome, status="invalid", error=reason)

    async def _beat(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._expected, self._wakes_at = loop.time() + BEAT_S, _awake() + BEAT_S
            await asyncio.sleep(BEAT_S)
            self._stood_s += self._standing_s()
            self._wakes_at = None
            if self.pulse is not None:
                self.pulse.beat()
            now = loop.time()
            lag = max(0.0, now - self._expected)
            self.latest_s = lag
            if lag >= NOTED_S:
                self._notable.append((now, lag))
            while self._notable and self._notable[0][0] < now - KEPT_S:
                self._notable.popleft()
            telemetry.loop_lag.set(lag)
            telemetry.loop_lag_max.set(max((late for moment, late in self._notable if moment > now - 60), default=lag))


def _awake() -> float:
    """Seconds of a clock that goes on while the machine sleeps, where there is one."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
