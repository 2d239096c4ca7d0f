"""Monitors: made, changed, paused, run, listed from memory."""

from __future__ import annotations

from heapq import nsmallest
from typing import Annotated, Any, Literal

from msgspec import Struct
from msgspec.structs import replace

from tocsin import checks
from tocsin.clock import new_id
from tocsin.core import shape
from tocsin.core.access import Principal, may
from tocsin.core.consensus import Verdict
from tocsin.core.monitor import Monitor
from tocsin.core.plain import quiet_url
from tocsin.core.result import CheckResult, iso, outcome_json
from tocsin.core.shape import Help, Length, Range
from tocsin.errors import NotFound
from tocsin.pipeline.watchlist import Watched
from tocsin.store.cursor import read_cursor, write_cursor
from tocsin.web.api.accept import accepted
from tocsin.web.api.given import as_object
from tocsin.web.api.monitor_data import MonitorIn, MonitorList, MonitorOut, config_of, placed
from tocsin.web.call import Call, Reply, Route
from tocsin.web.memory import MOST_CONFIGS
from tocsin.web.parts import Parts


class Filter(Struct, frozen=True, kw_only=True):
    """Which monitors are listed."""

    q: Annotated[str | None, Length(0, 200), Help("part of the name, the target or a tag")] = None
    type: Annotated[str | None, Length(0, 40)] = None
    tag: Annotated[str | None, Length(0, 50)] = None
    verdict: Literal["up", "degraded", "partial", "down", "unknown", "paused"] | None = None
    limit: Annotated[int, Range(1, 1000)] = 100
    cursor: Annotated[str | None, Length(0, 1000)] = None


class RunOut(Struct, frozen=True, kw_only=True):
    """What a run showed."""

    verdict: str
    results: list[dict[str, Any]]


def watched(parts: Parts, who: Principal, monitor_id: str) -> Watched:
    """A monitor of the caller's workspace; raises NotFound for any other."""
    found = parts.corridor.watchlist.find(monitor_id)
    if found is None or found.monitor.workspace_id != who.workspace_id:
        raise NotFound(f"there is no monitor {monitor_id[:64]}")
    return found


def monitor_json(parts: Parts, who: Principal, w: Watched) -> dict[str, Any]:
    """A monitor as JSON data: configuration (secrets as ***, and what is private too for who may not write) and present
    judgement."""
    monitor, states, writes = w.monitor, w.states, may(who, "write")
    verdict = None if monitor.paused else w.verdict  # the one it had is history: nobody looks
    return _shown_config(parts, monitor, writes=writes) | {
        "id": monitor.id,
        "shown": w.shown,
        "verdict": present(w),
        "pending": not monitor.paused and (verdict is None or verdict.pending),
        "since": iso(verdict.since) if verdict else None,
        "reason": "It is paused" if monitor.paused else verdict.reason if verdict else None,
        "locations_state": [location_json(place, states.get(place)) for place in w.assigned],
        "recent": w.tally.decode("ascii"),
        "incident_id": w.incident.id if w.incident is not None and w.incident.open else None,
        "maintenance": verdict is not None and verdict.maintenance,
        "held_back": (w.incident.suppressed or None) if w.incident is not None and w.incident.open else None,
        "next_check_at": None if monitor.paused else iso(w.next_at),
        "created_at": iso(monitor.created_at),
        "updated_at": iso(monitor.updated_at),
        "version": monitor.version,
        "push_url": push_url(parts, monitor) if writes else None,
    }


def present(w: Watched) -> str:
    """Its verdict now: unknown while nobody looks."""
    return "unknown" if w.verdict is None or w.monitor.paused else w.verdict.value


def push_url(parts: Parts, monitor: Monitor) -> str | None:
    """Where the job of a push monitor calls; only for callers who may write. None for other monitors."""
    token = monitor.target.get("token")
    if monitor.type != "push" or not isinstance(token, str) or not token:
        return None
    return f"{parts.settings.base_url}/api/push/{token}"


def _shown_config(parts: Parts, monitor: Monitor, *, writes: bool) -> dict[str, Any]:
    """The configuration as it may be shown, made once for each version of a monitor: lists show it a hundred at a time."""
    known = parts.memory.configs.get(monitor.id)
    if known is None or known[0] is not monitor:
        config = config_of(monitor)
        known = parts.memory.configs[monitor.id] = (
            monitor,
            config | {"target": _hidden(monitor, private=True)},
            config | {"target": _hidden(monitor, private=False)},
        )
        while len(parts.memory.configs) > MOST_CONFIGS:
            parts.memory.configs.pop(next(iter(parts.memory.configs)))
    return known[2] if writes else known[1]


