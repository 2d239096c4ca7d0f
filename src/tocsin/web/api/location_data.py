"""A location as JSON and from JSON: its shape, and what its fields say about each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from msgspec import Struct

from tocsin.core import shape
from tocsin.core.plain import found
from tocsin.core.probe import LOCAL, SUGGESTIONS, Health, Probe, Suggestion
from tocsin.core.result import iso
from tocsin.core.shape import Help, Hidden, Length, Name, Pattern, Range
from tocsin.errors import Invalid, Problem
from tocsin.pipeline.roster import Post
from tocsin.probe.enrol import pin_of

Number = int | float
Code = Annotated[
    str, Length(1, 64), Pattern(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?", "lower-case letters, digits and dashes")
]


class LocationIn(Struct, frozen=True, kw_only=True):
    """A place that checks, and its probe. Only `code` is required."""

    code: Annotated[Code, Help("what monitors name; it stays, for by it its results are known")]
    name: Annotated[Name | None, Length(1, 100), Help("what people call it; left out: as usual, or the code")] = None
    mode: Annotated[
        Literal["push", "pull"] | None,
        Help("push: this server calls the probe; pull: it calls us. Left out: push where endpoint_url is given"),
    ] = None  # fmt: skip
    endpoint_url: Annotated[str | None, Length(1, 2000), Help("where a push probe listens, https://…")] = None
    api_key: Annotated[
        str | None, Length(16, 500), Hidden, Help("the key of a push probe; left out: made here, and shown once")
    ] = None
    pin: Annotated[
        str | None, Length(64, 95), Help("SHA-256 fingerprint of its certificate, where no authority vouches for it")
    ] = None
    enabled: Annotated[bool, Help("false: it does not check, and has no vote")] = True
    failure_domain: Annotated[
        Name | None,
        Length(0, 100),
        Help("what fails together with it: a provider, a network, a country; null for none"),
    ] = None
    latitude: Annotated[Number | None, Range(-90, 90)] = None
    longitude: Annotated[Number | None, Range(-180, 180)] = None
    cost: Annotated[Number | None, Range(0, 1_000_000), Help("what a thousand checks cost there, in your unit")] = None


class Domain(Struct, frozen=True, kw_only=True):
    """What fails together with a place; None for nothing."""

    failure_domain: Annotated[Name | None, Length(0, 100)] = None


class Place(Struct, frozen=True, kw_only=True):
    """Where a server is on the map; None for both: as usual for its code, or not on it."""

    latitude: Annotated[Number | None, Range(-90, 90)] = None
    longitude: Annotated[Number | None, Range(-180, 180)] = None


class LocationOut(Struct, frozen=True, kw_only=True):
    """A place that checks. `kind` home: this server itself, probe: another one, whose probe has `id`. `state`: new (not
    looked at yet), well, missing (once), lost, off; unknown where another instance leads, which alone asks (that one
    is lost is known there, too). `quarantined`: it is blind, its votes do not count now. `stand_in`: who
    looks in its place while it is lost."""

    code: str
    name: str
    region_code: str
    kind: Literal["home", "instance", "probe"]
    id: str | None
    mode: Literal["push", "pull"] | None
    endpoint_url: Annotated[str | None, Help("for callers who may administer; null for others")]
    pin: str | None
    enabled: bool
    monitors: int
    failure_domain: str | None
    quarantined: bool
    latitude: float | None
    longitude: float | None
    cost: float
    state: Literal["new", "well", "missing", "lost", "off", "unknown"]
    is_healthy: bool | None
    since: str | None
    last_health_check: str | None
    heard_at: str | None
    latency_ms: float | None
    version: str | None
    trouble: Annotated[str | None, Help("what its own self-test finds wrong")]
    why: Annotated[str | None, Help("why it was not heard last")]
    stand_in: str | None
    created_at: str | None
    updated_at: str | None


class Invited(Struct, frozen=True, kw_only=True):
    """What a probe joins with, once. `command` is what to run where it shall be."""

    token: str
    command: str
    expires_at: str


class LocationMade(LocationOut, frozen=True, kw_only=True):
    """A location just made, or its key just replaced. `api_key` (of a push probe, when it was made here) and `join` (of a
    pull probe) are shown this once."""

    api_key: str | None
    join: Invited | None


class LocationList(Struct, frozen=True, kw_only=True):
    """A page of places; `next_cursor` leads to the next, null at the end."""

    items: list[LocationOut]
    next_cursor: str | None


class SuggestionList(Struct, frozen=True, kw_only=True):
    """Places that many have; `next_cursor` is null, for these are all."""

    items: list[Suggestion]
    next_cursor: str | None


class KeyIn(Struct, frozen=True, kw_only=True):
    """The key that takes the place of the present one."""

    api_key: Annotated[str | None, Length(16, 500), Hidden, Help("left out: made here")] = None


def home_json(code: str, region_code: str) -> dict[str, Any]:
    """This server itself as a location, without what its workspace says of it."""
    nothing = dict.fromkeys(
        ("id", "mode", "endpoint_url", "pin", "latitude", "longitude", "since", "last_health_check", "heard_at",
         "latency_ms", "version", "trouble", "why", "stand_in", "created_at", "updated_at"),
    )  # fmt: skip
    return nothing | {
        "code": code, "name": code, "region_code": region_code, "kind": "home", "enabled": True, "cost": 0.0,
        "state": "well", "is_healthy": True,
    }  # fmt: skip


def instance_json(code: str, health: Health) -> dict[str, Any]:
    """Another instance's location."""
    known = {"since": iso(health.since), "last_health_check": iso(health.looked_at), "heard_at": iso(health.heard_at)}
    told = {"version": health.sign.version, "why": health.why or None, "state": health.state}
    well = health.state == "well" if health.state != "new" else None
    return home_json(code, "") | known | told | {"kind": "instance", "is_healthy": well}


