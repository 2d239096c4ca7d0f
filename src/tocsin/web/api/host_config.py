"""What is set from here of a host's agent: what it looks at, and how often it speaks. Never a command or a path."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from msgspec import Struct
from msgspec.structs import replace

from tocsin.agent.monitors import read_monitors
from tocsin.agent.rules import read_rules
from tocsin.core import shape
from tocsin.core.access import Principal, may
from tocsin.core.duration import seconds
from tocsin.core.shape import Help, Length, Range
from tocsin.errors import Invalid, Problem
from tocsin.store.agents import HostConfig
from tocsin.web.api.given import as_object
from tocsin.web.call import Call, Reply, Route
from tocsin.web.parts import Parts

Seconds = int | float


class ConfigIn(Struct, frozen=True, kw_only=True):
    """What is set of a host's agent."""

    monitors: Annotated[
        list[dict[str, Any]], Length(0, 100), Help("as in the agent's own file: {type, enabled, check_interval, …}")
    ] = []  # fmt: skip
    rules: Annotated[
        list[dict[str, Any]], Length(0, 100),
        Help("changes of built-in rules, as in the agent's own file: {builtin, enabled, above, clear, for, …}"),
    ] = []  # fmt: skip
    heartbeat_interval_s: Annotated[Seconds, Range(5, 60), Help("how often it says that it is alive")] = 60
    metrics_push_interval_s: Annotated[Seconds, Range(1, 3600), Help("how often it brings what it saw")] = 30


class ConfigOut(ConfigIn, frozen=True, kw_only=True):
    """What is set, and its number; `has` is the one that the agent runs by, `error` why not this one. The options of
    monitors are for those who may administer: they may hold passwords."""

    version: int
    has: int
    error: str


async def shown(parts: Parts, who: Principal, host_id: str) -> dict[str, Any]:
    """What is set of a host's agent, as JSON data."""
    now = parts.corridor.hosts.get(who.workspace_id, host_id)
    held = await parts.store.of(who.workspace_id).read(lambda s: s.host_configs.get(host_id))
    held = held or HostConfig(workspace_id=who.workspace_id, host_id=host_id)
    monitors = held.monitors
    if not may(who, "admin"):
        monitors = [
            {k: v for k, v in m.items() if k in ("type", "enabled", "name", "check_interval")} for m in monitors
        ]
    return {
        "monitors": monitors, "rules": held.rules, "heartbeat_interval_s": held.heartbeat_interval_s,
        "metrics_push_interval_s": held.metrics_push_interval_s, "version": held.version,
        "has": now.said.config_version, "error": now.said.config_error,
    }  # fmt: skip


def _in_seconds(line: Mapping[str, Any]) -> dict[str, Any]:
    """An entry with its durations as seconds; what is none is left for the reader to refuse."""
    return {
        key: lasting if key in ("for", "recovery") and (lasting := seconds(value)) is not None else value
        for key, value in line.items()
    }


async def put(parts: Parts, who: Principal, host_id: str, data: Mapping[str, Any]) -> None:
    """Set it anew; the agent hears of it with its next heartbeat. Raises Invalid with everything wrong at once."""
    host = parts.corridor.hosts.get(who.workspace_id, host_id).host
    wanted, problems = shape.read(ConfigIn, data), list[Problem]()
    read_monitors(wanted.monitors, "monitors", problems, from_afar=True)
    rules = [_in_seconds(line) for line in wanted.rules]
    read_rules(rules, {}, problems, from_afar=True)
    if problems:
        raise Invalid(*problems[:100])

    def work(s: Any) -> None:
        held = s.host_configs.get(host_id) or HostConfig(workspace_id=host.workspace_id, host_id=host_id)
        s.host_configs.put(
            replace(
                held, monitors=wanted.monitors, rules=rules, heartbeat_interval_s=wanted.heartbeat_interval_s,
                metrics_push_interval_s=wanted.metrics_push_interval_s,
            )
        )  # fmt: skip

    await parts.store.of(who.workspace_id, by=who.name).write(work)
    await parts.agents.settled.of(host, parts.corridor.watchlist.telling(who.workspace_id), None)
    parts.agents.has_news(host_id)


async def _show(call: Call) -> Reply:
    return Reply(data=await shown(call.parts, call.who, call.path["id"]))


async def _put(call: Call) -> Reply:
    await put(call.parts, call.who, call.path["id"], as_object(call.data))
    return await _show(call)


ROUTES = [
    Route(
        method="GET", path="/api/v1/hosts/{id}/config", run=_show, permission="read", answer=ConfigOut, tag="hosts",
        summary="What is set from here of a host's agent",
    ),
    Route(
        method="PUT", path="/api/v1/hosts/{id}/config", run=_put, permission="admin", body=ConfigIn, answer=ConfigOut,
        reads=False, tag="hosts", summary="Set it anew",
    ),
]  # fmt: skip
