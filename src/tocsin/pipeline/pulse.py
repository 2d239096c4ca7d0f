"""Whether a loop still turns. A loop that ended, or has not turned for long, says so in words."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from tocsin import telemetry
from tocsin.clock import Clock
from tocsin.errors import NotPrimary, StoreUnavailable

log = telemetry.logger("tocsin.pulse")

SPOKEN_EVERY_S = 30.0
"""The same fault is written with its traceback so often; in between it is only counted."""


class Pulse:
    """The pulse of one loop: it says `beat()` each time it has turned.

    `silent` is what is wrong when it does not, as in "checks have not been started"; `limit_s` is how long a turn may
    take, pauses included. A loop that waits for work says `rest()` while it has none, and `wake()` when some came."""

    def __init__(self, name: str, silent: str, limit_s: float, monotonic: Callable[[], float]) -> None:
        self.name, self._silent, self._limit_s, self._monotonic = name, silent, limit_s, monotonic
        self._task: asyncio.Task[None] | None = None
        self._since: float | None = None
        self._spoken: dict[str, float] = {}

    def begin(self, task: asyncio.Task[None]) -> None:
        """The loop runs in this task from now on."""
        self._task = task
        self.beat()

    def end(self) -> None:
        """The loop was ended on purpose."""
        self._task = self._since = None

    def beat(self) -> None:
        """It has turned."""
        self._since = self._monotonic()

    def rest(self) -> None:
        """It has nothing to do."""
        self._since = None

    def wake(self) -> None:
        """There is something to do, since now unless it has been waiting already."""
        if self._since is None:
            self._since = self._monotonic()

    def fault(self, event: str, **fields: Any) -> None:
        """Count and log the exception that is being handled: one of ours, which the loop survives."""
        telemetry.faults.labels(self.name).inc()
        now = self._monotonic()
        if now - self._spoken.get(event, -SPOKEN_EVERY_S) >= SPOKEN_EVERY_S:
            self._spoken[event] = now
            log.exception(event, **fields)

    def trouble(self) -> str | None:
        """What is wrong, in words; None when it turns, and before it began."""
        if self._task is None:
            return None
        if self._task.done():
            return f"{self._silent} any more: the {self.name} has ended"
        if self._since is None:
            return None
        silent_s = self._monotonic() - self._since
        return f"{self._silent} for {silent_s:.0f} s" if silent_s > self._limit_s else None


class Rounds:
    """A loop that does `turn` and waits `every_s`, over and over (with `waits` it waits first). Whatever comes of a turn it
    goes on: what is due stays due. `pulse` tells whether it does; see Pulse for `name`, `silent` and `limit_s`. While it
    `may` not, it waits: another instance may be the one that does this."""

    def __init__(
        self, name: str, silent: str, limit_s: float, clock: Clock, turn: Callable[[], Awaitable[object]], every_s: float,
        *, waits: bool = False,
    ) -> None:  # fmt: skip
        self.pulse = Pulse(name, silent, limit_s, clock.monotonic)
        self._clock, self._turn, self._every_s, self._waits = clock, turn, every_s, waits
        self._event = name.replace(" ", "_")
        self._task: asyncio.Task[None] | None = None
        self.may: Callable[[], bool] = lambda: True

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._on(), name=self.pulse.name)
        self.pulse.begin(self._task)

    async def stop(self) -> None:
        """End; a turn that is under way is cut short."""
        self.pulse.end()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _on(self) -> None:
        if self._waits:
            await self._clock.sleep(self._every_s)
        while True:
            try:
                if self.may():
                    await self._turn()
            except NotPrimary:  # it may not any more: who does is told soon
                log.info(f"{self._event}.not_primary")
            except StoreUnavailable:
                log.warning(f"{self._event}.put_off")
            except Exception:  # noqa: BLE001 (it is counted and told, and the next turn does it)
                self.pulse.fault(f"{self._event}.fault")
            else:
                self.pulse.beat()
            await self._clock.sleep(self._every_s)
