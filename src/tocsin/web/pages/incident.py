"""Incidents: the list, and one incident in the order somebody needs at 3 a.m."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Literal

from msgspec import Struct

from tocsin.core.escalation import next_step_at
from tocsin.core.incident import Entry, Incident
from tocsin.core.plain import as_list, as_map
from tocsin.errors import Conflict, Invalid, NotFound
from tocsin.pipeline.hosts import HostNow
from tocsin.store.outbox import Delivery
from tocsin.web.api import incident_context as context
from tocsin.web.api import incidents, notifications, silences
from tocsin.web.call import Call, Reply, Route
from tocsin.web.pages import attempt, figures, host_words, incident_words, view, words


class Wanted(Struct, frozen=True, kw_only=True):
    """Which incidents are listed."""

    show: Literal["open", "resolved", "mine", "all"] = "all"
    severity: Literal["", "critical", "down", "warning", "info"] = ""
    monitor: str | None = None
    cursor: str | None = None


class Shown(Struct, frozen=True, kw_only=True):
    """What of an incident's timeline is shown."""

    timeline: Literal["all", "people", "messages"] = "all"


async def index(call: Call) -> Reply:
    """The list, newest first; open ones above."""
    wanted: Wanted = call.query or Wanted()
    chosen = {"open": True, "resolved": False}.get(wanted.show)
    asked = incidents.Filter(
        open=chosen, monitor=wanted.monitor, limit=50, cursor=wanted.cursor, severity=wanted.severity or None,
        mine=True if wanted.show == "mine" else None,
    )  # fmt: skip
    found, cursor = await incidents.select(call.parts, call.who, asked)
    names = {i.id: context.name_of(call.parts, call.who, i) for i in found}
    return view.page(
        call,
        "incidents.html",
        section="incidents",
        incidents=found,
        cursor=cursor,
        wanted=wanted,
        names=names,
        only=_name_of(call, wanted.monitor, found) if wanted.monitor else "",
        kept=_kept(wanted),
        verdict=_verdict(call),
    )


def _verdict(call: Call) -> str:
    frame = view.frame(call)
    if not frame.open:
        held = f"{words.count(frame.held_back, 'incident is', 'incidents are')} held back."
        return f"Nothing rings. {held}" if frame.held_back else "Nothing is open."
    heard = (
        f" {frame.unheard} {'waits' if frame.unheard == 1 else 'wait'} for somebody."
        if frame.unheard
        else " Somebody has it."
    )
    return f"{words.count(frame.open, 'incident')} open.{heard}"


def _kept(wanted: Wanted) -> str:
    """What the other links of the list keep of its filters."""
    said = {"severity": wanted.severity, "monitor": wanted.monitor}
    return "".join(f"&{name}={view.query(value)}" for name, value in said.items() if value)


def _name_of(call: Call, monitor_id: str, found: Sequence[Incident]) -> str:
    watched = call.parts.corridor.watchlist.find(monitor_id)
    ours = watched is not None and watched.monitor.workspace_id == call.who.workspace_id
    was = next((incident.name for incident in found if incident.name), context.GONE)
    return watched.monitor.name if watched is not None and ours else was


async def show(call: Call) -> Reply:
    """One incident."""
    return await _page(call)


