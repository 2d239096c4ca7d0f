"""Outside contract of /site-stats: figures of monitors over 1 h, 24 h and 7 d (fields are camelCase)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from tocsin.core.access import Principal
from tocsin.core.result import iso
from tocsin.core.uptime import Interval, uptime
from tocsin.pipeline.watchlist import Watched
from tocsin.web.api.monitors import run_now, watched
from tocsin.web.api.preferences import partial_is_up
from tocsin.web.call import Call, Reply, Route
from tocsin.web.parts import Parts

_WINDOWS = (("1h", 3600), ("24h", 86_400), ("7d", 604_800))
_TOGETHER = 500


async def stats_of(parts: Parts, who: Principal, rows: list[Watched], now: datetime) -> list[dict[str, Any]]:
    """Figures of these monitors over 1 h, 24 h and 7 d, in the outside contract's words (uptimes 0–100)."""

    as_up = partial_is_up(parts, who.workspace_id)
    ids, start = [w.monitor.id for w in rows], now - timedelta(seconds=_WINDOWS[-1][1])

    def read(s: Any) -> list[dict[str, Any]]:
        means = s.rollups.averages(ids, [seconds for _, seconds in _WINDOWS])
        intervals = s.verdicts.intervals_of(ids, start, now)
        known = [w for w in rows if w.monitor.id in means]
        return [_stats(w, intervals[w.monitor.id], means[w.monitor.id], now, as_up=as_up) for w in known]

    return await parts.store.of(who.workspace_id).read(read)


def _stats(
    w: Watched, intervals: Sequence[Interval], means: Sequence[float | None], now: datetime, *, as_up: bool
) -> dict[str, Any]:
    id_ = w.monitor.id
    latest = max((state.at for state in w.states.values() if state.at is not None), default=None)
    shown: dict[str, Any] = {"siteId": id_, "name": w.monitor.name}
    for (window, seconds), mean in zip(_WINDOWS, means, strict=True):
        start = now - timedelta(seconds=seconds)
        share = uptime(intervals, start, now, partial_is_up=as_up).uptime
        shown[f"uptime{window}"] = None if share is None else round(share * 100, 4)
        shown[f"avgResponseTime{window}"] = mean
    value = w.verdict.value if w.verdict else "unknown"
    return shown | {"currentStatus": value, "lastChecked": iso(latest), "paused": w.monitor.paused}


async def _site_stats(call: Call) -> Reply:
    rows = sorted(call.parts.corridor.watchlist.of(call.who.workspace_id), key=lambda w: (w.monitor.name, w.monitor.id))
    found: list[dict[str, Any]] = []
    for start in range(0, len(rows), _TOGETHER):
        found += await stats_of(call.parts, call.who, rows[start : start + _TOGETHER], call.now)
    return Reply(data=found)


async def _one_site(call: Call) -> Reply:
    w = watched(call.parts, call.who, call.path["id"])
    return Reply(data=(await stats_of(call.parts, call.who, [w], call.now))[0])


async def _refresh_site(call: Call) -> Reply:
    await run_now(call.parts, call.who, call.path["id"])
    return await _one_site(call)


ROUTES = [
    Route(
        method="GET", path="/site-stats", run=_site_stats, permission="read", kind="open", loose=True, tag="server",
        summary="Figures of every monitor",
    ),
    Route(
        method="GET", path="/site-stats/{id}", run=_one_site, permission="read", kind="open", loose=True, tag="server",
        summary="Figures of one monitor",
    ),
    Route(
        method="POST", path="/site-stats/{id}/refresh", run=_refresh_site, permission="operate", kind="open",
        loose=True, tag="server", summary="Check one monitor now, and its figures",
    ),
]  # fmt: skip
