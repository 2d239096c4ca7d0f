"""Members: who belongs to the workspace and as what; invitations that wait; whoever is invited is shown their link once."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from tocsin.core import shape
from tocsin.core.access import ROLES
from tocsin.errors import Conflict, Invalid
from tocsin.web.api import invitations, members
from tocsin.web.call import Call, Reply, Route
from tocsin.web.pages import view, words

_MAY = {
    "ADMIN": "everything, members and settings too",
    "USER": "monitors, channels, rules, incidents",
    "VIEWER": "looks, and changes nothing",
}


class Done(Struct, frozen=True, kw_only=True):
    """What was done just before."""

    did: str = ""


async def index(call: Call) -> Reply:
    """The page."""
    done: Done = call.query or Done()
    did = {"role": "Role changed.", "removed": "Put out.", "ended": "Invitation taken back."}.get(done.did, "")
    return await _page(call, did=did)


async def _page(
    call: Call, *, made: invitations.Made | None = None, typed: str = "", error: str = "", did: str = "",
    said: str = "", status: int = 200,
) -> Reply:  # fmt: skip
    admin = view.frame(call).can_admin
    return view.page(
        call, "members.html", section="members", status=status, me=call.who.user_id, roles=ROLES, may=_MAY,
        people=await members.visible(call.parts, call.who), made=made, typed=typed, error=error, did=did, said=said,
        waiting=await invitations.visible(call.parts, call.who, call.now) if admin else [],
        mails=call.parts.settings["SMTP_URL"] is not None,
    )  # fmt: skip


async def invite(call: Call) -> Reply:
    """Ask somebody in; where no mail goes out, show the link this once."""
    email = view.first(call, "email")
    try:
        wanted = shape.read(invitations.InvitationIn, {"email": email, "role": view.first(call, "role", "USER")})
        made = await invitations.invite(call.parts, call.who, wanted, call.now)
    except Invalid as error:
        return await _page(call, typed=email, error=" ".join(view.problems(error).values()), status=422)
    except Conflict as error:
        return await _page(call, typed=email, error=words.sentence(error), status=409)
    return await _page(call, made=made)


async def change(call: Call) -> Reply:
    """Give a member another role."""
    role = view.first(call, "role")
    if role not in ROLES:
        return await _page(call, said="Choose one of the roles.", status=422)
    try:
        await members.change(call.parts, call.who, call.path["id"], role, call.now)
    except Conflict as error:
        return await _page(call, said=words.sentence(error), status=409)
    return view.see_other("/settings/members?did=role")


async def remove(call: Call) -> Reply:
    """Put a member out."""
    try:
        await members.remove(call.parts, call.who, call.path["id"], call.now)
    except Conflict as error:
        return await _page(call, said=words.sentence(error), status=409)
    return view.see_other("/settings/members?did=removed" if call.path["id"] != call.who.user_id else "/login")


async def take_back(call: Call) -> Reply:
    """End an invitation."""
    await invitations.take_back(call.parts, call.who, call.path["id"])
    return view.see_other("/settings/members?did=ended")


_ADMIN: dict[str, Any] = {"kind": "page", "permission": "admin", "tag": "pages"}
_HERE, _ONE = "/settings/members", "/settings/members/{id}"
ROUTES = [
    Route(
        method="GET", path=_HERE, run=index, summary="Members", query=Done, loose=True, kind="page", permission="read",
        tag="pages",
    ),
    Route(method="POST", path=_HERE + "/invite", run=invite, summary="Invite somebody", **_ADMIN),
    Route(method="POST", path=_ONE + "/role", run=change, summary="Change a role", **_ADMIN),
    Route(method="POST", path=_ONE + "/remove", run=remove, summary="Put a member out", **_ADMIN),
    Route(
        method="POST", path="/settings/invitations/{id}/end", run=take_back, summary="Take an invitation back", **_ADMIN
    ),
]  # fmt: skip
