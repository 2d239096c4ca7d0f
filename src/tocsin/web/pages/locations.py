"""Locations: where checks are run from, how each is, what it watches; adding one, and one location's own page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from tocsin.core.probe import SUGGESTIONS, month_of
from tocsin.errors import Conflict, Invalid
from tocsin.pipeline.watchlist import Watched
from tocsin.web.api import locations
from tocsin.web.call import Call, Reply, Route
from tocsin.web.pages import form, view, words, world

DONE = {
    "saved": "Saved.",
    "deleted": "Deleted. Its results stay.",
    "checked": "Asked just now.",
    "rotated": "Its probe has the new key.",
    "on": "It checks again.",
    "off": "It does not check any more, and has no vote.",
}


class Done(Struct, frozen=True, kw_only=True):
    """What was done just before."""

    did: str = ""


class New(Struct, frozen=True, kw_only=True):
    """What a link to the form may set beforehand."""

    code: str = ""
    mode: str = "push"


def state(row: Mapping[str, Any]) -> tuple[str, str]:
    """(shape, word) for how a location is."""
    if row["quarantined"]:
        return "slow", "In quarantine"
    return {
        "well": ("up", "Well"),
        "new": ("pending", "Not heard yet"),
        "unknown": ("nodata", "Not known here"),
        "missing": ("slow", "Missed once"),
        "lost": ("nodata", "Lost"),
        "off": ("paused", "Off"),
    }[row["state"]]


def month_cost(row: Mapping[str, Any], watched: Sequence[Watched]) -> float:
    """What a location costs a month with what it watches now."""
    checks = sum(month_of(w.monitor.interval_s) for w in watched if row["code"] in w.assigned and not w.monitor.paused)
    return checks * row["cost"] / 1000


def money(amount: float) -> str:
    """A cost for people: two digits, or that it costs nothing."""
    return "free" if amount == 0 else "under 0.01" if amount < 0.01 else f"{amount:,.2f}"


def verdict(rows: Sequence[Mapping[str, Any]], *, leaderless: bool = False) -> str:
    """What the list is headed with. `leaderless`: nobody leads, so nobody asks how they are."""
    if len(rows) == 1:
        return "This server looks alone."
    if leaderless:
        return "Nobody leads: how the other locations are is not known here."
    lost = [row["code"] for row in rows if row["state"] == "lost"]
    silent = [row["code"] for row in rows if row["quarantined"]]
    said = f"{sum(row['state'] != 'off' for row in rows)} locations look."
    if lost:
        said += f" {words.listed(lost)} {'is' if len(lost) == 1 else 'are'} lost."
    return said + (f" {words.listed(silent)} {'abstains' if len(silent) == 1 else 'abstain'}." if silent else "")


async def index(call: Call) -> Reply:
    """The list and the map."""
    done: Done = call.query or Done()
    rows = locations.visible(call.parts, call.who)
    watched = call.parts.corridor.watchlist.of(call.who.workspace_id)
    follows = view.follows(call)
    leaderless = follows is not None and not follows.name
    made = world.dots(rows, _bad(watched), leaderless=leaderless)
    return view.page(
        call,
        "locations.html",
        section="locations",
        rows=[row | {"look": state(row), "month": money(month_cost(row, watched))} for row in rows],
        verdict=verdict(rows, leaderless=leaderless),
        dots=made,
        links=[],
        legend="locations",
        map_says=world.sentence(made),
        did=DONE.get(done.did, ""),
    )


def _bad(watched: Sequence[Watched]) -> set[str]:
    return {
        code
        for w in watched
        if not w.monitor.paused
        for code, s in w.states.items()
        if s.vote == "down" and s.stand_in is None
    }


def _start(call: Call) -> dict[str, Any]:
    wanted: New = call.query or New()
    mode = wanted.mode if wanted.mode in ("push", "pull") else "push"
    return {"code": wanted.code, "mode": mode, "enabled": True}


def typed(call: Call, *, old: bool = False) -> dict[str, Any]:
    """The plain data of a form that was sent. What was left empty is left out, or is nothing in a location that is there."""
    mode = view.first(call, "mode", "push")
    data: dict[str, Any] = {"code": view.first(call, "code"), "mode": mode, "enabled": view.ticked(call, "enabled")}
    texts = ("name", "failure_domain") + (("endpoint_url", "api_key", "pin") if mode == "push" else ())
    for name in texts:
        if (text := view.first(call, name)) != "":
            data[name] = text
        elif old and name in ("failure_domain", "pin"):
            data[name] = None
    for name in ("latitude", "longitude", "cost"):
        if (text := view.first(call, name)) != "":
            data[name] = form.number(text)
        elif old:
            data[name] = None
    return data


def _form(call: Call, data: Mapping[str, Any], errors: Mapping[str, str], *, row: Any = None, said: str = "") -> Reply:
    known = {r["code"] for r in locations.visible(call.parts, call.who)}
    return view.page(
        call,
        "location_edit.html",
        section="locations",
        status=409 if said else 422 if errors else 200,
        data={
            **dict.fromkeys(("endpoint_url", "pin", "failure_domain", "name", "latitude", "longitude", "cost"), ""),
            **data,
        },
        errors=errors,
        row=row,
        said=said,
        suggestions=[s for s in SUGGESTIONS if s.code not in known],
    )


async def new(call: Call) -> Reply:
    """The empty form."""
    return _form(call, _start(call), {})


async def create(call: Call) -> Reply:
    """Make the location and show, this once, what its probe needs; or the form again with what is wrong."""
    data = typed(call)
    try:
        probe, key, join = await locations.create(call.parts, call.who, data)
    except Invalid as error:
        return _form(call, data, view.problems(error))
    except Conflict as error:
        return _form(call, data, {}, said=words.sentence(error))
    return _given(call, probe.code, key, join)


def _given(call: Call, code: str, key: str | None, join: Mapping[str, Any] | None) -> Reply:
    """What is shown once, or the location's page where there is nothing of the kind."""
    if key is None and join is None:
        return view.see_other(f"/locations/{code}?did=saved")
    row = locations.one(call.parts, call.who, code)
    return view.page(call, "location_given.html", section="locations", row=row, key=key, join=join)


