"""The instances of the cluster this server belongs to: how each is, and what admins may do with that."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

from msgspec import Struct

from tocsin import __version__
from tocsin.cluster import copies, history, leaving, roster
from tocsin.core.access import Principal
from tocsin.core.epoch import Epoch, lasted
from tocsin.core.marks import Help, Name
from tocsin.core.monitor import Monitor
from tocsin.core.result import iso
from tocsin.core.shape import Range
from tocsin.errors import Conflict, Invalid, NotFound, Problem
from tocsin.web.call import Call, Reply, Route
from tocsin.web.parts import Parts

if TYPE_CHECKING:
    from tocsin.cluster.instance import Cluster


class CertificateOut(Struct, frozen=True, kw_only=True):
    """What an instance registered with: whose certificate it is, who vouches for it, its SHA-256, its end."""

    subject: str
    issuer: str
    fingerprint: str
    not_after: str


class InstanceOut(Struct, frozen=True, kw_only=True):
    """An instance. `kind`: voter, witness, observer, or new (registered just now); `entry`: up to where it has the control
    log; `here`: it is the one that answers. Only the primary knows how the others are: elsewhere `status` is unknown.
    `fingerprint` is the SHA-256 of the certificate of its sync API; `certificate` what it registered with, null when it knew
    the shared secret. `clock_off_s`: by how much its clock is ahead of what most of them show (behind: negative), or of that
    of the one that answers where no majority agrees."""

    id: str
    name: str
    location: str
    role: str
    status: str
    votes: bool
    kind: str
    failover_order: int
    sync_url: str | None
    web_url: str | None
    version: str
    system_info: dict[str, Any]
    epoch: int
    here: bool
    fingerprint: str | None
    certificate: CertificateOut | None
    entry: int | None
    last_heartbeat_s: float | None
    clock_off_s: float | None
    report: dict[str, Any] | None
    created_at: str | None


class EpochOut(Struct, frozen=True, kw_only=True):
    """Who led in an epoch. `cause`: it began the cluster (first), was handed the office, was elected when the one before was
    not heard for `unheard_s`, or was promoted by force; `by` whoever asked for that. `until` is null for the present one,
    and so is `lasted_s`: for how long it lasted, by the clock of whoever led next."""

    epoch: int
    id: str
    name: str
    since: str
    until: str | None
    cause: str
    by: str
    unheard_s: float
    lasted_s: float | None


class ClusterOut(Struct, frozen=True, kw_only=True):
    """The cluster, as it is seen from the instance that answers. `voters` and `needed`: how many vote, and how many of them
    decide; `heard`: how many of them answer (the primary knows); `entry`: what a majority has of the control log;
    `no_part`: why this instance takes no part any more, if so; `epochs`: who led, the latest first, 50 at most."""

    role: str
    standing: str
    epoch: int
    primary: str | None
    primary_name: str | None
    primary_url: str | None
    lease_left_s: float | None
    lease_s: float
    voters: int
    needed: int
    heard: int | None
    entry: int
    waits_for_tables: bool
    no_part: str | None
    epochs: list[EpochOut]


class CopyOut(Struct, frozen=True, kw_only=True):
    """One instance's copy of one monitor. `status`: synced, pending (it was not heard to have the monitor as it is now) or
    error (`error_message`: what it cannot take in, or cannot run); `last_synced`: when it last said that it has this;
    `config_hash` and `sync_version`: of the configuration that is meant."""

    monitor_id: str
    name: str
    status: str
    last_synced: str | None
    config_hash: str
    sync_version: int
    error_message: str | None


class CopyList(Struct, frozen=True, kw_only=True):
    """The copies of every monitor, by name; there is no next page. `synced`: how many of them are."""

    items: list[CopyOut]
    next_cursor: str | None
    synced: int


class InstanceList(Struct, frozen=True, kw_only=True):
    """Every instance, by failover order; there is no next page. `cluster` is null while the server stands alone."""

    items: list[InstanceOut]
    next_cursor: str | None
    cluster: ClusterOut | None


class InstancePatch(Struct, frozen=True, kw_only=True):
    """What may be changed of an instance."""

    name: Annotated[Name | None, Help("what it is called; another one must not have it")] = None
    failover_order: Annotated[int | None, Range(0, 9999), Help("the least stands first when the primary is lost")] = (
        None
    )


class Forced(Struct, frozen=True, kw_only=True):
    """Somebody's word: the name of the instance typed again, and that all others are off."""

    name: Annotated[str, Help("the name of the instance, typed again")]
    others_are_off: Annotated[bool, Help("you made sure that every other instance is off and stays off")]


class LeftOut(Struct, frozen=True, kw_only=True):
    """A monitor that an instance checked until it was removed."""

    id: str
    name: str


