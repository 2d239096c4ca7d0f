"""Find or do anything: what the palette shows for some letters."""

from __future__ import annotations

from dataclasses import dataclass

from msgspec import Struct

from tocsin.web.call import Call, Reply, Route
from tocsin.web.pages import hosts, look, view

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
        for watched, seen in look.worst_first(watchlist.of(call.who.workspace_id), view.alone(call)):
            if q in watched.monitor.name.casefold() or q in watched.shown.casefold():
                options.append(
                    Found(f"/monitors/{watched.monitor.id}", watched.monitor.name, watched.shown[:80], seen.st)
                )
            if len(options) >= 2 * MOST:
                break
        options += _hosts(call, q)
    options += [d for d in _do(frame) if q in d.text.casefold()]
    return view.html(view.render("found.html", options=options))


def _hosts(call: Call, q: str) -> list[Found]:
    """Hosts with these letters in their names."""
    opened, found = hosts.open_by_host(call), list[Found]()
    for now in call.parts.corridor.hosts.of(call.who.workspace_id):
        if q in now.host.name.casefold() and len(found) < MOST:
            line = hosts.line_of(call, now, opened.get(now.host.id, ()), ())
            found.append(Found(f"/hosts/{now.host.id}", now.host.name, f"Host: {line.word}", line.st))
    return found


def _do(frame: view.Frame) -> list[Found]:
    new = [
        Found("/monitors/new", "New monitor", key="N"),
        Found("/hosts/new", "Add a host"),
        Found("/channels/new", "New channel"),
        Found("/alert-rules/new", "New alert rule"),
        Found("/maintenance/new", "Plan maintenance"),
    ]
    made = new if frame.can_write else []
    made += [
        Found("/", "Go to overview", key="G O"),
        Found("/incidents", "Go to incidents", key="G I"),
        Found("/hosts", "Go to hosts", key="G H"),
        Found("/reports", "Go to reports", key="G U"),
        Found("/locations", "Go to locations", key="G W"),
        Found("/on-call", "Go to on call", key="G D"),
        Found("/alert-rules", "Go to alert rules", key="G R"),
        Found("/channels", "Go to channels", key="G C"),
        Found("/maintenance", "Go to maintenance", key="G M"),
        Found("/settings", "Go to settings", key="G S"),
        Found("/settings/instances", "Go to instances", key="G N"),
        Found("/settings/system", "Go to system", key="G Y"),
    ]
    if frame.can_admin:
        made.append(Found("/locations/new", "Add a location"))
    return [*made, Found("/settings/audit", "Go to audit log", key="G L")] if frame.is_admin else made


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
