"""How a server begins a cluster or joins one: with nothing, or with all it has, which the operator agreed to before."""

from __future__ import annotations

import asyncio
import socket
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from tocsin import __version__, telemetry
from tocsin.clock import Clock, new_id
from tocsin.cluster import adoption, disk, joining
from tocsin.cluster.instance import PEERS_NOTE
from tocsin.cluster.joining import Shows
from tocsin.cluster.machine import system_info
from tocsin.cluster.proof import Accepts
from tocsin.cluster.wire import Offered, SystemInfo
from tocsin.core.instance import Instance, must_name_its_place
from tocsin.core.membership import Member
from tocsin.core.probe import LOCAL
from tocsin.core.turn import Me
from tocsin.errors import PeerLost, SettingsError
from tocsin.net import Net
from tocsin.net.mutual import client_pair
from tocsin.settings import Settings
from tocsin.store import Store, parting
from tocsin.store.parting import Belongings
from tocsin.store.replica import Replica
from tocsin.store.session import Session

log = telemetry.logger("tocsin.app")

WHO_NOTE, ADOPTION_NOTE = "cluster:me", "cluster:adoption"
AGREED_NOTE, HANDED_NOTE = "cluster:agreed", "cluster:handed"
AGAIN_S = 5.0
PATIENCE_S = 30.0
"""So long a server that has something to hand over waits for the others before it goes on alone."""


class Agreed(Struct, frozen=True, kw_only=True):
    """What the operator agreed to: to hand everything to the cluster at `url`, where these addresses are the same people."""

    url: str
    same: tuple[str, ...] = ()


async def this_one(settings: Settings, store: Store, clock: Clock, fingerprint: str, web_url: str) -> Instance:
    """This instance as it is set; its id and the name of its disk were made at the first start."""
    known: Any = await store.everything().read(lambda s: s.notes.get(WHO_NOTE))
    if known is None:
        known = {"id": new_id(), "incarnation": new_id()}
        await store.everything().write(lambda s: s.notes.set(WHO_NOTE, known), local=True)
    others = settings["SYNC_URL"] or settings["PRIMARY_SYNC_URL"]
    if not settings["BASE_URL"] and reaches_only_itself(web_url) and not reaches_only_itself(others):
        log.warning(
            "cluster.no_base_url", found=web_url, remedy="set TOCSIN_BASE_URL to where people reach this server"
        )
        web_url = ""
    name, location = settings["INSTANCE_NAME"] or socket.gethostname(), settings["LOCATION"]
    if settings["WITNESS"] and location == LOCAL:
        location = name  # it checks nothing: this only says which one it is
    return Instance(
        id=known["id"], incarnation=known["incarnation"], name=name,
        location=location, sync_url=settings["SYNC_URL"].rstrip("/"), web_url=web_url,
        fingerprint=fingerprint,
        failover_order=settings["FAILOVER_ORDER"], version=__version__, witness=settings["WITNESS"],
        capabilities=("vote",) if settings["WITNESS"] else ("checks", "vote"),
        system_info=system_info(), created_at=clock.now(),
    )  # fmt: skip


def reaches_only_itself(url: str) -> bool:
    """Whether this address (of a server that others are told of) leads nobody but its own machine anywhere."""
    host = ""
    try:
        host = urlsplit(url).hostname or ""
        address = ip_address(host)
    except ValueError:
        return host == "localhost"
    return address.is_loopback or address.is_unspecified


