"""Find or do anything: what the palette shows for some letters."""

from __future__ import annotations

from dataclasses import dataclass

from msgspec import Struct

from tocsin.web.call import Call, Reply, Route
from tocsin.web.pages import look, view

MOST = 8


class Wanted(Struct, frozen=True, kw_only=True):
    """The letters."""

    q: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """One thing to go to."""

    href: str
    text: str
    small: str = ""
    st: str = ""
    key: str = ""


async def index(call: Call) -> Reply:
    """The options: open incidents, then monitors, then things to do."""
    wanted: Wanted = call.query or Wanted()
    q, frame = wanted.q.strip().casefold(), view.frame(call)
    watchlist = call.parts.corridor.watchlist
    options: list[Found] = []
    for incident in frame.incidents:
        name = view.about(call, incident)
        if q in name.casefold() or q in "incident":
            st = "acked" if incident.acknowledged_at else "down"
            options.append(Found(f"/incidents/{incident.id}", f"Incident: {name}", incident.reason[:80], st))
    options = options[:MOST]
    if q:
        for watched, seen in look.worst_first(watchlist.of(call.who.workspace_id)):
            if q in watched.monitor.name.casefold() or q in watched.shown.casefold():
                options.append(
                    Found(f"/monitors/{watched.monitor.id}", watched.monitor.name, watched.shown[:80], seen.st)
                )
            if len(options) >= 2 * MOST:
                break
    options += [d for d in _do(frame) if q in d.text.casefold()]
    return view.html(view.render("found.html", options=options))


def _do(frame: view.Frame) -> list[Found]:
    new = [
        Found("/monitors/new", "New monitor", key="N"),
        Found("/channels/new", "New channel"),
        Found("/alert-rules/new", "New alert rule"),
        Found("/maintenance/new", "Plan maintenance"),
    ]
    made = new if frame.can_write else []
    made += [
        Found("/", "Go to overview", key="G O"),
        Found("/incidents", "Go to incidents", key="G I"),
        Found("/locations", "Go to locations", key="G W"),
        Found("/on-call", "Go to on call", key="G D"),
        Found("/alert-rules", "Go to alert rules", key="G R"),
        Found("/channels", "Go to channels", key="G C"),
        Found("/maintenance", "Go to maintenance", key="G M"),
        Found("/settings", "Go to settings", key="G S"),
        Found("/settings/system", "Go to system", key="G Y"),
    ]
    admin = [Found("/settings/audit", "Go to audit log", key="G L"), Found("/locations/new", "Add a location")]
    return [*made, *admin] if frame.can_admin else made


ROUTES = [
    Route(
        method="GET",
        path="/find",
        run=index,
        permission="read",
        summary="Find or do",
        query=Wanted,
        loose=True,
        kind="page",
        tag="pages",
    )
]
