"""How far our own event loop is behind: a check that ran while it stood still was not judged fairly."""

from __future__ import annotations

import asyncio
from collections import deque
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
            self._task, self._expected = None, None

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
            self._expected = loop.time() + BEAT_S
            await asyncio.sleep(BEAT_S)
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
