"""What agents saw of their hosts: series over time, what runs there and how it changed, when the agent was heard."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from msgspec import Struct, to_builtins

from tocsin.core import buckets, forecast
from tocsin.core.access import Principal
from tocsin.core.result import iso
from tocsin.core.sample import parts as parts_of
from tocsin.core.shape import Help, Length, Range
from tocsin.errors import NotFound
from tocsin.pipeline.housekeeping import KEEPS
from tocsin.web.api.host_data import HostSeries, SeriesAsked, points_json
from tocsin.web.api.results import stretch
from tocsin.web.call import Call, Reply, Route
from tocsin.web.parts import Parts

MOST_SERIES = 100
"""So many series one answer has at most."""


class ThingsAsked(Struct, frozen=True, kw_only=True):
    """Which of them."""

    kind: Annotated[str | None, Length(0, 40), Help("unit, container, peer …")] = None


class ChangesAsked(Struct, frozen=True, kw_only=True):
    """Which changes."""

    kind: Annotated[str | None, Length(0, 40)] = None
    name: Annotated[str | None, Length(0, 200)] = None
    before: datetime | None = None
    limit: Annotated[int, Range(1, 1000)] = 100


class Anything(Struct, frozen=True, kw_only=True):
    """A list of plain objects."""

    items: list[dict[str, Any]]
    next_cursor: str | None


async def series(
    parts: Parts, who: Principal, host_id: str, metric: str, start: datetime, end: datetime, step: int | None
) -> dict[str, Any]:
    """Every series of a host with that metric (or the one with that whole name), in steps; where none is asked for, in
    steps that have no gaps where nothing is amiss."""
    parts.corridor.hosts.get(who.workspace_id, host_id)
    first, last = int(start.timestamp()), int(end.timestamp()) + 1
    now = int(parts.clock.now().timestamp())
    least = max(step or 10, (last - first) // 5000)
    kept, shown = buckets.step_for(last - first, now - first, KEEPS, None if step is None else least)

    def look(s: Any) -> tuple[dict[str, buckets.Buckets], dict[str, buckets.Buckets]]:
        names = [m.name for m in s.samples.metrics(host_id)]
        wanted = [name for name in names if metric in (name, name.partition("{")[0])][:MOST_SERIES]
        if not wanted:
            raise NotFound(f"host {host_id[:64]} has no series {metric[:200]}")
        found = s.samples.read(host_id, wanted, first - first % shown, last, kept)
        rising = [name for name in wanted if name.partition("{")[0].endswith("_percent")]
        return found, s.samples.read(host_id, rising, now - forecast.FROM_S, now + 1, 60) if rising else {}

    found, recent = await parts.store.of(who.workspace_id).read(look)
    if step is None and shown < 60:
        shown = buckets.even_step(found.values(), shown)
        first -= first % shown
    return {
        "step_s": shown,
        "series": [
            {
                "name": name,
                "labels": dict(parts_of(name)[1]),
                "points": points_json(some if kept == shown else buckets.coarser(some, shown), first, last, shown),
                "full_in_s": forecast.full_in_s([(at, b.last) for at, b in sorted(recent.get(name, {}).items())]),
            }
            for name, some in sorted(found.items())
        ],
    }


async def _series(call: Call) -> Reply:
    wanted: SeriesAsked = call.query
    start, end = stretch(wanted.window, wanted.from_, wanted.to, call.now, usual="1h")
    shown = await series(call.parts, call.who, call.path["id"], wanted.metric, start, end, wanted.step)
    return Reply(data=shown)


async def _metrics(call: Call) -> Reply:
    now, id = call.parts.corridor.hosts.get(call.who.workspace_id, call.path["id"]), call.path["id"]
    known = await call.parts.store.of(call.who.workspace_id).read(lambda s: s.samples.metrics(id))
    items: list[dict[str, Any]] = []
    for one in known:
        metric, labels = parts_of(one.name)
        at, last = now.latest.get(one.name, (None, None))
        when = one.last_at if at is None else datetime.fromtimestamp(at, one.last_at.tzinfo)
        items.append({"name": one.name, "metric": metric, "labels": dict(labels), "last": last, "at": iso(when)})
    return Reply(data={"items": items, "next_cursor": None})


async def _things(call: Call) -> Reply:
    id, wanted = call.path["id"], call.query
    now = call.parts.corridor.hosts.get(call.who.workspace_id, id)
    found = await call.parts.store.of(call.who.workspace_id).read(lambda s: s.host_states.list(id))
    items = [
        {
            "kind": one.thing.kind, "name": one.thing.name, "state": one.thing.state, "ok": one.thing.ok,
            "since": iso(one.thing.since), "detail": one.thing.detail, "facts": one.thing.facts,
            "collector": one.collector, "seen_at": iso(now.looked.get(one.collector)),
        }
        for one in found
        if wanted.kind in (None, one.thing.kind)
    ]  # fmt: skip
    return Reply(data={"items": items, "next_cursor": None})


async def _changes(call: Call) -> Reply:
    id, q = call.path["id"], call.query
    call.parts.corridor.hosts.get(call.who.workspace_id, id)
    found = await call.parts.store.of(call.who.workspace_id).read(
        lambda s: s.host_states.changes(id, kind=q.kind, name=q.name, before=q.before, limit=q.limit)
    )
    items = [
        {"at": iso(c.at), "kind": c.kind, "name": c.name, "from": c.before, "to": c.after, "ok": c.ok, "detail": c.detail}
        for c in found
    ]  # fmt: skip
    return Reply(data={"items": items, "next_cursor": None})


async def _heartbeats(call: Call) -> Reply:
    id = call.path["id"]
    call.parts.corridor.hosts.get(call.who.workspace_id, id)
    found = await call.parts.store.of(call.who.workspace_id).read(lambda s: s.heartbeats.list(id))
    items = [
        {
            "from": iso(one.began_at), "to": iso(one.last_at), "count": one.count,
            "agent_version": one.said.agent_version, "incarnation": one.said.incarnation,
            "started_at": iso(one.said.started_at), "clock_offset_s": round(one.said.offset_s, 3),
            "troubles": to_builtins(one.said.troubles),
        }
        for one in found
    ]  # fmt: skip
    return Reply(data={"items": items, "next_cursor": None})


_ONE = "/api/v1/hosts/{id}"
ROUTES = [
    Route(
        method="GET", path=f"{_ONE}/series", run=_series, permission="read", query=SeriesAsked, answer=HostSeries,
        tag="hosts", summary="Series of a host over time",
    ),
    Route(
        method="GET", path=f"{_ONE}/metrics", run=_metrics, permission="read", answer=Anything, tag="hosts",
        summary="The series that a host has, with their newest values",
    ),
    Route(
        method="GET", path=f"{_ONE}/services", run=_things, permission="read", query=ThingsAsked, answer=Anything,
        tag="hosts", summary="What runs on a host, as it is now",
    ),
    Route(
        method="GET", path=f"{_ONE}/service-changes", run=_changes, permission="read", query=ChangesAsked,
        answer=Anything, tag="hosts", summary="When something on a host came to another state",
    ),
    Route(
        method="GET", path=f"{_ONE}/heartbeats", run=_heartbeats, permission="read", answer=Anything, tag="hosts",
        summary="When a host's agent was heard",
    ),
]  # fmt: skip
