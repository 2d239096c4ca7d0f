"""How far the running check has come: what `checks.run` says of it when its time is over in the middle of something."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from typing import Protocol

from tocsin.core.result import Timing, TlsFacts


class Queued(Protocol):
    """A look-up that may still wait for a free thread of ours."""

    started: bool


class Progress:
    """The phase a check is in, and what it has seen so far; one for each run. `timeout_s` is all the time it has."""

    __slots__ = ("connect_ms", "dns_ms", "ip", "lookup", "phase", "timeout", "timeout_s", "tls", "tls_ms")

    def __init__(self, timeout_s: float | None = None) -> None:
        self.timeout_s = timeout_s
        self.phase: str | None = None
        self.timeout: asyncio.Timeout | None = None
        self.lookup: Queued | None = None
        self.ip: str | None = None
        self.tls: TlsFacts | None = None
        self.dns_ms: float | None = None
        self.connect_ms: float | None = None
        self.tls_ms: float | None = None

    def timing(self) -> Timing:
        """The phases that are over, in ms."""
        return Timing(dns=self.dns_ms, connect=self.connect_ms, tls=self.tls_ms)

    def remaining_s(self, otherwise: float = 30.0) -> float:
        """Seconds until the deadline of the run, `otherwise` when there is none. Never negative."""
        when = self.timeout.when() if self.timeout is not None else None
        return otherwise if when is None else max(0.0, when - asyncio.get_running_loop().time())

    def engine_keeps_time(self, grace_s: float = 0.3) -> None:
        """Give the deadline to an engine that ends by itself in time; the run's own timeout only stands behind it."""
        when = self.timeout.when() if self.timeout is not None else None
        if self.timeout is not None and when is not None:
            self.timeout.reschedule(when + grace_s)


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
