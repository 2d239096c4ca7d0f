"""The places that check: this server itself and the workspace's own, each with its probe. A location and its probe are one
thing, with two addresses: /locations/{code} and /probes/{id}."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from msgspec import structs
from msgspec.structs import replace

from tocsin.clock import new_id
from tocsin.core import shape
from tocsin.core.access import Principal, may
from tocsin.core.account import Preferences
from tocsin.core.probe import JOIN_S, SUBJECT, SUGGESTIONS, Health, Probe, usual_place
from tocsin.core.result import iso
from tocsin.errors import Conflict, Invalid, NotFound, PeerLost, Problem
from tocsin.secret import Secret
from tocsin.store.probes import Pass
from tocsin.web import tokens
from tocsin.web.api import preferences
from tocsin.web.api.given import as_object, some_of
from tocsin.web.api.location_data import (
    Domain,
    LocationIn,
    LocationList,
    LocationMade,
    LocationOut,
    Place,
    SuggestionList,
    half_a_place,
    home_json,
    instance_json,
    post_json,
    read_location,
)
from tocsin.web.api.reach import refused
from tocsin.web.call import Call, Reply, Route
from tocsin.web.parts import Parts

_KEY, _JOIN = "tpk_", "tpj_"
_REASONS = {
    "certificate": ("pin", "the fingerprint of the certificate that is shown there"),
    "key": ("api_key", "the key that the probe there was given"),
    "no_probe": ("endpoint_url", "the address of a probe"),
}


def visible(parts: Parts, who: Principal) -> list[dict[str, Any]]:
    """The places, this server first, with how many of the workspace's monitors each checks."""
    corridor, ws = parts.corridor, who.workspace_id
    here = corridor.watchlist.home if parts.cluster is None else parts.cluster.me.location
    watched, silent = corridor.watchlist.of(ws), corridor.watchlist.quarantined(ws)
    settled = corridor.watchlist.telling(ws).preferences
    domains = settled.failure_domains
    admin = may(who, "admin")
    rows = [home_json(code, parts.settings["REGION_CODE"]) for code in corridor.runner.locations]
    others = corridor.watchlist.roster.others
    rows += [instance_json(code, others.get(code, Health())) for code in corridor.runner.others]
    rows += [post_json(post, admin=admin) for post in corridor.watchlist.roster.of(ws)]
    for row in rows:
        code = row["code"]
        row["monitors"] = sum(code in w.assigned and not w.monitor.paused for w in watched)
        if row["kind"] != "probe" and (place := settled.places.get(code) or usual_place(code)) is not None:
            row["latitude"], row["longitude"] = place
        if row["kind"] == "home" and code != here:
            row["kind"] = "probe"
        row["failure_domain"], row["quarantined"] = domains.get(code), code in silent
        row["stand_in"] = stands_in(parts, ws, code) if corridor.leads else None
        if code != here:
            _as_far_as_known(parts, ws, row)
    return rows


_ASKED = ("since", "last_health_check", "heard_at", "latency_ms", "version", "trouble", "why", "is_healthy")


def _as_far_as_known(parts: Parts, workspace_id: str, row: dict[str, Any]) -> None:
    """Who leads asks how a location is; elsewhere nothing is known of that. That it is lost its open incident
    says, also where whoever leads now has not asked yet."""
    if not parts.corridor.leads and row["state"] != "off":
        row |= dict.fromkeys(_ASKED) | {"state": "unknown"}
    incident = parts.corridor.watchlist.incidents.get((workspace_id, SUBJECT + row["code"]))
    if row["state"] in ("new", "unknown") and incident is not None and incident.open:
        row |= {"state": "lost", "is_healthy": False, "since": iso(incident.opened_at), "why": incident.reason}


