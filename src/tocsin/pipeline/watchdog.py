"""Judges again what comes true by time alone: votes that age, recovery times, reminders, push monitors that stay
silent, locations that are blind."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from tocsin import telemetry
from tocsin.clock import Clock
from tocsin.core.result import CheckResult
from tocsin.pipeline.calls import Calls, Missed
from tocsin.pipeline.draft import Draft
from tocsin.pipeline.intake import Intake
from tocsin.pipeline.judgement import Judgement
from tocsin.pipeline.late import Late
from tocsin.pipeline.pulse import Rounds
from tocsin.pipeline.quarantine import Quarantine
from tocsin.pipeline.targets import settling_s
from tocsin.pipeline.watchlist import Watched, Watchlist

log = telemetry.logger("tocsin.watchdog")

LOOK_S = 1.0
SILENT_S = 30.0
"""Longer than this no look may fail or take."""
NEVER = datetime.max.replace(tzinfo=UTC) - timedelta(days=1)
FAULTY = timedelta(seconds=30)
"""What could not be judged for a bug of ours is tried again after that."""
SLACK = timedelta(milliseconds=50)
"""Looks that little later than the moment itself, so that it has surely come."""


class Watchdog:
    """Keeps for each monitor the next moment at which time alone may change its answer. `stood`: whether this process stood
    still for long since that was asked last; then every monitor has its settling time again."""

    def __init__(self, watchlist: Watchlist, intake: Intake, judgement: Judgement, clock: Clock, late: Late) -> None:
        self._watchlist, self._intake, self._judgement, self._clock = watchlist, intake, judgement, clock
        self._heap: list[tuple[datetime, int, Watched]] = []
        self._entered: dict[str, datetime] = {}
        self._sequence = itertools.count()
        self._calls = Calls(watchlist, intake, clock)
        self.quarantine = Quarantine(watchlist, intake, judgement)
        self.late = late
        silent = "what time alone changes has not been judged"
        self.rounds = Rounds("watchdog", silent, SILENT_S, clock, self._turn, LOOK_S, waits=True)
        self.pulse = self.rounds.pulse
        self.stood: Callable[[], bool] = lambda: False

    def start(self) -> None:
        """Begin to look; every monitor is judged once when its settling time is over."""
        self._heap.clear()
        self._entered.clear()
        self.stood()
        self.watch_all()
        self.rounds.start()

    async def stop(self) -> None:
        """End looking."""
        await self.rounds.stop()

    def watch_all(self) -> None:
        """Note for every monitor when it has to be judged again (all of them were read anew)."""
        for watched in self._watchlist:
            self._watch_safely(watched, not_before=self._clock.now())

    def watch(self, watched: Watched) -> None:
        """Note when this monitor has to be judged again (after a judgement, a call, a change of its configuration)."""
        self._enter(watched, self._due(watched))

    def _enter(self, watched: Watched, due: datetime) -> None:
        if due >= NEVER:
            return
        entered = self._entered.get(watched.monitor.id)
        if entered is None or due < entered:
            self._entered[watched.monitor.id] = due
            heapq.heappush(self._heap, (due, next(self._sequence), watched))

    async def look(self) -> None:
        """Judge what is due now. Whatever comes of it, each is looked at again when it is due next."""
        now = self._clock.now()
        seen: list[Watched] = []
        faulty: set[Watched] = set()
        try:
            due, missed = self._sort(now, seen, faulty)
            try:
                if missed:
                    await self._calls.take_missed(missed)
            finally:
                if due:
                    await self._intake.apply(lambda draft, at: self._judge_all(draft, due, at, faulty))
        finally:
            for watched in seen:
                self._watch_safely(watched, not_before=now + (FAULTY if watched in faulty else timedelta()))

    def _sort(self, now: datetime, seen: list[Watched], faulty: set[Watched]) -> tuple[list[Watched], list[Missed]]:
        """Take what is due from the heap (into `seen`): who has to be judged, and what push monitors miss."""
        due: list[Watched] = []
        missed: list[Missed] = []
        while self._heap and self._heap[0][0] <= now:
            moment, _, watched = heapq.heappop(self._heap)
            if self._entered.get(watched.monitor.id) != moment or watched.gone:
                continue
            del self._entered[watched.monitor.id]
            seen.append(watched)
            try:
                if self._due(watched) > now:
                    continue
                if watched.monitor.type == "push" and (what := self._calls.missed(watched, now)) is not None:
                    missed.append(what)
                else:
                    due.append(watched)
            except Exception:  # noqa: BLE001 (one monitor's bug must not keep the others from being judged)
                self.pulse.fault("watchdog.entry_fault", monitor=watched.monitor.id)
                faulty.add(watched)
        return due, missed

    def _watch_safely(self, watched: Watched, not_before: datetime) -> None:
        if watched.gone:
            return
        try:
            due = self._due(watched)
        except Exception:  # noqa: BLE001 (see _sort)
            self.pulse.fault("watchdog.entry_fault", monitor=watched.monitor.id)
            due = not_before = self._clock.now() + FAULTY
        self._enter(watched, max(due, not_before))

    async def push_call(
        self, token: str, status: str = "up", *, message: str = "", body: str = "", ping_ms: float | None = None,
        run_id: str = "",
    ) -> CheckResult | None:  # fmt: skip
        """Take in a call of a push monitor: `start`, `up` (success), `down` (fail) or `log`. The result, None for a
        start or log. Raises NotFound for an unknown token. The run time of a job is from its start to its end."""
        watched = self._watchlist.by_token(token)
        result = await self._calls.take(
            watched, status, message=message, body=body, ping_ms=ping_ms, run_id=run_id
        )  # fmt: skip
        self.watch(watched)
        return result

    def _judge_all(self, draft: Draft, due: list[Watched], now: datetime, faulty: set[Watched]) -> None:
        for watched in due:
            if not watched.gone and not self._judgement.judge_safely(draft, watched, now):
                faulty.add(watched)

    def _due(self, watched: Watched) -> datetime:
        """When time alone may change this monitor's answer; NEVER when it may not."""
        if watched.monitor.paused:
            return NEVER
        moments = [self._calls.deadline(watched) if watched.monitor.type == "push" else _fades(watched)]
        if watched.judge_again_at is not None:
            moments.append(watched.judge_again_at)
        if watched.verdict is not None and watched.settled_at > watched.verdict.at:
            moments.append(watched.settled_at)
        return min((m for m in moments if m is not None), default=NEVER) + SLACK

    def _begin_anew(self) -> None:
        """This process stood still: nothing was heard and nobody looked meanwhile, as before a start."""
        now = self._clock.now()
        for watched in self._watchlist:
            settles = timedelta(seconds=settling_s(watched.monitor, watched.target, now))
            watched.settled_at, watched.heard_from = max(watched.settled_at, now + settles), now

    async def _turn(self) -> None:
        if self.stood():
            log.warning("watchdog.stood_still")
            self._begin_anew()
        await self.look()
        await self.quarantine.look(self._clock.now())
        await self.late.look(self._clock.now())


def _fades(watched: Watched) -> datetime | None:
    """When the next of its fresh votes stops counting, from the states as they are now."""
    if watched.verdict is None or watched.verdict.value == "unknown":
        return None
    fresh = timedelta(seconds=watched.monitor.fresh_s())
    ends = [s.ages_from + fresh for s in watched.states.values() if s.ages_from is not None and s.vote is not None]
    coming = [end for end in ends if end > watched.verdict.at]
    return min(coming, default=None)
