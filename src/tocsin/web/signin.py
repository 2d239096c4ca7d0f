"""Signing in, staying signed in and signing out: actions that the API and the pages share.

A session is a chain of refresh tokens. Each use gives the next one; the token before the newest is accepted again for
ten seconds (two tabs that renew at the same moment get the same successor), later or older it is reuse, and ends the
session.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from msgspec import Struct

from tocsin.clock import new_id
from tocsin.core.access import Principal
from tocsin.core.account import Session, User, Workspace
from tocsin.core.limits import TooMany, address_name
from tocsin.core.wording import one_line
from tocsin.errors import Conflict, Denied, Invalid, NotFound, Problem
from tocsin.pipeline.beginning import begin
from tocsin.store import Session as StoreSession
from tocsin.telemetry import logger
from tocsin.web import passwords, tokens

if TYPE_CHECKING:
    from tocsin.store import Session as StoreSession
    from tocsin.web.parts import Parts

log = logger(__name__)
_EMAIL = re.compile(r"[^\s@<>()\[\],;:\\\"\x00-\x1f\x7f]{1,64}@[^\s@<>()\[\],;:\\\"/\x00-\x1f\x7f]{1,253}")


class SignedIn(Struct, frozen=True, kw_only=True):
    """What a sign-in gives: both tokens, how long the first lasts, and where one is."""

    access_token: str
    refresh_token: str
    expires_in: int
    workspace_id: str
    token_type: str = "Bearer"  # noqa: S105


def email_of(text: str, field: str = "email") -> str:
    """The address in the form it is kept in; raises Invalid when it is none."""
    email = text.strip().lower()
    if not _EMAIL.fullmatch(email) or len(email) > 254 or not email.isprintable():
        raise Invalid(Problem(field, "an e-mail address", repr(text[:80])))
    return email


async def setup_open(parts: Parts) -> bool:
    """Whether the first account is still to be made."""
    if not parts.memory.setup_done:
        parts.memory.setup_done = await parts.store.everything().read(lambda s: s.accounts.setup_done())
    return not parts.memory.setup_done


async def setup(
    parts: Parts,
    *,
    email: str,
    password: str,
    workspace: str,
    setup_token: str | None,
    client: str,
    now: datetime,
    agent: str = "",
) -> SignedIn:
    """Make the first account, an ADMIN in a workspace of its own, and sign it in. Raises Conflict once one exists; of
    many at the same moment one succeeds. Denied without the setup token, where one is needed."""
    if not await setup_open(parts):
        raise Conflict("the first account exists already; sign in")
    if parts.setup_token is not None:
        name, tick = f"setup {address_name(client)}", parts.clock.monotonic()
        parts.memory.logins.count(name, tick)
        if not tokens.same(parts.setup_token, setup_token or ""):
            raise Denied("setup needs the setup token that the server printed at its start")
        parts.memory.logins.forgive(name)
    problems: list[Problem] = []
    for check in (lambda: email_of(email), lambda: passwords.check(password), lambda: _workspace_name(workspace)):
        try:
            check()
        except Invalid as error:
            problems.extend(error.problems)
    if problems:
        raise Invalid(*problems)
    user = User(
        id=new_id(), email=email_of(email), password_hash=await passwords.hashed(parts.memory, password), created_at=now
    )
    place = Workspace(id=new_id(), name=workspace.strip(), created_at=now)

    def make(s: StoreSession) -> None:
        s.accounts.create_first(user, place)
        begin(s, place.id, now)

    await parts.store.everything(by=user.email).write(make)
    parts.memory.setup_done = True
    await parts.corridor.telling_changed(place.id)
    log.info("signin.first_account", user=user.id, workspace=place.id)
    return await enter(parts, user, place.id, now, agent)


def _workspace_name(text: str) -> str:
    name = text.strip()
    if not 1 <= len(name) <= 100 or not name.isprintable():
        raise Invalid(Problem("workspace", "a name of 1 to 100 characters", repr(text[:80])))
    return name


async def proven(parts: Parts, *, email: str, password: str, client: str) -> User:
    """Whose address and password these are. Raises TooMany (counted for the account and for the address before any
    hash), Denied for a wrong pair, an unknown or disabled user alike."""
    account = email.strip().lower()[:254]
    names, tick = (f"account {account}", f"address {address_name(client)}"), parts.clock.monotonic()
    for number, name in enumerate(names):
        try:
            parts.memory.logins.count(name, tick)
        except TooMany:
            for counted in names[:number]:
                parts.memory.logins.forgive(counted)
            raise
    user = await parts.store.everything().read(lambda s: s.accounts.user_by_email(account))
    fits = await passwords.verified(parts.memory, password, user.password_hash if user else None)
    if user is None or not fits or user.disabled:
        log.info("signin.refused", client=client)
        raise Denied("e-mail address and password do not belong together", authenticated=False)
    for name in names:
        parts.memory.logins.forgive(name)
    return user


async def sign_in(
    parts: Parts, *, email: str, password: str, totp: str | None, client: str, now: datetime, agent: str = ""
) -> SignedIn:
    """Sign in. Raises what `proven` raises, and Invalid when a one-time code comes although none is set up."""
    user = await proven(parts, email=email, password=password, client=client)
    if totp:
        raise Invalid(Problem("totp", "nothing: this account has no second factor set up", "a code"))
    places = await parts.store.everything().read(lambda s: s.accounts.memberships(user.id))
    if not places:
        raise Denied("this account belongs to no workspace")
    return await enter(parts, user, places[0].workspace_id, now, agent)


async def enter(parts: Parts, user: User, workspace_id: str, now: datetime, agent: str) -> SignedIn:
    """Begin a session of a member in a workspace. The caller has made sure that it is them."""
    secret = tokens.new_secret()
    session = Session(
        id=new_id(), user_id=user.id, workspace_id=workspace_id, token_hash=tokens.hash_of(secret),
        created_at=now, used_at=now, expires_at=now + timedelta(seconds=tokens.REFRESH_S), agent=one_line(agent, 200),
    )  # fmt: skip
    await parts.store.everything(by=user.email).write(lambda s: s.sessions.add(session))
    return _given(parts, session, secret, user.token_version, now)


async def move(parts: Parts, who: Principal, workspace_id: str, now: datetime, agent: str) -> SignedIn:
    """A session in another workspace in place of the caller's. Raises NotFound for one that they do not belong to."""
    if who.user_id is None or who.session_id is None:
        raise Denied("only a signed-in person belongs to workspaces")
    user_id, session_id, secret = who.user_id, who.session_id, tokens.new_secret()
    session = Session(
        id=new_id(), user_id=user_id, workspace_id=workspace_id, token_hash=tokens.hash_of(secret), created_at=now,
        used_at=now, expires_at=now + timedelta(seconds=tokens.REFRESH_S), agent=one_line(agent, 200),
    )  # fmt: skip

    def change(s: StoreSession) -> int:
        user = s.accounts.user(user_id)
        if user is None or all(m.workspace_id != workspace_id for m in s.accounts.memberships(user_id)):
            raise NotFound(f"there is no workspace {workspace_id[:64]} that you belong to")
        s.sessions.add(session)
        s.sessions.end(session_id, now)
        return user.token_version

    token_version = await parts.store.everything(by=who.name).write(change)
    parts.memory.known.forget()
    return _given(parts, session, secret, token_version, now)


