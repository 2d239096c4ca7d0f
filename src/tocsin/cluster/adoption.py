"""A server that stood alone joins with what it has: what is asked before, and its data, load by load.

Nobody sees anything of it before the last load is here; then all of it is at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import msgspec

from tocsin import telemetry
from tocsin.cluster import proof, wire
from tocsin.cluster.joining import NotTaken, Shows, at_primary
from tocsin.cluster.peers import Line
from tocsin.cluster.wire import Offer, Offered
from tocsin.errors import Conflict, NotPrimary, PeerLost
from tocsin.net import Net
from tocsin.secret import Secret
from tocsin.store import Store, adopting, parting
from tocsin.store.adopting import Joining, Progress
from tocsin.store.images import resealing
from tocsin.store.parting import Belongings
from tocsin.store.sealing import Seal
from tocsin.store.session import Session
from tocsin.store.version import HEAD

if TYPE_CHECKING:
    from tocsin.cluster.api import Ask
    from tocsin.cluster.instance import Cluster

log = telemetry.logger("tocsin.cluster")

AGAIN_S = 1.0
LOAD_S = 60.0


# The called end -----------------------------------------------------------------------------------------------------------
async def offer(cluster: Cluster, ask: Ask) -> Any:
    """What would come of it, or (`begin`) that it is begun, and where it goes on."""
    said = wire.read(Offer, ask.body)
    shown = ask.shown()
    cluster.registry.must_be_proved(said, ask.client, shown)
    if not cluster.carrier.standing.leads:
        raise NotPrimary(primary=cluster.carrier.primary_url())
    cluster.registry.must_be_another(said, ask.client)
    cluster.registry.must_be_its_certificate(said, ask.client, shown if said.proof is None else None)
    asked = Joining(
        instance=said.instanceId, name=said.instanceName, location=said.location, adoption=said.adoption, head=said.head,
        workspaces=said.workspaces, people=said.people, codes=said.codes, same=said.same,
    )  # fmt: skip
    everything = cluster.store.everything(by=f"instance {said.instanceName}")
    urls = tuple(peer.url for peer in cluster.registry.peers() if peer.url)
    known = await everything.read(lambda s: adopting.progress(s, said.instanceId))
    if known is not None and known.adoption == said.adoption and known.done:
        return Offered(done=True, next=known.next, urls=urls)
    looked = await everything.read(lambda s: adopting.look(s, asked))
    if not said.begin or looked.conflicts:
        return Offered(conflicts=looked.conflicts, changes=looked.changes, urls=urls)
    begun = await everything.write(lambda s: adopting.begin(s, asked))
    token, key = cluster.registry.adopting_token(said.instanceId), cluster.registry.key_of_loads(said.instanceId)
    return Offered(
        changes=looked.changes, token=token, key=key, next=begun.next, cursor=begun.cursor, done=begun.done, urls=urls
    )


async def take(cluster: Cluster, ask: Ask) -> Any:
    """One load: how far it is then."""
    if not cluster.carrier.standing.leads:
        raise NotPrimary(primary=cluster.carrier.primary_url())
    load = await asyncio.to_thread(parting.decode, ask.body)
    transfer, instance = Seal(cluster.registry.key_of_loads(ask.who)), ask.who

    def work(s: Session) -> Progress:
        return adopting.take(s, instance, load, resealing(transfer, s.seal))

    after = await cluster.store.everything(by=f"instance {instance}").write(work)
    if after.done:
        await _run(cluster, instance)
    return Offered(next=after.next, cursor=after.cursor, done=after.done)


async def _run(cluster: Cluster, instance: str) -> None:
    """Watch what came, as what is written here is watched."""
    cluster.forget()
    workspaces, monitors = await cluster.store.everything().read(lambda s: adopting.taken_in(s, instance))
    corridor = cluster.corridor
    await corridor.adopt(monitors, workspaces, judged=True)
    for workspace in workspaces:
        await corridor.locations_changed(workspace)
        await corridor.telling_changed(workspace)
    corridor.delivery.nudge()
    log.info("cluster.data_taken_in", instance=instance, workspaces=len(workspaces), monitors=len(monitors))


# The calling end ----------------------------------------------------------------------------------------------------------
def offer_of(who: dict[str, Any], has: Belongings, adoption: str, same: tuple[str, ...]) -> Offer:
    """What a server offers: `who` it is, as it registers, and what it has. Still without a proof."""
    return Offer(
        instanceId=who["instanceId"], instanceName=who["instanceName"], location=who["location"], adoption=adoption,
        head=HEAD, workspaces=has.workspaces, people=has.people, codes=has.codes, same=same, nonce="0" * 8, proof="0" * 64,
    )  # fmt: skip


async def look(net: Net, url: str, shows: Shows, offer: Offer) -> Offered:
    """What the primary says would come of it; nothing is changed there.

    Raises PeerLost when it cannot be asked now; NotTaken when it refuses."""
    return await at_primary(net, url, shows, lambda line, nonce, secret: _offer(line, nonce, secret, offer))


async def _offer(line: Line, nonce: str, secret: Secret | None, offer: Offer) -> Offered:
    said = proof.proved(msgspec.structs.replace(offer, nonce=nonce, proof="0" * 64), secret)
    return wire.read(Offered, (await line.ask("POST", "/sync/api/adoption", said, timeout_s=LOAD_S)).body)


class Handing:
    """This server's data on its way to the cluster. `last` runs before the last load goes: from then on only the cluster
    knows whether it has everything. `patience_s`: how long nobody may answer before that."""

    def __init__(self, net: Net, store: Store, shows: Shows, offer: Offer, last: Callable[[], Awaitable[None]]) -> None:
        self._net, self._store, self._shows, self._last = net, store, shows, last
        self._offer = msgspec.structs.replace(offer, begin=True)
        self.in_doubt = False
        self.loads = 0

    async def hand(self, url: str, patience_s: float) -> str:
        """Returns when everything is on the primary: the URL of an instance. However often that changes meanwhile, it goes
        on. Raises NotTaken when it is refused; PeerLost when nobody answered for so long, and nothing was changed."""
        urls, heard, before = [url], time.monotonic(), 0
        while True:
            for one in tuple(urls):
                try:
                    urls = list(dict.fromkeys([*await at_primary(self._net, one, self._shows, self._all), *urls]))
                except PeerLost as lost:
                    log.warning("cluster.not_handed_over_yet", at=one, error=str(lost))
                    continue
                return urls[0]
            if self.loads > before:
                heard, before = time.monotonic(), self.loads
            if not self.in_doubt and time.monotonic() - heard > patience_s:
                raise PeerLost(f"nobody at {url} answered for {patience_s:g} s")
            await asyncio.sleep(AGAIN_S)

    async def _all(self, line: Line, nonce: str, secret: Secret | None) -> tuple[str, ...]:
        begun = await _offer(line, nonce, secret, self._offer)
        if begun.conflicts:
            self.in_doubt = False
            raise NotTaken("\n".join(f"TOCSIN_PRIMARY_SYNC_URL: {line.url}: {one}" for one in begun.conflicts))
        urls, token, key = begun.urls, begun.token, begun.key
        while not begun.done:
            said = await self._load(begun, Seal(key))
            try:
                answer = await line.ask("PUT", "/sync/api/adoption", said, token=token, timeout_s=LOAD_S)
            except Conflict:
                self.in_doubt = False  # it was refused, not lost
                raise
            begun = wire.read(Offered, answer.body)
            self.loads += 1
        return urls

    async def _load(self, begun: Offered, transfer: Seal) -> bytes:
        def work(s: Session) -> parting.Load:
            reseal = resealing(s.seal, transfer)
            return parting.load(s, self._offer.adoption, begun.next, begun.cursor, reseal)

        found = await self._store.everything().read(work)
        if found.last:
            self.in_doubt = True
            await self._last()
        return parting.encode(found)


def words_of(has: Belongings) -> list[str]:
    """What a server has, in words."""
    counts = has.counts
    names = ", ".join(repr(name) for name in has.workspaces.values())
    return [
        f"workspaces: {names}",
        ", ".join(_count(counts[table], *named) for table, named in _NAMED.items()),
        ", ".join(_count(counts[table], *named) for table, named in _PAST.items()),
    ]


_NAMED = {
    "users": ("person", "people"), "monitors": ("monitor",), "channels": ("channel",), "alert_rules": ("alert rule",),
    "api_keys": ("API key",),
}  # fmt: skip
_PAST = {
    "incidents": ("incident",), "results": ("result",),
    "rollups_day": ("day's figure of a monitor at a location", "day's figures of monitors at locations"),
}  # fmt: skip


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"
