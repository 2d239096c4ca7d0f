"""Incidents: listed, read with their timeline, acknowledged, resolved, commented, assigned."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Struct

from tocsin.core.access import Principal
from tocsin.core.incident import Entry, Incident
from tocsin.core.plain import found
from tocsin.core.result import iso
from tocsin.core.shape import Help, Length, Range
from tocsin.errors import Invalid, Problem
from tocsin.store import Session
from tocsin.web.api import incident_context as context
from tocsin.web.call import Call, Reply, Route
from tocsin.web.parts import Parts

_MOST_LOOKS = 20


class Filter(Struct, frozen=True, kw_only=True):
    """Which incidents are listed."""

    open: bool | None = None
    severity: Literal["critical", "down", "warning", "info"] | None = None
    mine: Annotated[bool | None, Help("true: those that the caller was given or acknowledged")] = None
    monitor: Annotated[str | None, Length(0, 64)] = None
    host: Annotated[str | None, Length(0, 64)] = None
    limit: Annotated[int, Range(1, 500)] = 100
    cursor: Annotated[str | None, Length(0, 1000)] = None


class EntryOut(Struct, frozen=True, kw_only=True):
    """One line of a timeline."""

    at: str
    kind: str
    text: str
    by: str | None
    data: dict[str, Any]


class IncidentOut(Struct, frozen=True, kw_only=True):
    """One stretch of trouble."""

    id: str
    title: str
    monitor_id: str | None
    host_id: str | None
    rule_id: str | None
    subject: str
    severity: str
    verdict: str
    reason: str
    open: bool
    opened_at: str
    trouble_from: Annotated[
        str, Help("since when its latest stretch of trouble has lasted; a rule with for_s opens later")
    ]
    trouble_to: Annotated[str | None, Help("when that was over; with recovery_s it is resolved later")]
    acknowledged_at: str | None
    acknowledged_by: str | None
    assigned_to: str | None
    resolved_at: str | None
    resolution: str | None
    unstable: bool
    blind: bool
    suppressed: Annotated[str | None, Help("why its opening is held back (maintenance, a silence, a parent), or null")]
    steps: Annotated[int, Help("steps of its escalation policy that were told")]
    locations: list[str]
    evidence: dict[str, Any]
    picture: str | None
    postmortem: str


class IncidentWhole(IncidentOut, frozen=True, kw_only=True):
    """One stretch of trouble with everything that happened in it."""

    hints: list[context.HintOut]
    related: Annotated[list[context.RelatedOut], Help("the others that `hints` speak of")]
    timeline: list[EntryOut]


class IncidentList(Struct, frozen=True, kw_only=True):
    """A page of incidents; `next_cursor` leads to the next, null at the end."""

    items: list[IncidentOut]
    next_cursor: str | None


class Learnt(Struct, frozen=True, kw_only=True):
    """What was learnt from it."""

    postmortem: Annotated[str, Length(0, 50_000), Help("plain text; empty takes it away")]


class Resolved(Struct, frozen=True, kw_only=True):
    """Why it is over."""

    reason: Annotated[str, Length(0, 2000)] = ""


class Comment(Struct, frozen=True, kw_only=True):
    """A line for the timeline."""

    text: Annotated[str, Length(1, 10_000)]


class Assigned(Struct, frozen=True, kw_only=True):
    """Whose it is."""

    to: Annotated[str | None, Length(1, 254), Help("e-mail address of a member; null: nobody's")]


def incident_json(parts: Parts, who: Principal, incident: Incident) -> dict[str, Any]:
    """An incident as JSON data."""
    i = incident
    return {
        "id": i.id, "title": context.title_of(parts, who, i), "monitor_id": i.monitor_id, "host_id": i.host_id,
        "rule_id": i.rule_id, "subject": i.subject,
        "severity": i.severity, "verdict": i.verdict, "reason": i.reason, "open": i.open, "opened_at": iso(i.opened_at),
        "trouble_from": iso(i.trouble_from()), "trouble_to": iso(i.trouble_to()),
        "acknowledged_at": iso(i.acknowledged_at), "acknowledged_by": i.acknowledged_by, "assigned_to": i.assigned_to,
        "resolved_at": iso(i.resolved_at), "resolution": i.resolution, "unstable": i.unstable, "blind": i.blind,
        "suppressed": i.suppressed or None, "steps": i.steps, "postmortem": i.postmortem,
        "locations": list(i.locations), "evidence": {k: v for k, v in i.evidence.items() if k != "picture"},
        "picture": f"/incidents/{i.id}/picture" if "picture" in i.evidence else None,
    }  # fmt: skip


async def whole_json(parts: Parts, who: Principal, incident_id: str) -> dict[str, Any]:
    """An incident as JSON data, with its timeline and what is worth knowing about it."""
    incident, timeline = await whole(parts, who, incident_id)
    hints, related = await context.around(parts, who, incident)
    return incident_json(parts, who, incident) | {
        "hints": [context.hint_json(hint) for hint in hints],
        "related": [context.related_json(parts, who, other) for other in related],
        "timeline": [{"at": iso(e.at), "kind": e.kind, "text": e.text, "by": e.by, "data": e.data} for e in timeline],
    }


async def select(parts: Parts, who: Principal, wanted: Filter) -> tuple[list[Incident], str | None]:
    """(a page of incidents, newest first, cursor of the next). A page may be short, even empty, and still have a next
    one, where few of many are asked for."""

    def look(s: Session) -> tuple[list[Incident], str | None]:
        found, cursor = list[Incident](), wanted.cursor
        for _ in range(_MOST_LOOKS):
            some, cursor = s.incidents.list(
                open=wanted.open, monitor=wanted.monitor, host=wanted.host, limit=wanted.limit - len(found),
                cursor=cursor,
            )  # fmt: skip
            found += [incident for incident in some if _fits(incident, who, wanted)]
            if cursor is None or len(found) >= wanted.limit:
                break
        return found, cursor

    return await parts.store.of(who.workspace_id).read(look)


def _fits(incident: Incident, who: Principal, wanted: Filter) -> bool:
    mine = who.name in (incident.assigned_to, incident.acknowledged_by)
    return wanted.severity in (None, incident.severity) and wanted.mine in (None, mine)


async def whole(parts: Parts, who: Principal, incident_id: str) -> tuple[Incident, list[Entry]]:
    """(an incident, its timeline); raises NotFound for one of another workspace."""
    return await parts.store.of(who.workspace_id).read(
        lambda s: (s.incidents.get(incident_id), s.incidents.timeline(incident_id))
    )


async def acknowledge(parts: Parts, who: Principal, incident_id: str) -> Incident:
    """Somebody has it: reminders stop."""
    return await parts.corridor.response.acknowledge(who.workspace_id, incident_id, who.name)


async def resolve(parts: Parts, who: Principal, incident_id: str, reason: str = "") -> Incident:
    """End it by hand; while the verdict is still down nothing opens until it has left down."""
    return await parts.corridor.response.resolve(who.workspace_id, incident_id, who.name, reason.strip())


async def comment(parts: Parts, who: Principal, incident_id: str, text: str) -> Incident:
    """Add a line to its timeline."""
    if not text.strip():
        raise Invalid(Problem("text", "some text", "nothing"))
    return await parts.corridor.response.comment(who.workspace_id, incident_id, who.name, text.strip())


async def assign(parts: Parts, who: Principal, incident_id: str, to: str | None) -> Incident:
    """Give it to a member of the workspace, or to nobody (None)."""
    if to is not None:
        to = to.strip().lower()
        members = await parts.store.of(who.workspace_id).read(lambda s: [u.email for u in s.accounts.users()])
        if to not in members:
            raise Invalid(Problem("to", "the e-mail address of a member", found(to)))
    return await parts.corridor.response.assign(who.workspace_id, incident_id, who.name, to)


async def learn(parts: Parts, who: Principal, incident_id: str, text: str) -> Incident:
    """Write down what was learnt from it."""
    return await parts.corridor.response.write_postmortem(who.workspace_id, incident_id, who.name, text.strip())


async def _index(call: Call) -> Reply:
    found, cursor = await select(call.parts, call.who, call.query)
    items = [incident_json(call.parts, call.who, i) for i in found]
    return Reply(data={"items": items, "next_cursor": cursor})


async def _show(call: Call) -> Reply:
    return Reply(data=await whole_json(call.parts, call.who, call.path["id"]))


async def _learn(call: Call) -> Reply:
    await learn(call.parts, call.who, call.path["id"], call.body.postmortem)
    return await _show(call)


async def _take(call: Call) -> Reply:
    await acknowledge(call.parts, call.who, call.path["id"])
    return await _show(call)


async def _end(call: Call) -> Reply:
    await resolve(call.parts, call.who, call.path["id"], call.body.reason)
    return await _show(call)


async def _say(call: Call) -> Reply:
    await comment(call.parts, call.who, call.path["id"], call.body.text)
    return await _show(call)


async def _give(call: Call) -> Reply:
    await assign(call.parts, call.who, call.path["id"], call.body.to)
    return await _show(call)


_ONE = "/api/v1/incidents/{id}"
ROUTES = [
    Route(
        method="GET", path="/api/v1/incidents", run=_index, permission="read", query=Filter, answer=IncidentList,
        tag="incidents", summary="Incidents, newest first",
    ),
    Route(
        method="GET", path=_ONE, run=_show, permission="read", answer=IncidentWhole, tag="incidents",
        summary="One incident with its timeline",
    ),
    Route(
        method="PATCH", path=_ONE, run=_learn, permission="operate", body=Learnt, answer=IncidentWhole,
        tag="incidents", summary="Write its postmortem",
    ),
    Route(
        method="POST", path=_ONE + "/acknowledge", run=_take, permission="operate", answer=IncidentWhole,
        tag="incidents", summary="Say that you have it",
    ),
    Route(
        method="POST", path=_ONE + "/resolve", run=_end, permission="operate", body=Resolved, answer=IncidentWhole,
        tag="incidents", summary="End it by hand",
    ),
    Route(
        method="POST", path=_ONE + "/comments", run=_say, permission="operate", body=Comment, answer=IncidentWhole,
        tag="incidents", summary="Add a line to its timeline",
    ),
    Route(
        method="POST", path=_ONE + "/assign", run=_give, permission="operate", body=Assigned, answer=IncidentWhole,
        tag="incidents", summary="Give it to a member",
    ),
]  # fmt: skip