def _given(parts: Parts, session: Session, secret: str, token_version: int, now: datetime) -> SignedIn:
    claims = tokens.Claims(
        user_id=session.user_id, workspace_id=session.workspace_id, session_id=session.id, token_version=token_version,
        expires_at=tokens.expiry(now),
    )  # fmt: skip
    return SignedIn(
        access_token=tokens.access_token(parts.signing_key, claims, now),
        refresh_token=tokens.refresh_token(parts.signing_key, session.id, secret),
        expires_in=tokens.ACCESS_S,
        workspace_id=session.workspace_id,
    )


async def refresh(parts: Parts, token: str, now: datetime) -> SignedIn:
    """The next pair of tokens. Raises Denied for a token that is not good;
    one that was used before ends its session."""
    refused = Denied("this refresh token is not valid, or no longer", authenticated=False)
    if (split := tokens.split_refresh_token(parts.signing_key, token)) is None:
        raise refused
    session_id, secret = split
    shown, following = tokens.hash_of(secret), tokens.next_secret(parts.signing_key, session_id, secret)

    def turn(s: StoreSession) -> tuple[Session, User] | str:
        session = s.sessions.get(session_id)
        if session is None or session.ended_at is not None or session.expires_at <= now:
            return "over"
        user = s.accounts.user(session.user_id)
        if user is None or user.disabled:
            return "over"
        if tokens.same(session.token_hash, shown):
            s.sessions.rotate(session_id, tokens.hash_of(following), now, now + timedelta(seconds=tokens.REFRESH_S))
            return session, user
        age_s = (now - session.used_at).total_seconds()
        if age_s <= tokens.GRACE_S and tokens.same(session.token_hash, tokens.hash_of(following)):
            return session, user
        s.sessions.end(session_id, now)
        return "reuse"

    found = await parts.store.everything().write(turn)
    if isinstance(found, str):
        if found == "reuse":
            parts.memory.known.forget()
            log.warning("signin.refresh_reused", session=session_id)
        raise refused
    session, user = found
    return _given(parts, session, following, user.token_version, now)


