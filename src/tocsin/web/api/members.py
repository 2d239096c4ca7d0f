"""GET /members: the people of the workspace."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from tocsin.core.access import Principal, UserRole
from tocsin.core.result import iso
from tocsin.web.call import Call, Reply, Route
from tocsin.web.parts import Parts


class MemberOut(Struct, frozen=True, kw_only=True):
    """A person of the workspace."""

    id: str
    email: str
    role: UserRole
    disabled: bool
    created_at: str


class MemberList(Struct, frozen=True, kw_only=True):
    """A page of people; `next_cursor` leads to the next, null at the end."""

    items: list[MemberOut]
    next_cursor: str | None


async def visible(parts: Parts, who: Principal) -> list[dict[str, Any]]:
    """The workspace's people by address, as JSON data."""
    pairs = await parts.store.of(who.workspace_id).read(
        lambda s: [(u, m) for u in s.accounts.users() for m in s.accounts.memberships(u.id)]
    )
    return [
        {"id": u.id, "email": u.email, "role": m.role, "disabled": u.disabled, "created_at": iso(u.created_at)}
        for u, m in pairs
    ]


async def _index(call: Call) -> Reply:
    return Reply(data={"items": await visible(call.parts, call.who), "next_cursor": None})


ROUTES = [
    Route(
        method="GET", path="/api/v1/members", run=_index, permission="read", answer=MemberList, tag="accounts",
        summary="The people of the workspace",
    )
]  # fmt: skip
