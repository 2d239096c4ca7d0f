"""The places that check: what each is, what fails together with it, and whether it is heard."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from msgspec import Struct
from msgspec.structs import replace

from tocsin.core import shape
from tocsin.core.access import Principal
from tocsin.core.account import Preferences
from tocsin.core.marks import Help, Length, Name
from tocsin.errors import NotFound
from tocsin.web.api import preferences
from tocsin.web.call import Call, Reply, Route
from tocsin.web.parts import Parts


class LocationOut(Struct, frozen=True, kw_only=True):
    """A place that checks. `kind` home: this server itself. `quarantined`: it is blind, its votes do not count now."""

    code: str
    name: str
    region_code: str
    kind: str
    enabled: bool
    monitors: int
    failure_domain: str | None
    quarantined: bool


class LocationIn(Struct, frozen=True, kw_only=True):
    """What can be set of a place."""

    failure_domain: Annotated[
        Name | None,
        Length(0, 100),
        Help("what fails together with it: a provider, a network, a country; null for none"),
    ]


class LocationList(Struct, frozen=True, kw_only=True):
    """A page of places; `next_cursor` leads to the next, null at the end."""

    items: list[LocationOut]
    next_cursor: str | None


def visible(parts: Parts, workspace_id: str) -> list[dict[str, Any]]:
    """The places, with how many of the workspace's monitors each checks."""
    home = parts.corridor.watchlist.home
    watched = parts.corridor.watchlist.of(workspace_id)
    silent = parts.corridor.watchlist.quarantined(workspace_id)
    domains = parts.corridor.watchlist.telling(workspace_id).preferences.failure_domains
    return [
        {
            "code": place, "name": place, "region_code": parts.settings["REGION_CODE"] if place == home else "",
            "kind": "home" if place == home else "probe", "enabled": True,
            "monitors": sum(place in w.assigned and not w.monitor.paused for w in watched),
            "failure_domain": domains.get(place), "quarantined": place in silent,
        }
        for place in parts.corridor.runner.locations
    ]  # fmt: skip


async def set_domains(parts: Parts, who: Principal, domains: Mapping[str, str | None]) -> None:
    """Say what fails together with each of these places; monitors are judged anew. NotFound for a place that does not
    check, Invalid for a name that is none."""
    for place, domain in domains.items():
        if place not in parts.corridor.runner.locations:
            raise NotFound(f"there is no location {place[:64]}")
        shape.read(LocationIn, {"failure_domain": domain}, where=place)

    def make(settled: Preferences) -> Preferences:
        others = {name: other for name, other in settled.failure_domains.items() if name not in domains}
        named = {place: domain.strip() for place, domain in domains.items() if domain is not None and domain.strip()}
        return replace(settled, failure_domains=others | named)

    await preferences.change(parts, who, make)


async def _index(call: Call) -> Reply:
    return Reply(data={"items": visible(call.parts, call.who.workspace_id), "next_cursor": None})


async def _edit(call: Call) -> Reply:
    wanted: LocationIn = call.body
    place = call.path["name"]
    await set_domains(call.parts, call.who, {place: wanted.failure_domain})
    shown = visible(call.parts, call.who.workspace_id)
    return Reply(data=next(row for row in shown if row["code"] == place))


ROUTES = [
    Route(
        method="GET", path="/api/v1/locations", run=_index, permission="read", answer=LocationList, tag="locations",
        summary="The places that check",
    ),
    Route(
        method="PATCH", path="/api/v1/locations/{name}", run=_edit, permission="admin", body=LocationIn,
        answer=LocationOut, tag="locations", summary="Say what fails together with a place",
    ),
]  # fmt: skip
