"""What a monitor must be to be accepted: sound in itself, of this workspace, and allowed to be contacted or run."""

from __future__ import annotations

from typing import Any

from tocsin import checks
from tocsin.core.access import Principal, may
from tocsin.core.dependency import circle
from tocsin.core.monitor import Monitor
from tocsin.core.plain import MAX_PROBLEMS, as_list, found
from tocsin.core.probe import LOCAL
from tocsin.errors import Invalid, NotFound, Problem
from tocsin.web.api.monitor_data import once, read_config
from tocsin.web.api.reach import refused
from tocsin.web.parts import Parts


async def accepted(parts: Parts, who: Principal, data: dict[str, Any], old: Monitor | None) -> dict[str, Any]:
    """The fields of a Monitor; raises Invalid with everything that is wrong, whichever way it is."""
    draft = read_config(parts.settings, data, old, by_admin=may(who, "admin"))
    problems = [*draft.problems, *_unknown(parts, who, data, old), *_taken(parts, data, draft.target, old)]
    if draft.target is not None and (old is None or draft.target != old.target):
        problems += await refused(parts.net, draft.target, "target")
        if (lacking := checks.missing(str(data.get("type")), draft.target, parts.net.local)) is not None:
            problems.append(Problem(f"target.{lacking.field}", lacking.expected, lacking.found))
    if problems:
        raise Invalid(*once(problems)[:MAX_PROBLEMS])
    return draft.fields


def _taken(parts: Parts, data: dict[str, Any], target: dict[str, Any] | None, old: Monitor | None) -> list[Problem]:
    """A problem when a job's token is another monitor's already (only one that was chosen can be)."""
    if data.get("type") != "push" or target is None:
        return []
    try:
        holder = parts.corridor.watchlist.by_token(str(target.get("token")))
    except NotFound:
        return []
    if old is not None and holder.monitor.id == old.id:
        return []
    return [Problem("target.token", "a UUID that no other monitor has", "***")]


def _unknown(parts: Parts, who: Principal, data: dict[str, Any], old: Monitor | None) -> list[Problem]:
    """A problem for everything that the configuration names and this workspace does not have."""
    problems: list[Problem] = []
    watchlist = parts.corridor.watchlist
    channels = {c.id for c in watchlist.channels(who.workspace_id)}
    for where, channel_id in _names(data, "channels"):
        if channel_id not in channels:
            problems.append(Problem(where, "a channel of this workspace", found(channel_id)))
    problems += _wrong_parents(parts, who, data, old)
    policy = data.get("escalation_policy")
    if isinstance(policy, str) and watchlist.telling(who.workspace_id).policy(policy) is None:
        problems.append(Problem("escalation_policy", "an escalation policy of this workspace", found(policy)))
    known = known_locations(parts, who.workspace_id)
    for where, place in _names(data, "locations"):
        if place not in known and (old is None or place not in old.locations):
            problems.append(Problem(where, "one of " + ", ".join(known), found(place)))
    return problems


def _names(data: dict[str, Any], field: str) -> list[tuple[str, str]]:
    """(path, text) of every text in this list; what is no text is a problem of its shape."""
    items = list(as_list(data.get(field)) or ())[:MAX_PROBLEMS]
    return [(f"{field}[{i}]", item) for i, item in enumerate(items) if isinstance(item, str)]


def known_locations(parts: Parts, workspace_id: str) -> list[str]:
    """The places that can check a workspace's monitors: this server, also as `local`, other instances, and
    the workspace's own."""
    own = [post.probe.code for post in parts.corridor.watchlist.roster.of(workspace_id)]
    runner = parts.corridor.runner
    return list(dict.fromkeys((*runner.locations, LOCAL, *runner.others, *own)))


def _wrong_parents(parts: Parts, who: Principal, data: dict[str, Any], old: Monitor | None) -> list[Problem]:
    """A problem for every parent that is not there, or that depends on this monitor itself: the way is named."""
    problems: list[Problem] = []
    watchlist = parts.corridor.watchlist

    def above(id: str) -> tuple[str, ...]:
        found = watchlist.find(id)
        return () if found is None else found.monitor.parent_ids

    for where, id in _nested(data, "parents"):
        parent = watchlist.find(id)
        if parent is None or parent.monitor.workspace_id != who.workspace_id:
            problems.append(Problem(where, "a monitor of this workspace", found(id)))
        elif old is not None and (way := circle(old.id, (id,), above)):
            names = [w.monitor.name for w in map(watchlist.find, way) if w is not None]
            says = "another monitor" if len(way) == 2 else "a monitor that does not depend on this one"
            problems.append(Problem(where, says, " → ".join(names)))
    return problems


def _nested(data: dict[str, Any], field: str) -> list[tuple[str, str]]:
    """`_names`, of lists in the list too."""
    named = _names(data, field)
    for i, item in enumerate(list(as_list(data.get(field)) or ())[:MAX_PROBLEMS]):
        if as_list(item) is not None:
            named += [(f"{field}[{i}]{where[1:]}", text) for where, text in _names({"x": item}, "x")]
    return named
