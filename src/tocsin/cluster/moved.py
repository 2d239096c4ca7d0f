"""An instance that comes back under another address: believed when it shows there the certificate it registered with."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec

from tocsin import telemetry
from tocsin.cluster.peers import Line
from tocsin.cluster.wire import Heartbeat
from tocsin.core.instance import Instance
from tocsin.errors import Conflict, Denied, NotFound, NotPrimary, PeerLost, StoreUnavailable
from tocsin.store.session import Session

if TYPE_CHECKING:
    from tocsin.cluster.instance import Cluster

log = telemetry.logger("tocsin.cluster")

ASK_S = 5.0


def heard(cluster: Cluster, said: Heartbeat) -> None:
    """As primary: see whether an instance that reported says another address than is known, and look there beside."""
    known = cluster.registry.find(said.instanceId)
    url, web = (said.publicEndpoint or "").rstrip("/"), said.webUrl.rstrip("/")
    if known is None or not url or not known.sync_url or (url == known.sync_url and web in ("", known.web_url)):
        return
    if known.id not in cluster.moving:
        cluster.moving.add(known.id)
        task = asyncio.create_task(_look(cluster, known, url, web or known.web_url), name="cluster moved")
        cluster.doing.add(task)
        task.add_done_callback(cluster.doing.discard)


async def _look(cluster: Cluster, known: Instance, url: str, web: str) -> None:
    line = Line(cluster.peers.net, url, known.fingerprint)
    name = cluster.registry.name(known.id)
    try:
        if url != known.sync_url:
            await line.ask(
                "GET", "/health", timeout_s=ASK_S
            )  # only who holds its key gets so far: its certificate is pinned
        await _take_over(cluster, known.id, url, web)
    except (PeerLost, Denied, Conflict, NotFound) as error:
        words = f"Instance {name} says that it is reached at {url} now, and does not prove to be there: {error}"
        cluster.alarm.ring("instance.moved", f"{known.id} not", words)
    except (NotPrimary, StoreUnavailable) as error:
        log.info("cluster.not_moved", instance=known.id, error=str(error))
    else:
        words = f"Instance {name} is reached at {url} now (before: {known.sync_url}): it showed its certificate there"
        cluster.alarm.ring("instance.moved", known.id, words)
    finally:
        line.close()
        cluster.moving.discard(known.id)


async def _take_over(cluster: Cluster, id: str, url: str, web: str) -> None:
    def work(s: Session) -> None:
        s.instances.put(msgspec.structs.replace(s.instances.get(id), sync_url=url, web_url=web))

    await cluster.store.everything(by="tocsin").write(work)
    await cluster.learn()
