"""Who is registered and how each is; and what people may do with that: hand over, order, rename, remove, force."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec

from tocsin.cluster import clocks, history, leaving, watch
from tocsin.cluster.carrier import boottime
from tocsin.core.instance import Instance, status_of
from tocsin.core.membership import enough
from tocsin.core.monitor import Monitor
from tocsin.core.result import iso
from tocsin.errors import Conflict, Invalid, NotPrimary, Problem, StoreUnavailable
from tocsin.store.session import Session

if TYPE_CHECKING:
    from tocsin.cluster.instance import Cluster

SETTLED_S = 10.0
LEADS_S = 20.0


async def urls_of(cluster: Cluster) -> list[str]:
    """Where the instances are reached, the primary first."""
    return [peer.url for peer in cluster.registry.peers() if peer.url]


async def listed(cluster: Cluster) -> list[dict[str, Any]]:
    """Every instance with its role and how it is, in failover order."""
    return [_row(cluster, one) for one in cluster.registry.known]


def _row(cluster: Cluster, one: Instance) -> dict[str, Any]:
    node, standing = cluster.carrier.node, cluster.carrier.standing
    heard, member = cluster.heard.get(one.id), node.membership.member(one.id)
    here, leads = one.id == cluster.me.id, standing.primary == one.id
    ago = 0.0 if here else None if heard is None else cluster.clock.monotonic() - heard.at
    said = cluster.report() if here else None if heard is None else heard.said
    known = standing.leads or here
    acked, kept = node.acknowledged(boottime()).get(one.id, (None, None))
    signs = [sign for sign in (ago, acked, None if here else cluster.work.ago(one.id)) if sign is not None]
    status = status_of(ago, cluster.heartbeat_s) if known else "unknown"
    if status == "active" and acked is not None and acked > cluster.carrier.terms.lease_s and one.sync_url:
        status = "inactive"  # its next report is not due yet, but it does not answer
    stored = node.log.last.index if here else kept
    return {
        "id": one.id, "name": one.name, "location": one.location, "role": "primary" if leads else "dependent",
        "status": status,
        "votes": member is not None and member.kind != "observer",
        "kind": member.kind if member is not None else "new",
        "failover_order": one.failover_order, "sync_url": one.sync_url or None, "web_url": one.web_url or None,
        "version": one.version, "system_info": one.system_info, "epoch": standing.epoch, "here": here,
        "fingerprint": one.fingerprint or None,
        "certificate": None if one.certificate is None else msgspec.to_builtins(one.certificate),
        "entry": stored, "last_heartbeat_s": round(min(signs), 1) if signs else None,
        "clock_off_s": clocks.off(cluster).get(one.id),
        "report": None if said is None else msgspec.to_builtins(said), "created_at": iso(one.created_at),
    }  # fmt: skip


def whole(cluster: Cluster) -> dict[str, Any]:
    """How the cluster is, as it is seen from this instance."""
    node, standing, now = cluster.carrier.node, cluster.carrier.standing, boottime()
    voters = node.membership.voters()
    heard = None
    if standing.leads:
        lately = {who for who, (ago, _) in node.acknowledged(now).items() if ago <= cluster.carrier.terms.lease_s}
        heard = sum(who == cluster.me.id or who in lately for who in voters)
    return {
        "role": cluster.role, "standing": standing.role, "epoch": node.epoch, "primary": standing.primary,
        "primary_name": cluster.names.get(standing.primary or ""),
        "primary_url": cluster.me.web_url if standing.leads else cluster.peers.web(standing.primary),
        "lease_left_s": round(cluster.carrier.lease_left(), 1) if standing.leads else None,
        "lease_s": cluster.carrier.terms.lease_s, "voters": len(voters), "needed": enough(node.membership),
        "heard": heard, "entry": node.commit, "waits_for_tables": cluster.carrier.torn,
        "no_part": watch.no_part(cluster),
    }  # fmt: skip


def must_lead(cluster: Cluster) -> None:
    """NotPrimary, with where people reach the primary."""
    if not cluster.carrier.standing.leads:
        raise NotPrimary(primary=cluster.peers.web(cluster.carrier.standing.primary), retry_after_s=5.0)


async def find(cluster: Cluster, id: str) -> Instance:
    """That instance; NotFound."""
    return await cluster.store.everything().read(lambda s: s.instances.get(id))


async def hand_over(cluster: Cluster, to: str | None, by: str, workspace_id: str) -> None:
    """Make that instance (None: the next in order) primary in place of this one; returns when it is. NotPrimary, NotFound,
    or Conflict with why not."""
    must_lead(cluster)
    if to == cluster.me.id:
        raise Conflict(f"{cluster.me.name} is the primary already")
    named = "the next in order" if to is None else (await find(cluster, to)).name
    before = {"name": cluster.me.name, "primary": cluster.me.name}
    after = {"name": cluster.me.name, "primary": f"to be handed to {named}"}

    def work(s: Session) -> None:
        s.door.also("instance", cluster.me.id, workspace_id, before, after)
        history.ask(s, by, cluster.clock.now())

    await cluster.store.everything(by=by).write(work)
    try:
        await cluster.carrier.promote(to)
    except Conflict:
        with suppress(NotPrimary, Conflict, StoreUnavailable):
            await cluster.store.everything().write(history.unask)
        raise
    await _until_settled(cluster, to)


async def _until_settled(cluster: Cluster, to: str | None) -> None:
    def settled() -> bool:
        now = cluster.carrier.standing.primary
        return now not in (None, cluster.me.id) and to in (None, now)

    if not await _comes_true(settled, SETTLED_S):
        raise Conflict("the office was given up, and nobody is primary yet: look again in half a minute who is")


async def _comes_true(condition: Callable[[], bool], within_s: float) -> bool:
    try:
        async with asyncio.timeout(within_s):
            while not condition():  # noqa: ASYNC110 (it depends on more than one thing has an event for)
                await asyncio.sleep(0.05)
    except TimeoutError:
        return False
    return True


async def change(
    cluster: Cluster, id: str, by: str, workspace_id: str, *, name: str | None, failover_order: int | None
) -> None:
    """Give an instance another name, or another place in the failover order. NotPrimary, NotFound, Conflict."""
    must_lead(cluster)

    def work(s: Session) -> None:
        before = s.instances.get(id)
        after = msgspec.structs.replace(
            before,
            name=before.name if name is None else name.strip(),
            failover_order=before.failover_order if failover_order is None else failover_order,
        )
        _put(s, before, after, workspace_id)

    await cluster.store.everything(by=by).write(work)
    await cluster.learn()


async def order(cluster: Cluster, ids: Sequence[str], by: str, workspace_id: str) -> None:
    """Let the instances stand first in this order. NotPrimary; Invalid when it does not name each of them once."""
    must_lead(cluster)

    def work(s: Session) -> None:
        known = {one.id: one for one in s.instances.all()}
        if sorted(known) != sorted(ids):
            raise Invalid(Problem("order", "every instance once", ", ".join(ids)[:200] or "nothing"))
        for place, id in enumerate(ids):
            _put(s, known[id], msgspec.structs.replace(known[id], failover_order=place), workspace_id)

    await cluster.store.everything(by=by).write(work)
    await cluster.learn()


def _put(s: Session, before: Instance, after: Instance, workspace_id: str) -> None:
    if before == after:
        return
    s.instances.put(after)
    shown = ("name", "failover_order")
    fields = [{field: getattr(one, field) for field in shown} for one in (before, after)]
    s.door.also("instance", before.id, workspace_id, *fields)


async def remove(cluster: Cluster, id: str, by: str, workspace_id: str | None = None) -> list[Monitor]:
    """Take an instance out; its tokens end at once, and its location leaves every monitor: those of the workspace (None: of
    all), as they are then. NotPrimary, NotFound, Conflict for the primary itself or where a monitor would be left without a
    location."""
    must_lead(cluster)
    one = await find(cluster, id)
    leaving.must_leave_none_alone(cluster, one, workspace_id)

    def along(s: Session) -> list[Monitor]:
        if workspace_id is not None:
            s.door.also("instance", id, workspace_id, {"name": one.name, "member": True}, {"member": False})
        return leaving.leave(s, one)

    left = await cluster.registry.remove(id, by, along)
    await leaving.go_on(cluster, one, left)
    return [monitor for monitor in left if workspace_id in (None, monitor.workspace_id)]


async def force(cluster: Cluster, id: str, typed: str, by: str, workspace_id: str) -> None:
    """Make this instance primary alone, by somebody's word that all others are off. Invalid when its name was not typed
    again rightly; Conflict where it cannot be, or need not."""
    if id != cluster.me.id:
        raise Conflict(f"this is {cluster.me.name}: force an instance at its own address")
    name = cluster.names.get(id, cluster.me.name)
    if typed.strip() != name:
        raise Invalid(Problem("name", f"the name of this instance, {name}, typed again", typed[:80] or "nothing"))
    standing = cluster.carrier.standing
    if (why := watch.no_part(cluster)) is not None:
        raise Conflict(why)
    if standing.primary is not None:
        raise Conflict(
            f"{cluster.registry.name(standing.primary)} is the primary, or was heard a moment ago: hand over"
            " there instead, or wait until it is surely off"
        )
    if cluster.carrier.torn:
        raise Conflict("this instance has not got the tables yet: it has nothing to be primary with")
    cluster.forced_by = by
    await cluster.carrier.force(int(cluster.clock.now().timestamp()))  # later than any other one forced before
    if not await _comes_true(lambda: cluster.carrier.standing.leads and cluster.corridor.leads, LEADS_S):
        raise Conflict("it was forced, and does not lead yet: look again in a moment")
    before, after = {"name": name, "primary": "nobody"}, {"name": name, "primary": f"{name}, by force"}
    await cluster.store.everything(by=by).write(lambda s: s.door.also("instance", id, workspace_id, before, after))
