"""This instance as one of several: its carrier, its door, its reports, and the gear that its corridor is in."""

from __future__ import annotations

import asyncio
import platform
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from tocsin import __version__, telemetry
from tocsin.clock import Clock
from tocsin.cluster.alarm import Alarm
from tocsin.cluster.carrier import Carrier
from tocsin.cluster.peers import Peers
from tocsin.cluster.registry import Registry
from tocsin.cluster.standing import Hooks, Standing
from tocsin.cluster.wire import ConnectionStatus, Heartbeat, Peer, SystemMetrics
from tocsin.core.boots import Boots
from tocsin.core.instance import Instance, InstanceRole, status_of
from tocsin.core.lease import Terms
from tocsin.core.result import iso
from tocsin.errors import Conflict, Denied, NotFound, NotPrimary, PeerLost, StoreUnavailable
from tocsin.net import Net
from tocsin.pipeline.corridor import Corridor
from tocsin.pipeline.live import event
from tocsin.secret import Secret
from tocsin.store import Store
from tocsin.store.replica import Applied, Replica

log = telemetry.logger("tocsin.cluster")

ADMIT_S = WATCH_S = 1.0
PEERS_NOTE = "cluster:peers"
_TELLING = ("channels", "alert_rules", "maintenance_windows", "escalation_policies", "on_call_schedules")
_JUDGED = ("verdicts", "incidents")


@dataclass(slots=True)
class Heard:
    """What was heard of an instance lately, by this instance's own clock."""

    at: float
    said: Heartbeat


@dataclass(frozen=True, slots=True, kw_only=True)
class Home:
    """What an instance is made of besides: `folder` is where copies of tables are put."""

    store: Store
    corridor: Corridor
    clock: Clock
    net: Net
    folder: Path