async def _page(call: Call, *, error: str = "", note: str = "", status: int = 200) -> Reply:
    incident, timeline = await incidents.whole(call.parts, call.who, call.path["id"])
    log, older = await notifications.select(call.parts, call.who, notifications.Filter(incident=incident.id, limit=50))
    watched = call.parts.corridor.watchlist.find(incident.monitor_id)
    name = context.name_of(call.parts, call.who, incident)
    hints, related = await context.around(call.parts, call.who, incident)
    return view.page(
        call,
        "incident.html",
        section="incidents",
        status=status,
        i=incident,
        w=watched,
        name=name,
        host=_host(call, incident),
        heading=incident_words.heading(incident, watched),
        over=incident_words.over(incident),
        held=incident_words.HELD,
        quiet=silences.over(call.parts, watched.monitor) if watched is not None else [],
        hushed=incident_words.why_held(incident),
        began=incident.began_at(),
        since=incident.trouble_from(),
        until=incident.trouble_to(),
        lasted=round(((incident.trouble_to() or call.now) - incident.trouble_from()) / timedelta(seconds=1)),
        facts=[*_seen_on_host(call, incident), *incident_words.facts(incident, watched)],
        hints=hints,
        named={r.incident.id: r.name for r in related},
        related=[(other, incident_words.shared(other)) for other in related],
        places=incident_words.places(incident),
        step=_step(call, incident),
        rows=_assertions(incident),
        seen=_seen(incident),
        pictured="picture" in incident.evidence,
        letters=figures.letters(watched) if watched else "",
        error=error,
        note=note,
        older=older is not None,
        arrived=sum(d.row.state == "sent" for d in log),
        lost=sum(d.row.state in ("failed", "dropped") for d in log),
        **_telling(call, timeline, log),
    )


def _host(call: Call, incident: Incident) -> HostNow | None:
    """The host that it is about."""
    found = call.parts.corridor.hosts.find(incident.host_id)
    return found if found is not None and found.host.workspace_id == call.who.workspace_id else None


def _seen_on_host(call: Call, incident: Incident) -> list[incident_words.Fact]:
    """What is known of trouble on a host: what its agent found, how it is now, who told it."""
    now, what = _host(call, incident), host_words.what_of(incident)
    if now is None:
        return []
    made = [
        incident_words.Fact(
            words.sentence(host_words.said(incident)), "" if what == "silent" else f"The agent judged {what}."
        )
    ]
    if what in now.latest and incident.open:
        made.append(incident_words.Fact("Now:", host_words.plain(what, now.latest[what][1])))
    if now.outside is not None:
        seen = "It answers from outside." if now.outside else "It does not answer from outside."
        made.append(incident_words.Fact(seen, words.sentence(now.outside_words) if now.outside_words else ""))
    if incident.told_by == "agent":
        why = "Its server gave no receipt in time, or its rule says so; nobody was told twice."
        made.append(incident_words.Fact("The agent told it by itself.", why))
    return made


def _telling(call: Call, timeline: Sequence[Entry], log: Sequence[Delivery]) -> dict[str, Any]:
    """What the page needs for its timeline and for who was told."""
    show = call.query.timeline if isinstance(call.query, Shown) else "all"
    hearers = call.parts.corridor.watchlist.telling(call.who.workspace_id).hearers
    known = {hearer.id: hearer.name for hearer in hearers}
    channels = {d.row.channel_id: words.hearer(d.row.channel_id, known) for d in log}
    lines, hidden = incident_words.chosen(timeline, incident_words.told(log, channels), show)
    waiting = sorted({channels[d.row.channel_id] for d in log if d.row.state == "pending"})
    return {
        "by_agent": incident_words.told_by_agent(timeline, known),
        "log": log, "channels": channels, "timeline": lines, "hidden": hidden, "show": show,
        "next": words.listed(waiting),
    }  # fmt: skip


def _step(call: Call, incident: Incident) -> tuple[datetime, str] | None:
    """(when, whom) of the next step of its escalation policy, None when there is none to come."""
    found = call.parts.corridor.watchlist.find(incident.monitor_id)
    telling = call.parts.corridor.watchlist.telling(call.who.workspace_id)
    rule = next((rule for rule in telling.rules if rule.id == incident.rule_id), None)
    monitor = None if found is None else found.monitor.escalation_policy
    policy = telling.policy(monitor if incident.rule_id is None else rule.policy if rule is not None else None)
    waits = incident.open and incident.told and incident.acknowledged_at is None and not incident.suppressed
    if policy is None or incident.step_from is None or not waits:
        return None
    due = next_step_at(policy, incident.steps, incident.step_from)
    if due is None:
        return None
    whom = telling.reached_by(policy.steps[incident.steps % len(policy.steps)], due)
    return due, words.listed(list(whom.names))