async def show(call: Call) -> Reply:
    """One location's page."""
    done: Done = call.query or Done()
    row = locations.one(call.parts, call.who, call.path["code"])
    watched = [w for w in call.parts.corridor.watchlist.of(call.who.workspace_id) if row["code"] in w.assigned]
    post = call.parts.corridor.watchlist.roster.find(call.who.workspace_id, row["code"])
    states = [(w, w.states.get(row["code"])) for w in sorted(watched, key=lambda w: w.monitor.name.casefold())]
    return view.page(
        call,
        "location.html",
        section="locations",
        row=row,
        look=state(row),
        health=None if post is None or not call.parts.corridor.leads else post.health,
        since=_since(call, row),
        states=states,
        incident=_incident(call, row["code"]),
        month=money(month_cost(row, watched)),
        checks=sum(month_of(w.monitor.interval_s) for w in watched if not w.monitor.paused),
        did=DONE.get(done.did, ""),
    )


def _since(call: Call, row: Mapping[str, Any]) -> Any:
    """Since when it is as it is, as far as that is known."""
    corridor, incident = call.parts.corridor, _incident(call, row["code"])
    post = corridor.watchlist.roster.find(call.who.workspace_id, row["code"])
    health = corridor.watchlist.roster.others.get(row["code"]) if post is None else post.health
    if health is not None and health.state == row["state"] and corridor.leads:
        return health.since
    return incident.opened_at if incident is not None and row["state"] == "lost" else None


def _incident(call: Call, code: str) -> Any:
    """Its open incident, lost or in quarantine, or None."""
    known = call.parts.corridor.watchlist.open_of(call.who.workspace_id)
    return next((i for i in known if i.subject in (f"probe:{code}", f"location:{code}")), None)


