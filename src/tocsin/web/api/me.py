"""GET and PATCH /me: one's own account."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Struct

from tocsin.core.access import Principal
from tocsin.core.result import iso
from tocsin.core.shape import Help, Hidden, Length
from tocsin.errors import NotFound
from tocsin.web import signin
from tocsin.web.call import Call, Reply, Route
from tocsin.web.parts import Parts


class PasswordChange(Struct, frozen=True, kw_only=True):
    """The present password and the next one."""

    current: Annotated[str, Length(1, 4096), Hidden, Help("present password")]
    new: Annotated[str, Length(1, 4096), Hidden, Help("next password")]


class MeIn(Struct, frozen=True, kw_only=True):
    """What a person may change of the own account."""

    password: PasswordChange


class Me(Struct, frozen=True, kw_only=True):
    """The own account, and where one is."""

    id: str
    email: str
    role: str
    workspace: dict[str, str]
    created_at: str | None


class MeChanged(Me, frozen=True, kw_only=True):
    """The own account, with tokens that go on (every other session has ended)."""

    access_token: str
    refresh_token: str
    expires_in: int


async def describe(parts: Parts, who: Principal) -> dict[str, Any]:
    """The caller's account as JSON data."""
    user_id, workspace_id = who.user_id or "", who.workspace_id
    user, place = await parts.store.everything().read(
        lambda s: (s.accounts.user(user_id), s.accounts.workspace(workspace_id))
    )
    if user is None or place is None:
        raise NotFound("there is no such account")
    return {
        "id": user.id, "email": user.email, "role": who.role, "workspace": {"id": place.id, "name": place.name},
        "created_at": iso(user.created_at),
    }  # fmt: skip


async def _show(call: Call) -> Reply:
    return Reply(data=await describe(call.parts, call.who))


async def _change(call: Call) -> Reply:
    wanted: MeIn = call.body
    given = await signin.change_password(
        call.parts, call.who, current=wanted.password.current, new=wanted.password.new, now=call.now
    )
    shown = await describe(call.parts, call.who)
    told = {"access_token": given.access_token, "refresh_token": given.refresh_token, "expires_in": given.expires_in}
    cookies = signin.cookies_for(given, secure=call.secure) if "tocsin_session" in call.cookies else ()
    return Reply(data=shown | told, cookies=cookies)


ROUTES = [
    Route(
        method="GET", path="/api/v1/me", run=_show, permission="self", answer=Me, tag="accounts",
        summary="One's own account",
    ),
    Route(
        method="PATCH", path="/api/v1/me", run=_change, permission="self", body=MeIn, answer=MeChanged, tag="accounts",
        summary="Change one's password; every other session ends",
    ),
]  # fmt: skip
