"""What is known around an incident: what it is called, where it leads, and what it shares with others of its time."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Struct

from tocsin.core import coverage, quarantine
from tocsin.core.access import Principal
from tocsin.core.hints import NEAR, Hint, Related, Trouble, hints_of, related_of
from tocsin.core.incident import Incident
from tocsin.core.result import iso
from tocsin.core.shape import Help
from tocsin.core.wording import headline
from tocsin.web.parts import Parts

GONE = "A deleted monitor"


class HintOut(Struct, frozen=True, kw_only=True):
    """Something it shares with others of its time, or that had changed."""

    kind: str
    text: str
    incidents: list[str]


class RelatedOut(Struct, frozen=True, kw_only=True):
    """Another incident of its time that shares something with it."""

    id: str
    title: str
    monitor_id: str | None
    severity: str
    open: bool
    opened_at: str
    resolved_at: str | None
    shares: Annotated[list[str], Help("host (or address), certificate, phase, location")]


def name_of(parts: Parts, who: Principal, incident: Incident) -> str:
    """What it is about, for people: its monitor, and its rule where it is one's, as they were called last where they are
    gone."""
    watched = parts.corridor.watchlist.find(incident.monitor_id)
    ours = watched is not None and watched.monitor.workspace_id == who.workspace_id
    monitor = watched.monitor.name if watched is not None and ours else incident.name
    if incident.subject == coverage.SUBJECT:
        return coverage.NAME
    if incident.subject.startswith(quarantine.SUBJECT):
        return f"Location {incident.subject.removeprefix(quarantine.SUBJECT)}"
    if incident.rule_id is None or incident.host_id is not None:
        return monitor or (GONE if incident.monitor_id else incident.subject)
    rules = parts.corridor.watchlist.telling(who.workspace_id).rules
    rule = next((rule.name for rule in rules if rule.id == incident.rule_id), incident.rule)
    return f"{monitor or GONE} ({rule or 'a deleted rule'})"


def link_of(parts: Parts, who: Principal, incident: Incident) -> str:
    """The page of its monitor or host, empty when there is none."""
    host = parts.corridor.hosts.find(incident.host_id)
    if host is not None and host.host.workspace_id == who.workspace_id:
        return f"/hosts/{host.host.id}"
    watched = parts.corridor.watchlist.find(incident.monitor_id)
    ours = watched is not None and watched.monitor.workspace_id == who.workspace_id
    return f"/monitors/{incident.monitor_id}" if ours else ""


def title_of(parts: Parts, who: Principal, incident: Incident) -> str:
    """It in one line, as the title of a message says it."""
    name = name_of(parts, who, incident)
    return headline(incident, name) if incident.open else f"{name} was {incident.words}"


async def around(parts: Parts, who: Principal, incident: Incident) -> tuple[list[Hint], list[Related]]:
    """(what it shares with others of its time and what had changed, the others of which that speaks)."""
    began = incident.began_at()
    others = await parts.store.of(who.workspace_id).read(lambda s: s.incidents.around(began - NEAR, began + NEAR))
    troubles = [_trouble(parts, who, other) for other in others if other.id != incident.id]
    hints = hints_of(_trouble(parts, who, incident), troubles)
    return hints, related_of(hints, troubles)


def hint_json(hint: Hint) -> dict[str, Any]:
    """A hint as JSON data."""
    return {"kind": hint.kind, "text": hint.text, "incidents": list(hint.incidents)}


def related_json(parts: Parts, who: Principal, related: Related) -> dict[str, Any]:
    """One that shares something with it, as JSON data."""
    i = related.incident
    return {
        "id": i.id, "title": title_of(parts, who, i), "monitor_id": i.monitor_id, "severity": i.severity,
        "open": i.open, "opened_at": iso(i.opened_at), "resolved_at": iso(i.resolved_at),
        "shares": list(related.shares),
    }  # fmt: skip


def _trouble(parts: Parts, who: Principal, incident: Incident) -> Trouble:
    watched = parts.corridor.watchlist.find(incident.monitor_id)
    name = name_of(parts, who, incident)
    if watched is None:
        return Trouble(incident=incident, name=name)
    return Trouble(incident=incident, name=name, host=watched.host, seats=len(watched.assigned))
