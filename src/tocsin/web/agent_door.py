"""The door for agents: their routes, and who stands behind a key of theirs. Such a key opens nothing else, and no other key
opens these."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from tocsin import telemetry
from tocsin.agent import heard, wire
from tocsin.agent.api import encoded
from tocsin.core.access import Principal
from tocsin.core.host import ENROLMENT_PREFIX, KEY_PREFIX, EnrolmentKey, Host
from tocsin.errors import Denied, NotPrimary
from tocsin.web import tokens
from tocsin.web.call import Call, Reply, Route

if TYPE_CHECKING:
    from tocsin.store import Session
    from tocsin.web.parts import Parts

PREFIXES = (KEY_PREFIX, ENROLMENT_PREFIX)


async def principal_of(parts: Parts, token: str, now: datetime) -> Principal:
    """Whom such a key stands for. Raises Denied, which says why."""
    wanted, tick = tokens.hash_of(token[:200]), parts.clock.monotonic()
    if (known := parts.memory.known.get(wanted, tick)) is not None:
        return known
    found = await (_agent if token.startswith(KEY_PREFIX) else _newcomer)(parts, wanted, now)
    parts.memory.known.keep(wanted, found, tick)
    return found


async def _agent(parts: Parts, wanted: str, now: datetime) -> Principal:
    def look(s: Session) -> tuple[str, str, str, bool] | None:
        key = s.agent_keys.by_hash(wanted)
        if key is None or not tokens.same(key.hash, wanted):
            return None
        return key.workspace_id, key.host_id, s.hosts.get(key.host_id).name, key.used_at is None

    found = await parts.store.everything().read(look)
    if found is None:
        telemetry.agents_denied.labels("key").inc()
        raise Denied("this agent key is not known here: it was revoked or replaced, or is of another server",
                     authenticated=False)  # fmt: skip
    workspace_id, host_id, name, fresh = found
    if fresh and not _elsewhere(parts):
        await parts.store.of(workspace_id, by=f"agent {name}"[:200]).write(lambda s: _first_use(s, wanted, now))
        await parts.corridor.hosts.changed(workspace_id)
    return Principal(
        kind="agent", workspace_id=workspace_id, role="VIEWER", user_id=None, name=name, key_id=host_id, host_id=host_id
    )


def _first_use(s: Session, wanted: str, now: datetime) -> None:
    key = s.agent_keys.by_hash(wanted)
    if key is not None and key.used_at is None:
        s.agent_keys.use(key, now)
        host = s.hosts.get(key.host_id)
        if host.rekey:
            s.hosts.replace(msgspec.structs.replace(host, rekey=False))


async def _newcomer(parts: Parts, wanted: str, now: datetime) -> Principal:
    key = await parts.store.everything().read(lambda s: s.enrolment_keys.by_hash(wanted))
    if key is None or not tokens.same(key.key_hash, wanted):
        telemetry.agents_denied.labels("enrolment").inc()
        raise Denied("this enrolment key is not known here: it was deleted, or is of another server",
                     authenticated=False)  # fmt: skip
    if why := key.refusal(now):
        telemetry.agents_denied.labels("enrolment").inc()
        raise Denied(why, authenticated=False)
    return Principal(
        kind="enrolment", workspace_id=key.workspace_id, role="VIEWER", user_id=None, name=key.name, key_id=key.id
    )


def _elsewhere(parts: Parts) -> wire.Elsewhere | None:
    """What is said where another instance leads."""
    primary = None if parts.cluster is None else parts.cluster.elsewhere()
    if primary is None:
        return None
    assert parts.cluster is not None
    return wire.Elsewhere(primary=primary or None, urls=list(parts.urls), epoch=parts.epoch)


def _led(run: Callable[[Call], Awaitable[msgspec.Struct]]) -> Callable[[Call], Awaitable[Reply]]:
    """The route's function: only who leads answers, all others say who does."""

    async def answer(call: Call) -> Reply:
        if (elsewhere := _elsewhere(call.parts)) is not None:
            return Reply(status=409, content=encoded(elsewhere))
        try:
            return Reply(content=encoded(await run(call)))
        except NotPrimary as error:
            parts = call.parts
            elsewhere = wire.Elsewhere(primary=error.primary, urls=list(parts.urls), epoch=parts.epoch)
            return Reply(status=409, content=encoded(elsewhere))

    return answer


def _body(call: Call) -> bytes:
    return heard.plain_body(call.raw, call.headers.get("content-encoding", "").strip().lower())


async def _enrol(call: Call) -> msgspec.Struct:
    parts, who = call.parts, call.who
    parts.memory.known.forget()

    def behind(s: Session) -> EnrolmentKey | Host:
        if who.host_id is not None:
            return s.hosts.get(who.host_id)
        return next(key for key in s.enrolment_keys.list() if key.id == who.key_id)

    by = await parts.store.of(who.workspace_id).read(behind)
    return await parts.agents.enrol(by, _body(call))


async def _heartbeat(call: Call) -> msgspec.Struct:
    return await call.parts.agents.heartbeat(call.who.host_id or "", _body(call), call.client)


async def _samples(call: Call) -> msgspec.Struct:
    return await call.parts.agents.samples(call.who.host_id or "", _body(call))


async def _findings(call: Call) -> msgspec.Struct:
    return await call.parts.agents.findings(call.who.host_id or "", _body(call))


ROUTES = [
    Route(
        method="POST", path=wire.ENROL, run=_led(_enrol), permission="enrol", kind="open", tag="agents",
        max_body=65_536, summary="An agent enrols", answer=wire.Enrolled,
    ),
    Route(
        method="PUT", path=wire.HEARTBEAT, run=_led(_heartbeat), permission="agent", kind="open", tag="agents",
        max_body=65_536, summary="An agent is alive", answer=wire.Beat,
    ),
    Route(
        method="POST", path=wire.SAMPLES, run=_led(_samples), permission="agent", kind="open", tag="agents",
        max_body=wire.MAX_BODY, summary="What an agent saw of its host", answer=wire.Taken,
    ),
    Route(
        method="POST", path=wire.FINDINGS, run=_led(_findings), permission="agent", kind="open", tag="agents",
        max_body=wire.MAX_BODY, summary="What an agent's rules found", answer=wire.Receipt,
    ),
]  # fmt: skip