def _hidden(monitor: Monitor, *, private: bool) -> Any:
    try:
        return shape.hide(checks.kind(monitor.type).target, monitor.target, private=private)
    except NotFound:
        return {}


def location_json(place: str, state: Any) -> dict[str, Any]:
    """What one location says, as JSON data."""
    if state is None:
        return {
            "location": place,
            "vote": None,
            "suspect": False,
            "status": None,
            "at": None,
            "since": None,
            "reason": None,
            "stand_in": None,
        }
    return {
        "location": place, "vote": state.vote, "suspect": state.suspect, "status": state.status, "at": iso(state.at),
        "since": iso(state.since), "reason": error_json(state.reason), "stand_in": state.stand_in,
    }  # fmt: skip


def error_json(error: Any) -> dict[str, Any] | None:
    """A check error as JSON data."""
    return None if error is None else {"type": error.type, "message": error.message, "phase": error.phase}


def result_json(result: CheckResult) -> dict[str, Any]:
    """A fresh result as JSON data."""
    return {"id": result.id, "attempt": result.attempt, "scheduled_at": iso(result.scheduled_at)} | outcome_json(
        result.outcome
    )


def quieted(shown: dict[str, Any], who: Principal) -> dict[str, Any]:
    """A result's JSON data as this caller may see it: for those who may not write, where a redirect ended without its
    query's values, and nothing of what a job printed."""
    if may(who, "write"):
        return shown
    if shown.get("final_url"):
        shown = shown | {"final_url": quiet_url(shown["final_url"])}
    if shown["type"] == "push":
        shown = shown | {"facts": {k: v for k, v in shown["facts"].items() if k not in ("body", "log")}}
    return shown


def select(parts: Parts, who: Principal, wanted: Filter) -> tuple[list[Watched], str | None]:
    """(a page of monitors by name, cursor of the next): from memory."""
    rows = [w for w in parts.corridor.watchlist.of(who.workspace_id) if _fits(w, wanted)]
    if wanted.cursor is not None:
        after = read_cursor(wanted.cursor, str, str)
        rows = [w for w in rows if _place(w) > after]
    page = nsmallest(wanted.limit + 1, rows, key=_place)
    more = len(page) > wanted.limit
    page = page[: wanted.limit]
    return page, write_cursor(*_place(page[-1])) if more else None


def _place(w: Watched) -> tuple[str, str]:
    return w.monitor.name.casefold(), w.monitor.id


def _fits(w: Watched, wanted: Filter) -> bool:
    monitor = w.monitor
    if wanted.type is not None and monitor.type != wanted.type:
        return False
    if wanted.tag is not None and wanted.tag not in monitor.tags:
        return False
    if wanted.verdict == "paused" and not monitor.paused:
        return False
    if wanted.verdict not in (None, "paused") and present(w) != wanted.verdict:
        return False
    if wanted.q is not None:
        part = wanted.q.casefold()
        return (
            part in monitor.name.casefold()
            or part in w.shown.casefold()
            or any(part in t.casefold() for t in monitor.tags)
        )
    return True


async def create(parts: Parts, who: Principal, data: dict[str, Any]) -> Monitor:
    """A new monitor, being watched. Raises Invalid with everything wrong at once."""
    fields = await accepted(parts, who, placed(data), None)
    now = parts.clock.now()
    monitor = Monitor(id=new_id(), workspace_id=who.workspace_id, created_at=now, updated_at=now, **fields)
    await parts.store.of(who.workspace_id, by=who.name).write(lambda s: s.monitors.add(monitor))
    await parts.corridor.changed(monitor.id, monitor)
    return monitor


async def change(parts: Parts, who: Principal, monitor_id: str, data: dict[str, Any]) -> Monitor:
    """The monitor with the given fields changed; what is left out stays. In `target` too, unless the type changes.

    A secret that comes back as *** stays, as long as the place it is sent to stays too."""
    old = watched(parts, who, monitor_id).monitor
    fields = await accepted(parts, who, _merged(old, placed(data, old)), old)
    return await _write(parts, who, replace(old, updated_at=parts.clock.now(), **fields))


async def pause(parts: Parts, who: Principal, monitor_id: str, *, paused: bool) -> Monitor:
    """The monitor, paused or going on; nothing happens when it already is."""
    old = watched(parts, who, monitor_id).monitor
    if old.paused == paused:
        return old
    return await _write(parts, who, replace(old, paused=paused, updated_at=parts.clock.now()))


async def _write(parts: Parts, who: Principal, monitor: Monitor) -> Monitor:
    fresh = await parts.store.of(who.workspace_id, by=who.name).write(lambda s: s.monitors.replace(monitor))
    await parts.corridor.changed(monitor.id, fresh)
    return fresh


