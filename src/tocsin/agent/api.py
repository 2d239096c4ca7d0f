"""The called end of agents: enrolling, heartbeats, samples. Whoever calls was authenticated before; who may what is decided
here by the host that its key speaks for."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime

import msgspec
from msgspec.structs import replace

from tocsin import telemetry
from tocsin.agent import heard, wire
from tocsin.agent.settled import Settled
from tocsin.agent.twins import Twins
from tocsin.clock import Clock, new_id
from tocsin.core.host import (
    KEY_PREFIX,
    SUBJECT,
    AgentKey,
    EnrolmentKey,
    Host,
    clock_offset_s,
    heard_from,
    who_speaks,
)
from tocsin.core.host_rule import HostFinding
from tocsin.core.incident import Incident
from tocsin.core.limits import TooMany
from tocsin.core.maintenance import hushes_ahead
from tocsin.errors import Conflict, Denied, Invalid, NotFound, Problem, SwitchedOff
from tocsin.pipeline.hosts import HostNow, Hosts
from tocsin.pipeline.telling import Telling
from tocsin.store import Session, Store
from tocsin.store.heartbeats import Said
from tocsin.store.samples import Looked

log = telemetry.logger("tocsin.agents")

GAP_S = 75.0
"""A heartbeat that comes later than that after the one before is told apart from it."""
MOST_WAITING = 200
"""So many messages with samples may wait for the store; who comes then is asked to come again."""
AGAIN_S = 10.0
MOST_UNENDED, MOST_QUIET = 1000, 100
TWIN = (
    "this agent is in quarantine: another one with the same identity was there first (a copied data folder?). Give it a "
    "data folder of its own and enrol it anew, or let the operator say which of both is the host"
)


def hash_of(token: str) -> str:
    """What is kept of a key: SHA-256 in hex (keys are 256 random bits, so nothing slower is needed)."""
    return hashlib.sha256(token.encode()).hexdigest()


File = Callable[[HostNow, str, Sequence[HostFinding]], Awaitable[None]]
"""Files the turns of a host's agent (its incarnation, the turns), for good when it returns."""