async def edit(call: Call) -> Reply:
    """The form of a location that is there."""
    row = locations.one(call.parts, call.who, call.path["code"])
    return _form(call, _filled(row), {}, row=row)


async def change(call: Call) -> Reply:
    """Change it, or show the form again with what is wrong."""
    code = call.path["code"]
    row = locations.one(call.parts, call.who, code)
    data = typed(call, old=True) | {"code": code}
    if row["kind"] != "probe":
        data = {name: data.get(name) for name in ("failure_domain", "latitude", "longitude")}
    try:
        await locations.change(call.parts, call.who, code, data)
    except Invalid as error:
        return _form(call, _filled(row | data), view.problems(error), row=row)
    except Conflict as error:
        return _form(call, _filled(row | data), {}, row=row, said=words.sentence(error))
    return view.see_other(f"/locations/{code}?did=saved")


async def check(call: Call) -> Reply:
    """Ask its probe how it is."""
    await locations.health_check(call.parts, call.who, call.path["code"])
    return view.see_other(f"/locations/{call.path['code']}?did=checked")


async def rotate(call: Call) -> Reply:
    """Give its probe a new key."""
    code = call.path["code"]
    key = await locations.rotate_key(call.parts, call.who, code)
    return view.see_other(f"/locations/{code}?did=rotated") if key is None else _given(call, code, key, None)


async def invite(call: Call) -> Reply:
    """Show, this once, what its probe joins with."""
    post = call.parts.corridor.watchlist.roster.get(call.who.workspace_id, call.path["code"])
    join = await locations.invite(call.parts, call.who, post.probe.id)
    return _given(call, post.probe.code, None, join)


async def toggle(call: Call) -> Reply:
    """Switch it off, or on again."""
    code = call.path["code"]
    on = not locations.one(call.parts, call.who, code)["enabled"]
    await locations.change(call.parts, call.who, code, {"enabled": on})
    return view.see_other(f"/locations/{code}?did={'on' if on else 'off'}")


async def delete(call: Call) -> Reply:
    """Forget it, unless a monitor is checked from there."""
    row = locations.one(call.parts, call.who, call.path["code"])
    try:
        await locations.delete(call.parts, call.who, row["code"])
    except Conflict as error:
        return _form(call, _filled(row), {}, row=row, said=words.sentence(error))
    return view.see_other("/locations?did=deleted")


def _filled(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: "" if value is None else value for name, value in row.items()}


_READ: dict[str, Any] = {"kind": "page", "permission": "read", "tag": "pages"}
_ADMIN: dict[str, Any] = {"kind": "page", "permission": "admin", "tag": "pages"}
_DO: dict[str, Any] = {"kind": "page", "permission": "operate", "tag": "pages"}
_ONE = "/locations/{code}"
ROUTES = [
    Route(method="GET", path="/locations", run=index, summary="Locations", query=Done, loose=True, **_READ),
    Route(method="GET", path="/locations/new", run=new, summary="New location", query=New, loose=True, **_ADMIN),
    Route(method="POST", path="/locations/new", run=create, summary="Add a location", **_ADMIN),
    Route(method="GET", path=_ONE, run=show, summary="A location's page", query=Done, loose=True, **_READ),
    Route(method="GET", path=_ONE + "/edit", run=edit, summary="Edit a location", **_ADMIN),
    Route(method="POST", path=_ONE + "/edit", run=change, summary="Change a location", **_ADMIN),
    Route(method="POST", path=_ONE + "/check", run=check, summary="Ask its probe now", **_DO),
    Route(method="POST", path=_ONE + "/rotate", run=rotate, summary="Replace its key", **_ADMIN),
    Route(method="POST", path=_ONE + "/invite", run=invite, summary="A token to join with", **_ADMIN),
    Route(method="POST", path=_ONE + "/toggle", run=toggle, summary="Switch it off or on", **_ADMIN),
    Route(method="POST", path=_ONE + "/delete", run=delete, summary="Delete a location", **_ADMIN),
]