def stands_in(parts: Parts, workspace_id: str, code: str) -> str | None:
    """Who looks in the place of a lost location for any of its monitors, or None."""
    post = parts.corridor.watchlist.roster.find(workspace_id, code)
    if post is None or not post.lost:
        return None
    runner = parts.corridor.runner
    who = (runner.who(w, code) for w in parts.corridor.watchlist.of(workspace_id) if code in w.assigned)
    return next((place for place in who if place is not None), None)


def one(parts: Parts, who: Principal, code: str) -> dict[str, Any]:
    """One place; raises NotFound."""
    row = next((row for row in visible(parts, who) if row["code"] == code), None)
    if row is None:
        raise NotFound(f"there is no location {code[:64]}")
    return row


async def create(parts: Parts, who: Principal, data: dict[str, Any]) -> tuple[Probe, str | None, dict[str, Any] | None]:
    """(a new location, its key if it was made here, what its probe joins with). Raises Invalid with everything wrong at
    once: also what answers there and is no probe, does not take the key, or shows another certificate."""
    fields = read_location(data, parts.corridor.watchlist.home)
    given, now, id = fields.pop("api_key"), parts.clock.now(), new_id()
    made = _KEY + secrets.token_urlsafe(32) if fields["mode"] == "push" and given is None else None
    keys = () if fields["mode"] == "pull" else (given or made or "",)
    probe = Probe(id=id, workspace_id=who.workspace_id, keys=keys, created_at=now, updated_at=now, **fields)
    if parts.corridor.watchlist.roster.find(who.workspace_id, probe.code) is not None:
        raise Conflict(f"there is a location {probe.code} already")
    if probe.code in parts.corridor.runner.others:
        raise Conflict(f"location {probe.code} is another instance's")
    await _check_way(parts, probe, asked=given is not None)
    await parts.store.of(who.workspace_id, by=who.name).write(lambda s: s.probes.add(probe))
    if (domain := data.get("failure_domain")) is not None:
        await set_domain(parts, who, probe.code, str(domain), known=True)
    await parts.corridor.locations_changed(who.workspace_id)
    return probe, made, await invite(parts, who, probe.id) if probe.mode == "pull" else None


async def change(parts: Parts, who: Principal, code: str, data: dict[str, Any]) -> None:
    """Change some of a location's fields; of a server itself only where it is and what fails together with it."""
    if "failure_domain" in data:
        await set_domain(
            parts, who, code, shape.read(Domain, {"failure_domain": data["failure_domain"]}).failure_domain
        )
    rest = {name: value for name, value in data.items() if name != "failure_domain"}
    if code in parts.corridor.runner.locations or code in parts.corridor.runner.others:
        await _set_place(parts, who, code, rest)
        return
    if not rest:
        one(parts, who, code)
        return
    old = parts.corridor.watchlist.roster.get(who.workspace_id, code).probe
    fields = read_location(rest, parts.corridor.watchlist.home, old)
    given = fields.pop("api_key")
    probe = replace(old, updated_at=parts.clock.now(), **fields)
    if probe.mode != old.mode or given is not None:
        keys = (given,) if given is not None else ()
        if probe.mode == "push" and not keys:
            raise Invalid(Problem("api_key", "the key of the push probe", "nothing"))
        probe = replace(probe, keys=keys)
    await _check_way(parts, probe, asked=given is not None)
    await parts.store.of(who.workspace_id, by=who.name).write(lambda s: s.probes.replace(probe))
    await parts.corridor.locations_changed(who.workspace_id)


async def _set_place(parts: Parts, who: Principal, code: str, rest: Mapping[str, Any]) -> None:
    """Say where a server is on the map. Invalid when anything else is to be changed of it."""
    here = one(parts, who, code)
    if other := [name for name in rest if name not in ("latitude", "longitude")]:
        whose = "this is this server itself" if here["kind"] == "home" else "this is another instance's"
        raise Invalid(*(Problem(name, f"nothing: {whose}", "one") for name in other))
    if not rest:
        return
    wanted = shape.read(Place, {"latitude": here["latitude"], "longitude": here["longitude"]} | dict(rest))
    if problems := half_a_place(wanted):
        raise Invalid(*problems)

    def make(settled: Preferences) -> Preferences:
        places = {name: place for name, place in settled.places.items() if name != code}
        if wanted.latitude is not None and wanted.longitude is not None:
            places[code] = (float(wanted.latitude), float(wanted.longitude))
        return replace(settled, places=places)

    await preferences.change(parts, who, make)


