"""Outside contract of /monitoring/…: how monitoring goes, and a round of every monitor (fields are camelCase)."""

from __future__ import annotations

from typing import Any

from tocsin.core.access import Principal
from tocsin.core.result import iso
from tocsin.web.call import Call, Reply, Route
from tocsin.web.health import problems
from tocsin.web.parts import Parts


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
        "openIncidents": len(parts.corridor.watchlist.open_of(who.workspace_id)),
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


ROUTES = [
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
]  # fmt: skip
