"""GET /locations: the places that check."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from tocsin.web.call import Call, Reply, Route
from tocsin.web.parts import Parts


class LocationOut(Struct, frozen=True, kw_only=True):
    """A place that checks. `kind` home: this server itself."""

    code: str
    name: str
    region_code: str
    kind: str
    enabled: bool
    monitors: int


class LocationList(Struct, frozen=True, kw_only=True):
    """A page of places; `next_cursor` leads to the next, null at the end."""

    items: list[LocationOut]
    next_cursor: str | None


def visible(parts: Parts, workspace_id: str) -> list[dict[str, Any]]:
    """The places, with how many of the workspace's monitors each checks."""
    home = parts.corridor.watchlist.home
    watched = parts.corridor.watchlist.of(workspace_id)
    return [
        {
            "code": place, "name": place, "region_code": parts.settings["REGION_CODE"] if place == home else "",
            "kind": "home" if place == home else "probe", "enabled": True,
            "monitors": sum(place in w.assigned and not w.monitor.paused for w in watched),
        }
        for place in parts.corridor.runner.locations
    ]  # fmt: skip


async def _index(call: Call) -> Reply:
    return Reply(data={"items": visible(call.parts, call.who.workspace_id), "next_cursor": None})


ROUTES = [
    Route(
        method="GET", path="/api/v1/locations", run=_index, permission="read", answer=LocationList, tag="locations",
        summary="The places that check",
    )
]  # fmt: skip
