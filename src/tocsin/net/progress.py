"""How far the running check has come: what `checks.run` says of it when its time is over in the middle of something."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from typing import Protocol

from tocsin.core.result import Timing, TlsFacts

MOST_WAIT_S = 10.0
_TICK_S = 0.002
TOO_BUSY = "our own HTTP engine was too busy to begin it in time"


class Queued(Protocol):
    """A look-up that may still wait for a free thread of ours."""

    started: bool


class Ordered(Protocol):
    """An exchange that may still wait for an engine of ours."""

    begun: float | None

    @property
    def waited_s(self) -> float: ...


class Progress:
    """The phase a check is in, and what it has seen so far; one for each run."""

    __slots__ = (
        "_cancelled_before", "_due", "_task", "_timer", "connect_ms", "deadline", "dns_ms", "expired", "ip", "lookup",
        "loop", "order", "phase", "timeout_s", "tls", "tls_ms", "waited_s",
    )  # fmt: skip

    def __init__(self) -> None:
        self.phase: str | None = None
        self.lookup: Queued | None = None
        self.order: Ordered | None = None
        self.waited_s = 0.0  # for an engine of ours, over all exchanges that are over
        self.ip: str | None = None
        self.tls: TlsFacts | None = None
        self.dns_ms: float | None = None
        self.connect_ms: float | None = None
        self.tls_ms: float | None = None
        self.loop: asyncio.AbstractEventLoop = asyncio.get_running_loop()
        self.timeout_s: float | None = None
        self.deadline: float | None = None
        self.expired = False
        self._task: asyncio.Task[object] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0
        self._cancelled_before = 0

    def timing(self) -> Timing:
        """The phases that are over, in ms."""
        return Timing(dns=self.dns_ms, connect=self.connect_ms, tls=self.tls_ms)

    def begin(self, timeout_s: float, grace_s: float = 0.0) -> None:
        """Cancel the running task when the time is over (`expired` says that it was us); `grace_s` later for an engine
        that keeps the deadline by itself. What we made it wait is added, up to `MOST_WAIT_S` and as much as the target has.
        `asyncio.timeout` does the same for three times the price."""
        self._task = asyncio.current_task(self.loop)
        self._cancelled_before = 0 if self._task is None else self._task.cancelling()
        self.timeout_s = timeout_s
        self.deadline = self.loop.time() + timeout_s
        self._due = self.deadline + grace_s
        self._timer = self.loop.call_at(self._due, self._expire)

    def held_s(self) -> float:
        """How long we made it wait for an engine of ours until now."""
        return self.waited_s + (0.0 if self.order is None else self.order.waited_s)

    def in_line(self) -> bool:
        """Whether its exchange still waits for an engine of ours."""
        return self.order is not None and self.order.begun is None

    def _expire(self) -> None:
        due = self._due + min(self.held_s(), self.timeout_s or 0.0, MOST_WAIT_S)
        if due - self.loop.time() > _TICK_S:
            self._timer = self.loop.call_at(due, self._expire)
            return
        self.expired = True
        if self._task is not None:
            self._task.cancel()

    def end(self) -> bool:
        """Stop the timer, once; whether a cancellation that just came was ours alone."""
        timer, self._timer = self._timer, None
        if timer is None or self._task is None:
            return False
        timer.cancel()
        return self.expired and self._task.uncancel() <= self._cancelled_before

    def remaining_s(self, otherwise: float = 30.0) -> float:
        """Seconds until the deadline of the run, `otherwise` when there is none. Never negative."""
        return otherwise if self.deadline is None else max(0.0, self.deadline + self.waited_s - self.loop.time())


PROGRESS: ContextVar[Progress | None] = ContextVar("progress", default=None)


def progress() -> Progress:
    """The progress of the run around us, or a fresh one that nobody reads."""
    return PROGRESS.get() or Progress()


_DOING = {
    "dns": "while looking up the name",
    "connect": "while connecting",
    "tls": "in the TLS handshake",
    "send": "while sending the request",
    "ttfb": "while waiting for the answer",
    "transfer": "while receiving the answer",
}


def timeout_message(timeout_s: float, phase: str | None) -> str:
    """What a timeout says: how long, and in the middle of what."""
    return f"no result within {timeout_s:g} s" + (f" {_DOING[phase]}" if phase in _DOING else "")
