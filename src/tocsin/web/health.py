"""Outside contracts about the server itself:
/health, /metrics, /monitoring/… and /site-stats (their fields are camelCase)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from msgspec import Struct
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from tocsin import __version__
from tocsin.core.access import Principal
from tocsin.core.result import iso
from tocsin.core.uptime import Interval, uptime
from tocsin.pipeline.watchlist import Watched
from tocsin.telemetry import REGISTRY
from tocsin.web.api.monitors import run_now, watched
from tocsin.web.call import Call, Reply, Route
from tocsin.web.parts import Parts

_WINDOWS = (("1h", 3600), ("24h", 86_400), ("7d", 604_800))
_TOGETHER = 500


class Health(Struct, frozen=True, kw_only=True):
    """How the server is; `problems` says in words what is not well."""

    status: str
    version: str
    problems: list[str]


def problems(parts: Parts) -> list[str]:
    """What is not well, in words; empty when all is."""
    state = parts.corridor.status()
    found: list[str] = []
    if state.get("started_at") is None:
        found.append("monitoring has not started")
    found += state.get("stalled", [])
    if parts.store.breaker.state != "closed":
        found.append("the database does not answer; results are kept on disk")
    if state.get("holding", False):
        found.append("checks wait until results can be written")
    if state.get("loop_lag_ms", 0) > 500:
        found.append("the server is overloaded")
    return found


async def _health(call: Call) -> Reply:
    found = problems(call.parts)
    return Reply(data=Health(status="degraded" if found else "ok", version=__version__, problems=found))


async def _ready(call: Call) -> Reply:
    found = problems(call.parts)
    state = call.parts.corridor.status()
    stalled = not state.get("running", False) or bool(state.get("stalled"))
    not_ready = call.parts.store.breaker.state == "open" or stalled
    data = {"status": "not_ready" if not_ready else "ready", "problems": found}
    return Reply(data=data, status=503 if not_ready else 200)


async def _metrics(call: Call) -> Reply:
    return Reply(content=await asyncio.to_thread(generate_latest, REGISTRY), media_type=CONTENT_TYPE_LATEST)


async def _monitoring_status(call: Call) -> Reply:
    return Reply(data=status_json(call.parts, call.who))


def status_json(parts: Parts, who: Principal) -> dict[str, Any]:
    """How monitoring goes, for one workspace, in the outside contract's words."""
    state, found = parts.corridor.status(), problems(parts)
    rows = parts.corridor.watchlist.of(who.workspace_id)
    active = [w for w in rows if not w.monitor.paused]
    verdicts = [w.verdict.value if w.verdict else "unknown" for w in active]
    return {
        "status": "degraded" if found else "ok",
        "isRunning": bool(state.get("running")),
        "startedAt": state.get("started_at"),
        "uptimeSeconds": state.get("uptime_s"),
        "totalSites": len(rows),
        "activeSites": len(active),
        "pausedSites": len(rows) - len(active),
        "upSites": sum(v in ("up", "degraded") for v in verdicts),
        "downSites": verdicts.count("down"),
        "partialSites": verdicts.count("partial"),
        "unknownSites": verdicts.count("unknown"),
        "openIncidents": sum(w.incident is not None and w.incident.open for w in rows),
        "checksRunning": state.get("checks_running"),
        "checksWaiting": state.get("checks_waiting"),
        "database": {"circuitBreaker": parts.store.breaker.state, "backlog": parts.store.backlog},
        "problems": found,
        "timestamp": iso(parts.clock.now()),
    }


async def _monitoring_health(call: Call) -> Reply:
    found = problems(call.parts)
    data = {
        "status": "degraded" if found else "ok",
        "healthy": not found,
        "problems": found,
        "timestamp": iso(call.now),
    }
    return Reply(data=data)


async def _trigger(call: Call) -> Reply:
    return Reply(data=_cycle_json(await call.parts.corridor.runner.cycle(call.who.workspace_id), stored=True))


async def _try_cycle(call: Call) -> Reply:
    done = await call.parts.corridor.runner.cycle(call.who.workspace_id, stored=False)
    return Reply(data=_cycle_json(done, stored=False))


def _cycle_json(done: dict[str, Any], *, stored: bool) -> dict[str, Any]:
    return {
        "success": True, "stored": stored, "sitesChecked": done["total"], "up": done["up"],
        "degraded": done["degraded"], "down": done["down"], "invalid": done["invalid"], "skipped": done["skipped"],
        "durationMs": done["took_ms"],
    }  # fmt: skip


async def stats_of(parts: Parts, who: Principal, rows: list[Watched], now: datetime) -> list[dict[str, Any]]:
    """Figures of these monitors over 1 h, 24 h and 7 d, in the outside contract's words (uptimes 0–100)."""

    ids, start = [w.monitor.id for w in rows], now - timedelta(seconds=_WINDOWS[-1][1])

    def read(s: Any) -> list[dict[str, Any]]:
        means = s.rollups.averages(ids, [seconds for _, seconds in _WINDOWS])
        intervals = s.verdicts.intervals_of(ids, start, now)
        return [_stats(w, intervals[w.monitor.id], means[w.monitor.id], now) for w in rows if w.monitor.id in means]

    return await parts.store.of(who.workspace_id).read(read)


def _stats(w: Watched, intervals: Sequence[Interval], means: Sequence[float | None], now: datetime) -> dict[str, Any]:
    id_ = w.monitor.id
    latest = max((state.at for state in w.states.values() if state.at is not None), default=None)
    shown: dict[str, Any] = {"siteId": id_, "name": w.monitor.name}
    for (window, seconds), mean in zip(_WINDOWS, means, strict=True):
        start = now - timedelta(seconds=seconds)
        share = uptime(intervals, start, now).uptime
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
        method="GET", path="/health", run=_health, permission="public", kind="open", answer=Health, loose=True,
        tag="server", summary="How the server is; 200 also when something is not well",
    ),
    Route(
        method="GET", path="/health/ready", run=_ready, permission="public", kind="open", loose=True, tag="server",
        summary="Whether the server can take work: 200 or 503",
    ),
    Route(
        method="GET", path="/metrics", run=_metrics, permission="metrics", kind="open", loose=True, tag="server",
        summary="Metrics in Prometheus' text form",
    ),
    Route(
        method="GET", path="/monitoring/health", run=_monitoring_health, permission="public", kind="open", loose=True,
        tag="server", summary="How monitoring is",
    ),
    Route(
        method="GET", path="/monitoring/status", run=_monitoring_status, permission="read", kind="open", loose=True,
        tag="server", summary="How monitoring goes",
    ),
    Route(
        method="POST", path="/monitoring/trigger", run=_trigger, permission="operate", kind="open", loose=True,
        tag="server", summary="Check every monitor now",
    ),
    Route(
        method="POST", path="/monitoring/test", run=_try_cycle, permission="operate", kind="open", loose=True,
        tag="server", summary="Check every monitor now, without keeping anything",
    ),
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