async def delete(parts: Parts, who: Principal, code: str) -> None:
    """Forget a location; its results stay. Conflict while a monitor is checked from there."""
    post = parts.corridor.watchlist.roster.get(who.workspace_id, code)
    names = [w.monitor.name for w in parts.corridor.watchlist.of(who.workspace_id) if code in w.monitor.locations]
    if names:
        raise Conflict(
            f"{some_of(sorted(names))} would still be checked from there: choose other locations for that first"
        )
    await parts.store.of(who.workspace_id, by=who.name).write(lambda s: s.probes.delete(post.probe.id))
    await set_domain(parts, who, code, None, known=True)
    await parts.corridor.locations_changed(who.workspace_id)


async def set_domain(parts: Parts, who: Principal, place: str, domain: str | None, *, known: bool = False) -> None:
    """Say what fails together with one place."""
    if parts.corridor.watchlist.telling(who.workspace_id).preferences.failure_domains.get(place) != domain or not known:
        await set_domains(parts, who, {place: domain}, known=known)


async def set_domains(parts: Parts, who: Principal, domains: Mapping[str, str | None], *, known: bool = False) -> None:
    """Say what fails together with each of these places; monitors are judged anew. NotFound for a place that does not
    check, Invalid for a name that is none."""
    for place, domain in domains.items():
        if not known:
            one(parts, who, place)
        shape.read(Domain, {"failure_domain": domain}, where=place)

    def make(settled: Preferences) -> Preferences:
        others = {name: other for name, other in settled.failure_domains.items() if name not in domains}
        named = {place: domain.strip() for place, domain in domains.items() if domain is not None and domain.strip()}
        return replace(settled, failure_domains=others | named)

    await preferences.change(parts, who, make)


async def health_check(parts: Parts, who: Principal, code: str) -> dict[str, Any]:
    """Ask its probe now how it is, and show the location. Conflict when it is switched off."""
    post = parts.corridor.watchlist.roster.get(who.workspace_id, code)
    if not post.probe.enabled:
        raise Conflict("the location is switched off: nobody asks it")
    await parts.corridor.lookout.ask(post)
    return one(parts, who, code)


async def rotate_key(parts: Parts, who: Principal, code: str, given: str | None = None) -> str | None:
    """Replace a probe's key by this one, or by one that is made here. Two count until the new one is used.

    Gives the new key of a push probe, where it was made here: whoever runs the probe has to tell it. That of a pull probe is
    handed to it over its link (None); Conflict when it has none now."""
    post = parts.corridor.watchlist.roster.get(who.workspace_id, code)
    old, now = post.probe, parts.clock.now()
    key = given or _KEY + secrets.token_urlsafe(32)
    scoped = parts.store.of(who.workspace_id, by=who.name)
    if old.mode == "push":
        fresh = replace(old, keys=(key, *old.keys[:1]), updated_at=now)
        await scoped.write(lambda s: s.probes.replace(fresh))
        await parts.corridor.locations_changed(who.workspace_id)
        return None if given else key
    if given is not None:
        raise Invalid(Problem("api_key", "nothing: the key of a pull probe is made here", "one"))
    fresh_pass = _pass(old, key, "key", now)
    await scoped.write(lambda s: s.probes.let_in(fresh_pass))
    if parts.links is None or not await parts.links.renew((old.workspace_id, old.code), Secret(key)):
        raise Conflict("its probe is not linked now, so the key cannot be handed to it: give it a join token instead")
    return None


