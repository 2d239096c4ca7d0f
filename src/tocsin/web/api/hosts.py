"""Hosts: made, changed, deleted; their keys; and what agents enrol with."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Annotated, Any

from msgspec import Struct
from msgspec.structs import replace

from tocsin.agent.api import hash_of
from tocsin.agent.settled import DIRECT
from tocsin.clock import new_id
from tocsin.core.access import Principal
from tocsin.core.host import ENROLMENT_PREFIX, LIFE_PREFIX, TWIN_MARK, EnrolmentKey, Host, Lives, released
from tocsin.core.result import iso
from tocsin.core.shape import Help, Length, Range, read
from tocsin.errors import Conflict, Invalid, Problem
from tocsin.pipeline.host_pings import order_of
from tocsin.store.cursor import read_cursor, write_cursor
from tocsin.web.api.given import as_object
from tocsin.web.api.host_data import (
    EnrolmentIn,
    EnrolmentList,
    EnrolmentMade,
    HostIn,
    HostList,
    HostMade,
    HostOut,
    editable,
    enrolment_json,
    host_json,
    state_of,
)
from tocsin.web.call import Call, Reply, Route
from tocsin.web.parts import Parts


class Release(Struct, frozen=True, kw_only=True):
    """Which of several agents with one identity is the host."""

    incarnation: Annotated[str, Length(1, 64), Help("one of `agents`: of its data folder, or its run")]


class Filter(Struct, frozen=True, kw_only=True):
    """Which hosts are listed."""

    limit: Annotated[int, Range(1, 1000)] = 1000
    cursor: Annotated[str | None, Length(0, 1000)] = None


def select(parts: Parts, who: Principal, wanted: Filter) -> tuple[list[dict[str, Any]], str | None]:
    """(a page of the hosts of the caller's workspace, by name; cursor of the next)."""
    hosts = [now.host for now in parts.corridor.hosts.of(who.workspace_id)]
    if wanted.cursor is not None:
        after = read_cursor(wanted.cursor, str, str)
        hosts = [host for host in hosts if _place(host) > after]
    page = hosts[: wanted.limit]
    more = write_cursor(*_place(page[-1])) if len(hosts) > len(page) else None
    return [_shown(parts, host.id, who.workspace_id) for host in page], more


def _place(host: Host) -> tuple[str, str]:
    return host.name.lower(), host.id


def one(parts: Parts, who: Principal, host_id: str) -> dict[str, Any]:
    """One host; raises NotFound."""
    return _shown(parts, host_id, who.workspace_id)


def _shown(parts: Parts, host_id: str, workspace_id: str) -> dict[str, Any]:
    hosts, incidents = parts.corridor.hosts, parts.corridor.watchlist.incidents
    now = hosts.get(workspace_id, host_id)
    opened = sum(i.open and i.host_id == host_id for (of, _), i in incidents.items() if of == workspace_id)
    tick = parts.clock.monotonic()
    return host_json(now, state_of(now, hosts.since, tick, parts.corridor.leads), opened, tick)


async def create(parts: Parts, who: Principal, data: Mapping[str, Any]) -> tuple[Host, str]:
    """(a new host, the key that its agent enrols with, once)."""
    wanted, now = read(HostIn, data), parts.clock.now()
    _check(parts, who, wanted)
    host = Host(
        id=new_id(), workspace_id=who.workspace_id, created_at=now, updated_at=now, name=wanted.name.strip(),
        **{name: getattr(wanted, name) for name in HostIn.__struct_fields__ if name != "name"},
    )  # fmt: skip
    key, secret = _new_key(parts, who, EnrolmentIn(name=host.name[:100], single_use=True), host.id)

    def work(s: Any) -> None:
        s.hosts.add(host)
        s.enrolment_keys.add(key)

    await parts.store.of(who.workspace_id, by=who.name).write(work)
    parts.corridor.hosts.put(host)
    return host, secret


async def change(parts: Parts, who: Principal, host_id: str, data: Mapping[str, Any]) -> Host:
    """Change some of a host's fields."""
    old = parts.corridor.hosts.get(who.workspace_id, host_id).host
    read(HostIn, {"name": "x", **data})
    wanted = read(HostIn, editable(old) | dict(data))
    _check(parts, who, wanted)
    fields = {name: getattr(wanted, name) for name in HostIn.__struct_fields__}
    return await _rewrite(parts, who, host_id, fields)


async def _rewrite(parts: Parts, who: Principal, host_id: str, fields: Mapping[str, Any]) -> Host:
    def work(s: Any) -> Host:
        return s.hosts.replace(replace(s.hosts.get(host_id), updated_at=s.now, **fields))

    host = await parts.store.of(who.workspace_id, by=who.name).write(work)
    parts.corridor.hosts.put(host)
    return host


async def delete(parts: Parts, who: Principal, host_id: str) -> None:
    """Forget a host, and what was kept of it; its incidents are closed."""
    parts.corridor.hosts.get(who.workspace_id, host_id)
    await parts.store.of(who.workspace_id, by=who.name).write(lambda s: s.hosts.delete(host_id))
    parts.memory.known.forget()
    await parts.corridor.hosts.changed(who.workspace_id)


async def rotate(parts: Parts, who: Principal, host_id: str) -> None:
    """Have its agent take a new key with its next heartbeat; both count until it uses the new one."""
    parts.corridor.hosts.get(who.workspace_id, host_id)
    await _rewrite(parts, who, host_id, {"rekey": True})


async def revoke(parts: Parts, who: Principal, host_id: str) -> int:
    """How many keys of its agent open nothing any more; it has to enrol anew."""
    parts.corridor.hosts.get(who.workspace_id, host_id)

    def work(s: Any) -> tuple[int, Host]:
        count, host = s.agent_keys.revoke(host_id), s.hosts.get(host_id)
        return count, s.hosts.replace(replace(host, revoked_at=s.now, updated_at=s.now)) if count else host

    count, host = await parts.store.of(who.workspace_id, by=who.name).write(work)
    parts.memory.known.forget()
    parts.corridor.hosts.put(host)
    return count


async def release(parts: Parts, who: Principal, host_id: str, incarnation: str) -> None:
    """Say which of several agents with one identity is the host. It is waited for from now on; the others are refused."""
    now = parts.corridor.hosts.get(who.workspace_id, host_id)
    old, life = now.host, now.lives.life
    known = [one for one in (old.incarnation, life, *old.quarantined, *old.refused) if one]
    if incarnation not in known:
        raise Invalid(Problem("incarnation", f"one that was heard: {', '.join(known)}", repr(incarnation)))

    def work(s: Any) -> Host:
        s.notices.clear(who.workspace_id, TWIN_MARK + host_id)
        return s.hosts.replace(replace(released(s.hosts.get(host_id), incarnation, life), updated_at=s.now))

    host = await parts.store.of(who.workspace_id, by=who.name).write(work)
    if incarnation not in (old.incarnation, life):
        if incarnation.startswith(LIFE_PREFIX):
            now.lives = Lives(incarnation=old.incarnation, life=incarnation, since=parts.clock.monotonic())
        parts.corridor.hosts.await_(now)
    parts.corridor.hosts.put(host)


async def invite(parts: Parts, who: Principal, host_id: str) -> str:
    """A new key that the agent of this host enrols with, once; nobody sees it again."""
    host = parts.corridor.hosts.get(who.workspace_id, host_id).host
    key, secret = _new_key(parts, who, EnrolmentIn(name=host.name[:100], single_use=True), host_id)
    await parts.store.of(who.workspace_id, by=who.name).write(lambda s: s.enrolment_keys.add(key))
    return secret


async def enrolment(parts: Parts, who: Principal, data: Mapping[str, Any]) -> tuple[EnrolmentKey, str]:
    """(a new enrolment key, its secret, which nobody sees again)."""
    wanted = read(EnrolmentIn, data)
    if wanted.expires_at is not None and wanted.expires_at <= parts.clock.now():
        raise Invalid(Problem("expires_at", "a time to come", iso(wanted.expires_at) or ""))
    key, secret = _new_key(parts, who, wanted, None)
    await parts.store.of(who.workspace_id, by=who.name).write(lambda s: s.enrolment_keys.add(key))
    return key, secret


def _new_key(parts: Parts, who: Principal, wanted: EnrolmentIn, host_id: str | None) -> tuple[EnrolmentKey, str]:
    secret = ENROLMENT_PREFIX + secrets.token_urlsafe(32)
    key = EnrolmentKey(
        id=new_id(), workspace_id=who.workspace_id, name=wanted.name.strip(), prefix=secret[:10],
        key_hash=hash_of(secret), single_use=wanted.single_use, host_id=host_id, tags=wanted.tags, group=wanted.group,
        created_by=who.name, created_at=parts.clock.now(), expires_at=wanted.expires_at,
    )  # fmt: skip
    return key, secret


def _check(parts: Parts, who: Principal, wanted: HostIn) -> None:
    """Raise Invalid for channels that an agent cannot tell, and addresses that are none."""
    telling, problems = parts.corridor.watchlist.telling(who.workspace_id), list[Problem]()
    known = {channel.id: channel for channel in telling.channels}
    for n, id in enumerate(wanted.direct_channels):
        if id not in known:
            problems.append(Problem(f"direct_channels[{n}]", "the id of a channel", repr(id[:80])))
        elif known[id].type not in DIRECT:
            problems.append(Problem(f"direct_channels[{n}]", f"a channel of {', '.join(DIRECT)}", known[id].type))
    for n, text in enumerate(wanted.addresses):
        try:
            order_of(text, f"addresses[{n}]")
        except Invalid as error:
            problems += error.problems
    if problems:
        raise Invalid(*problems)


async def _index(call: Call) -> Reply:
    items, cursor = select(call.parts, call.who, call.query)
    return Reply(data={"items": items, "next_cursor": cursor})


async def _make(call: Call) -> Reply:
    host, secret = await create(call.parts, call.who, as_object(call.data))
    shown = one(call.parts, call.who, host.id) | {"enrollment_key": secret}
    return Reply(data=shown, status=201, headers={"location": f"/api/v1/hosts/{host.id}"})


async def _show(call: Call) -> Reply:
    return Reply(data=one(call.parts, call.who, call.path["id"]))


async def _edit(call: Call) -> Reply:
    await change(call.parts, call.who, call.path["id"], as_object(call.data))
    return await _show(call)


async def _remove(call: Call) -> Reply:
    await delete(call.parts, call.who, call.path["id"])
    return Reply(status=204)


async def _rotate(call: Call) -> Reply:
    await rotate(call.parts, call.who, call.path["id"])
    return await _show(call)


async def _revoke(call: Call) -> Reply:
    if not await revoke(call.parts, call.who, call.path["id"]):
        raise Conflict("no key of its agent counts now")
    return await _show(call)


async def _release(call: Call) -> Reply:
    await release(call.parts, call.who, call.path["id"], call.body.incarnation)
    return await _show(call)


async def _enrolments(call: Call) -> Reply:
    keys = await call.parts.store.of(call.who.workspace_id).read(lambda s: s.enrolment_keys.list())
    return Reply(data={"items": [enrolment_json(key) for key in reversed(keys)], "next_cursor": None})


async def _enrolment(call: Call) -> Reply:
    key, secret = await enrolment(call.parts, call.who, as_object(call.data))
    return Reply(data=enrolment_json(key) | {"key": secret}, status=201)


async def end_enrolment(parts: Parts, who: Principal, id: str) -> None:
    """Let nobody enrol with it any more."""
    await parts.store.of(who.workspace_id, by=who.name).write(lambda s: s.enrolment_keys.delete(id))
    parts.memory.known.forget()


async def _end_enrolment(call: Call) -> Reply:
    await end_enrolment(call.parts, call.who, call.path["id"])
    return Reply(status=204)


_ONE = "/api/v1/hosts/{id}"
ROUTES = [
    Route(
        method="GET", path="/api/v1/hosts", run=_index, permission="read", query=Filter, answer=HostList, tag="hosts",
        summary="The hosts that agents watch",
    ),
    Route(
        method="POST", path="/api/v1/hosts", run=_make, permission="write", body=HostIn, answer=HostMade, reads=False,
        status=201, tag="hosts", summary="Make a host, and a key that its agent enrols with",
    ),
    Route(method="GET", path=_ONE, run=_show, permission="read", answer=HostOut, tag="hosts", summary="One host"),
    Route(
        method="PATCH", path=_ONE, run=_edit, permission="write", body=HostIn, partial=True, reads=False,
        answer=HostOut, tag="hosts", summary="Change some of a host's fields",
    ),
    Route(method="DELETE", path=_ONE, run=_remove, permission="write", status=204, tag="hosts", summary="Forget a host"),
    Route(
        method="POST", path=f"{_ONE}/rotate-key", run=_rotate, permission="admin", answer=HostOut, tag="hosts",
        summary="Have its agent take a new key",
    ),
    Route(
        method="POST", path=f"{_ONE}/revoke-keys", run=_revoke, permission="admin", answer=HostOut, tag="hosts",
        summary="Let its agent in no more until it enrols anew",
    ),
    Route(
        method="POST", path=f"{_ONE}/release", run=_release, permission="admin", body=Release, answer=HostOut,
        tag="hosts", summary="Say which of two agents with one identity is the host",
    ),
    Route(
        method="GET", path="/api/v1/enrollment-keys", run=_enrolments, permission="read", answer=EnrolmentList,
        tag="hosts", summary="What agents enrol with, without the secrets",
    ),
    Route(
        method="POST", path="/api/v1/enrollment-keys", run=_enrolment, permission="admin", body=EnrolmentIn,
        answer=EnrolmentMade, reads=False, status=201, tag="hosts", summary="Make a key that agents enrol with",
    ),
    Route(
        method="DELETE", path="/api/v1/enrollment-keys/{id}", run=_end_enrolment, permission="admin", status=204,
        tag="hosts", summary="Let nobody enrol with it any more",
    ),
]  # fmt: skip