class RemovedOut(Struct, frozen=True, kw_only=True):
    """What else a removal did. `monitors`: those of the workspace that are not checked from its location any more."""

    monitors: list[LeftOut]


class DraftOut(Struct, frozen=True, kw_only=True):
    """What this instance wrote as primary, and no majority took: the rows of this workspace as they were to be, by table.
    `elsewhere` counts rows that are not this workspace's."""

    name: str
    cut_at: str
    epoch: int
    tables: dict[str, list[dict[str, Any]]]
    elsewhere: int


class DraftList(Struct, frozen=True, kw_only=True):
    """The drafts, the latest epoch first; there is no next page."""

    items: list[DraftOut]
    next_cursor: str | None


async def visible(parts: Parts) -> tuple[list[dict[str, Any]], dict[str, Any] | None]:
    """(every instance, how the cluster is). A server that stands alone shows itself."""
    cluster = parts.cluster
    if cluster is not None:
        return await roster.listed(cluster), roster.whole(cluster) | {"epochs": _epochs(await past(parts))}
    alone: dict[str, Any] = {
        "id": "", "name": parts.settings["INSTANCE_NAME"] or "this server", "location": parts.settings["LOCATION"],
        "role": "standalone", "status": "active", "votes": True, "kind": "voter", "failover_order": 0, "sync_url": None,
        "web_url": None, "version": __version__, "system_info": {}, "epoch": 0, "here": True, "fingerprint": None,
        "certificate": None, "entry": None,
        "last_heartbeat_s": 0.0, "clock_off_s": 0.0, "report": None, "created_at": None,
    }  # fmt: skip
    return [alone], None


async def past(parts: Parts) -> Sequence[Epoch]:
    """Who led in each epoch, the latest last; nobody where this server stands alone."""
    cluster = parts.cluster
    return () if cluster is None else (await cluster.store.everything().read(history.read)).past


def _epochs(past: Sequence[Epoch]) -> list[dict[str, Any]]:
    ends = [*(one.since for one in past[1:]), None]
    return [
        {
            "epoch": one.epoch, "id": one.id, "name": one.name, "since": iso(one.since), "until": iso(end),
            "cause": one.cause, "by": one.by, "unheard_s": one.unheard_s, "lasted_s": lasted_s,
        }
        for one, end, lasted_s in reversed(list(zip(past, ends, lasted(past), strict=False)))
    ]  # fmt: skip


async def promote(parts: Parts, who: Principal, id: str) -> None:
    """Make that instance primary."""
    await roster.hand_over(_cluster(parts), id, who.name, who.workspace_id)


async def demote(parts: Parts, who: Principal, id: str) -> None:
    """Make the next in order primary in place of that one, which is the primary."""
    cluster = _cluster(parts)
    roster.must_lead(cluster)
    if id != cluster.me.id:
        found = await roster.find(cluster, id)
        raise Conflict(f"{found.name} is not the primary, {cluster.me.name} is")
    await roster.hand_over(cluster, None, who.name, who.workspace_id)


async def change(parts: Parts, who: Principal, id: str, wanted: InstancePatch) -> None:
    """Rename an instance, or give it another place."""
    if wanted.name is None and wanted.failover_order is None:
        raise Invalid(Problem("", "name, failover_order or both", "neither"))
    await roster.change(
        _cluster(parts), id, who.name, who.workspace_id, name=wanted.name, failover_order=wanted.failover_order
    )


async def copies_of(parts: Parts, who: Principal, id: str) -> list[dict[str, Any]]:
    """That instance's copies of the workspace's monitors, by name. The primary knows those of all, others their own."""
    cluster = _cluster(parts)
    one = await roster.find(cluster, id)
    if id != cluster.me.id:
        roster.must_lead(cluster)
    monitors = sorted((w.monitor for w in parts.corridor.watchlist.of(who.workspace_id)), key=lambda m: (m.name, m.id))
    found = await copies.copies(cluster, one, monitors)
    return [
        {
            "monitor_id": monitor.id, "name": monitor.name, "status": copy.status, "last_synced": iso(copy.synced_at),
            "config_hash": copy.config_hash, "sync_version": copy.version, "error_message": copy.error,
        }
        for monitor in monitors
        for copy in (found[monitor.id],)
    ]  # fmt: skip


async def order(parts: Parts, who: Principal, ids: list[str]) -> None:
    """Let the instances stand first in this order."""
    await roster.order(_cluster(parts), ids, who.name, who.workspace_id)