async def delete(parts: Parts, who: Principal, monitor_id: str) -> None:
    """Stop watching it and forget it. Its incidents stay, as history."""
    watched(parts, who, monitor_id)
    children = [
        w.monitor.id for w in parts.corridor.watchlist.of(who.workspace_id) if monitor_id in w.monitor.parent_ids
    ]
    await parts.corridor.removing(monitor_id)
    await parts.store.of(who.workspace_id, by=who.name).write(lambda s: s.monitors.delete(monitor_id))
    await parts.corridor.removed(monitor_id)
    for child in children:
        await parts.corridor.changed(child)


def _merged(old: Monitor, data: dict[str, Any]) -> dict[str, Any]:
    current = config_of(old)
    if "target" not in data and data.get("type", old.type) == old.type:
        data = data | {"target": {}}
    merged = current | data
    if "interval_s" in data and isinstance(data["interval_s"], int):
        interval = data["interval_s"]
        if "timeout_s" not in data and old.timeout_s >= interval:
            merged["timeout_s"] = None
        if "retry_interval_s" not in data and old.retry_interval_s > interval / 2:
            merged["retry_interval_s"] = None
    return merged


async def run_now(parts: Parts, who: Principal, monitor_id: str) -> dict[str, Any]:
    """Check it now at all its locations, wait, and say {verdict, results}."""
    w = watched(parts, who, monitor_id)
    ran = await parts.corridor.runner.run_now(w.monitor.id)
    verdict: Verdict | None = ran["verdict"]
    results = [quieted(result_json(r), who) for r in ran["results"]]
    return {"verdict": verdict.value if verdict else "unknown", "results": results}


async def _index(call: Call) -> Reply:
    page, cursor = select(call.parts, call.who, call.query)
    return Reply(data={"items": [monitor_json(call.parts, call.who, w) for w in page], "next_cursor": cursor})


async def _make(call: Call) -> Reply:
    monitor = await create(call.parts, call.who, as_object(call.data))
    return _shown(call, monitor.id, 201)


async def _show(call: Call) -> Reply:
    return _shown(call, call.path["id"])


async def _edit(call: Call) -> Reply:
    await change(call.parts, call.who, call.path["id"], as_object(call.data))
    return _shown(call, call.path["id"])


async def _remove(call: Call) -> Reply:
    await delete(call.parts, call.who, call.path["id"])
    return Reply(status=204)


async def _hold(call: Call) -> Reply:
    await pause(call.parts, call.who, call.path["id"], paused=True)
    return _shown(call, call.path["id"])


async def _resume(call: Call) -> Reply:
    await pause(call.parts, call.who, call.path["id"], paused=False)
    return _shown(call, call.path["id"])


async def _run(call: Call) -> Reply:
    return Reply(data=await run_now(call.parts, call.who, call.path["id"]))


def _shown(call: Call, monitor_id: str, status: int = 200) -> Reply:
    headers = {"location": f"/api/v1/monitors/{monitor_id}"} if status == 201 else {}
    shown = monitor_json(call.parts, call.who, watched(call.parts, call.who, monitor_id))
    return Reply(data=shown, status=status, headers=headers)


_ONE = "/api/v1/monitors/{id}"
ROUTES = [
    Route(
        method="GET", path="/api/v1/monitors", run=_index, permission="read", query=Filter, answer=MonitorList,
        tag="monitors", summary="Monitors with their present verdicts",
    ),
    Route(
        method="POST", path="/api/v1/monitors", run=_make, permission="write", body=MonitorIn, answer=MonitorOut,
        reads=False, tag="monitors", status=201, summary="Watch something",
    ),
    Route(
        method="GET", path=_ONE, run=_show, permission="read", answer=MonitorOut, tag="monitors", summary="One monitor"
    ),
    Route(
        method="PATCH", path=_ONE, run=_edit, permission="write", body=MonitorIn, partial=True, answer=MonitorOut,
        reads=False, tag="monitors", summary="Change some of a monitor's fields",
    ),
    Route(
        method="DELETE", path=_ONE, run=_remove, permission="write", tag="monitors", status=204,
        summary="Forget a monitor",
    ),
    Route(
        method="POST", path=_ONE + "/pause", run=_hold, permission="operate", answer=MonitorOut, tag="monitors",
        summary="Stop checking it for now",
    ),
    Route(
        method="POST", path=_ONE + "/resume", run=_resume, permission="operate", answer=MonitorOut, tag="monitors",
        summary="Go on checking it",
    ),
    Route(
        method="POST", path=_ONE + "/run", run=_run, permission="operate", answer=RunOut, tag="monitors",
        summary="Check it now at all its locations, and wait",
    ),
]  # fmt: skip
