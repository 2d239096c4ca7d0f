"""Monitors whose trouble leans on another's: asking that one at once, and looking again when it changes."""

from __future__ import annotations

from datetime import datetime, timedelta

from tocsin.clock import Clock
from tocsin.pipeline.scheduler import Scheduler
from tocsin.pipeline.watchdog import Watchdog
from tocsin.pipeline.watchlist import Watched, Watchlist

AGAIN = timedelta(seconds=5)
"""Whoever is asked out of turn is not asked again sooner."""


class Leaning:
    """Asks what decides, and has those judged again that wait for the answer."""

    def __init__(self, watchlist: Watchlist, scheduler: Scheduler, watchdog: Watchdog, clock: Clock) -> None:
        self._watchlist, self._scheduler, self._watchdog, self._clock = watchlist, scheduler, watchdog, clock
        self._asked: dict[str, datetime] = {}

    def judged(self, watched: Watched) -> None:
        """A monitor was judged: note when to look again, ask what it leans on, look again at what leans on it."""
        self._watchdog.watch(watched)
        if watched.asks:
            self._ask(watched)
        self.wake_below(watched)

    def wake_below(self, watched: Watched) -> None:
        """Have everything judged again that is held back for this monitor's sake."""
        for id in self._watchlist.family.below(watched.monitor.id):
            child = self._watchlist.find(id)
            if child is not None and child.leans:
                child.judge_again_at = self._clock.now()
                self._watchdog.watch(child)

    def _ask(self, watched: Watched) -> None:
        now = self._clock.now()
        self._asked = {id: at for id, at in self._asked.items() if now - at < AGAIN}
        for id in watched.asks:
            asked = self._watchlist.find(id)
            if asked is not None and id not in self._asked and self._scheduler.ask(asked):
                self._asked[id] = now
