"""Refreshes what rules look at beside the states: windows, the usual, certificates; and whether every monitor is seen.

Judging stays synchronous: the figures are read here in bulk and kept on the monitors; those whose figures changed are
judged anew.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial

from tocsin import telemetry
from tocsin.clock import Clock
from tocsin.core import figures
from tocsin.core.condition import Condition, OnAnomaly, OnCertificate, OnResponseTime, OnUptime
from tocsin.core.coverage import SUBJECT
from tocsin.core.figures import Certificate, Figure, Usual
from tocsin.core.uptime import uptime
from tocsin.pipeline.intake import Intake
from tocsin.pipeline.judgement import Judgement
from tocsin.pipeline.pulse import Rounds
from tocsin.pipeline.watchlist import Watched, Watchlist
from tocsin.store import Session, Store

log = telemetry.logger("tocsin.figures")

LOOK_S = 15.0
SLOWEST_S = 300.0
SILENT_S = 120.0
AT_ONCE = 200
"""So many monitors are read in one query."""
JUDGED_AT_ONCE = 50
HOUR, WEEK = timedelta(hours=1), timedelta(weeks=1)

Found = Mapping[str, Figure]


class Figures:
    """Looks every 15 s; a window is read again after a sixtieth of its length (15 s at least, 5 minutes at most).
    `watch` is told of every monitor that was judged."""

    def __init__(
        self, store: Store, watchlist: Watchlist, intake: Intake, judgement: Judgement, clock: Clock
    ) -> None:  # fmt: skip
        self._store, self._watchlist, self._intake = store, watchlist, intake
        self._judgement, self._clock = judgement, clock
        self._read_at: dict[Condition, datetime] = {}
        self._usual: dict[OnAnomaly, tuple[datetime, dict[str, Usual]]] = {}
        self.watch: Callable[[Watched], None] = lambda watched: None
        silent = "windows that rules look at are not refreshed"
        self.rounds = Rounds("figures", silent, SILENT_S, clock, self.look, LOOK_S, waits=True)
        self.pulse = self.rounds.pulse

    def start(self) -> None:
        """Begin to look."""
        self.rounds.start()

    async def stop(self) -> None:
        """End looking."""
        await self.rounds.stop()

    async def look(self) -> None:
        """Read what is due, judge whose figures changed, and look whether every monitor is seen."""
        changed: dict[str, Watched] = {}
        asked = self._asked()
        for condition, watched in asked.items():
            for w, figure in await self._due(condition, watched):
                if w.figures.get(condition) != figure:
                    w.figures[condition] = figure
                    changed[w.monitor.id] = w
        self._read_at = {condition: at for condition, at in self._read_at.items() if condition in asked}
        self._usual = {condition: known for condition, known in self._usual.items() if condition in asked}
        await self._judge(list(changed.values()))
        for workspace_id in self._with_coverage():
            await self._intake.apply(
                lambda draft, now, id=workspace_id: self._judgement.judge_coverage(draft, id, now)
            )  # fmt: skip

    def _with_coverage(self) -> list[str]:
        """The workspaces with monitors that nobody sees, or with an incident of that."""
        unseen = {w.monitor.workspace_id for w in self._watchlist if w.verdict and w.verdict.value == "unknown"}
        told = {id for (id, subject), known in self._watchlist.incidents.items() if subject == SUBJECT
                and (known.open or known.unstable or known.held)}  # fmt: skip
        return sorted(unseen | told)

    def _asked(self) -> dict[Condition, list[Watched]]:
        """The conditions that have figures, each with the monitors its rules cover. A monitor forgets those that no
        rule asks for any more."""
        asked: dict[Condition, list[Watched]] = defaultdict(list)
        for workspace_id in self._watchlist.workspaces():
            telling = self._watchlist.telling(workspace_id)
            if not any(_has_figures(rule.condition) for rule in telling.rules if rule.enabled):
                for w in self._watchlist.of(workspace_id):
                    w.figures.clear()
                continue
            for w in self._watchlist.of(workspace_id):
                conditions = {rule.condition for rule in telling.rules_for(w.monitor) if _has_figures(rule.condition)}
                for gone in w.figures.keys() - conditions:
                    del w.figures[gone]
                for condition in () if w.monitor.paused else conditions:
                    asked[condition].append(w)
        return asked

    async def _due(self, condition: Condition, watched: Sequence[Watched]) -> list[tuple[Watched, Figure]]:
        """The figures of those whose turn it is: all once the window has moved far enough, else those without one."""
        now = self._clock.now()
        if isinstance(condition, OnCertificate):
            seen = [(w, certificate_of(w)) for w in watched]
            return [(w, figure) for w, figure in seen if figure is not None]
        if not isinstance(condition, OnResponseTime | OnUptime | OnAnomaly):
            return []
        last = self._read_at.get(condition)
        period = min(max(condition.window_s / 60, LOOK_S), SLOWEST_S)
        if last is None or not timedelta() <= now - last < timedelta(seconds=period):
            self._read_at[condition] = now
        else:
            watched = [w for w in watched if condition not in w.figures]
        found: list[tuple[Watched, Figure]] = []
        for some in (watched[n : n + AT_ONCE] for n in range(0, len(watched), AT_ONCE)):
            known = await self._read(condition, [w.monitor.id for w in some], now)
            found += [(w, known[w.monitor.id]) for w in some if w.monitor.id in known]
        return found

    async def _read(self, condition: Condition, ids: Sequence[str], now: datetime) -> Found:
        match condition:
            case OnResponseTime():
                work = partial(_latencies, condition=condition, ids=ids, now=now)
            case OnUptime():
                work = partial(
                    _shares, condition=condition, ids=ids, now=now, partial_is_down=self._partial_is_down(ids)
                )
            case OnAnomaly():
                hour, known = self._usual.get(condition, (now, dict[str, Usual]()))
                if hour != floor_hour(now):
                    known = {}
                missing = [id for id in ids if id not in known]
                if missing:
                    read = partial(usual_of, condition=condition, ids=missing, now=now)
                    known = {**known, **await self._store.everything().read(read)}
                self._usual[condition] = floor_hour(now), known
                work = partial(_compared, condition=condition, ids=ids, now=now, known=known)
            case _:
                return {}
        return await self._store.everything().read(work)

    def _partial_is_down(self, ids: Sequence[str]) -> set[str]:
        """Of these monitors those whose workspace counts partial as down."""
        found = [w for id in ids if (w := self._watchlist.find(id)) is not None]
        telling = self._watchlist.telling
        return {w.monitor.id for w in found if telling(w.monitor.workspace_id).preferences.partial_is_down}

    async def _judge(self, changed: Sequence[Watched]) -> None:
        for some in (changed[n : n + JUDGED_AT_ONCE] for n in range(0, len(changed), JUDGED_AT_ONCE)):
            await self._intake.apply(lambda draft, now, some=some: self._judgement.judge_all(draft, some, now))
            for w in some:
                self.watch(w)


def certificate_of(w: Watched) -> Certificate | None:
    """The certificate that a monitor's locations saw last; None when nothing is known."""
    last = tuple(w.last.items())
    return figures.certificate(result.outcome for place, result in last if place in w.assigned)


