"""The Clock that loops hold, and fresh ids. Pure code gets `now` as an argument instead."""

from __future__ import annotations

import asyncio
import os
import time
from datetime import UTC, datetime
from typing import Protocol

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


class Clock(Protocol):
    """Where loops take the time from; tests hand in one that they move by themselves."""

    def now(self) -> datetime:
        """Aware UTC datetime."""
        ...

    def monotonic(self) -> float:
        """Seconds that never jump."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after that many seconds of this clock."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


async def rest(clock: Clock, seconds: float, wake: asyncio.Event) -> None:
    """Return after that many seconds of this clock, or as soon as `wake` is set."""
    pause = asyncio.ensure_future(clock.sleep(seconds))
    woken = asyncio.ensure_future(wake.wait())
    try:
        await asyncio.wait((pause, woken), return_when=asyncio.FIRST_COMPLETED)
    finally:
        pause.cancel()
        woken.cancel()
        await asyncio.gather(pause, woken, return_exceptions=True)


def new_id() -> str:
    """A fresh opaque id: 20 characters that sort by time of making, 50 random bits, lower case and digits."""
    number = (time.time_ns() // 1_000_000 << 50) | int.from_bytes(os.urandom(7)) >> 6
    text = ""
    for _ in range(20):
        number, digit = divmod(number, 32)
        text = _ALPHABET[digit] + text
    return text
