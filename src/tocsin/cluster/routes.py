"""Every path of the sync API."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from tocsin import __version__
from tocsin.cluster import adoption, copies, disk, moved, results, roster, wire
from tocsin.cluster.api import Ask, SyncRoute, number
from tocsin.cluster.copies import Told
from tocsin.cluster.registry import must_understand
from tocsin.cluster.wire import Answer, Heartbeat, Hello, Registration, Said
from tocsin.cluster.work import Done
from tocsin.core.monitor import Monitor
from tocsin.core.plain import clip
from tocsin.core.result import iso
from tocsin.errors import Conflict, Denied, NotFound, NotPrimary

if TYPE_CHECKING:
    from tocsin.cluster.instance import Cluster

_SNAPSHOT_S = 600.0


async def health(cluster: Cluster, ask: Ask) -> Any:
    """That this is a sync API of Tocsin, and of which version."""
    return {"status": "ok", "version": __version__, "wire": wire.WIRE, "role": cluster.role}


async def hello(cluster: Cluster, ask: Ask) -> Any:
    """What shows that this instance knows the shared secret."""
    return cluster.registry.hello(wire.read(Hello, ask.body))


async def register(cluster: Cluster, ask: Ask) -> Any:
    """Take an instance in."""
    return await cluster.registry.register(wire.read(Registration, ask.body), ask.client, ask.shown())


async def renew(cluster: Cluster, ask: Ask) -> Any:
    """A new token."""
    assert ask.claims is not None
    return await cluster.registry.renew(ask.claims)


async def message(cluster: Cluster, ask: Ask) -> Any:
    """A message of the protocol, and what this instance answers."""
    said = wire.read(Said, ask.body)
    if said.sender != ask.who:
        raise Denied(f"expected a message of {ask.who}, whose token it came with, found one of {said.sender}")
    must_understand(said.wire)
    _must_belong(cluster, ask)
    return Answer(message=await cluster.carrier.hear(said.sender, said.message))


async def snapshot(cluster: Cluster, ask: Ask) -> Any:
    """Make a snapshot of the tables: its id and size; it is kept for ten minutes."""
    replica = cluster.store.replica
    assert replica is not None
    cluster.registry.must_belong(ask.who)
    kept = cluster.carrier.node.log
    made = await replica.snapshot(lambda index: disk.membership_bytes(kept.membership_at(index)))
    path = Path(made.path)
    asyncio.get_running_loop().call_later(_SNAPSHOT_S, lambda: path.unlink(missing_ok=True))
    return {"id": path.stem, "size": made.size}


async def place(cluster: Cluster, ask: Ask) -> Any:
    """Where a witness may begin its log: at what is committed."""
    _must_lead(cluster)
    node = cluster.carrier.node
    position = node.log.position(node.commit)
    if position is None:
        raise Conflict("the log does not hold what is committed")
    return wire.Place(position=position, membership=node.log.membership_at(position.index))


async def piece(cluster: Cluster, ask: Ask) -> Any:
    """A piece of a snapshot, from an offset on."""
    cluster.registry.must_belong(ask.who)
    name, offset = ask.rest[0], number(ask.rest[1])
    path = cluster.folder / f"{name}.snapshot"
    if not name.isalnum() or len(name) > 64 or offset is None or not path.is_file():
        raise NotFound("there is no such snapshot any more")

    def read() -> bytes:
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(wire.PIECE)

    return await asyncio.to_thread(read)


async def heartbeat(cluster: Cluster, ask: Ask) -> Any:
    """How an instance is."""
    said = wire.read(Heartbeat, ask.body)
    if said.instanceId != ask.who:
        raise Denied(f"expected a report of {ask.who}, whose token it came with, found one of {said.instanceId}")
    _must_lead(cluster, ask)
    cluster.hear(said)
    cluster.alarm.pass_on(said.alarms)
    moved.heard(cluster, said)
    peers = cluster.registry.peers()
    urls = [peer.url for peer in peers if peer.url]
    return {"accepted": True, "epoch": cluster.carrier.node.epoch, "urls": urls, "peers": peers}


async def instances(cluster: Cluster, ask: Ask) -> Any:
    """Who is registered, and how each is."""
    return await roster.listed(cluster)


async def remove(cluster: Cluster, ask: Ask) -> Any:
    """Take an instance out: itself, or (as primary) another one."""
    _must_lead(cluster)
    await roster.remove(cluster, ask.rest[0], by=f"instance {ask.who}")
    return None


async def endpoints(cluster: Cluster, ask: Ask) -> Any:
    """The monitors' configuration, its version and hash, and how every instance's copy is. Secrets are left out:
    those travel with the tables only."""
    found = list(await cluster.store.everything().read(lambda s: s.monitors.all()))
    states = await copies.states_of(cluster, found)
    return {
        "endpoints": [_endpoint(monitor, states[monitor.id]) for monitor in found],
        "configVersion": cluster.carrier.node.commit,
        "lastModified": iso(max((m.updated_at for m in found), default=cluster.me.created_at)),
    }


async def endpoint(cluster: Cluster, ask: Ask) -> Any:
    """One monitor's configuration, and how every instance's copy of it is."""
    monitor = await cluster.store.everything().read(lambda s: s.monitors.get(ask.rest[0]))
    return _endpoint(monitor, (await copies.states_of(cluster, [monitor]))[monitor.id])


async def channels(cluster: Cluster, ask: Ask) -> Any:
    """The channels, without what is secret in them."""
    found = cluster.corridor.watchlist.every_channel()
    return {
        "notificationServices": [
            {"id": c.id, "name": c.name, "type": c.type, "workspaceId": c.workspace_id, "enabled": c.enabled}
            for c in found
        ]
    }


async def failover_order(cluster: Cluster, ask: Ask) -> Any:
    """Who stands first when the primary is lost."""
    found = cluster.registry.known
    return {"order": [{"instanceId": one.id, "failoverOrder": one.failover_order} for one in found]}


async def promote(cluster: Cluster, ask: Ask) -> Any:
    """Make the instance that asks primary (`{"instanceId": …}`: another one)."""
    given = wire.read(dict[str, str], ask.body) if ask.body else {}
    _must_lead(cluster)
    await cluster.carrier.promote(given.get("instanceId") or ask.who)
    return {"accepted": True}


async def demote(cluster: Cluster, ask: Ask) -> Any:
    """Make the next in order primary in place of this one."""
    if ask.rest[0] != cluster.me.id:
        raise Conflict(f"expected the primary's id, which is {cluster.me.id}, found {ask.rest[0]}")
    _must_lead(cluster)
    await cluster.carrier.promote(None)
    return {"accepted": True}


async def exchange(cluster: Cluster, ask: Ask) -> Any:
    """Results that each side lacks."""
    _must_lead(cluster, ask)
    said = results.read(ask.body)
    cluster.told[ask.who] = Told(applied=said.applied, trouble=clip(said.trouble, 300), at=cluster.clock.now())
    return results.write(await cluster.results.answer(said, ask.who))


async def wanted(cluster: Cluster, ask: Ask) -> Any:
    """What the instance that asks is to check now; waits until there is something."""
    _must_lead(cluster, ask)
    return await cluster.work.wanted(ask.who)


async def done(cluster: Cluster, ask: Ask) -> Any:
    """What came of it."""
    cluster.work.done(wire.read(Done, ask.body))


ROUTES: tuple[SyncRoute, ...] = (
    SyncRoute("GET", "/health", "anyone", health),
    SyncRoute("POST", "/sync/api/hello", "anyone", hello, most=4096),
    SyncRoute("POST", "/sync/api/register", "anyone", register, most=65_536),
    SyncRoute("POST", "/sync/api/adoption", "anyone", adoption.offer, most=4 << 20),
    SyncRoute("PUT", "/sync/api/adoption", "joining", adoption.take, most=wire.MOST_BODY),
    SyncRoute("POST", "/sync/api/token", "sync", renew, most=4096),
    SyncRoute("POST", "/sync/api/message", "member", message, most=wire.MOST_BODY),
    SyncRoute("POST", "/sync/api/snapshot", "member", snapshot, most=4096),
    SyncRoute("GET", "/sync/api/snapshot/*/*", "member", piece),
    SyncRoute("POST", "/sync/api/place", "member", place, most=4096),
    SyncRoute("PUT", "/sync/api/heartbeat", "member", heartbeat, epoch=True),
    SyncRoute("POST", "/sync/api/results", "member", exchange, most=wire.MOST_BODY, epoch=True),
    SyncRoute("GET", "/sync/api/work", "member", wanted, epoch=True),
    SyncRoute("POST", "/sync/api/work", "member", done, most=4 << 20, epoch=True),
    SyncRoute("GET", "/sync/api/instances", "sync", instances),
    SyncRoute("DELETE", "/sync/api/instances/*", "sync", remove),
    SyncRoute("GET", "/sync/api/endpoints", "sync", endpoints),
    SyncRoute("GET", "/sync/api/endpoints/*", "sync", endpoint),
    SyncRoute("GET", "/sync/api/notification-services", "sync", channels),
    SyncRoute("GET", "/sync/api/failover-order", "sync", failover_order),
    SyncRoute("POST", "/sync/api/promote", "sync", promote, epoch=True),
    SyncRoute("POST", "/sync/api/demote/*", "sync", demote, epoch=True),
)


def _endpoint(monitor: Monitor, states: list[dict[str, Any]]) -> dict[str, Any]:
    plain = msgspec.to_builtins(msgspec.structs.replace(monitor, target={}))
    return {
        "id": monitor.id,
        "version": monitor.version,
        "configHash": copies.config_hash(monitor),
        "config": plain,
        "syncState": states,
    }


def _must_lead(cluster: Cluster, member: Ask | None = None) -> None:
    """NotPrimary elsewhere; Outcast when it is asked by one that belongs to the cluster no more."""
    if not cluster.carrier.standing.leads:
        raise NotPrimary(primary=cluster.carrier.primary_url())
    if member is not None:
        _must_belong(cluster, member)


def _must_belong(cluster: Cluster, ask: Ask) -> None:
    """Outcast when whoever asks was removed, where that is known: at a primary that has read who is registered."""
    if cluster.carrier.standing.leads and cluster.leads_since is not None:
        cluster.registry.must_belong(ask.who)