def _has_figures(condition: Condition) -> bool:
    return isinstance(condition, OnResponseTime | OnUptime | OnCertificate | OnAnomaly)


def floor_hour(at: datetime) -> datetime:
    """The beginning of its hour."""
    return at.replace(minute=0, second=0, microsecond=0)


def _latencies(s: Session, condition: OnResponseTime, ids: Sequence[str], now: datetime) -> dict[str, Figure]:
    (found,) = s.latencies.sketches(ids, [(now - timedelta(seconds=condition.window_s), now)])
    return {id: figures.latency(buckets, condition.percentile) for id, buckets in found.items()}


def _shares(
    s: Session, condition: OnUptime, ids: Sequence[str], now: datetime, partial_is_down: set[str]
) -> dict[str, Figure]:
    start = now - timedelta(seconds=condition.window_s)
    return {
        id: figures.share(uptime(found, start, now, partial_is_up=id not in partial_is_down))
        for id, found in s.verdicts.intervals_of(ids, start, now).items()
    }


def usual_of(s: Session, condition: OnAnomaly, ids: Sequence[str], now: datetime) -> dict[str, Usual]:
    """What is usual for a window that ends now: the hours it lies in, in each of the weeks before."""
    first = floor_hour(now - timedelta(seconds=condition.window_s))
    spans = [(first - n * WEEK, floor_hour(now) + HOUR - n * WEEK) for n in range(1, condition.weeks + 1)]
    weeks = s.latencies.sketches(ids, spans)
    return {id: figures.usual([week[id] for week in weeks]) for id in ids if all(id in week for week in weeks)}


def _compared(
    s: Session, condition: OnAnomaly, ids: Sequence[str], now: datetime, known: Mapping[str, Usual]
) -> dict[str, Figure]:
    (window,) = s.latencies.sketches(ids, [(now - timedelta(seconds=condition.window_s), now)])
    return {id: figures.compared(window[id], known[id]) for id in ids if id in window and id in known}