async def begin(settings: Settings, store: Store, replica: Replica, net: Net, me: Instance) -> bool:
    """Begin a cluster, or join the one that is named, with what this server has. Who has nothing waits for it as long as it
    takes; False where nobody answered who has something, and goes on alone. Raises SettingsError where it is refused."""
    url = settings["PRIMARY_SYNC_URL"].rstrip("/")
    if me.witness and not (url and me.sync_url):
        raise SettingsError(
            "TOCSIN_WITNESS: expected TOCSIN_PRIMARY_SYNC_URL (whom to join) and TOCSIN_SYNC_URL (where it is asked), found "
            + ("no TOCSIN_SYNC_URL" if url else "no TOCSIN_PRIMARY_SYNC_URL")
        )
    if (wrong := must_name_its_place(me.location)) is not None:
        raise SettingsError(f"TOCSIN_LOCATION: {wrong}")
    if not url:
        await must_not_be_handed_over(store)
        member = Member(id=me.id, incarnation=me.incarnation, url=me.sync_url, order=me.failover_order)
        await disk.found(replica, member)
        log.info("cluster.begun", instance=me.id, name=me.name)
        return True
    shows = shows_of(settings)
    has = await store.everything().read(parting.belongings)
    if has.workspaces and me.witness:
        raise SettingsError(
            "TOCSIN_WITNESS: expected a server with nothing of its own, found workspaces: use another TOCSIN_DATA_DIR"
        )
    if has.workspaces:
        agreed = await _must_be_agreed(store, url, has)
        try:
            url = await _hand_over(net, store, url, shows, me, agreed)
        except PeerLost as lost:
            log.error("cluster.goes_on_alone", at=url, error=str(lost), remedy="start again once it answers")  # noqa: TRY400
            return False
    asked = registration(me)
    while True:
        try:
            given, _ = await joining.join(net, url, shows, asked)
            break
        except PeerLost as lost:
            log.warning("cluster.not_joined_yet", at=url, error=str(lost))
            await asyncio.sleep(AGAIN_S)
    peers = [msgspec.to_builtins(peer) for peer in given.peers]
    await store.everything().write(lambda s: s.notes.set(PEERS_NOTE, peers), local=True)
    await disk.enrol(replica, Me(id=me.id, incarnation=me.incarnation, witness=me.witness), given.clusterKey)
    log.info("cluster.joined", instance=me.id, at=url)
    return True


def accepts_of(settings: Settings) -> Accepts:
    """What lets another instance register here."""
    secrets = tuple(settings[key] for key in ("SYNC_SECRET", "SYNC_SECRET_BEFORE") if settings[key] is not None)
    return Accepts(secrets=secrets, certificates=settings["SYNC_CLIENT_CA"] is not None)


def shows_of(settings: Settings) -> Shows:
    """What this server shows when it registers. Raises SettingsError where that cannot be read, or is not enough."""
    pair = None
    if settings["SYNC_CLIENT_CERT"] is not None:
        pair = client_pair(settings["SYNC_CLIENT_CERT"], settings["SYNC_CLIENT_KEY"])
    expects = settings["PRIMARY_SYNC_FINGERPRINT"].replace(":", "").lower()
    secrets = accepts_of(settings).secrets
    if not secrets and pair is None:
        raise SettingsError("TOCSIN_SYNC_SECRET: expected the secret of the instance to join, found nothing")
    if not secrets and not expects:
        raise SettingsError(
            "TOCSIN_PRIMARY_SYNC_FINGERPRINT: expected the SHA-256 of the certificate that the instance to join shows, since"
            " no TOCSIN_SYNC_SECRET tells that it is the right one, found nothing"
        )
    return Shows(secrets=secrets, certificate=pair, expects=expects)


def registration(me: Instance) -> dict[str, Any]:
    """What an instance says of itself when it registers."""
    return {
        "instanceId": me.id, "instanceName": me.name, "location": me.location, "version": me.version,
        "capabilities": me.capabilities, "failoverOrder": me.failover_order, "publicEndpoint": me.sync_url or None,
        "webUrl": me.web_url,
        "systemInfo": msgspec.convert(me.system_info, SystemInfo), "incarnation": me.incarnation,
        "fingerprint": me.fingerprint, "witness": me.witness,
    }  # fmt: skip