async def sign_out(parts: Parts, who: Principal, now: datetime) -> None:
    """End the caller's session: its access tokens and its refresh chain."""
    if who.session_id is None:
        raise Denied("only a signed-in person can sign out; revoke an API key instead")
    session_id = who.session_id
    await parts.store.everything(by=who.name).write(lambda s: s.sessions.end(session_id, now))
    parts.memory.known.forget()


async def change_password(parts: Parts, who: Principal, *, current: str, new: str, now: datetime) -> SignedIn:
    """Set another password; every other session ends, and the caller's own goes on with the tokens returned."""
    if who.user_id is None or who.session_id is None:
        raise Denied("only a signed-in person has a password")
    user_id, session_id = who.user_id, who.session_id
    name, tick = f"account {who.name}", parts.clock.monotonic()
    parts.memory.logins.count(name, tick)
    user = await parts.store.everything().read(lambda s: s.accounts.user(user_id))
    if user is None or not await passwords.verified(parts.memory, current, user.password_hash):
        raise Invalid(Problem("password.current", "the present password", "another one"))
    parts.memory.logins.forgive(name)
    passwords.check(new, "password.new")
    fresh, secret = await passwords.hashed(parts.memory, new), tokens.new_secret()

    def change(s: StoreSession) -> tuple[Session, User]:
        s.accounts.set_password(user_id, fresh)
        s.sessions.end_all(user_id, now, except_id=session_id)
        s.sessions.rotate(session_id, tokens.hash_of(secret), now, now + timedelta(seconds=tokens.REFRESH_S))
        session, changed = s.sessions.get(session_id), s.accounts.user(user_id)
        if session is None or changed is None:
            raise Denied("this session is over", authenticated=False)
        return session, changed

    session, changed = await parts.store.everything(by=who.name).write(change)
    parts.memory.known.forget()
    log.info("signin.password_changed", user=user_id)
    return _given(parts, session, secret, changed.token_version, now)


def cookies_for(given: SignedIn, *, secure: bool) -> tuple[str, ...]:
    """Set-Cookie values for a browser: both HttpOnly and SameSite=Lax, Secure behind https."""
    tail = "; Path=/; HttpOnly; SameSite=Lax" + ("; Secure" if secure else "")
    return (
        f"tocsin_session={given.access_token}; Max-Age={given.expires_in}{tail}",
        f"tocsin_refresh={given.refresh_token}; Max-Age={tokens.REFRESH_S}{tail}",
    )


def cleared_cookies() -> tuple[str, ...]:
    """Set-Cookie values that make a browser forget both."""
    tail = "; Path=/; HttpOnly; SameSite=Lax; Max-Age=0"
    return ("tocsin_session=" + tail, "tocsin_refresh=" + tail)