class Door:
    """What agents call. `urls` are where they reach the servers, the primary first; `telling` gives what a workspace wrote
    down of whom to tell, `epoch` that of who leads, `unended` what another incarnation of a host's agent left open."""

    def __init__(self, store: Store, hosts: Hosts, file: File, clock: Clock, urls: Callable[[], Sequence[str]]) -> None:
        self._store, self._hosts, self._file, self._clock, self._urls = store, hosts, file, clock, urls
        self.telling: Callable[[str], Telling] = lambda workspace_id: Telling()
        self.epoch: Callable[[], int] = lambda: 0
        self.unended: Callable[[Host, str], Sequence[Incident]] = lambda host, incarnation: ()
        self.settled, self._twins = Settled(store), Twins(store, hosts, clock)
        self._waiting = 0
        self._brought: dict[str, tuple[Telling, int]] = {}
        self._refused = set[str]()  # hosts that are switched off, and whose agent was told so

    # Enrolling ------------------------------------------------------------------------------------------------------
    async def enrol(self, by: EnrolmentKey | Host, body: bytes) -> wire.Enrolled:
        """Let an agent in, by an enrolment key or by the key of its host: as the host that it was, or as a new one."""
        given, now = heard.enrol_of(body), self._clock.now()
        await self._must_not_live(by, given)
        token = KEY_PREFIX + secrets.token_urlsafe(32)
        name = f"agent {given.name}"[:200]
        work = _enrolling(by, given, token, now)
        host = await self._store.of(by.workspace_id, by=name).write(work)
        self._hosts.put(host).heard = self._clock.monotonic()
        log.info("agents.enrolled", host=host.id, name=host.name)
        config = await self.settled.of(host, self.telling(host.workspace_id), None)
        public = await self.settled.public_key()
        return wire.Enrolled(
            server_uuid=host.id, workspace_id=host.workspace_id, key=token, urls=list(self._urls()), public_key=public,
            config=config,
        )  # fmt: skip

    async def _must_not_live(self, by: EnrolmentKey | Host, given: wire.Enrol) -> None:
        """Denied when the host that is to be enrolled as lives already, with another data folder: that would put its agent
        out, and whoever has an enrolment key could do it."""
        wanted = by.host_id or given.server_uuid if isinstance(by, EnrolmentKey) else None
        known = self._hosts.find(wanted)
        if known is None or known.host.workspace_id != by.workspace_id or known.host.incarnation == given.incarnation:
            return
        if known.heard is None or known.heard_at is None or self._clock.monotonic() - known.heard > GAP_S:
            return
        telemetry.agents_denied.labels("lives").inc()
        await self._twins.warn(known.host)
        raise Denied(
            f"host {known.host.name} is heard from another data folder: let this agent enrol as a host of its own (without "
            "server_uuid), or end the other one first"
        )

    # Heartbeats -----------------------------------------------------------------------------------------------------
    async def heartbeat(self, host_id: str, body: bytes, address: str = "") -> wire.Beat:
        """Hear that an agent is alive. `address`: from where it speaks."""
        beat, at = heard.heartbeat_of(body), self._clock.now()
        if beat.server_uuid != host_id:
            raise Denied("this key is of another host than the heartbeat says")
        if (known := self._hosts.find(host_id)) is not None and known.host.enabled:
            self._twins.note(known, beat, address)
            await self._twins.settled(known)
        now = await self._speaks(host_id, beat.incarnation, beat.life)
        now = await self._twins.lives(now, beat)
        said = Said(
            agent_version=beat.agent_version, incarnation=beat.incarnation, life=beat.life, started_at=beat.started_at,
            every_s=beat.every_s, config_version=beat.config_version, config_error=beat.config_error, buffered=beat.buffered,
            late_s=beat.late_s,
            dropped=beat.dropped, cpu_percent=beat.cpu_percent, rss_bytes=beat.rss_bytes,
            offset_s=clock_offset_s(beat.timestamp, at), facts=beat.facts or now.said.facts, troubles=beat.troubles,
        )  # fmt: skip
        self._hosts.heard(now, said)
        place = now.host.workspace_id, host_id
        await self._store.of(place[0]).write(lambda s: s.heartbeats.note(place, said, at, GAP_S), local=True)
        host, telling = now.host, self.telling(now.host.workspace_id)
        config = await self.settled.of(host, telling, beat.config_version)
        self._brought[host_id] = telling, host.version
        self._refused.discard(host_id)
        key = await self._rekey(host) if host.rekey else None
        left = self.unended(host, beat.incarnation) if beat.incarnation else ()
        unended = tuple(_unended(incident) for incident in left[:MOST_UNENDED])
        return wire.Beat(
            urls=list(self._urls()), epoch=self.epoch(), config=config, key=key, unended=unended,
            quiet=_quiet(host, telling, at),
        )  # fmt: skip

    async def _rekey(self, host: Host) -> str:
        """A new key for a host's agent; the one that it shows counts until it uses the new one."""
        token = KEY_PREFIX + secrets.token_urlsafe(32)
        key = _key_of(host, token, self._clock.now())
        await self._store.of(host.workspace_id).write(lambda s: s.agent_keys.let_in(key))
        return token

    # Samples --------------------------------------------------------------------------------------------------------
    async def samples(self, host_id: str, body: bytes) -> wire.Taken:
        """Keep what an agent saw, each look once. TooMany while too much waits to be written."""
        if self._waiting >= MOST_WAITING:
            raise TooMany("more samples wait to be written than may", AGAIN_S)
        now = self._hosts.find(host_id)
        if now is None:
            raise NotFound(f"there is no host {host_id[:64]}")
        (incarnation, life), read = heard.samples_of(body, self._clock.now(), now.said.offset_s)
        now = await self._speaks(host_id, incarnation, life)
        self._waiting += 1
        try:
            acked, refused = await self._keep(now, incarnation, read.looks)
        finally:
            self._waiting -= 1
        return wire.Taken(
            acked=acked, urls=list(self._urls()), refused=[*read.refused, *refused], beat=self._has_news(now.host)
        )

    def _has_news(self, host: Host) -> bool:
        """Whether something was written since its last heartbeat that may change what it runs by."""
        brought = self._brought.get(host.id)
        return brought is not None and (brought[0] is not self.telling(host.workspace_id) or brought[1] != host.version)

    def has_heard(self, host: Host) -> bool:
        """Whether its agent has asked since the host was switched off, or began or ended a maintenance."""
        if not host.enabled:
            return host.id in self._refused
        return host.id in self._brought and not self._has_news(host)

    def has_news(self, host_id: str) -> None:
        """What its agent runs by was set anew."""
        if (brought := self._brought.get(host_id)) is not None:
            self._brought[host_id] = brought[0], -1

    async def _keep(self, now: HostNow, incarnation: str, looks: Sequence[heard.Look]) -> tuple[int, list[str]]:
        place = now.host.workspace_id, now.host.id
        rows = [Looked(look.seq, int(look.at.timestamp()), look.names, look.values) for look in looks]
        things = {look.seq: look for look in looks if look.things is not None}

        def work(s: Session) -> tuple[int, list[str], list[Looked]]:
            kept = s.samples.take(place, incarnation, rows, wire.MOST_SERIES)
            for look in (things[row.seq] for row in kept.fresh if row.seq in things):
                s.host_states.take(place, look.collector, look.things or (), look.at)
            return kept.acked, kept.refused, kept.fresh

        acked, full, fresh = await self._store.of(place[0]).write(work, local=True)
        self._hosts.looked(now, ((look.collector, look.at) for look in looks if not look.blind))
        if fresh:
            self._hosts.saw(now, [(row.at, row.names, row.values) for row in fresh])
        telemetry.agent_samples.inc(sum(len(row.values) for row in fresh))
        most = heard.MOST_REFUSED
        return acked, [f"no room for {name}: a host has {wire.MOST_SERIES} series at most" for name in full[:most]]

    # Findings -------------------------------------------------------------------------------------------------------
    async def findings(self, host_id: str, body: bytes) -> wire.Receipt:
        """File what an agent found, and tell what it did not tell by itself: a receipt is given when that is written down
        for good."""
        given = heard.findings_of(body)
        now = await self._speaks(host_id, given.incarnation, given.life)
        await self._file(now, given.incarnation, given.findings)
        return wire.Receipt(taken=len(given.findings), urls=list(self._urls()))

    # Who speaks -----------------------------------------------------------------------------------------------------
    async def _speaks(self, host_id: str, incarnation: str, life: str) -> HostNow:
        """The host, when this incarnation of its agent is to be listened to. Of two that live at once the newer one is not:
        that is told to those who run the workspace."""
        now = self._hosts.find(host_id)
        if now is None:
            raise NotFound(f"there is no host {host_id[:64]}")
        if not now.host.enabled:
            telemetry.agents_denied.labels("disabled").inc()
            self._refused.add(host_id)
            raise SwitchedOff(f"host {now.host.name} is switched off at the server")
        says = who_speaks(now.host, incarnation, life) if incarnation else "known"
        if says == "quarantined":
            telemetry.agents_denied.labels("quarantined").inc()
            raise Denied(TWIN)
        if says == "known":
            return now
        host = await self._store.of(now.host.workspace_id).write(lambda s: _heard(s, host_id, incarnation))
        if says == "twin":
            await self._twins.warn(host)
        return self._hosts.put(host)


