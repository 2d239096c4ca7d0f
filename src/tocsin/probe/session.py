"""One WebSocket of one probe, as the server holds it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct

from tocsin import telemetry
from tocsin.probe.wire import Health, Taken

log = telemetry.logger("tocsin.link")

Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]

SEND_S = 10.0
TAKEN_S = 3.0
"""Results are acknowledged so late, many at once: a message of its own for each would cost as much as the order did."""
REPLACED, GONE, MOVED = 4000, 4001, 4002
"""What a link is closed with: another one took its place, the probe is not wanted any more, another server leads."""


class LinkState(Struct, frozen=True, kw_only=True):
    """A link: since when, when it was last heard of, from where, how the probe says it is, how many orders wait."""

    since: datetime
    heard_at: datetime
    address: str
    health: Health
    waiting: int = 0

    @property
    def version(self) -> str:
        return self.health.version


class Session:
    """One WebSocket of one probe."""

    def __init__(self, send: Send, state: LinkState, boot: str = "") -> None:
        self._send, self.state, self.boot = send, state, boot
        self.taken: list[str] = []
        self.flushing: asyncio.Task[None] | None = None
        self.late: set[asyncio.Task[None]] = set()
        self.key_kept = asyncio.Event()
        self.unreadable = 0

    async def say(self, message: Any) -> None:
        """Send it. Raises OSError or TimeoutError when the probe is gone or does not read."""
        try:
            async with asyncio.timeout(SEND_S):
                await self._send({"type": "websocket.send", "text": msgspec.json.encode(message).decode()})
        except RuntimeError as error:  # what the server says of a connection that has been closed meanwhile
            raise ConnectionResetError(str(error)) from error

    async def close(self, code: int, reason: str) -> None:
        """Hang up."""
        try:
            async with asyncio.timeout(SEND_S):
                await self._send({"type": "websocket.close", "code": code, "reason": reason[:100]})
        except (OSError, TimeoutError, RuntimeError) as error:  # gone already
            log.debug("link.gone", error=str(error))

    def took(self, job_id: str) -> None:
        """This result is safe; many are acknowledged together."""
        self.taken.append(job_id)
        if self.flushing is None or self.flushing.done():
            self.flushing = asyncio.create_task(self._flush(), name="link-taken")

    async def _flush(self) -> None:
        await asyncio.sleep(TAKEN_S)
        taken, self.taken = tuple(self.taken), []
        try:
            await self.say(Taken(taken))
        except (OSError, TimeoutError) as error:  # it will send them again
            log.debug("link.gone", error=str(error))
