"""What one instance sees of the others that somebody should know of: open pages, and admins."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tocsin.core.instance import status_of
from tocsin.errors import Denied
from tocsin.pipeline.live import event

if TYPE_CHECKING:
    from tocsin.cluster.instance import Cluster

WATCH_S = 1.0


async def tell_pages(cluster: Cluster) -> None:
    """Tell open pages when an instance is another than it was: by what it said, or by its silence."""
    before = _looks(cluster)
    await asyncio.sleep(WATCH_S)
    if _looks(cluster) != before:
        cluster.corridor.live.publish_to_all(event("instance.changed", cluster.clock.now()))


def _looks(cluster: Cluster) -> tuple[object, ...]:
    now = cluster.clock.monotonic()
    heard = {id: (one.at, status_of(now - one.at, cluster.heartbeat_s)) for id, one in cluster.heard.items()}
    return cluster.carrier.standing, heard, dict(cluster.names), cluster.carrier.node.membership


def must_be_alone(cluster: Cluster, who: str, boot: str, client: str) -> None:
    """Denied when whoever speaks as that instance is a second process with its identity."""
    if who == cluster.me.id:
        where = f"this instance, {cluster.me.name}"
    elif cluster.boots.is_twin(who, boot, cluster.clock.monotonic()):
        where = f"instance {cluster.names.get(who, who)}"
    else:
        return
    words = f"{where} runs twice: a second process with its identity spoke from {client}; its data folder is a copy"
    cluster.alarm.ring("instance.twice", who, f"{words}. End that process and give it a data folder of its own")
    raise Denied(words)


def shows_another(cluster: Cluster, of: str, why: str) -> None:
    """An instance shows another certificate than it registered with."""
    cluster.alarm.ring(
        "instance.certificate",
        of,
        f"Instance {cluster.names.get(of, of)} is not spoken to: {why}. If its data folder was lost, remove it and let it"
        " join again; if not, somebody stands in between",
    )