async def invite(parts: Parts, who: Principal, id: str) -> dict[str, Any]:
    """What a pull probe joins with, once, within a quarter of an hour: {token, command, expires_at}. An earlier one that was
    not used does not count any more."""
    probe = await parts.store.of(who.workspace_id).read(lambda s: s.probes.get(id))
    if probe.mode != "pull":
        raise Conflict("this server calls that probe: it needs its key, and no join token")
    now, token = parts.clock.now(), _JOIN + secrets.token_urlsafe(32)
    until = now + timedelta(seconds=JOIN_S)
    given = replace(_pass(probe, token, "join", now), expires_at=until)
    await parts.store.of(who.workspace_id, by=who.name).write(lambda s: s.probes.let_in(given))
    command = f"tocsin probe --join {parts.settings.base_url}#{token}"
    return {"token": token, "command": command, "expires_at": iso(until)}


def _pass(probe: Probe, text: str, kind: Any, now: Any) -> Pass:
    return Pass(
        workspace_id=probe.workspace_id, probe_id=probe.id, kind=kind, hash=tokens.hash_of(text), created_at=now
    )


async def _check_way(parts: Parts, probe: Probe, *, asked: bool) -> None:
    """Return if the guard lets us call a push probe and, where somebody gave its key (`asked`), what answers is that probe.
    One that does not answer yet is no problem: it will be looked for."""
    if probe.mode != "push":
        return
    if problems := await refused(parts.net, {"url": probe.endpoint_url}, ""):
        raise Invalid(*(Problem("endpoint_url", problem.expected, problem.found) for problem in problems))
    try:
        await parts.corridor.watchlist.roster.reach.prove(probe, ask=asked and probe.enabled)
    except PeerLost as lost:
        if lost.cause is not None:
            field, expected = _REASONS.get(lost.cause, _REASONS["no_probe"])
            raise Invalid(Problem(field, expected, f"that {lost}")) from None


async def _index(call: Call) -> Reply:
    return Reply(data={"items": visible(call.parts, call.who), "next_cursor": None})


async def _suggest(call: Call) -> Reply:
    return Reply(data={"items": [structs.asdict(s) for s in SUGGESTIONS], "next_cursor": None})


async def _make(call: Call) -> Reply:
    probe, key, join = await create(call.parts, call.who, as_object(call.data))
    shown = one(call.parts, call.who, probe.code) | {"api_key": key, "join": join}
    return Reply(data=shown, status=201, headers={"location": f"/api/v1/locations/{probe.code}"})


async def _show(call: Call) -> Reply:
    return Reply(data=one(call.parts, call.who, call.path["code"]))


async def _edit(call: Call) -> Reply:
    await change(call.parts, call.who, call.path["code"], as_object(call.data))
    return Reply(data=one(call.parts, call.who, call.path["code"]))


async def _remove(call: Call) -> Reply:
    await delete(call.parts, call.who, call.path["code"])
    return Reply(status=204)


ROUTES = [
    Route(
        method="GET", path="/api/v1/locations", run=_index, permission="read", answer=LocationList, tag="locations",
        summary="The places that check",
    ),
    Route(
        method="POST", path="/api/v1/locations", run=_make, permission="admin", body=LocationIn, answer=LocationMade,
        reads=False, status=201, tag="locations", summary="Add a place, with its probe",
    ),
    Route(
        method="GET", path="/api/v1/location-suggestions", run=_suggest, permission="read", answer=SuggestionList,
        tag="locations", summary="Places that many have",
    ),
    Route(
        method="GET", path="/api/v1/locations/{code}", run=_show, permission="read", answer=LocationOut,
        tag="locations", summary="One place",
    ),
    Route(
        method="PATCH", path="/api/v1/locations/{code}", run=_edit, permission="admin", body=LocationIn, partial=True,
        reads=False, answer=LocationOut, tag="locations", summary="Change some of a place's fields",
    ),
    Route(
        method="DELETE", path="/api/v1/locations/{code}", run=_remove, permission="admin", status=204,
        tag="locations", summary="Forget a place",
    ),
]  # fmt: skip
