"""The figures of a monitor's chart: time against milliseconds, one line a location, gaps as null."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec import Struct

from tocsin.core.monitor import Monitor
from tocsin.store import Session
from tocsin.web.api import monitors
from tocsin.web.call import Call, Reply, Route
from tocsin.web.pages.monitor import RANGES

_SPANS = {"1h": 3600, "3h": 10_800, "24h": 86_400, "7d": 604_800, "30d": 2_592_000}
MOST_LINES = 6


class Wanted(Struct, frozen=True, kw_only=True):
    """How far back, and from which location alone."""

    range: str = "3h"
    location: str = ""


def step_of(span_s: int, interval_s: int) -> int:
    """The chart's step: at most about 360 points, never finer than the monitor's interval or a minute."""
    least = max(60, interval_s, span_s / 360)
    return next((s for s in (60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 86_400) if s >= least), 86_400)


async def figures(call: Call) -> Reply:
    """{step_s, from, to, at: [s], lines: [{name, avg, p95, low, high, count}], bands: [{from, to, value}], limits: [ms]}."""
    watched = monitors.watched(call.parts, call.who, call.path["id"])
    wanted: Wanted = call.query or Wanted()
    span = _SPANS[wanted.range if wanted.range in RANGES else "3h"]
    step = step_of(span, watched.monitor.interval_s)
    last = int(call.now.timestamp()) // step * step
    first = last - span // step * step
    start, end = datetime.fromtimestamp(first, UTC), datetime.fromtimestamp(last + step, UTC)
    id, names = watched.monitor.id, list(watched.assigned[:MOST_LINES])
    if wanted.location in watched.assigned:
        names = [wanted.location]

    def read(s: Session) -> tuple[list[Any], Any]:
        return [s.rollups.series(id, start, end, step, name) for name in names], s.verdicts.intervals(id, start, end)

    series, intervals = await call.parts.store.of(call.who.workspace_id).read(read)
    at = list(range(first, last + 1, step))
    lines: list[dict[str, Any]] = []
    for name, points in zip(names, series, strict=True):
        by = {int(p.at.timestamp()): p for p in points}
        columns = {"avg": "avg_ms", "p95": "p95", "low": "min_ms", "high": "max_ms", "count": "count"}
        lines.append(
            {"name": name} | {k: [getattr(by[t], a) if t in by else None for t in at] for k, a in columns.items()}
        )
    bands = [
        {"from": max(first, i.start.timestamp()), "to": (i.end or call.now + timedelta()).timestamp(), "value": i.value}
        for i in intervals
        if i.value in ("down", "unknown")
    ]
    return Reply(
        data={
            "step_s": step,
            "from": first,
            "to": last,
            "at": at,
            "lines": lines,
            "bands": bands,
            "limits": limits(watched.monitor),
        }
    )


def limits(monitor: Monitor) -> list[float]:
    """The response times, ms, that its assertions allow at most."""
    return sorted(
        {
            float(a.value)
            for a in monitor.assertions
            if a.type == "response_time_ms" and a.op in ("lt", "lte") and isinstance(a.value, (int, float))
        }
    )


ROUTES = [
    Route(
        method="GET",
        path="/monitors/{id}/chart",
        run=figures,
        permission="read",
        summary="Figures of a chart",
        query=Wanted,
        loose=True,
        kind="page",
        tag="pages",
    )
]
