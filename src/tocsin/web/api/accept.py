"""What a monitor must be to be accepted: sound in itself, of this workspace, and allowed to be contacted or run."""

from __future__ import annotations

from typing import Any

from tocsin import checks
from tocsin.core.access import Principal, may
from tocsin.core.monitor import Monitor
from tocsin.core.plain import MAX_PROBLEMS, as_list, found
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
    for where, parent_id in _names(data, "parents"):
        parent = watchlist.find(parent_id)
        if parent is None or parent.monitor.workspace_id != who.workspace_id:
            problems.append(Problem(where, "a monitor of this workspace", found(parent_id)))
        elif old is not None and _leads_to(parts, parent_id, old.id):
            problems.append(Problem(where, "a monitor that does not depend on this one", found(parent_id)))
    policy = data.get("escalation_policy")
    if isinstance(policy, str) and watchlist.telling(who.workspace_id).policy(policy) is None:
        problems.append(Problem("escalation_policy", "an escalation policy of this workspace", found(policy)))
    known = known_locations(parts)
    for where, place in _names(data, "locations"):
        if place not in known:
            problems.append(Problem(where, "one of " + ", ".join(known), found(place)))
    return problems


def _names(data: dict[str, Any], field: str) -> list[tuple[str, str]]:
    """(path, text) of every text in this list; what is no text is a problem of its shape."""
    items = list(as_list(data.get(field)) or ())[:MAX_PROBLEMS]
    return [(f"{field}[{i}]", item) for i, item in enumerate(items) if isinstance(item, str)]


def known_locations(parts: Parts) -> list[str]:
    """The places that can check."""
    return list(parts.corridor.runner.locations)


def _leads_to(parts: Parts, start: str, goal: str) -> bool:
    seen, ahead = set[str](), [start]
    while ahead and len(seen) < 10_000:
        here = ahead.pop()
        if here == goal:
            return True
        if here not in seen:
            seen.add(here)
            found = parts.corridor.watchlist.find(here)
            ahead.extend(found.monitor.parents if found else ())
    return False