def post_json(post: Post, *, admin: bool) -> dict[str, Any]:
    """A workspace's own location, without what its workspace says of it; its address only for those who may change it."""
    probe, health = post.probe, post.health
    looked = health.state != "new" and probe.enabled
    return {
        "code": probe.code, "name": probe.name, "region_code": "", "kind": "probe", "id": probe.id, "mode": probe.mode,
        "endpoint_url": probe.endpoint_url if admin else None, "pin": probe.pin, "enabled": probe.enabled,
        "latitude": probe.latitude, "longitude": probe.longitude, "cost": probe.cost,
        "state": health.state if probe.enabled else "off", "is_healthy": health.state == "well" if looked else None,
        "since": iso(health.since), "last_health_check": iso(health.looked_at), "heard_at": iso(health.heard_at),
        "latency_ms": health.sign.latency_ms, "version": health.sign.version, "trouble": health.sign.trouble,
        "why": health.why or None, "created_at": iso(probe.created_at), "updated_at": iso(probe.updated_at),
    }  # fmt: skip


def read_location(data: Mapping[str, Any], home: str, old: Probe | None = None) -> dict[str, Any]:
    """The fields of a Probe from outside data (of `old` as far as they are left out), and `api_key`. Raises Invalid with all
    that is wrong at once."""
    wanted = shape.read(LocationIn, data if old is None else _as_it_is(old) | dict(data))
    problems: list[Problem] = []
    if old is None and wanted.code in (home, LOCAL):
        problems.append(Problem("code", "another one: this is what this server itself is called", found(wanted.code)))
    if old is not None and wanted.code != old.code:
        problems.append(Problem("code", f"{old.code}, for by that its results are known", found(wanted.code)))
    mode = wanted.mode or ("pull" if wanted.endpoint_url is None else "push")
    problems += _mode_problems(wanted, mode)
    pin = _pin(wanted.pin, problems)
    problems += half_a_place(wanted)
    elsewhere = old is not None and old.keys and _authority(old.endpoint_url) != _authority(wanted.endpoint_url)
    if elsewhere and mode == "push" and not wanted.api_key:
        problems.append(Problem("api_key", "typed again, because endpoint_url leads elsewhere now", "***"))
    if problems:
        raise Invalid(*problems)
    return (
        _usual(wanted)
        | {"code": wanted.code, "mode": mode, "endpoint_url": wanted.endpoint_url, "pin": pin}
        | {"enabled": wanted.enabled, "api_key": wanted.api_key}
    )


def half_a_place(wanted: LocationIn | Place) -> list[Problem]:
    """What is wrong when only one of latitude and longitude is given."""
    if (wanted.latitude is None) == (wanted.longitude is None):
        return []
    return [Problem("latitude", "latitude and longitude, or neither", "one of them")]


def _as_it_is(old: Probe) -> dict[str, Any]:
    names = ("code", "name", "mode", "endpoint_url", "pin", "enabled", "latitude", "longitude", "cost")
    return {name: getattr(old, name) for name in names}


def _usual(wanted: LocationIn) -> dict[str, Any]:
    """Name, place and cost: as given, else as the location of that code usually has them."""
    usual = next((s for s in SUGGESTIONS if s.code == wanted.code), None)
    name = wanted.name or (usual.name if usual is not None else wanted.code)
    latitude, longitude = wanted.latitude, wanted.longitude
    if latitude is None and longitude is None and usual is not None:
        latitude, longitude = usual.latitude, usual.longitude
    cost = wanted.cost if wanted.cost is not None else usual.cost if usual is not None else 0.0
    return {
        "name": name.strip(), "latitude": None if latitude is None else float(latitude),
        "longitude": None if longitude is None else float(longitude), "cost": float(cost),
    }  # fmt: skip


def _mode_problems(wanted: LocationIn, mode: str) -> list[Problem]:
    if mode == "pull":
        extra = [name for name in ("endpoint_url", "api_key", "pin") if getattr(wanted, name) is not None]
        return [Problem(name, "nothing: a pull probe calls us, with a key of its own", "one") for name in extra]
    if wanted.endpoint_url is None:
        return [Problem("endpoint_url", "the https:// address where the push probe listens", "nothing")]
    try:
        parts = urlsplit(wanted.endpoint_url)
        right = parts.scheme in ("http", "https") and parts.hostname and (parts.port or 1) > 0
        right = right and not (parts.username or parts.password or parts.query or parts.fragment)
    except ValueError:
        right = False
    return (
        [] if right else [Problem("endpoint_url", "an https:// URL, without a user", found(wanted.endpoint_url[:100]))]
    )


def _pin(text: str | None, problems: list[Problem]) -> str | None:
    if text is None:
        return None
    try:
        return pin_of(text)
    except Invalid as error:
        problems += error.problems
        return None


def _authority(url: str | None) -> str | None:
    return None if url is None else "{0.scheme}://{0.netloc}".format(urlsplit(url)).lower()