def _quiet(host: Host, telling: Telling, now: datetime) -> tuple[wire.Quiet, ...]:
    ahead = hushes_ahead(telling.windows, host, now, telling.agenda)
    return tuple(
        wire.Quiet(
            why=why, in_s=max(0.0, (begin - now).total_seconds()),
            for_s=None if end is None else (end - max(begin, now)).total_seconds(),
        )
        for why, begin, end in ahead[:MOST_QUIET]
    )  # fmt: skip


def _unended(incident: Incident) -> wire.Unended:
    return wire.Unended(
        about=incident.subject.removeprefix(f"{SUBJECT}{incident.host_id}:"), rule_name=incident.rule,
        severity=incident.severity, told=incident.told_channels or () if incident.told_by == "agent" else None,
    )  # fmt: skip


def _heard(s: Session, host_id: str, incarnation: str) -> Host:
    host = s.hosts.get(host_id)
    new = heard_from(host, incarnation)
    return host if new == host else s.hosts.replace(replace(new, updated_at=s.now))


def _enrolling(by: EnrolmentKey | Host, given: wire.Enrol, token: str, now: datetime) -> Callable[[Session], Host]:
    """The work that lets an agent in."""

    def work(s: Session) -> Host:
        if isinstance(by, EnrolmentKey):
            key = s.enrolment_keys.by_hash(by.key_hash)
            why = "this enrolment key is not known any more" if key is None else key.refusal(now)
            if key is None or why:
                raise Denied(why, authenticated=False)
            host = _wanted(s, key.host_id or given.server_uuid, key, given)
            s.enrolment_keys.use(key, now)
        elif given.server_uuid not in (None, by.id):
            raise Denied("this key is of another host than the agent says it is of")
        else:
            host = s.hosts.get(by.id)
        host = s.hosts.replace(_enrolled(host, given, now))
        s.agent_keys.let_in(_key_of(host, token, now))
        return host

    return work


def _key_of(host: Host, token: str, now: datetime) -> AgentKey:
    return AgentKey(
        workspace_id=host.workspace_id, host_id=host.id, hash=hash_of(token), prefix=token[:10], created_at=now
    )


def _wanted(s: Session, host_id: str | None, key: EnrolmentKey, given: wire.Enrol) -> Host:
    """The host that enrols: the one it was, if that is of this workspace, or a new one."""
    if host_id is not None:
        try:
            return s.hosts.get(host_id)
        except NotFound:
            if key.host_id is not None:
                raise Conflict("the host that this enrolment key was made for is gone: make another one") from None
    tags = tuple(dict.fromkeys((*key.tags, *given.tags)))[:50]
    now = s.now
    host = Host(
        id=new_id(), workspace_id=key.workspace_id, name=given.name, tags=tags, group=key.group, created_at=now,
        updated_at=now,
    )  # fmt: skip
    s.hosts.add(host)
    return host


def _enrolled(host: Host, given: wire.Enrol, now: datetime) -> Host:
    if not host.enabled:
        raise SwitchedOff(f"host {host.name} is switched off at the server")
    if given.incarnation in (*host.quarantined, *host.refused):
        raise Invalid(Problem("incarnation", "that of a data folder of its own", "one that is in quarantine"))
    new = heard_from(host, given.incarnation)
    return replace(
        new,
        agent_version=given.agent_version,
        facts=given.facts,
        enrolled_at=now,
        updated_at=now,
        rekey=False,
        revoked_at=None,
    )


def encoded(message: msgspec.Struct) -> bytes:
    """A message of ours as it goes out."""
    return msgspec.json.encode(message)
