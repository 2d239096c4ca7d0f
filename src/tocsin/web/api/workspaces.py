"""The workspaces that a person belongs to: seen, and gone to."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from tocsin.core.access import Principal, UserRole
from tocsin.web import signin
from tocsin.web.call import Call, Reply, Route
from tocsin.web.parts import Parts


class WorkspaceOut(Struct, frozen=True, kw_only=True):
    """One of them, and one's role there. `here`: this session is in it."""

    id: str
    name: str
    role: UserRole
    here: bool


class WorkspaceList(Struct, frozen=True, kw_only=True):
    """All of them, oldest first; `next_cursor` is null."""

    items: list[WorkspaceOut]
    next_cursor: str | None


async def visible(parts: Parts, who: Principal) -> list[dict[str, Any]]:
    """Where the caller belongs, as JSON data."""
    roles, places = await parts.store.everything().read(
        lambda s: ({m.workspace_id: m.role for m in s.accounts.memberships(who.user_id or "")}, s.accounts.workspaces())
    )
    return [
        {"id": place.id, "name": place.name, "role": roles[place.id], "here": place.id == who.workspace_id}
        for place in places
        if place.id in roles
    ]


async def _index(call: Call) -> Reply:
    return Reply(data={"items": await visible(call.parts, call.who), "next_cursor": None})


async def _enter(call: Call) -> Reply:
    agent = call.headers.get("user-agent", "")
    given = await signin.move(call.parts, call.who, call.path["id"], call.now, agent)
    cookies = signin.cookies_for(given, secure=call.secure) if "tocsin_session" in call.cookies else ()
    return Reply(data=given, cookies=cookies)


ROUTES = [
    Route(
        method="GET", path="/api/v1/workspaces", run=_index, permission="self", answer=WorkspaceList, tag="accounts",
        summary="The workspaces that one belongs to",
    ),
    Route(
        method="POST", path="/api/v1/workspaces/{id}/enter", run=_enter, permission="self", answer=signin.SignedIn,
        tag="accounts", summary="Go to another of them: a session there in place of this one",
    ),
]  # fmt: skip
