"""Calls into the kernel that may hang for good (a mount whose server is away, a sensor): in a thread, with a deadline."""

from __future__ import annotations

import _thread
import asyncio
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

Call = tuple[str, Callable[[], Any]]
MOST_STUCK = 16
"""So many threads may hang at once; with more, nothing new is asked before one of them comes back."""


class Patience:
    """Makes calls, each for at most `wait_s` seconds. One that hangs is left to itself, and not made again before it has
    come back: `stuck` has the names of those."""

    def __init__(self, wait_s: float = 1.0) -> None:
        self._wait_s = wait_s
        self.stuck: set[str] = set()

    async def ask(self, calls: Sequence[Call]) -> dict[str, Any]:
        """What the calls gave, by name; an OSError or ValueError as a value. One that hangs is missing."""
        answers: dict[str, Any] = {}
        rest = [call for call in calls if call[0] not in self.stuck]
        while rest and len(self.stuck) < MOST_STUCK:
            got = await self._turn(rest)
            answers |= got
            rest = rest[len(got) + 1 :]
        return answers

    async def _turn(self, calls: Sequence[Call]) -> dict[str, Any]:
        """The answers of one thread that makes the calls in order, until it is through or one of them hangs."""
        loop = asyncio.get_running_loop()
        come: asyncio.Queue[tuple[str, Any]] = asyncio.Queue()
        left = threading.Event()

        def take(name: str, answer: Any) -> None:
            self.stuck.discard(name)
            come.put_nowait((name, answer))

        def work() -> None:
            for name, call in calls:
                if left.is_set():
                    return
                try:
                    answer: Any = call()
                except (OSError, ValueError) as error:
                    answer = error
                with suppress(RuntimeError):  # the loop is gone
                    loop.call_soon_threadsafe(take, name, answer)

        _thread.start_new_thread(
            work, ()
        )  # Thread.start would wait for it to run; and none of these is waited for at the end
        answers: dict[str, Any] = {}
        for name, _ in calls:
            try:
                async with asyncio.timeout(self._wait_s):
                    got, answer = await come.get()
            except TimeoutError:
                self.stuck.add(name)
                break
            answers[got] = answer
        if len(answers) < len(calls):
            left.set()
        return answers
