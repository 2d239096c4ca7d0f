"""API keys: made, listed without their secret, revoked."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from msgspec import Struct

from tocsin.clock import new_id
from tocsin.core.access import BY_ROLE, Principal, UserRole
from tocsin.core.account import ApiKey
from tocsin.core.result import iso
from tocsin.core.shape import Help, Length, Name, read
from tocsin.errors import Denied, Invalid, NotFound, Problem
from tocsin.web import auth, tokens
from tocsin.web.call import Call, Reply, Route
from tocsin.web.parts import Parts

Scope = Literal["read", "operate", "write", "admin", "metrics"]


class KeyIn(Struct, frozen=True, kw_only=True):
    """A key to be made. It never may more than the person who makes it."""

    name: Annotated[Name, Length(1, 100), Help("what it is for")]
    role: Annotated[UserRole | None, Help("what it may at most; left out: as its maker")] = None
    scopes: Annotated[tuple[Scope, ...], Length(0, 5), Help("narrows the role; none: all of the role")] = ()
    expires_at: Annotated[datetime | None, Help("when it ends by itself")] = None


class KeyOut(Struct, frozen=True, kw_only=True):
    """A key without its secret. `prefix` is how it begins."""

    id: str
    name: str
    role: UserRole
    scopes: list[str]
    prefix: str
    created_by: str | None
    created_at: str | None
    expires_at: str | None
    last_used_at: str | None
    revoked_at: str | None


class KeyMade(KeyOut, frozen=True, kw_only=True):
    """A key just made. `key` is shown this once."""

    key: str


class KeyList(Struct, frozen=True, kw_only=True):
    """A page of API keys; `next_cursor` leads to the next, null at the end."""

    items: list[KeyOut]
    next_cursor: str | None


def key_json(key: ApiKey) -> dict[str, Any]:
    """A key as JSON data, without what it is looked up by."""
    return {
        "id": key.id, "name": key.name, "role": key.role, "scopes": list(key.scopes), "prefix": key.prefix,
        "created_by": key.created_by, "created_at": iso(key.created_at), "expires_at": iso(key.expires_at),
        "last_used_at": iso(key.last_used_at), "revoked_at": iso(key.revoked_at),
    }  # fmt: skip


async def create(parts: Parts, who: Principal, data: dict[str, Any], now: datetime) -> tuple[ApiKey, str]:
    """(the key's record, the key itself): the only time that anybody sees it. Denied to API keys: one that leaked could
    make others, which outlive it."""
    if who.kind != "session":
        raise Denied("only a signed-in person can make API keys")
    wanted = read(KeyIn, data)
    role = wanted.role or who.role
    if not BY_ROLE[role] <= BY_ROLE[who.role]:
        raise Denied(f"a {who.role.lower()} cannot make a key for {role.lower()}")
    if wanted.expires_at is not None and wanted.expires_at <= now:
        raise Invalid(Problem("expires_at", "a time to come", iso(wanted.expires_at) or ""))
    secret = tokens.new_api_key()
    key = ApiKey(
        id=new_id(), workspace_id=who.workspace_id, name=wanted.name.strip(), role=role, prefix=secret[:10],
        key_hash=tokens.hash_of(secret), scopes=tuple(dict.fromkeys(wanted.scopes)), created_by=who.user_id,
        created_at=now, expires_at=wanted.expires_at,
    )  # fmt: skip
    await parts.store.of(who.workspace_id, by=who.name).write(lambda s: s.api_keys.add(key))
    return key, secret


async def visible(parts: Parts, who: Principal) -> list[ApiKey]:
    """The workspace's keys, newest first: all of them for an admin, else one's own."""
    keys = await parts.store.of(who.workspace_id).read(lambda s: s.api_keys.list())
    admin = auth.may(who, "admin")
    return sorted((k for k in keys if admin or _own(who, k)), key=lambda k: (k.created_at, k.id), reverse=True)


def _own(who: Principal, key: ApiKey) -> bool:
    return (who.user_id is not None and key.created_by == who.user_id) or (
        who.key_id is not None and key.id == who.key_id
    )


async def revoke(parts: Parts, who: Principal, key_id: str, now: datetime) -> None:
    """End a key at once. Raises NotFound for one that the caller cannot see."""
    scoped = parts.store.of(who.workspace_id, by=who.name)
    key = await scoped.read(lambda s: s.api_keys.get(key_id))
    if not (auth.may(who, "admin") or _own(who, key)):
        raise NotFound(f"there is no API key {key_id}")
    await scoped.write(lambda s: s.api_keys.revoke(key_id, now))
    parts.memory.known.forget()


async def _index(call: Call) -> Reply:
    return Reply(data={"items": [key_json(k) for k in await visible(call.parts, call.who)], "next_cursor": None})


async def _make(call: Call) -> Reply:
    key, secret = await create(call.parts, call.who, call.data, call.now)
    return Reply(data=key_json(key) | {"key": secret}, status=201)


async def _end(call: Call) -> Reply:
    await revoke(call.parts, call.who, call.path["id"], call.now)
    return Reply(status=204)


ROUTES = [
    Route(
        method="GET", path="/api/v1/api-keys", run=_index, permission="read", answer=KeyList, tag="accounts",
        summary="API keys, without their secrets",
    ),
    Route(
        method="POST", path="/api/v1/api-keys", run=_make, permission="write", body=KeyIn, answer=KeyMade, reads=False,
        tag="accounts", status=201, summary="Make an API key, shown once",
    ),
    Route(
        method="DELETE", path="/api/v1/api-keys/{id}", run=_end, permission="write", tag="accounts", status=204,
        summary="Revoke an API key",
    ),
]  # fmt: skip
