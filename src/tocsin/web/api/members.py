"""The people of the workspace: listed, added, given another role, put out."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any

from msgspec import Struct

from tocsin.clock import new_id
from tocsin.core.access import BY_ROLE, Principal, UserRole, keeps_an_admin
from tocsin.core.account import Membership, User
from tocsin.core.alert import PERSON
from tocsin.core.result import iso
from tocsin.core.shape import Help, Hidden, Length
from tocsin.errors import Conflict, Denied
from tocsin.store import Session
from tocsin.web import passwords, signin
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


class MemberIn(Struct, frozen=True, kw_only=True):
    """A new account in this workspace, whose first password you hand over yourself. Whoever has an account is invited."""

    email: Annotated[str, Length(1, 254), Help("e-mail address")]
    role: Annotated[UserRole, Help("what they may do")] = "USER"
    password: Annotated[str, Length(1, 4096), Hidden, Help("their first password")]


class MemberChange(Struct, frozen=True, kw_only=True):
    """What can be changed of a member."""

    role: Annotated[UserRole, Help("what they may do from now on")]


async def visible(parts: Parts, who: Principal) -> list[dict[str, Any]]:
    """The workspace's people by address, as JSON data."""
    return await parts.store.of(who.workspace_id).read(_people)


def _people(s: Session) -> list[dict[str, Any]]:
    roles = {one.user_id: one.role for one in s.accounts.belonging()}
    return [
        {"id": u.id, "email": u.email, "role": roles[u.id], "disabled": u.disabled, "created_at": iso(u.created_at)}
        for u in s.accounts.users()
    ]


def only_people(who: Principal) -> None:
    """Return if the caller is a signed-in person; raises Denied for API keys: one that leaked could let in people, who
    outlive it."""
    if who.kind != "session":
        raise Denied("only a signed-in person can say who belongs to a workspace")


async def add(parts: Parts, who: Principal, wanted: MemberIn, now: datetime) -> str:
    """The id of a new account that belongs here. Conflict when the address has an account already: it is invited."""
    only_people(who)
    email = signin.email_of(wanted.email)
    passwords.check(wanted.password)
    user = User(
        id=new_id(), email=email, password_hash=await passwords.hashed(parts.memory, wanted.password), created_at=now
    )

    def work(s: Session) -> None:
        if s.accounts.user_by_email(email) is not None:
            raise Conflict("this address has an account already: invite it instead")
        s.accounts.add_user(user)
        s.accounts.add_membership(Membership(user_id=user.id, workspace_id=who.workspace_id, role=wanted.role))

    await parts.store.everything(by=who.name).write(work)
    await changed(parts, who.workspace_id)
    return user.id


async def change(parts: Parts, who: Principal, member: str, role: UserRole, now: datetime) -> None:
    """Give a member another role; keys of theirs that may do more than it are revoked. NotFound for somebody who is no
    member, Conflict when nobody would be left to administer the workspace."""
    only_people(who)

    def work(s: Session) -> None:
        _check_admins(s, member, role)
        s.accounts.set_role(member, role)
        _end_what_they_made(s, member, now, BY_ROLE[role].issuperset)

    await parts.store.of(who.workspace_id, by=who.name).write(work)
    await changed(parts, who.workspace_id)


async def remove(parts: Parts, who: Principal, member: str, now: datetime) -> None:
    """Put a member out: their sign-ins, keys and invitations in this workspace end, and nothing more is mailed to them.
    NotFound and Conflict as in `change`."""
    only_people(who)

    def work(s: Session) -> None:
        _check_admins(s, member, None)
        _end_what_they_made(s, member, now, lambda _: False)
        s.sessions.end_all(member, now)
        s.outbox.drop(who.workspace_id, PERSON + member, "no member any more")
        s.accounts.remove_membership(member)

    await parts.store.of(who.workspace_id, by=who.name).write(work)
    await changed(parts, who.workspace_id)


def _check_admins(s: Session, member: str, role: UserRole | None) -> None:
    able = {user.id for user in s.accounts.users() if not user.disabled}
    roles: dict[str, UserRole] = {one.user_id: one.role for one in s.accounts.belonging() if one.user_id in able}
    if s.accounts.memberships(member) and not keeps_an_admin(roles, member, role):
        raise Conflict("the last administrator of a workspace cannot leave it or be less; make somebody else one first")


def _end_what_they_made(s: Session, member: str, now: datetime, keeps: Callable[[Any], bool]) -> None:
    """End a member's keys, but those whose permissions they keep; and their invitations, unless they may still invite."""
    for key in s.api_keys.list():
        if key.created_by == member and key.revoked_at is None and not keeps(BY_ROLE[key.role]):
            s.api_keys.revoke(key.id, now)
    user = s.accounts.user(member)
    for invitation in s.invitations.list() if not keeps({"admin"}) else []:
        if user is not None and invitation.created_by == user.email:
            s.invitations.delete(invitation.id)


async def changed(parts: Parts, workspace_id: str) -> None:
    """Look everybody up again, and tell the corridor whom it can reach."""
    parts.memory.known.forget()
    await parts.corridor.telling_changed(workspace_id)


async def _one(call: Call, member: str, status: int = 200) -> Reply:
    people = await visible(call.parts, call.who)
    return Reply(data=next(person for person in people if person["id"] == member), status=status)


async def _index(call: Call) -> Reply:
    return Reply(data={"items": await visible(call.parts, call.who), "next_cursor": None})


async def _make(call: Call) -> Reply:
    return await _one(call, await add(call.parts, call.who, call.body, call.now), 201)


async def _edit(call: Call) -> Reply:
    wanted: MemberChange = call.body
    await change(call.parts, call.who, call.path["id"], wanted.role, call.now)
    return await _one(call, call.path["id"])


async def _end(call: Call) -> Reply:
    await remove(call.parts, call.who, call.path["id"], call.now)
    return Reply(status=204)


_HERE, _ONE = "/api/v1/members", "/api/v1/members/{id}"
ROUTES = [
    Route(
        method="GET", path=_HERE, run=_index, permission="read", answer=MemberList, tag="accounts",
        summary="The people of the workspace",
    ),
    Route(
        method="POST", path=_HERE, run=_make, permission="admin", body=MemberIn, answer=MemberOut, tag="accounts",
        status=201, summary="Make an account for somebody new",
    ),
    Route(
        method="PATCH", path=_ONE, run=_edit, permission="admin", body=MemberChange, answer=MemberOut, tag="accounts",
        summary="Give a member another role",
    ),
    Route(
        method="DELETE", path=_ONE, run=_end, permission="admin", tag="accounts", status=204,
        summary="Put a member out; their sign-ins and keys here end",
    ),
]  # fmt: skip
