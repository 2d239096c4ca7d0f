"""The probes of a workspace's own locations, by id; and what is done to a probe rather than to its place: asking it how it
is, a new key, a token to join with."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from tocsin.core.access import Principal
from tocsin.web.api import locations
from tocsin.web.api.given import as_object
from tocsin.web.api.location_data import Invited, KeyIn, LocationIn, LocationList, LocationMade, LocationOut
from tocsin.web.call import Call, Reply, Route
from tocsin.web.parts import Parts


class Rotated(Struct, frozen=True, kw_only=True):
    """A new key. `api_key` (of a push probe, when it was made here) is shown this once; `handed_over`: the probe has it."""

    api_key: str | None
    handed_over: bool


def code_of(parts: Parts, who: Principal, id: str) -> str:
    """The code of a probe's location; raises NotFound."""
    return parts.corridor.watchlist.roster.by_id(who.workspace_id, id).probe.code


def _code(call: Call) -> str:
    return code_of(call.parts, call.who, call.path["id"])


def _one(call: Call) -> dict[str, Any]:
    return locations.one(call.parts, call.who, _code(call))


async def _index(call: Call) -> Reply:
    rows = [row for row in locations.visible(call.parts, call.who) if row["kind"] == "probe"]
    return Reply(data={"items": rows, "next_cursor": None})


async def _make(call: Call) -> Reply:
    probe, key, join = await locations.create(call.parts, call.who, as_object(call.data))
    shown = locations.one(call.parts, call.who, probe.code) | {"api_key": key, "join": join}
    return Reply(data=shown, status=201, headers={"location": f"/api/v1/probes/{probe.id}"})


async def _show(call: Call) -> Reply:
    return Reply(data=_one(call))


async def _edit(call: Call) -> Reply:
    await locations.change(call.parts, call.who, _code(call), as_object(call.data))
    return Reply(data=_one(call))


async def _remove(call: Call) -> Reply:
    await locations.delete(call.parts, call.who, _code(call))
    return Reply(status=204)


async def _ask(call: Call) -> Reply:
    return Reply(data=await locations.health_check(call.parts, call.who, _code(call)))


async def _rotate(call: Call) -> Reply:
    wanted: KeyIn = call.body
    code = _code(call)
    key = await locations.rotate_key(call.parts, call.who, code, wanted.api_key)
    handed = locations.one(call.parts, call.who, code)["mode"] == "pull"
    return Reply(data=Rotated(api_key=key, handed_over=handed))


async def _invite(call: Call) -> Reply:
    _code(call)
    return Reply(data=await locations.invite(call.parts, call.who, call.path["id"]), status=201)


_ALL, _ONE = "/api/v1/probes", "/api/v1/probes/{id}"
ROUTES = [
    Route(
        method="GET", path=_ALL, run=_index, permission="read", answer=LocationList, tag="locations",
        summary="The probes, each with its place",
    ),
    Route(
        method="POST", path=_ALL, run=_make, permission="admin", body=LocationIn, answer=LocationMade, reads=False,
        status=201, tag="locations", summary="Add a probe, with its place",
    ),
    Route(
        method="GET", path=_ONE, run=_show, permission="read", answer=LocationOut, tag="locations", summary="One probe"
    ),
    Route(
        method="PATCH", path=_ONE, run=_edit, permission="admin", body=LocationIn, partial=True, reads=False,
        answer=LocationOut, tag="locations", summary="Change some of a probe's fields",
    ),
    Route(
        method="DELETE", path=_ONE, run=_remove, permission="admin", status=204, tag="locations",
        summary="Forget a probe and its place",
    ),
    Route(
        method="POST", path=_ONE + "/health-check", run=_ask, permission="operate", answer=LocationOut,
        tag="locations", summary="Ask a probe now how it is",
    ),
    Route(
        method="POST", path=_ONE + "/rotate-key", run=_rotate, permission="admin", body=KeyIn, answer=Rotated,
        tag="locations", summary="Replace a probe's key; both count until the new one is used",
    ),
    Route(
        method="POST", path=_ONE + "/join-token", run=_invite, permission="admin", answer=Invited, status=201,
        tag="locations", summary="What a pull probe joins with, once",
    ),
]  # fmt: skip
