"""Keeps what the locations of a monitor agreed on at each tick, by the rule that held then.

It looks at what came until the look before, so that a tick is whole when it is kept; what comes later makes it anew. Only
ticks of monitors that several locations check are kept: of the others each result says the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

from tocsin.clock import Clock
from tocsin.core.monitor import Monitor
from tocsin.core.schedule import slot_at_or_before
from tocsin.core.ticks import Tick, ticks
from tocsin.pipeline.watchlist import Watchlist
from tocsin.store import Session, Store

AT_ONCE = 50
"""So many monitors are read, and written, in one go."""
SLOTS = 500
"""So many slots of a monitor are made at once."""
LOOKS = 50_000
AGAIN = timedelta(hours=24)
"""After a start what has come since the last tick that was kept is looked at, as far back as this."""

Span = tuple[datetime, datetime]
Made = tuple[str, datetime, datetime, list[Tick]]


class Ticking:
    """Call `settle` every minute."""

    def __init__(self, store: Store, watchlist: Watchlist, clock: Clock) -> None:
        self._store, self._watchlist, self._clock = store, watchlist, clock
        self._due: dict[str, Span] = {}
        self._begun = False

    async def settle(self) -> int:
        """Keep the ticks that are whole now: how many."""
        wanted = {w.monitor.id: w.monitor for w in self._watchlist if len(w.assigned) > 1}
        if not self._begun:
            self._due = await self._since(wanted)
            self._begun = True
        came = await self._store.everything().write(lambda s: s.ticks.touched(wanted), local=True)
        due, self._due = self._due, came
        pieces = [piece for id, span in due.items() if id in wanted for piece in _pieces(wanted[id], span)]
        count = 0
        try:
            while pieces:
                count += await self._keep(wanted, pieces[:AT_ONCE])
                del pieces[:AT_ONCE]
        except BaseException:
            for id, start, end in pieces:  # they are due again
                first, last = self._due.get(id, (start, end))
                self._due[id] = min(first, start), max(last, end)
            raise
        return count

    async def _keep(self, wanted: Mapping[str, Monitor], some: list[tuple[str, datetime, datetime]]) -> int:
        def read(s: Session) -> list[Made]:
            return [(id, a, b, ticks(wanted[id], s.results.looks(id, a, b, LOOKS))) for id, a, b in some]

        made = await self._store.everything().read(read)
        return await self._store.everything().write(lambda s: sum(s.ticks.put(*one) for one in made), local=True)

    async def _since(self, wanted: Mapping[str, Monitor]) -> dict[str, Span]:
        now = self._clock.now()
        newest = await self._store.everything().read(lambda s: {id: s.ticks.newest_at(id) for id in wanted})
        return {id: (max(now - AGAIN, at or now - AGAIN), now) for id, at in newest.items()}


def _pieces(monitor: Monitor, span: Span) -> Iterator[tuple[str, datetime, datetime]]:
    """The whole slots that a span touches, some at a time."""
    step = timedelta(seconds=monitor.interval_s)
    start = slot_at_or_before(monitor.id, monitor.interval_s, span[0])
    end = slot_at_or_before(monitor.id, monitor.interval_s, span[1]) + step
    while start < end:
        yield monitor.id, start, min(start + SLOTS * step, end)
        start += SLOTS * step
