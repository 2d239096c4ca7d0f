"""Results that came too late to open an incident: they fill the history of verdicts, and one message tells of what was
down meanwhile.

What is noted here waits in memory until no more comes. A crash in between loses that message and the filled verdicts, never
a result.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from tocsin import notifiers, telemetry
from tocsin.clock import Clock, new_id
from tocsin.core.alert import OutboxRow, told_by
from tocsin.core.finding import terms_of
from tocsin.core.late import Past, digest_of, pasts
from tocsin.core.maintenance import hush_of
from tocsin.core.result import CheckResult
from tocsin.errors import StoreUnavailable
from tocsin.pipeline.backfill import fill
from tocsin.pipeline.watchlist import Watchlist
from tocsin.store import Store
from tocsin.store.batch import Batch

log = telemetry.logger("tocsin.late")

QUIET = timedelta(seconds=10)
"""When nothing has come for so long, it is all."""
LONGEST = timedelta(seconds=120)
"""So long after the first it is told of in any case."""


class Late:
    """Collects late results and tells once of all. `handed` hears of the messages once they are stored."""

    def __init__(self, store: Store, watchlist: Watchlist, clock: Clock, base_url: str) -> None:
        self._store, self._watchlist, self._clock, self._base_url = store, watchlist, clock, base_url
        self._results: dict[str, list[CheckResult]] = {}
        self._first = self._last = clock.now()
        self.handed: Callable[[Sequence[OutboxRow], bool], None] = lambda rows, spooled: None

    @property
    def waiting(self) -> bool:
        """Whether anything is still to be told of."""
        return bool(self._results)

    def note(self, results: Sequence[CheckResult]) -> None:
        """These were stored just now, and are old."""
        if not results:
            return
        self._last = self._clock.now()
        if not self._results:
            self._first = self._last
        for result in results:
            self._results.setdefault(result.monitor_id, []).append(result)

    async def look(self, now: datetime) -> None:
        """Fill history and tell, once nothing more comes."""
        if not self._results or (now - self._last < QUIET and now - self._first < LONGEST):
            return
        taken, self._results = self._results, {}
        found: list[Past] = []
        try:
            for monitor_id, results in taken.items():
                watched = self._watchlist.find(monitor_id)
                if watched is not None:
                    filled = await fill(self._store, watched, results, "tocsin", now)
                    found += pasts(watched.monitor, filled)
            await self._tell(found, now)
        except StoreUnavailable:
            for monitor_id, results in taken.items():
                self._results.setdefault(monitor_id, []).extend(results)
            self._last = now

    async def _tell(self, found: Sequence[Past], now: datetime) -> None:
        rows: list[OutboxRow] = []
        for workspace_id in sorted({past.monitor.workspace_id for past in found}):
            telling = self._watchlist.telling(workspace_id)
            for channel in telling.channels:
                if notifiers.groups(channel.type):  # it would open an alert with what is over
                    continue
                heard = [
                    past
                    for past in found
                    if past.monitor.workspace_id == workspace_id
                    and channel in told_by(terms_of(past.monitor), telling.channels)
                    and hush_of(telling.windows, past.monitor, now) is None
                ]
                row = digest_of(channel, heard, now, base_url=self._base_url)
                if row is not None:
                    rows.append(row)
        if rows:
            kept = await self._store.commit(Batch(id=new_id(), outbox=tuple(rows)))
            log.info("late.told", stretches=len(found), messages=len(rows))
            self.handed(rows, kept == "spooled")
