"""What is kept of the past, as the facts that a rule would have been examined on."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from msgspec import Struct

from tocsin.core import figures, sketch
from tocsin.core.condition import Condition, OnAnomaly, OnCertificate, OnFailures, OnResponseTime, OnUptime, OnVerdict
from tocsin.core.consensus import LocationState, Seat, Verdict, decide, fold
from tocsin.core.figures import Certificate, Figure, Usual
from tocsin.core.monitor import Monitor
from tocsin.core.rule import AlertRule, Facts
from tocsin.core.uptime import uptime
from tocsin.store import Session

WEEK = timedelta(weeks=1)

Buckets = Mapping[int, int]


class Past(Struct, frozen=True, kw_only=True):
    """A stretch of a monitor's past. `places`: the locations that check it. `rows`: so many results are read at most;
    `steps`: so often a window is looked at, about. `partial_is_up`: as its workspace counts it. `certificate`: what
    it showed last, as nothing older is kept of most."""

    monitor: Monitor
    places: tuple[str, ...]
    start: datetime
    end: datetime
    rows: int
    steps: int
    partial_is_up: bool = True
    certificate: Certificate | None = None


def looks(s: Session, rule: AlertRule, past: Past) -> list[Facts]:
    """The facts of the stretch, oldest first: at each verdict or result, or step by step for a window."""
    condition = rule.condition
    verdicts = s.verdicts.between(past.monitor.id, past.start, past.end)
    match condition:
        case OnVerdict():
            return [_facts(past, max(v.at, past.start), v) for v in verdicts]
        case OnFailures():
            return _folded(s, condition, past)
        case OnCertificate():
            return _stepped(past, condition, verdicts, {past.start: past.certificate})
        case OnUptime():
            return _stepped(past, condition, verdicts, _shares(s, condition, past))
        case OnResponseTime():
            windows = _windows(s, past, condition.window_s)
            found = {at: figures.latency(buckets, condition.percentile) for at, buckets in windows}
            return _stepped(past, condition, verdicts, found)
        case OnAnomaly():
            return _stepped(past, condition, verdicts, _compared(s, condition, past))
        case _:  # about hosts: their agents judge those
            return []


def step_s(past: Past) -> int:
    """How far apart the looks at a window are: a minute, more for long stretches."""
    seconds = (past.end - past.start).total_seconds()
    return max(60, int(-(-seconds // past.steps // 60)) * 60)


def _facts(past: Past, at: datetime, verdict: Verdict, states: Sequence[LocationState] = ()) -> Facts:
    return Facts(monitor=past.monitor, verdict=verdict, states=tuple(states), now=at)


def _stepped(
    past: Past, condition: Condition, verdicts: Sequence[Verdict], found: Mapping[datetime, Figure | None]
) -> list[Facts]:
    """A look at each figure, beside the verdict of that moment."""
    begins = [v.at for v in verdicts]
    unseen = decide([], past.monitor.quorum, past.monitor.fresh_s(), None, past.start)
    made: list[Facts] = []
    for at, figure in found.items():
        number = bisect_right(begins, at)
        known = {} if figure is None else {condition: figure}
        verdict = verdicts[number - 1] if number else unseen
        made.append(Facts(monitor=past.monitor, verdict=verdict, states=(), now=at, figures=known))
    return made


def _folded(s: Session, condition: OnFailures, past: Past) -> list[Facts]:
    """The states after each result, folded as they were."""
    monitor = past.monitor
    before = timedelta(seconds=monitor.interval_s * (condition.count + monitor.failure_threshold + 1))
    states: dict[str, LocationState] = {}
    verdict: Verdict | None = None
    made: list[Facts] = []
    for at, place, attempt, status, error in s.results.statuses(monitor.id, past.start - before, past.end, past.rows):
        if place not in past.places:
            continue
        state = states.get(place) or LocationState(location=place)
        states[place] = fold(state, monitor, status, at, attempt, error)
        seats = [Seat(location=name, state=states.get(name)) for name in past.places]
        verdict = decide(seats, monitor.quorum, monitor.fresh_s(), verdict, at)
        if at >= past.start:
            made.append(_facts(past, at, verdict, list(states.values())))
    return made


def _moments(past: Past) -> list[datetime]:
    step = timedelta(seconds=step_s(past))
    first = datetime.fromtimestamp(-(-past.start.timestamp() // step.total_seconds()) * step.total_seconds(), UTC)
    return [first + n * step for n in range(int((past.end - first) / step) + 1)] if first <= past.end else []


def _shares(s: Session, condition: OnUptime, past: Past) -> dict[datetime, Figure]:
    window = timedelta(seconds=condition.window_s)
    intervals = s.verdicts.intervals(past.monitor.id, past.start - window, past.end)
    return {
        at: figures.share(uptime(intervals, at - window, at, partial_is_up=past.partial_is_up)) for at in _moments(past)
    }


def _windows(s: Session, past: Past, window_s: int) -> list[tuple[datetime, dict[int, int]]]:
    """The sketch of the window before each look, as near as what is kept allows."""
    step = step_s(past)
    steps = s.latencies.steps(past.monitor.id, past.start - timedelta(seconds=window_s), past.end, step)
    begins = sorted(steps)
    first = last = 0
    buckets: dict[int, int] = {}
    made: list[tuple[datetime, dict[int, int]]] = []
    for at in _moments(past):
        now = at.timestamp()
        while last < len(begins) and begins[last] < now:
            sketch.merge(buckets, steps[begins[last]])
            last += 1
        while first < last and begins[first] < now - max(window_s, step):
            for index, count in steps[begins[first]].items():
                buckets[index] -= count
                if not buckets[index]:
                    del buckets[index]
            first += 1
        made.append((at, dict(buckets)))
    return made


def _compared(s: Session, condition: OnAnomaly, past: Past) -> dict[datetime, Figure]:
    """Each window beside the same hours of the weeks before it."""
    window = timedelta(seconds=condition.window_s)
    start = past.start - condition.weeks * WEEK - window
    hours = s.latencies.steps(past.monitor.id, start, past.end, 3600)
    known: dict[tuple[int, int], Usual] = {}
    found: dict[datetime, Figure] = {}
    for at, buckets in _windows(s, past, condition.window_s):
        span = int((at - window).timestamp()) // 3600, int(at.timestamp()) // 3600
        if span not in known:
            known[span] = figures.usual(_weeks(hours, span, condition.weeks))
        found[at] = figures.compared(buckets, known[span])
    return found


def _weeks(hours: Mapping[int, Buckets], span: tuple[int, int], weeks: int) -> list[Buckets]:
    made: list[Buckets] = []
    for n in range(1, weeks + 1):
        buckets: dict[int, int] = {}
        for hour in range(span[0], span[1] + 1):
            sketch.merge(buckets, hours.get(hour * 3600 - n * 604_800, {}))
        made.append(buckets)
    return made
