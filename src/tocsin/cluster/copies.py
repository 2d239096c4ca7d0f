"""What is known of every instance's copy of every monitor: by how far it says its tables are, by what the log holds behind
that, and by what it says it cannot run. Nothing of it is guessed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

import msgspec
from msgspec import Struct

from tocsin.core.instance import Instance
from tocsin.core.monitor import Monitor
from tocsin.core.plain import clip
from tocsin.core.result import iso
from tocsin.errors import Conflict
from tocsin.pipeline.corridor import Corridor

if TYPE_CHECKING:
    from tocsin.cluster.instance import Cluster

SyncStatus = Literal["pending", "synced", "error"]
MOST_UNFIT = 200
MOST_ENTRIES = 2_000
"""Who is so many entries behind is not looked at more closely: everything is pending."""


class Told(Struct, frozen=True, kw_only=True):
    """What an instance said of its tables last: up to which entry they are, and why they do not go on (""; they do)."""

    applied: int
    trouble: str
    at: datetime


class Copy(Struct, frozen=True, kw_only=True):
    """One instance's copy of one monitor. `synced_at`: when it last said that it has the monitor as it is now."""

    status: SyncStatus
    synced_at: datetime | None
    config_hash: str
    version: int
    error: str | None


def unfit(corridor: Corridor, location: str) -> dict[str, str]:
    """What this instance has and cannot run, by monitor: what it does not understand, and what it could not even try the
    last time it was to look from here."""
    found: dict[str, str] = {}
    for watched in corridor.watchlist:
        why = watched.problem
        last = watched.last.get(location)
        if why is None and last is not None and last.status == "invalid" and location in watched.assigned:
            error = last.outcome.error
            why = f"the last check there could not be made: {'no reason' if error is None else error.message}"
        if why is not None:
            found[watched.monitor.id] = clip(why, 300)
            if len(found) == MOST_UNFIT:
                break
    return found


async def copies(cluster: Cluster, one: Instance, monitors: list[Monitor]) -> dict[str, Copy]:
    """That instance's copies of these monitors, by id. Conflict for a witness, which has none."""
    if one.witness:
        raise Conflict(f"{one.name} is a witness: it keeps no monitors")
    carrier = cluster.carrier
    if one.id == cluster.me.id:
        at = carrier.node.log.last.index if carrier.standing.leads else carrier.applied
        told: Told | None = Told(applied=at, trouble=carrier.trouble, at=cluster.clock.now())
        cannot: Mapping[str, str] = unfit(cluster.corridor, cluster.me.location)
    else:
        told, heard = cluster.told.get(one.id), cluster.heard.get(one.id)
        cannot = {} if heard is None else heard.said.monitorErrors
    behind = None if told is None else await _behind(cluster, told.applied)
    return {monitor.id: _copy(monitor, told, behind, cannot.get(monitor.id)) for monitor in monitors}


async def _behind(cluster: Cluster, applied: int) -> set[str] | None:
    """Which monitors the entries after that one change; None: it cannot be told, so it may be any."""
    assert cluster.store.replica is not None
    if applied < 0 or cluster.carrier.node.log.last.index - applied > MOST_ENTRIES:
        return None
    try:
        return await cluster.store.replica.monitors_after(applied)
    except Conflict:
        return None  # the log does not go back so far


def _copy(monitor: Monitor, told: Told | None, behind: set[str] | None, cannot: str | None) -> Copy:
    hashed = config_hash(monitor)
    if told is None:
        return Copy(status="pending", synced_at=None, config_hash=hashed, version=monitor.version, error=None)
    pending = behind is None or monitor.id in behind
    error = (told.trouble or None) if pending else cannot
    status: SyncStatus = "error" if error is not None else "pending" if pending else "synced"
    return Copy(
        status=status, synced_at=None if pending else told.at, config_hash=hashed, version=monitor.version, error=error
    )


def config_hash(monitor: Monitor) -> str:
    """The SHA-256 of a monitor's configuration."""
    return hashlib.sha256(msgspec.json.encode(monitor, order="sorted")).hexdigest()


async def states_of(cluster: Cluster, monitors: list[Monitor]) -> dict[str, list[dict[str, Any]]]:
    """For each of these monitors, by id, how every instance's copy is, with the names of the sync API."""
    found: dict[str, list[dict[str, Any]]] = {monitor.id: [] for monitor in monitors}
    for one in cluster.registry.known:
        if one.witness:
            continue
        for id, copy in (await copies(cluster, one, monitors)).items():
            found[id].append(
                {
                    "instanceId": one.id, "status": copy.status, "lastSynced": iso(copy.synced_at),
                    "configHash": copy.config_hash, "syncVersion": copy.version, "errorMessage": copy.error,
                }
            )  # fmt: skip
    return found
