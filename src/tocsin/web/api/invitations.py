"""Invitations: made by an admin, mailed or shown once, accepted once by whoever has the link."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from msgspec import Struct

from tocsin import notifiers
from tocsin.clock import new_id
from tocsin.core.access import Principal, UserRole
from tocsin.core.account import Membership, User
from tocsin.core.invitation import LASTS, MOST, Invitation, letter
from tocsin.core.limits import address_name
from tocsin.core.result import iso
from tocsin.core.shape import Help, Hidden, Length
from tocsin.errors import Conflict, DeliveryFailed, NotFound
from tocsin.store import Session
from tocsin.telemetry import logger
from tocsin.web import passwords, signin, tokens
from tocsin.web.api import members
from tocsin.web.call import Call, Reply, Route
from tocsin.web.parts import Parts

log = logger(__name__)
_MAIL_S = 20.0


class InvitationIn(Struct, frozen=True, kw_only=True):
    """Who is asked in."""

    email: Annotated[str, Length(1, 254), Help("e-mail address; an earlier invitation to it ends")]
    role: Annotated[UserRole, Help("what they may do")] = "USER"


class InvitationOut(Struct, frozen=True, kw_only=True):
    """An invitation that waits for its answer, without its link."""

    id: str
    email: str
    role: UserRole
    created_by: str
    created_at: str | None
    expires_at: str | None


class InvitationMade(InvitationOut, frozen=True, kw_only=True):
    """An invitation just made. Where no mail went out, `link` is there, this once, and `mail_error` says why if one was
    tried."""

    mailed: bool
    link: str | None
    mail_error: str | None


class InvitationList(Struct, frozen=True, kw_only=True):
    """A page of invitations; `next_cursor` leads to the next, null at the end."""

    items: list[InvitationOut]
    next_cursor: str | None


class Accepted(Struct, frozen=True, kw_only=True):
    """The link's last part, and a password: the account's own, or a new one where the address has no account yet."""

    token: Annotated[str, Length(1, 200), Hidden, Help("what the link ends with")]
    password: Annotated[str, Length(1, 4096), Hidden, Help("the account's password; a new one for a new account")]


class Opened(Struct, frozen=True, kw_only=True):
    """What a link leads to."""

    invitation: Invitation
    workspace: str
    user: User | None


class Made(Struct, frozen=True, kw_only=True):
    """An invitation, and its link where no mail went out."""

    invitation: Invitation
    link: str | None
    mail_error: str | None = None


def invitation_json(invitation: Invitation) -> dict[str, Any]:
    """An invitation as JSON data, without what its link is known by."""
    i = invitation
    return {
        "id": i.id, "email": i.email, "role": i.role, "created_by": i.created_by, "created_at": iso(i.created_at),
        "expires_at": iso(i.expires_at),
    }  # fmt: skip


async def visible(parts: Parts, who: Principal, now: datetime) -> list[Invitation]:
    """Those that wait for an answer, newest first."""
    kept = await parts.store.of(who.workspace_id).read(lambda s: s.invitations.list())
    return [one for one in reversed(kept) if one.expires_at > now]


async def invite(parts: Parts, who: Principal, wanted: InvitationIn, now: datetime) -> Made:
    """Ask somebody in. Conflict when they are in, or too many invitations are open."""
    members.only_people(who)
    email, secret = signin.email_of(wanted.email), tokens.new_secret()
    made = Invitation(
        id=new_id(), workspace_id=who.workspace_id, email=email, role=wanted.role, token_hash=tokens.hash_of(secret),
        created_by=who.name, created_at=now, expires_at=now + LASTS,
    )  # fmt: skip

    def work(s: Session) -> str:
        if s.accounts.user_by_email(email) is not None:  # only members are seen from here
            raise Conflict(f"{email} is a member already")
        if sum(one.expires_at > now and one.email != email for one in s.invitations.list()) >= MOST:
            raise Conflict(f"{MOST} invitations are open; take some back first")
        s.invitations.put(made)
        place = s.accounts.workspace(who.workspace_id)
        return place.name if place is not None else ""

    workspace = await parts.store.of(who.workspace_id, by=who.name).write(work)
    link = f"{parts.settings.base_url.rstrip('/')}/invitations/{secret}"
    if parts.settings["SMTP_URL"] is None:
        return Made(invitation=made, link=link)
    try:
        await notifiers.send(
            *letter(made, workspace, link), parts.net, smtp_url=parts.settings["SMTP_URL"], deadline_s=_MAIL_S
        )
    except DeliveryFailed as error:
        log.warning("invitation.not_mailed", invitation=made.id, error=str(error))
        return Made(invitation=made, link=link, mail_error=str(error))
    return Made(invitation=made, link=None)


async def take_back(parts: Parts, who: Principal, invitation_id: str) -> None:
    """End an invitation: its link leads nowhere any more."""
    members.only_people(who)
    await parts.store.of(who.workspace_id, by=who.name).write(lambda s: s.invitations.delete(invitation_id))


async def opened(parts: Parts, token: str, client: str, now: datetime) -> Opened:
    """What a link leads to; looking changes nothing. Raises NotFound for one that is wrong, used, taken back or too old,
    TooMany for an address that tries many."""
    hashed = tokens.hash_of(token)

    def look(s: Session) -> Opened | None:
        found = s.invitations.by_hash(hashed)
        if found is None or not tokens.same(found.token_hash, hashed) or found.expires_at <= now:
            return None
        place = s.accounts.workspace(found.workspace_id)
        user = s.accounts.user_by_email(found.email)
        return Opened(invitation=found, workspace=place.name if place is not None else "", user=user)

    found = await parts.store.everything().read(look)
    if found is None:
        parts.memory.wrong_links.count(address_name(client), parts.clock.monotonic())
        raise NotFound("this invitation was used, taken back, or is too old; ask for another one")
    return found


async def accept(parts: Parts, call: Call, token: str, password: str) -> signin.SignedIn:
    """Join, once, and be signed in there. A new account gets this password; who has an account shows theirs, unless they
    are signed in. Raises what `opened` and `signin.proven` raise, Invalid for a password that is none."""
    found = await opened(parts, token, call.client, call.now)
    invitation, user, now = found.invitation, found.user, call.now
    if user is None:
        passwords.check(password)
        hashed = await passwords.hashed(parts.memory, password)
        user = User(id=new_id(), email=invitation.email, password_hash=hashed, created_at=now)
    elif call.principal is None or call.principal.user_id != user.id:
        user = await signin.proven(parts, email=invitation.email, password=password, client=call.client)
    joins = Membership(user_id=user.id, workspace_id=invitation.workspace_id, role=invitation.role)
    new = found.user is None

    def work(s: Session) -> None:
        s.invitations.delete(invitation.id)  # NotFound for whoever comes second
        if new:
            s.accounts.add_user(user)
        if all(one.workspace_id != joins.workspace_id for one in s.accounts.memberships(user.id)):
            s.accounts.add_membership(joins)

    await parts.store.everything(by=user.email).write(work)
    await members.changed(parts, invitation.workspace_id)
    log.info("invitation.accepted", user=user.id, workspace=invitation.workspace_id)
    return await signin.enter(parts, user, invitation.workspace_id, now, call.headers.get("user-agent", ""))


async def _index(call: Call) -> Reply:
    items = [invitation_json(one) for one in await visible(call.parts, call.who, call.now)]
    return Reply(data={"items": items, "next_cursor": None})


async def _make(call: Call) -> Reply:
    made = await invite(call.parts, call.who, call.body, call.now)
    told = {"mailed": made.link is None, "link": made.link, "mail_error": made.mail_error}
    return Reply(data=invitation_json(made.invitation) | told, status=201)


async def _end(call: Call) -> Reply:
    await take_back(call.parts, call.who, call.path["id"])
    return Reply(status=204)


async def _accept(call: Call) -> Reply:
    wanted: Accepted = call.body
    return Reply(data=await accept(call.parts, call, wanted.token, wanted.password))


_HERE = "/api/v1/invitations"
ROUTES = [
    Route(
        method="GET", path=_HERE, run=_index, permission="admin", answer=InvitationList, tag="accounts",
        summary="Invitations that wait for an answer",
    ),
    Route(
        method="POST", path=_HERE, run=_make, permission="admin", body=InvitationIn, answer=InvitationMade,
        tag="accounts", status=201, summary="Ask somebody in, by mail or by a link that is shown once",
    ),
    Route(
        method="DELETE", path=_HERE + "/{id}", run=_end, permission="admin", tag="accounts", status=204,
        summary="Take an invitation back",
    ),
    Route(
        method="POST", path=_HERE + "/accept", run=_accept, permission="public", body=Accepted, answer=signin.SignedIn,
        tag="accounts", summary="Accept an invitation, and be signed in",
    ),
]  # fmt: skip
