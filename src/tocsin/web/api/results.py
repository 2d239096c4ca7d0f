"""What a monitor showed: its results, uptime and figures over time; and results of the past put in."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from msgspec import Struct, field

from tocsin.core.access import Principal
from tocsin.core.plain import found
from tocsin.core.result import CheckError, CheckResult, Observation, Outcome, Status, Timing, iso
from tocsin.core.shape import Help, Length, Range
from tocsin.core.uptime import Uptime, uptime
from tocsin.errors import Invalid, Problem
from tocsin.store.results import StoredResult, result_json
from tocsin.store.rollups import LatencyStats, Point
from tocsin.web.api.accept import known_locations
from tocsin.web.api.monitors import quieted, watched
from tocsin.web.api.preferences import partial_is_up
from tocsin.web.call import Call, Reply, Route
from tocsin.web.parts import Parts

_WINDOW = re.compile(r"([1-9][0-9]{0,4})(m|h|d|w|y)")
_UNITS = {"m": 60, "h": 3600, "d": 86_400, "w": 604_800, "y": 365 * 86_400}
_LONGEST_S = 10 * 365 * 86_400
_MOST_POINTS = 5000
_IN_FULL = timedelta(hours=6)
"""Steps that rollups of minutes cannot give are added up from the results themselves: no longer stretch of them."""
_NO_TIME = datetime.min.replace(tzinfo=UTC)
_NICE_S = (60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400, 604_800)


class ResultFilter(Struct, frozen=True, kw_only=True):
    """Which results are listed."""

    from_: Annotated[datetime | None, Help("from this slot on")] = field(default=None, name="from")
    to: Annotated[datetime | None, Help("before this slot")] = None
    location: Annotated[str | None, Length(0, 64)] = None
    status: Status | None = None
    limit: Annotated[int, Range(1, 1000)] = 100
    cursor: Annotated[str | None, Length(0, 1000)] = None


class Span(Struct, frozen=True, kw_only=True):
    """A stretch of time: a window that ends now, or from and to."""

    window: Annotated[str | None, Length(0, 8), Help("1h, 24h, 7d, 30d, 90d, 1y …; 24h when nothing is said")] = None
    from_: datetime | None = field(default=None, name="from")
    to: datetime | None = None


class SeriesSpan(Struct, frozen=True, kw_only=True):
    """A stretch of time in steps."""

    from_: datetime | None = field(default=None, name="from")
    to: datetime | None = None
    window: Annotated[str | None, Length(0, 8)] = None
    step: Annotated[int | None, Range(1, 604_800), Help("seconds; left out: about 200 points")] = None
    location: Annotated[str | None, Length(0, 64)] = None


class UptimeOut(Struct, frozen=True, kw_only=True):
    """A share of time, and how the answers were."""

    window: str | None
    start: str = field(name="from")
    to: str
    uptime: float | None
    coverage: float
    worst: float
    best: float
    avg_ms: float | None
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    checks: int
    incidents: int
    up_s: float
    down_s: float
    unknown_s: float


class SeriesPoint(Struct, frozen=True, kw_only=True):
    """The results of one step; times are null where nothing was answered."""

    at: str
    count: int
    up: int
    degraded: int
    down: int
    invalid: int
    avg_ms: float | None
    min_ms: float | None
    max_ms: float | None
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None


class SeriesOut(Struct, frozen=True, kw_only=True):
    """Figures over time, oldest first, a step without results as null figures."""

    step_s: int
    points: list[SeriesPoint]


class Past(Struct, frozen=True, kw_only=True):
    """One result of the past."""

    at: datetime
    status: Status
    total_ms: Annotated[int | float | None, Range(0, 3_600_000)] = None
    location: Annotated[str | None, Length(1, 64)] = None


class Backfill(Struct, frozen=True, kw_only=True):
    """Results of the past."""

    results: Annotated[tuple[Past, ...], Length(1, 10_000)]


class Backfilled(Struct, frozen=True, kw_only=True):
    """How many results were taken in."""

    accepted: int


def window_s(text: str, field_: str = "window") -> int:
    """The seconds of a window such as 24h or 90d; raises Invalid."""
    fit = _WINDOW.fullmatch(text)
    seconds = int(fit[1]) * _UNITS[fit[2]] if fit else 0
    if not 60 <= seconds <= _LONGEST_S:
        raise Invalid(Problem(field_, "a window such as 1h, 24h, 7d, 30d, 90d or 1y", found(text)))
    return seconds


def stretch(
    window: str | None, start: datetime | None, end: datetime | None, now: datetime, *, usual: str = "24h"
) -> tuple[datetime, datetime]:
    """(from, to) of a span; raises Invalid when it is none."""
    if window is not None and (start is not None or end is not None):
        raise Invalid(Problem("window", "either a window, or from and to", "both"))
    end = min(end or now, now)
    if start is None:
        seconds = timedelta(seconds=window_s(window or usual))
        if end - _NO_TIME < seconds:
            raise Invalid(Problem("to", "a time after the year 1", iso(end) or ""))
        start = end - seconds
    if not timedelta(0) < end - start <= timedelta(seconds=_LONGEST_S):
        raise Invalid(Problem("from", "a time before to, at most ten years", iso(start) or ""))
    return start, end


async def page(
    parts: Parts, who: Principal, monitor_id: str, wanted: ResultFilter
) -> tuple[list[StoredResult], str | None]:
    """(a page of results, newest first, cursor of the next)."""
    watched(parts, who, monitor_id)
    return await parts.store.of(who.workspace_id).read(
        lambda s: s.results.page(
            monitor_id, wanted.from_, wanted.to, wanted.location, wanted.status, wanted.limit, wanted.cursor
        )
    )


async def uptime_of(
    parts: Parts, who: Principal, monitor_id: str, start: datetime, end: datetime
) -> tuple[Uptime, LatencyStats, int]:
    """(uptime by verdicts, figures of the answers, how many incidents touched the stretch)."""
    watched(parts, who, monitor_id)

    def read(s: Any) -> tuple[Any, LatencyStats, int]:
        touched = s.incidents.touching(monitor_id, start, end)
        return s.verdicts.intervals(monitor_id, start, end), s.rollups.stats(monitor_id, start, end), touched

    intervals, stats, touched = await parts.store.of(who.workspace_id).read(read)
    as_up = partial_is_up(parts, who.workspace_id)
    return uptime(intervals, start, end, partial_is_up=as_up), stats, touched


def uptime_json(
    share: Uptime, stats: LatencyStats, incidents: int, start: datetime, end: datetime, window: str | None
) -> dict[str, Any]:
    """An uptime as JSON data."""
    return {
        "window": window, "from": iso(start), "to": iso(end), "uptime": share.uptime, "coverage": share.coverage,
        "worst": share.worst, "best": share.best, "avg_ms": stats.avg_ms, "p50_ms": stats.p50, "p95_ms": stats.p95,
        "p99_ms": stats.p99, "checks": stats.count, "incidents": incidents, "up_s": share.up_s, "down_s": share.down_s,
        "unknown_s": share.unknown_s,
    }  # fmt: skip


async def series(
    parts: Parts,
    who: Principal,
    monitor_id: str,
    start: datetime,
    end: datetime,
    step_s: int,
    location: str | None = None,
) -> list[Point]:
    """The points of the stretch that have results, oldest first."""
    watched(parts, who, monitor_id)
    return await parts.store.of(who.workspace_id).read(
        lambda s: s.rollups.series(monitor_id, start, end, step_s, location)
    )


def step_for(start: datetime, end: datetime, points: int = 200) -> int:
    """A handy step that gives about so many points."""
    wanted = (end - start).total_seconds() / points
    return next((s for s in _NICE_S if s >= wanted), _NICE_S[-1])


def series_json(points: list[Point], start: datetime, end: datetime, step_s: int) -> dict[str, Any]:
    """Points as JSON data, gaps as points with null figures."""
    known = {int(p.at.timestamp()): p for p in points}
    first, last = int(start.timestamp()) // step_s * step_s, int(end.timestamp())
    return {
        "step_s": step_s,
        "points": [_point_json(at, known.get(at)) for at in range(first, max(last, first + 1), step_s)],
    }


def _point_json(at: int, p: Point | None) -> dict[str, Any]:
    when = iso(datetime.fromtimestamp(at, UTC))
    if p is None:
        return {"at": when, "count": 0, "up": 0, "degraded": 0, "down": 0, "invalid": 0} | _NO_FIGURES
    return {
        "at": when, "count": p.count, "up": p.up, "degraded": p.degraded, "down": p.down, "invalid": p.invalid,
        "avg_ms": p.avg_ms, "min_ms": p.min_ms, "max_ms": p.max_ms, "p50_ms": p.p50, "p95_ms": p.p95, "p99_ms": p.p99,
    }  # fmt: skip


_NO_FIGURES = dict.fromkeys(("avg_ms", "min_ms", "max_ms", "p50_ms", "p95_ms", "p99_ms"))


async def backfill(parts: Parts, who: Principal, monitor_id: str, given: Backfill, now: datetime) -> int:
    """How many results of the past were taken in; they open no incident."""
    w = watched(parts, who, monitor_id)
    problems: list[Problem] = []
    for i, past in enumerate(given.results):
        if past.at > now:
            problems.append(Problem(f"results[{i}].at", "a time that has passed", iso(past.at) or ""))
        elif past.at < now - timedelta(seconds=_LONGEST_S):
            problems.append(Problem(f"results[{i}].at", "a time within the last ten years", iso(past.at) or ""))
        if past.location is not None and past.location not in {*known_locations(parts, who.workspace_id), *w.assigned}:
            known = ", ".join(known_locations(parts, who.workspace_id))
            problems.append(Problem(f"results[{i}].location", f"one of {known}", found(past.location)))
        if len(problems) >= 100:
            break
    if problems:
        raise Invalid(*problems)
    home = w.assigned[0]
    results = [
        CheckResult(
            workspace_id=who.workspace_id, monitor_id=monitor_id, location=past.location or home, scheduled_at=past.at,
            attempt=0, outcome=_outcome(w.monitor.type, w.shown, past, home),
        )
        for past in given.results
    ]  # fmt: skip
    return await parts.corridor.backfill(monitor_id, results, who.name)


def _outcome(type_: str, shown: str, past: Past, home: str) -> Outcome:
    error = None if past.status in ("up", "degraded") else CheckError("unknown", "put in as a result of the past")
    total = None if past.total_ms is None else float(past.total_ms)
    return Outcome(
        type=type_, target=shown, status=past.status, error=error, started_at=past.at, location=past.location or home,
        seen=Observation(timing=Timing(total=total)),
    )  # fmt: skip


async def _index(call: Call) -> Reply:
    found, cursor = await page(call.parts, call.who, call.path["id"], call.query)
    items = [quieted(result_json(r), call.who) for r in found]
    return Reply(data={"items": items, "next_cursor": cursor})


async def _share(call: Call) -> Reply:
    wanted: Span = call.query
    start, end = stretch(wanted.window, wanted.from_, wanted.to, call.now)
    found = await uptime_of(call.parts, call.who, call.path["id"], start, end)
    window = wanted.window or (None if wanted.from_ or wanted.to else "24h")
    return Reply(data=uptime_json(*found, start, end, window))


async def _figures(call: Call) -> Reply:
    wanted: SeriesSpan = call.query
    start, end = stretch(wanted.window, wanted.from_, wanted.to, call.now)
    step_s = wanted.step or step_for(start, end)
    if (end - start).total_seconds() / step_s > _MOST_POINTS:
        raise Invalid(Problem("step", f"a step that gives at most {_MOST_POINTS} points", str(step_s)))
    if step_s % 60 and end - start > _IN_FULL:
        raise Invalid(Problem("step", f"a multiple of 60 where the stretch is longer than {_IN_FULL}", str(step_s)))
    points = await series(call.parts, call.who, call.path["id"], start, end, step_s, wanted.location)
    return Reply(data=series_json(points, start, end, step_s))


async def _put_in(call: Call) -> Reply:
    accepted = await backfill(call.parts, call.who, call.path["id"], call.body, call.now)
    return Reply(data=Backfilled(accepted=accepted))


_ONE = "/api/v1/monitors/{id}"
ROUTES = [
    Route(
        method="GET", path=_ONE + "/results", run=_index, permission="read", query=ResultFilter, tag="results",
        summary="Results, newest first",
    ),
    Route(
        method="POST", path=_ONE + "/results", run=_put_in, permission="admin", body=Backfill, answer=Backfilled,
        tag="results", max_body=4 << 20, summary="Put results of the past in",
    ),
    Route(
        method="GET", path=_ONE + "/uptime", run=_share, permission="read", query=Span, answer=UptimeOut, tag="results",
        summary="Uptime and response times of a stretch of time",
    ),
    Route(
        method="GET", path=_ONE + "/series", run=_figures, permission="read", query=SeriesSpan, answer=SeriesOut,
        tag="results", summary="Response times and counts in steps",
    ),
]  # fmt: skip