# With what it has ---------------------------------------------------------------------------------------------------------
async def look(
    net: Net, store: Store, url: str, shows: Shows, me: Instance, same: tuple[str, ...]
) -> tuple[Belongings, Offered]:
    """What this server has, and what the cluster says would come of it; nothing is changed on either side. Raises PeerLost
    when it cannot be asked now, SettingsError where it refuses."""
    has = await store.everything().read(parting.belongings)
    offer = adoption.offer_of(registration(me), has, await _attempt(store), same)
    return has, await adoption.look(net, url, shows, offer)


async def agree(store: Store, agreed: Agreed) -> None:
    """Keep the operator's word."""
    await _set(store, AGREED_NOTE, msgspec.to_builtins(agreed))


async def must_not_be_handed_over(store: Store) -> None:
    """SettingsError when a cluster may have what this server has: two would run the same monitors."""
    handed = await _get(store, HANDED_NOTE)
    if handed is not None:
        raise SettingsError(
            f"TOCSIN_PRIMARY_SYNC_URL: expected {handed}, for the cluster there has what this server had, or may have it:"
            " found nothing. If it has not, `tocsin join --stay-alone` lets this server go on alone"
        )


async def stands_alone(store: Store) -> None:
    """This server goes on alone: what it has changes from now on, so another attempt begins from the beginning."""
    await _set(store, ADOPTION_NOTE, None)


async def stay_alone(store: Store) -> None:
    """Forget that anything was, or was to be, handed over."""
    for name in (ADOPTION_NOTE, AGREED_NOTE, HANDED_NOTE):
        await _set(store, name, None)


async def _must_be_agreed(store: Store, url: str, has: Belongings) -> Agreed:
    found = await _get(store, AGREED_NOTE)
    agreed = None if found is None else msgspec.convert(found, Agreed)
    if agreed is None or agreed.url != url:
        words = "; ".join(adoption.words_of(has))
        raise SettingsError(
            f"TOCSIN_PRIMARY_SYNC_URL: expected a server with nothing of its own, found {words}. `tocsin join` shows what"
            " would come along and takes your word; to join without it, start with another TOCSIN_DATA_DIR"
        )
    return agreed


async def _hand_over(net: Net, store: Store, url: str, shows: Shows, me: Instance, agreed: Agreed) -> str:
    """Bring everything to the cluster: the URL of an instance of it. Raises PeerLost when nobody answered and all is as it
    was; SettingsError when it was refused."""
    await _settle(store)
    has = await store.everything().read(parting.belongings)
    offer = adoption.offer_of(registration(me), has, await _attempt(store), agreed.same)

    async def last() -> None:
        await _set(store, HANDED_NOTE, url)

    handing = adoption.Handing(net, store, shows, offer, last)
    handing.in_doubt = await _get(store, HANDED_NOTE) is not None
    try:
        at = await handing.hand(url, PATIENCE_S)
    except (PeerLost, SettingsError):
        if not handing.in_doubt:
            await _set(store, HANDED_NOTE, None)
        raise
    log.info("cluster.handed_over", at=at, loads=handing.loads, **has.counts)
    return at


async def _settle(store: Store) -> None:
    """Bring what waits on the spool and in the tail to where it is read from."""
    async with asyncio.timeout(PATIENCE_S):
        while store.spooled:  # noqa: ASYNC110 (the store heals by itself)
            await asyncio.sleep(0.1)
    while store.tail:
        await store.move_tail()


async def _attempt(store: Store) -> str:
    """The name of this attempt: the same until this server runs alone again."""
    known = await _get(store, ADOPTION_NOTE)
    if known is None:
        known = new_id()
        await _set(store, ADOPTION_NOTE, known)
    return str(known)


async def _get(store: Store, name: str) -> Any:
    return await store.everything().read(lambda s: s.notes.get(name))


async def _set(store: Store, name: str, value: Any) -> None:
    def work(s: Session) -> None:
        if value is not None or s.notes.get(name) is not None:
            s.notes.set(name, value)

    await store.everything().write(work, local=True)
