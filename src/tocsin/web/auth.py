"""Who calls, and whether they may. One kind of principal for sessions, API keys and cookies;
`core.access.may` decides."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from msgspec import Struct

from tocsin.core.access import Permission, Principal, UserRole, may
from tocsin.errors import Denied, NotFound, StoreUnavailable
from tocsin.telemetry import logger
from tocsin.web import agent_door, signin, tokens

if TYPE_CHECKING:
    from tocsin.core.account import ApiKey
    from tocsin.store import Session
    from tocsin.web.parts import Parts

log = logger(__name__)
_TOUCH_S = 300


class Caller(Struct, frozen=True, kw_only=True):
    """Who calls. `by_cookie`: a browser sends this by itself, so writes need an Origin. `cookies`:
    renewed ones to set."""

    principal: Principal | None = None
    by_cookie: bool = False
    cookies: tuple[str, ...] = ()


async def caller_of(
    parts: Parts,
    headers: Mapping[str, str],
    cookies: Mapping[str, str],
    permission: Permission,
    now: datetime,
    *,
    secure: bool,
) -> Caller:
    """The caller behind these headers and cookies. Raises Denied when credentials were shown that are not good; an
    absent Authorization header and no cookie is nobody."""
    if (shown := headers.get("authorization")) is not None:
        scheme, _, token = shown.partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token:
            raise Denied("expected Authorization: Bearer and a token", authenticated=False)
        if permission == "metrics" and (known := parts.settings["METRICS_TOKEN"]) and known.same(token):
            return Caller(principal=_SCRAPER)
        principal = await bearer(parts, token, now)
        if principal is None:
            raise Denied("this token is not valid, or no longer", authenticated=False)
        return Caller(principal=principal)
    session, refresh = cookies.get("tocsin_session"), cookies.get("tocsin_refresh")
    if session and (principal := await _session(parts, session, now)) is not None:
        return Caller(principal=principal, by_cookie=True)
    if refresh:
        try:
            given = await signin.refresh(parts, refresh, now)
        except Denied:
            return Caller(cookies=signin.cleared_cookies())
        principal = await _session(parts, given.access_token, now)
        return Caller(principal=principal, by_cookie=True, cookies=signin.cookies_for(given, secure=secure))
    return Caller()


_SCRAPER = Principal(
    kind="api_key", workspace_id="", role="VIEWER", user_id=None, name="metrics token", scopes=("metrics",)
)


async def bearer(parts: Parts, token: str, now: datetime) -> Principal | None:
    """Whom a bearer token (a session's access token or an API key) stands for, or None."""
    if token.startswith(tokens.KEY_PREFIX):
        return await _api_key(parts, token, now)
    if token.startswith(agent_door.PREFIXES):
        return await agent_door.principal_of(parts, token, now)
    return await _session(parts, token, now)


def allow(principal: Principal | None, permission: Permission) -> None:
    """Return if the caller may do this, else raise Denied (401 for nobody, 403 for somebody)."""
    if not may(principal, permission):
        if principal is None:
            raise Denied("sign in, or send Authorization: Bearer with a token", authenticated=False)
        kind = principal.role.lower() if principal.kind in ("session", "api_key") else f"the {principal.kind} key of"
        raise Denied(f"this needs the permission {permission!r}, which {kind} {principal.name} does not have")


async def still(parts: Parts, principal: Principal, now: datetime) -> bool:
    """Whether the caller is now what they were: same role, not signed out, not revoked.
    For connections that stay open."""
    if principal.key_id is not None:
        key_id = principal.key_id
        try:
            key = await parts.store.of(principal.workspace_id).read(lambda s: s.api_keys.get(key_id))
        except NotFound:
            return False
        return _good(key, now) and _of_key(key) == principal
    session_id, user_id = principal.session_id, principal.user_id
    if session_id is None or user_id is None:
        return False
    workspace_id = principal.workspace_id
    found = await parts.store.everything().read(lambda s: _look_up(s, session_id, user_id, workspace_id, None, now))
    return found == principal


async def _session(parts: Parts, token: str, now: datetime) -> Principal | None:
    claims = tokens.read_access_token(parts.signing_key, token, now)
    if claims is None:
        return None
    name, tick = (
        f"{claims.session_id} {claims.user_id} {claims.workspace_id} {claims.token_version}",
        parts.clock.monotonic(),
    )
    if (known := parts.memory.known.get(name, tick)) is not None:
        return known
    found = await parts.store.everything().read(
        lambda s: _look_up(s, claims.session_id, claims.user_id, claims.workspace_id, claims.token_version, now)
    )
    if found is not None:
        parts.memory.known.keep(name, found, tick)
    return found


def _look_up(
    s: Session, session_id: str, user_id: str, workspace_id: str, token_version: int | None, now: datetime
) -> Principal | None:
    session, user = s.sessions.get(session_id), s.accounts.user(user_id)
    if session is None or user is None or user.disabled or session.ended_at is not None or session.expires_at <= now:
        return None
    if session.user_id != user_id or session.workspace_id != workspace_id:
        return None
    if token_version is not None and user.token_version != token_version:
        return None
    roles: dict[str, UserRole] = {member.workspace_id: member.role for member in s.accounts.memberships(user_id)}
    if workspace_id not in roles:
        return None
    known = s.accounts.workspaces() if len(roles) > 1 else []
    return Principal(
        kind="session", workspace_id=workspace_id, role=roles[workspace_id], user_id=user_id, name=user.email,
        session_id=session_id, workspaces=tuple((place.id, place.name) for place in known if place.id in roles),
    )  # fmt: skip


async def _api_key(parts: Parts, token: str, now: datetime) -> Principal | None:
    if len(token) > 128:
        return None
    wanted, tick = tokens.hash_of(token), parts.clock.monotonic()
    if (known := parts.memory.known.get(wanted, tick)) is not None:
        return known
    key = await parts.store.everything().read(lambda s: s.api_keys.by_hash(wanted))
    if key is None or not tokens.same(key.key_hash, wanted) or not _good(key, now):
        return None
    principal = _of_key(key)
    parts.memory.known.keep(wanted, principal, tick)
    if key.last_used_at is None or (now - key.last_used_at).total_seconds() >= _TOUCH_S:
        try:
            await parts.store.of(key.workspace_id).write(lambda s: s.api_keys.touch(key.id, now))
        except StoreUnavailable as error:
            log.warning("auth.key_use_not_noted", key=key.id, error=str(error))
    return principal


def _good(key: ApiKey, now: datetime) -> bool:
    return key.revoked_at is None and (key.expires_at is None or key.expires_at > now)


def _of_key(key: ApiKey) -> Principal:
    return Principal(
        kind="api_key", workspace_id=key.workspace_id, role=key.role, user_id=None, name=key.name, key_id=key.id,
        scopes=key.scopes,
    )  # fmt: skip
