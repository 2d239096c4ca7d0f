"""This instance as one of several: its carrier, its door, its reports, and the gear that its corridor is in."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from tocsin import __version__, telemetry
from tocsin.clock import Clock
from tocsin.cluster import clocks, copies, history, results, watch, wire
from tocsin.cluster.alarm import Alarm
from tocsin.cluster.beside import ever
from tocsin.cluster.carrier import Carrier
from tocsin.cluster.copies import Told
from tocsin.cluster.machine import usage
from tocsin.cluster.peers import Peers
from tocsin.cluster.proof import Accepts, key_of_links
from tocsin.cluster.registry import Registry
from tocsin.cluster.results import EXPIRE_S, Results
from tocsin.cluster.standing import Hooks, Standing
from tocsin.cluster.wire import ConnectionStatus, Heartbeat, Peer, SystemMetrics, Taken
from tocsin.cluster.work import POLL_S, Task, Tasks, Work, carry_out
from tocsin.core.account import Workspace
from tocsin.core.boots import Boots
from tocsin.core.instance import Instance, InstanceRole
from tocsin.core.lease import Terms
from tocsin.core.result import iso
from tocsin.errors import Conflict, Denied, Invalid, NotFound, NotPrimary, Outcast, PeerLost, StoreUnavailable
from tocsin.net import Net
from tocsin.pipeline.corridor import Corridor
from tocsin.store import Store
from tocsin.store.replica import Applied, Replica

log = telemetry.logger("tocsin.cluster")

ADMIT_S = 1.0
PEERS_NOTE = "cluster:peers"
_TELLING = ("channels", "alert_rules", "maintenance_windows", "escalation_policies", "on_call_schedules", "memberships")
_JUDGED = ("verdicts", "incidents")


@dataclass(slots=True)
class Heard:
    """What was heard of an instance lately, by this instance's own clock. `clock_off_s`: by how much its wall clock is
    ahead of ours (behind: negative), give or take the way of its report; `set_by_s`: how ours was set then."""

    at: float
    said: Heartbeat
    clock_off_s: float | None = None
    set_by_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Home:
    """What an instance is made of besides: `folder` is where copies of tables are put."""

    store: Store
    corridor: Corridor
    clock: Clock
    net: Net
    folder: Path


async def _nobody(_: str) -> None:
    """Nobody hears of it."""


@dataclass(slots=True, kw_only=True)
class Cluster:
    """Made by `begin`, started once the corridor runs. `forget` makes the web forget what it remembers of accounts;
    `followed` hears when another instance leads, with its address for people. `web_urls`: where people and probes reach the
    instances, the primary first. `outcast`: by whom this instance is not listened to (its id), and the cause. `led`: the
    epoch that is known of last, and since when, by `monotonic`."""

    me: Instance
    store: Store
    corridor: Corridor
    clock: Clock
    carrier: Carrier
    registry: Registry
    peers: Peers
    heartbeat_s: float
    folder: Path
    alarm: Alarm
    boots: Boots
    results: Results
    heard: dict[str, Heard] = field(default_factory=dict[str, Heard])
    names: dict[str, str] = field(default_factory=dict[str, str])
    forget: Callable[[], None] = lambda: None
    followed: Callable[[str], Awaitable[None]] = _nobody
    web_urls: tuple[str, ...] = ()
    reached_at: float | None = None
    sync_errors: int = 0
    lost_at: float | None = None
    leads_since: float | None = None
    led: tuple[int, float] = (0, 0.0)
    heard_in: int = 0
    stirred: asyncio.Event = field(default_factory=asyncio.Event)
    known_since: dict[str, float] = field(default_factory=dict[str, float])
    clocks: dict[str, bool] = field(default_factory=dict[str, bool])
    told: dict[str, Told] = field(default_factory=dict[str, Told])
    forced_by: str = ""
    outcast: dict[str, str] = field(default_factory=dict[str, str])
    removed_by: str | None = None
    _noted: tuple[Peer, ...] = ()
    _asked: int = 0
    _learned: int = 0
    work: Work = field(default_factory=Work)
    moving: set[str] = field(default_factory=set[str])
    doing: set[asyncio.Task[None]] = field(default_factory=set[asyncio.Task[None]])
    _tasks: list[asyncio.Task[None]] = field(default_factory=list[asyncio.Task[None]])

    @classmethod
    async def begin(cls, me: Instance, home: Home, *, accepts: Accepts, terms: Terms, heartbeat_s: float) -> Cluster:
        """The cluster side of an instance that belongs to one already (`disk.found` or `disk.enrol` was done)."""
        replica = _replica_of(home.store)
        key = await replica.cluster_key()
        hooks, peers = Hooks(), Peers(home.net, me.id)
        carrier = await Carrier.begin(replica, peers, hooks, home.folder, terms)
        carrier.own_url = me.sync_url
        registry = Registry(home.store, carrier, me, accepts, key, home.clock)
        made = cls(
            me=me, store=home.store, corridor=home.corridor, clock=home.clock, carrier=carrier, registry=registry,
            peers=peers, heartbeat_s=heartbeat_s, folder=home.folder,
            alarm=Alarm(home.store, home.corridor.live, home.clock, carrier.may_write),
            boots=Boots(2 * terms.beat_s, 12 * terms.beat_s),
            results=Results(home.store, home.corridor, f"{me.id}:{me.incarnation}"),
        )  # fmt: skip
        peers.token, registry.changed = registry.own_token, made.learn
        registry.refused = lambda cause, text: made.alarm.ring("instance.refused", cause, text)
        peers.other, peers.heard = partial(watch.shows_another, made), partial(watch.listened_to, made)
        hooks.turned, hooks.applied = made.turned, made.applied
        home.corridor.delivery.one.budget = carrier.may_send
        home.corridor.judge_while(carrier.may_write)
        home.corridor.delivery.one.links.sign_with(key_of_links(key))
        await made.results.begin()
        await made.learn()
        await watch.recall(made)
        return made

    async def start(self) -> None:
        """Take part from now on."""
        self.carrier.start()
        loops = (
            self._report_on, self._alone_on, self._admit_on, self._work_on, self._results_on, self._expire_on,
            self._look_on, self._watch_on, self.alarm.tell,
        )[: 2 if self.me.witness else None]  # fmt: skip
        self._tasks = [asyncio.create_task(ever(loop), name=f"cluster {loop.__name__}") for loop in loops]

    async def stop(self) -> None:
        """Take no part any more; a primary hands its office over first, if somebody can take it."""
        for task in (*self._tasks, *self.doing):
            task.cancel()
        await asyncio.gather(*self._tasks, *self.doing, return_exceptions=True)
        self.work.close()
        if self.carrier.standing.leads and len(self.carrier.node.membership.in_order()) > 1:
            try:
                async with asyncio.timeout(2.0):
                    await self.carrier.promote(None)
                await self.carrier.said()
            except (Conflict, NotPrimary, TimeoutError):
                log.warning("cluster.not_handed_over")
        await self.carrier.stop()
        self.peers.close()

    @property
    def role(self) -> InstanceRole:
        """What this instance is now."""
        return "primary" if self.carrier.standing.leads else "dependent"

    # Gears -----------------------------------------------------------------------------------------------------------
    async def turned(self, standing: Standing) -> None:
        """This instance leads, or another one does, or nobody."""
        self.forget()
        self.results.forget()
        watch.forget(self)
        if standing.primary is not None:
            self.corridor.alone.rejoin()
        if standing.leads:
            await self._write_self()
            await history.begin(self)
            history.notice(self)
            await self.learn()
            watch.expect(self)
            await self.corridor.lead(self.me.location)
            return
        history.notice(self)
        await self.learn()
        await self.corridor.follow(self._home(standing))
        await self.followed(self.peers.web(standing.primary) or "")

    def elsewhere(self) -> str | None:
        """None where this instance leads; else the primary's address for people and probes, "" while there is none."""
        return None if self.carrier.standing.leads else self.peers.web(self.carrier.standing.primary) or ""

    def _home(self, standing: Standing) -> str:
        """The location that local monitors are checked from: the primary's, if it is known."""
        if standing.primary is None:
            return self.corridor.watchlist.home if not self.corridor.leads else ""
        found = self.registry.find(standing.primary)
        return "" if found is None else found.location

    async def _write_self(self) -> None:
        """Keep this instance's own row as it is now."""
        await self.learn()
        before = self.registry.find(self.me.id)
        me = self.me if before is None else msgspec.structs.replace(
            self.me, created_at=before.created_at, failover_order=before.failover_order, name=before.name,
            certificate=before.certificate,
        )  # fmt: skip
        if before != me:
            await self.store.everything().write(lambda s: s.instances.put(me))
        self.me = me

    async def applied(self, applied: Applied | None) -> None:
        """Rows came from whoever leads."""
        self.forget()
        if applied is None:
            await self.learn()
            await self.corridor.follow(self._home(self.carrier.standing))
            return
        if "instances" in applied.changed:
            await self.learn()
        monitors = {name[1] for name in applied.changed.get("monitors", ())}
        workspaces = {name[0] for table in _TELLING for name in applied.changed.get(table, ())}
        judged = any(applied.changed.get(table) for table in _JUDGED)
        for workspace in sorted({str(name[0]) for name in applied.changed.get("probes", ())}):
            await self.corridor.locations_changed(workspace)
        for workspace in sorted({str(name[0]) for name in applied.changed.get("hosts", ())}):
            await self.corridor.hosts.changed(workspace)
        await self.corridor.adopt(sorted(map(str, monitors)), sorted(map(str, workspaces)), judged=judged)

    async def learn(self) -> None:
        """Where the others are reached, from the table; what the one said that let us in, while that is empty."""

        def work(s: Any) -> tuple[list[Instance], Any, list[Workspace]]:
            return list(s.instances.all()), s.notes.get(PEERS_NOTE), s.accounts.workspaces()

        self._asked += 1
        turn = self._asked
        found, noted, workspaces = await self.store.everything().read(work)
        if turn < self._learned:  # what was read later is known already
            return
        self._learned = turn
        first_of_all = min(workspaces, key=lambda one: (one.created_at, one.id), default=None)
        self.corridor.watchlist.roster.keeper = "" if first_of_all is None else first_of_all.id
        self.registry.known = tuple(found)
        peers = [Peer(id=one.id, url=one.sync_url, fingerprint=one.fingerprint, web=one.web_url) for one in found]
        if noted:
            first = msgspec.convert(noted, type=list[Peer])
            self.carrier.first = first[0].id if first else None
            known = {peer.id for peer in peers if peer.url}
            peers += [peer for peer in first if peer.id not in known]
        self.peers.learn(peers)
        self.names = {one.id: one.name for one in found}
        first = self.carrier.standing.primary
        data = [one for one in sorted(found, key=lambda one: one.id != first) if not one.witness]
        self.web_urls = tuple(one.web_url for one in data if one.web_url)
        self.corridor.runner.others = self.work.locations(
            {one.location: one.id for one in data if one.id != self.me.id}
        )

    # Reports ---------------------------------------------------------------------------------------------------------
    def report(self) -> Heartbeat:
        """How this instance is."""
        status = self.corridor.status()
        stalled = bool(status["stalled"]) or self.store.breaker.state != "closed"
        return Heartbeat(
            instanceId=self.me.id,
            timestamp=iso(self.clock.now()) or "",
            status="failing" if stalled else "degraded" if self.sync_errors > 3 else "healthy",
            uptime=status["uptime_s"],
            systemMetrics=SystemMetrics(activeEndpoints=status["active"], **usage()),
            connectionStatus=ConnectionStatus(primaryReachable=self.sync_errors == 0, syncErrors=self.sync_errors),
            version=__version__,
            publicEndpoint=self.me.sync_url or None,
            webUrl=self.me.web_url,
            monitorErrors=copies.unfit(self.corridor, self.me.location),
            alarms=self.alarm.waiting(),
        )

    def hear(self, said: Heartbeat) -> None:
        """An instance reported."""
        watch.begin_anew(self)
        off = clocks.off_s(said.timestamp, self.clock.now())
        self.heard[said.instanceId] = Heard(self.clock.monotonic(), said, off, clocks.set_by_s(self.clock))
        clocks.look(self)

    async def _report_on(self) -> None:
        """Tell the primary how this instance is, so often as is set."""
        self.stirred.clear()
        leader = self.carrier.standing.primary
        if leader is None or leader == self.me.id:
            await watch.pause(self, 1.0)
            return
        try:
            epoch, said = self.carrier.node.epoch, self.report()
            reply = await self.peers.ask(leader, "PUT", "/sync/api/heartbeat", said, epoch=epoch)
            self.alarm.handed(said.alarms)
            if self.me.witness:
                await self._note_peers(reply.body)
            self.sync_errors, self.reached_at = 0, self.clock.monotonic()
        except (PeerLost, Denied, Conflict, NotFound, NotPrimary) as error:
            self.sync_errors += 1
            if not isinstance(error, Outcast):  # that is said already, once
                log.warning("cluster.not_reported", error=str(error))
        await watch.pause(self, min(self.heartbeat_s, 5.0 if self.sync_errors else self.heartbeat_s))

    async def _watch_on(self) -> None:
        await watch.tell_pages(self)

    async def _note_peers(self, said: bytes) -> None:
        """As a witness, which has no table of them, remember who there is."""
        peers = wire.read(Taken, said).peers
        if peers != self._noted:
            plain = [msgspec.to_builtins(peer) for peer in peers]
            await self.store.everything().write(lambda s: s.notes.set(PEERS_NOTE, plain), local=True)
            self._noted = peers
            await self.learn()

    async def _work_on(self) -> None:
        """Ask the primary what is to be checked besides the schedule, and do it."""
        leader = self.carrier.standing.primary
        if leader is None or leader == self.me.id:
            await asyncio.sleep(1.0)
            return
        try:
            reply = await self.peers.ask(
                leader, "GET", "/sync/api/work", epoch=self.carrier.node.epoch, timeout_s=POLL_S + 10.0
            )
            tasks = wire.read(Tasks, reply.body).tasks
        except (PeerLost, Denied, Conflict, NotFound, NotPrimary, Invalid) as error:
            log.debug("cluster.no_work", error=str(error))
            await asyncio.sleep(1.0)
            return
        for task in tasks:
            doing = asyncio.create_task(self._carry_out(leader, task))
            self.doing.add(doing)
            doing.add_done_callback(self.doing.discard)

    async def _carry_out(self, leader: str, task: Task) -> None:
        try:
            done = await carry_out(self.corridor, task)
            await self.peers.ask(leader, "POST", "/sync/api/work", done, epoch=self.carrier.node.epoch)
        except (PeerLost, Denied, Conflict, NotFound, NotPrimary) as error:
            log.debug("cluster.work_not_told", error=str(error))
        except Exception:
            log.exception("cluster.work_fault", monitor=task.monitor)

    async def _results_on(self) -> None:
        """Exchange results with the primary."""
        await self.results.wait()
        leader = self.carrier.standing.primary
        if leader is None or leader == self.me.id or self.carrier.torn:
            return
        offer = await self.results.offer()
        offer = msgspec.structs.replace(offer, applied=self.carrier.applied, trouble=self.carrier.trouble)
        said = results.write(offer)
        try:
            reply = await self.peers.ask(leader, "POST", "/sync/api/results", said, epoch=self.carrier.node.epoch)
            if await self.results.hear(results.read(reply.body), leader):
                self.results.stirred.set()
        except (PeerLost, Denied, Conflict, NotFound, NotPrimary, Invalid) as error:
            log.debug("cluster.results_not_exchanged", error=str(error))
            await asyncio.sleep(1.0)

    async def _expire_on(self) -> None:
        """Forget numbers that are a day old."""
        await asyncio.sleep(EXPIRE_S)
        await self.results.expire()

    async def _look_on(self) -> None:
        await watch.look(self)

    async def _alone_on(self) -> None:
        await watch.alone(self)

    async def _admit_on(self) -> None:
        """As primary, let the membership follow the registered instances."""
        await asyncio.sleep(ADMIT_S)
        if self.carrier.standing.leads and self.carrier.may_write():
            try:
                await self.registry.admit()
            except (Conflict, NotPrimary, StoreUnavailable) as error:
                log.debug("cluster.not_admitted", error=str(error))


def _replica_of(store: Store) -> Replica:
    if store.replica is None:
        raise Conflict("several instances with disks of their own need SQLite")
    return store.replica