@dataclass(slots=True, kw_only=True)
class Cluster:
    """Made by `begin`, started once the corridor runs. `forget` makes the web forget what it remembers of accounts."""

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
    heard: dict[str, Heard] = field(default_factory=dict[str, Heard])
    names: dict[str, str] = field(default_factory=dict[str, str])
    forget: Callable[[], None] = lambda: None
    reached_at: float | None = None
    sync_errors: int = 0
    _tasks: list[asyncio.Task[None]] = field(default_factory=list[asyncio.Task[None]])

    @classmethod
    async def begin(
        cls, me: Instance, home: Home, *, secret: Secret | None, terms: Terms, heartbeat_s: float
    ) -> Cluster:
        """The cluster side of an instance that belongs to one already (`disk.found` or `disk.enrol` was done)."""
        replica = _replica_of(home.store)
        key = await replica.cluster_key()
        hooks = Hooks()
        peers = Peers(home.net, me.id)
        carrier = await Carrier.begin(replica, peers, hooks, home.folder, terms)
        registry = Registry(home.store, carrier, me, secret, key, home.clock)
        made = cls(
            me=me, store=home.store, corridor=home.corridor, clock=home.clock, carrier=carrier, registry=registry,
            peers=peers, heartbeat_s=heartbeat_s, folder=home.folder,
            alarm=Alarm(home.store, home.corridor.live, home.clock, carrier.may_write),
            boots=Boots(2 * terms.beat_s, 12 * terms.beat_s),
        )  # fmt: skip
        peers.token, registry.changed = registry.own_token, made.learn
        registry.refused = lambda cause, text: made.alarm.ring("instance.refused", cause, text)
        peers.other = made.shows_another
        hooks.turned, hooks.applied = made.turned, made.applied
        await made.learn()
        return made

    async def start(self) -> None:
        """Take part from now on."""
        self.carrier.start()
        loops = (self._admit_on, self._report_on, self._watch_on, self.alarm.tell)
        self._tasks = [asyncio.create_task(_ever(loop), name=f"cluster {loop.__name__}") for loop in loops]

    async def stop(self) -> None:
        """Take no part any more; a primary hands its office over first, if somebody can take it."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self.carrier.standing.leads and len(self.carrier.node.membership.in_order()) > 1:
            try:
                async with asyncio.timeout(2.0):
                    await self.carrier.promote(None)
            except (Conflict, NotPrimary, TimeoutError):
                log.warning("cluster.not_handed_over")
        await self.carrier.stop()
        self.peers.close()

    @property
    def role(self) -> InstanceRole:
        """What this instance is now."""
        return "primary" if self.carrier.standing.leads else "dependent"

    def must_be_alone(self, who: str, boot: str, client: str) -> None:
        """Denied when whoever speaks as that instance is a second process with its identity."""
        if who == self.me.id:
            where = f"this instance, {self.me.name}"
        elif self.boots.is_twin(who, boot, self.clock.monotonic()):
            where = f"instance {who}"
        else:
            return
        words = f"{where} runs twice: a second process with its identity spoke from {client}; its data folder is a copy"
        self.alarm.ring("instance.twice", who, f"{words}. End that process and give it a data folder of its own")
        raise Denied(words)

    def shows_another(self, of: str, why: str) -> None:
        """An instance shows another certificate than it registered with."""
        self.alarm.ring(
            "instance.certificate",
            of,
            f"Instance {of} is not spoken to: {why}. If its data folder was lost, remove it and let it join again; if"
            " not, somebody stands in between",
        )

    # Gears -----------------------------------------------------------------------------------------------------------
    async def turned(self, standing: Standing) -> None:
        """This instance leads, or another one does, or nobody."""
        self.forget()
        if standing.leads:
            await self._write_self()
            await self.learn()
            await self.corridor.lead(self.me.location)
            return
        await self.corridor.follow(await self._home(standing))

    async def _home(self, standing: Standing) -> str:
        """The location that local monitors are checked from: the primary's, if it is known."""
        if standing.primary is None:
            return self.corridor.watchlist.home if not self.corridor.leads else ""
        found = await self.store.everything().read(lambda s: s.instances.all())
        return next((one.location for one in found if one.id == standing.primary), "")

    async def _write_self(self) -> None:
        """Keep this instance's own row as it is now."""
        known = {one.id: one for one in await self.store.everything().read(lambda s: s.instances.all())}
        before = known.get(self.me.id)
        me = self.me if before is None else msgspec.structs.replace(
            self.me, created_at=before.created_at, failover_order=before.failover_order, name=before.name
        )  # fmt: skip
        if before != me:
            await self.store.everything().write(lambda s: s.instances.put(me))
        self.me = me

    async def applied(self, applied: Applied | None) -> None:
        """Rows came from whoever leads."""
        self.forget()
        if applied is None:
            await self.learn()
            await self.corridor.follow(await self._home(self.carrier.standing))
            return
        if "instances" in applied.changed:
            await self.learn()
        monitors = {name[1] for name in applied.changed.get("monitors", ())}
        workspaces = {name[0] for table in _TELLING for name in applied.changed.get(table, ())}
        workspaces |= {name[0] for name in applied.changed.get("memberships", ())}
        judged = any(applied.changed.get(table) for table in _JUDGED)
        await self.corridor.adopt(sorted(map(str, monitors)), sorted(map(str, workspaces)), judged=judged)

    async def learn(self) -> None:
        """Where the others are reached, from the table; what the one said that let us in, while that is empty."""

        def work(s: Any) -> tuple[list[Instance], Any]:
            return list(s.instances.all()), s.notes.get(PEERS_NOTE)

        found, noted = await self.store.everything().read(work)
        peers = [Peer(id=one.id, url=one.sync_url, fingerprint=one.fingerprint, web=one.web_url) for one in found]
        if noted:
            first = msgspec.convert(noted, type=list[Peer])
            self.carrier.first = first[0].id if first else None
            known = {peer.id for peer in peers if peer.url}
            peers += [peer for peer in first if peer.id not in known]
        leader = self.carrier.standing.primary
        before = self.peers.web(leader)
        self.peers.learn(peers)
        self.names = {one.id: one.name for one in found}
        if self.peers.web(leader) != before:
            self.carrier.news.set()  # what is said to whoever wants to write here

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
            systemMetrics=SystemMetrics(activeEndpoints=status["active"], **_usage(self.store)),
            connectionStatus=ConnectionStatus(primaryReachable=self.sync_errors == 0, syncErrors=self.sync_errors),
            version=__version__,
        )

    def hear(self, said: Heartbeat) -> None:
        """An instance reported."""
        self.heard[said.instanceId] = Heard(self.clock.monotonic(), said)

    async def _report_on(self) -> None:
        """Tell the primary how this instance is, so often as is set."""
        leader = self.carrier.standing.primary
        if leader is None or leader == self.me.id:
            await asyncio.sleep(1.0)
            return
        try:
            await self.peers.ask(leader, "PUT", "/sync/api/heartbeat", self.report(), epoch=self.carrier.node.epoch)
            self.sync_errors, self.reached_at = 0, self.clock.monotonic()
        except (PeerLost, Denied, Conflict, NotFound, NotPrimary) as error:
            self.sync_errors += 1
            log.warning("cluster.not_reported", error=str(error))
        await asyncio.sleep(min(self.heartbeat_s, 5.0 if self.sync_errors else self.heartbeat_s))

    async def _watch_on(self) -> None:
        """Tell open pages when an instance is another than it was: by what it said, or by its silence."""
        before = self._looks()
        await asyncio.sleep(WATCH_S)
        if self._looks() != before:
            self.corridor.live.publish_to_all(event("instance.changed", self.clock.now()))

    def _looks(self) -> tuple[object, ...]:
        now = self.clock.monotonic()
        heard = {id: (one.at, status_of(now - one.at, self.heartbeat_s)) for id, one in self.heard.items()}
        return self.carrier.standing, heard, dict(self.names), self.carrier.node.membership

    async def _admit_on(self) -> None:
        """As primary, let the membership follow the registered instances."""
        await asyncio.sleep(ADMIT_S)
        if self.carrier.standing.leads and self.carrier.may_write():
            try:
                await self.registry.admit()
            except (Conflict, NotPrimary, StoreUnavailable) as error:
                log.debug("cluster.not_admitted", error=str(error))


async def _ever(turn: Callable[[], Awaitable[None]]) -> None:
    while True:
        try:
            await turn()
        except Exception:
            telemetry.faults.labels("cluster").inc()
            log.exception("cluster.loop_fault", loop=getattr(turn, "__name__", "?"))
            await asyncio.sleep(1.0)


def _replica_of(store: Store) -> Replica:
    if store.replica is None:
        raise Conflict("several instances with disks of their own need SQLite")
    return store.replica


def system_info() -> dict[str, Any]:
    """The machine, for the registry."""
    import os

    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "platform": platform.system().lower(), "arch": platform.machine(),
        "nodeVersion": f"Python {platform.python_version()}", "memory": memory, "cpu": os.cpu_count() or 1,
    }  # fmt: skip


def _usage(store: Store) -> dict[str, float]:
    """Percent of processor, memory and disk in use."""
    import os

    load = os.getloadavg()[0] / (os.cpu_count() or 1) * 100
    total, available = 1, 0
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            lines = dict(line.split(":", 1) for line in file)
        total, available = (int(lines[name].split()[0]) for name in ("MemTotal", "MemAvailable"))
    except (OSError, KeyError, ValueError):
        pass
    return {"cpuUsage": round(min(load, 100.0), 1), "memoryUsage": round((1 - available / total) * 100, 1)}