def _assertions(incident: Incident) -> list[dict[str, Any]]:
    """Expected and seen, assertion by assertion."""
    rows = [as_map(row) for row in as_list(incident.evidence.get("assertions")) or ()]
    return [
        {
            "what": str(row.get("type", "")).replace("_", " "),
            "expected": attempt.short(row.get("expected")),
            "seen": attempt.short(row.get("actual")),
            "ok": bool(row.get("ok")),
        }
        for row in rows
        if row is not None
    ]


def _seen(incident: Incident) -> str:
    kept = {k: v for k, v in incident.evidence.items() if k not in ("assertions", "verdict", "picture") and v}
    return json.dumps(kept, indent=1, ensure_ascii=False, default=str)[:20_000] if kept else ""


async def picture(call: Call) -> Reply:
    """What the page looked like when the incident opened; raises NotFound when no picture was taken."""
    incident, _ = await incidents.whole(call.parts, call.who, call.path["id"])
    taken = incident.evidence.get("picture")
    if not isinstance(taken, str):
        raise NotFound("this incident has no picture")
    return Reply(
        content=base64.b64decode(taken), media_type="image/jpeg", headers={"cache-control": "private, max-age=60"}
    )


async def acknowledge(call: Call) -> Reply:
    """Somebody has it."""
    await incidents.acknowledge(call.parts, call.who, call.path["id"])
    return view.see_other(view.safe_path(view.first(call, "back"), f"/incidents/{call.path['id']}"))


async def resolve(call: Call) -> Reply:
    """End it by hand."""
    try:
        await incidents.resolve(call.parts, call.who, call.path["id"], view.first(call, "reason"))
    except Conflict as error:
        return await _page(call, error=words.sentence(error), status=409)
    return view.see_other(f"/incidents/{call.path['id']}")


async def comment(call: Call) -> Reply:
    """Add a note to its timeline."""
    text = view.first(call, "text")
    try:
        await incidents.comment(call.parts, call.who, call.path["id"], text[:10_000])
    except Invalid:
        return await _page(call, error="Write a note first.", note=text, status=422)
    return view.see_other(f"/incidents/{call.path['id']}#timeline")


async def learn(call: Call) -> Reply:
    """Write its postmortem."""
    text = view.first(call, "postmortem").replace("\r\n", "\n")
    await incidents.learn(call.parts, call.who, call.path["id"], text[:50_000])
    return view.see_other(f"/incidents/{call.path['id']}#postmortem")


async def take(call: Call) -> Reply:
    """Take it, or give it back."""
    to = call.who.name if view.first(call, "take") else None
    await incidents.assign(call.parts, call.who, call.path["id"], to)
    return view.see_other(f"/incidents/{call.path['id']}")


_READ: dict[str, Any] = {"kind": "page", "permission": "read", "tag": "pages"}
_DO: dict[str, Any] = {"kind": "page", "permission": "operate", "tag": "pages"}
_ONE = "/incidents/{id}"
ROUTES = [
    Route(method="GET", path="/incidents", run=index, summary="Incidents", query=Wanted, loose=True, **_READ),
    Route(method="GET", path=_ONE, run=show, summary="An incident", query=Shown, loose=True, **_READ),
    Route(method="GET", path=_ONE + "/picture", run=picture, summary="What the page looked like", **_READ),
    Route(method="POST", path=_ONE + "/acknowledge", run=acknowledge, summary="Acknowledge", **_DO),
    Route(method="POST", path=_ONE + "/resolve", run=resolve, summary="Resolve", **_DO),
    Route(method="POST", path=_ONE + "/comment", run=comment, summary="Add a note", **_DO),
    Route(method="POST", path=_ONE + "/postmortem", run=learn, summary="Write its postmortem", **_DO),
    Route(method="POST", path=_ONE + "/take", run=take, summary="Take or give back", **_DO),
]
