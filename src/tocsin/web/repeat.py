"""Idempotency-Key: a write that is repeated gets the answer of the first, and is not done again.

Kept in memory for 24 hours, at most 10,000 answers and 32 MiB; after a restart a repeated key counts as new.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable

from tocsin.errors import Invalid, Problem
from tocsin.web.call import Reply

_DAY_S = 86_400
_MOST_ANSWERS = 10_000
_MOST_BYTES = 32 << 20


class KeptAnswers:
    """The answers of writes that named a key, by caller, route and key."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, str, str], tuple[bytes, float, asyncio.Future[Reply]]] = OrderedDict()
        self._bytes = 0

    async def once(
        self, caller: str, where: str, key: str, body: bytes, now: float, run: Callable[[], Awaitable[Reply]]
    ) -> Reply:
        """The answer of `run`, which runs only the first time. The same key with another body is refused; a failure (an
        exception or a 5xx) is not kept, so that trying again tries again."""
        if not 1 <= len(key) <= 255:
            raise Invalid(Problem("Idempotency-Key", "1 to 255 characters", f"{len(key)}"))
        name, print_ = (caller, where, key), hashlib.sha256(body).digest()
        self._drop(now)
        if (kept := self._kept.get(name)) is not None:
            if kept[0] != print_:
                raise Invalid(Problem("Idempotency-Key", "a key not used before for another body", key[:80]))
            return await asyncio.shield(kept[2])
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._kept[name] = (print_, now + _DAY_S, future)
        try:
            reply = await run()
        except BaseException as error:
            self._kept.pop(name, None)
            if isinstance(error, Exception):
                future.set_exception(error)
                future.exception()
            else:
                future.cancel()
            raise
        if reply.status >= 500:
            self._kept.pop(name, None)
        else:
            self._bytes += len(reply.content or b"")
        future.set_result(reply)
        return reply

    def _drop(self, now: float) -> None:
        while self._kept:
            (_, until, future), full = next(iter(self._kept.values())), len(self._kept) >= _MOST_ANSWERS
            if not future.done() or not (until <= now or full or self._bytes > _MOST_BYTES):
                return
            _, (_, _, future) = self._kept.popitem(last=False)
            self._bytes -= len(future.result().content or b"")
