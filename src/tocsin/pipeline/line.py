"""Results in line for their round, and who waits for them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from tocsin.core.result import CheckResult


@dataclass(frozen=True, slots=True, eq=False)
class _Waiter:
    """Somebody who waits for the results number `first` up to `end` (that one not included)."""

    first: int
    end: int
    done: asyncio.Future[None]


class Line:
    """First come, first served. Results are numbered as they come; `done` is how many are done with, all before them
    included; those that were taken out and neither put back nor passed are on their way."""

    def __init__(self) -> None:
        self._results: list[CheckResult] = []
        self._waiters: list[_Waiter] = []
        self.given = self.done = 0

    def __len__(self) -> int:
        return len(self._results)

    def join(self, results: Sequence[CheckResult]) -> int:
        """Put results at the end of the line; the number of the first."""
        first = self.given
        self._results.extend(results)
        self.given += len(results)
        return first

    def first(self, limit: int) -> list[CheckResult]:
        """The same as `take` gives; they stay."""
        return self._results[:limit]

    def take(self, limit: int) -> list[CheckResult]:
        """So many results of the front at most."""
        taken = self._results[:limit]
        del self._results[:limit]
        return taken

    def put_back(self, results: Sequence[CheckResult], kept: int) -> int:
        """Put results to the front again; of all, the newest `kept` stay: how many did not."""
        self._results[:0] = results
        too_many = max(0, len(self._results) - kept)
        del self._results[:too_many]
        return too_many

    async def wait(self, first: int) -> None:
        """Return when the results from number `first` to the latest are done with; raises what they failed with."""
        if self.done >= self.given:
            return
        waiter = _Waiter(first, self.given, asyncio.get_running_loop().create_future())
        self._waiters.append(waiter)
        await waiter.done

    def passed(self, count: int) -> None:
        """The next `count` results are done with: tell who waited for no more than them."""
        self.done += count
        for waiter in [w for w in self._waiters if w.end <= self.done]:
            self._waiters.remove(waiter)
            if not waiter.done.done():
                waiter.done.set_result(None)

    def fail(self, error: Exception, first: int, end: int) -> None:
        """Tell who waits for any of the results number `first` up to `end` that they could not be kept."""
        for waiter in [w for w in self._waiters if w.first < end and first < w.end]:
            self._waiters.remove(waiter)
            if not waiter.done.done():
                waiter.done.set_exception(error)