def checked_from(parts: Parts, who: Principal, row: dict[str, Any]) -> tuple[list[Monitor], list[Monitor]]:
    """(those of the workspace's monitors that are checked from that instance beside others, those from it alone)."""
    if parts.cluster is None:
        return [], []
    return leaving.checked_from(parts.cluster, row["location"], who.workspace_id)


async def remove(parts: Parts, who: Principal, id: str) -> list[dict[str, str]]:
    """Take an instance out; the monitors that are not checked from its location any more."""
    left = await roster.remove(_cluster(parts), id, who.name, who.workspace_id)
    return [{"id": monitor.id, "name": monitor.name} for monitor in left]


async def force(parts: Parts, who: Principal, id: str, wanted: Forced) -> None:
    """Make this instance primary alone."""
    if not wanted.others_are_off:
        raise Invalid(Problem("others_are_off", "true, once every other instance is off", "false"))
    await roster.force(_cluster(parts), id, wanted.name, who.name, who.workspace_id)


def drafts(parts: Parts, who: Principal) -> list[dict[str, Any]]:
    """What this instance wrote as primary and no majority took, of the caller's workspace."""
    replica = parts.store.replica
    made: list[dict[str, Any]] = []
    for draft in replica.drafts() if replica is not None else ():
        tables = {
            table: mine
            for table, rows in draft.tables.items()
            if (mine := [row for row in rows if row.get("workspace_id") == who.workspace_id])
        }
        elsewhere = sum(map(len, draft.tables.values())) - sum(map(len, tables.values()))
        made.append(
            {"name": draft.name, "cut_at": draft.cut_at, "epoch": draft.epoch, "tables": tables, "elsewhere": elsewhere}
        )
    return made


def _cluster(parts: Parts) -> Cluster:
    if parts.cluster is None:
        raise NotFound("this server stands alone: docs/clustering.md says how several become one system")
    return parts.cluster


async def _one(call: Call) -> Reply:
    items, _ = await visible(call.parts)
    return Reply(data=next((row for row in items if row["id"] == call.path["id"]), None))


async def _index(call: Call) -> Reply:
    items, cluster = await visible(call.parts)
    return Reply(data={"items": items, "next_cursor": None, "cluster": cluster})


async def _copies(call: Call) -> Reply:
    items = await copies_of(call.parts, call.who, call.path["id"])
    synced = sum(item["status"] == "synced" for item in items)
    return Reply(data={"items": items, "next_cursor": None, "synced": synced})


async def _promote(call: Call) -> Reply:
    await promote(call.parts, call.who, call.path["id"])
    return await _one(call)


async def _demote(call: Call) -> Reply:
    await demote(call.parts, call.who, call.path["id"])
    return await _one(call)


async def _change(call: Call) -> Reply:
    await change(call.parts, call.who, call.path["id"], call.body)
    return await _one(call)


async def _remove(call: Call) -> Reply:
    return Reply(data={"monitors": await remove(call.parts, call.who, call.path["id"])})


async def _force(call: Call) -> Reply:
    await force(call.parts, call.who, call.path["id"], call.body)
    return await _one(call)


async def _drafts(call: Call) -> Reply:
    return Reply(data={"items": drafts(call.parts, call.who), "next_cursor": None})


_HERE, _ADMIN = "/api/v1/instances", {"permission": "admin", "tag": "instances"}
_ONE: Any = {"answer": InstanceOut, **_ADMIN}
ROUTES = [
    Route(
        method="GET", path=_HERE, run=_index, permission="read", answer=InstanceList, tag="instances",
        summary="The servers that are one system with this one, and how each is",
    ),
    Route(
        method="GET", path=_HERE + "/drafts", run=_drafts, permission="admin", answer=DraftList, tag="instances",
        summary="What this server wrote as primary and no majority took",
    ),
    Route(
        method="GET", path=_HERE + "/{id}/monitors", run=_copies, permission="read", answer=CopyList, tag="instances",
        summary="How an instance's copies of the monitors are",
    ),
    Route(method="POST", path=_HERE + "/{id}/promote", run=_promote, summary="Hand the office to an instance", **_ONE),
    Route(method="POST", path=_HERE + "/{id}/demote", run=_demote, summary="Hand the office to the next in order", **_ONE),
    Route(
        method="PATCH", path=_HERE + "/{id}", run=_change, body=InstancePatch, partial=True,
        summary="Rename an instance, or give it another place in the failover order", **_ONE,
    ),
    Route(
        method="DELETE", path=_HERE + "/{id}", run=_remove, permission="admin", answer=RemovedOut,
        tag="instances", summary="Take an instance out of the cluster; its location leaves the monitors",
    ),
    Route(
        method="POST", path=_HERE + "/{id}/force", run=_force, body=Forced,
        summary="Make this server primary alone, since all others are off", **_ONE,
    ),
]  # fmt: skip
