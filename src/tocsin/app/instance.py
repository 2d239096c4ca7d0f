"""Whether this server is one of several, by its settings the first time and by what it remembers later; and its sync API."""

from __future__ import annotations

import asyncio
import socket
from contextlib import AsyncExitStack
from typing import Any

import msgspec

from tocsin import __version__, telemetry
from tocsin.clock import Clock, new_id
from tocsin.cluster import disk, joining
from tocsin.cluster.api import Api
from tocsin.cluster.instance import PEERS_NOTE, Cluster, Home
from tocsin.cluster.joining import Shows
from tocsin.cluster.machine import system_info
from tocsin.cluster.proof import Accepts
from tocsin.cluster.routes import ROUTES
from tocsin.cluster.wire import SystemInfo
from tocsin.core.instance import Instance
from tocsin.core.lease import Terms
from tocsin.core.membership import Member
from tocsin.core.turn import Me
from tocsin.errors import PeerLost, SettingsError
from tocsin.net import Net
from tocsin.net.certificate import fingerprint_of, own_certificate, server_context
from tocsin.net.egress import Egress
from tocsin.net.http import HttpEngine
from tocsin.net.listen import Listening, configuration
from tocsin.net.mutual import ask_for_certificates, client_pair
from tocsin.pipeline.corridor import Corridor
from tocsin.settings import Settings
from tocsin.store import Store
from tocsin.store.replica import Replica

log = telemetry.logger("tocsin.app")

WHO_NOTE = "cluster:me"
AGAIN_S = 5.0


async def belongs(settings: Settings, store: Store) -> bool:
    """Whether this server is one of several, or is told to become one. Raises SettingsError where it cannot."""
    wanted = settings["ENABLE_SYNC_API"] or settings["PRIMARY_SYNC_URL"] or settings["WITNESS"]
    if store.replica is None:
        if wanted:
            raise SettingsError(
                "TOCSIN_DATABASE_URL: expected SQLite for a server that is one of several with a database of its own, found"
                " PostgreSQL"
            )
        return False
    return bool(wanted) or await store.replica.state() is not None


async def take_part(
    settings: Settings, store: Store, corridor: Corridor, clock: Clock, web_url: str, closing: AsyncExitStack
) -> Cluster:
    """The cluster this server belongs to from now on, its sync API answering. `web_url` is where people reach this server.
    Raises SettingsError where it is refused."""
    replica = store.replica
    assert replica is not None
    folder = settings.data_dir / "control"
    cert, key = own_certificate(settings.data_dir, clock.now())
    sock = _bound(settings)
    closing.callback(sock.close)
    net = Net(egress=Egress("private", own=set()), http=HttpEngine())
    me = await _me(settings, store, clock, fingerprint_of(cert), web_url)
    state = await replica.state()
    if state is not None:
        await _must_be_as_before(replica, settings)
    else:
        me = await _begin(settings, store, replica, net, me)
    cluster = await Cluster.begin(
        me, Home(store=store, corridor=corridor, clock=clock, net=net, folder=folder),
        accepts=accepts_of(settings), terms=terms_of(settings), heartbeat_s=float(settings["HEARTBEAT_INTERVAL_S"]),
    )  # fmt: skip
    api = Api(cluster, ROUTES)
    config = configuration(api, per_address=settings["CONNECTIONS_PER_ADDRESS"], grace_s=1)
    config.load()
    context = server_context(cert, key)
    if settings["SYNC_CLIENT_CA"] is not None:
        ask_for_certificates(context, settings["SYNC_CLIENT_CA"], cluster.registry.not_accepted)
    listening = Listening(api, sock, context, config)
    await listening.start()
    closing.push_async_callback(listening.stop)
    if not me.sync_url:
        log.warning(
            "cluster.observes_only", remedy="set TOCSIN_SYNC_URL to where the others reach this server's sync API"
        )
    return cluster


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


def terms_of(settings: Settings) -> Terms:
    """The times of leases: a beat every 5 s, or as often as reports are set to; what fits into a lease shrinks with it."""
    usual = Terms()
    beat = min(usual.beat_s, float(settings["HEARTBEAT_INTERVAL_S"]))
    share = beat / usual.beat_s
    return Terms(
        beat_s=beat, lease_s=usual.lease_s * share, send_s=usual.send_s * share, least_send_s=usual.least_send_s * share
    )


async def _must_be_as_before(replica: Replica, settings: Settings) -> None:
    stands = (await disk.read(replica))[0]
    if stands.witness != settings["WITNESS"]:
        was = str(stands.witness).lower()
        raise SettingsError(
            f"TOCSIN_WITNESS: expected {was}, as when this server joined, found {str(not stands.witness).lower()}"
        )


def _bound(settings: Settings) -> socket.socket:
    host, port = settings["SYNC_HOST"] or settings["HOST"], settings["SYNC_API_PORT"]
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise SettingsError(
            f"TOCSIN_SYNC_API_PORT: expected a free port, found that {host}:{port} cannot be used: {error.strerror}"
        ) from error


async def _me(settings: Settings, store: Store, clock: Clock, fingerprint: str, web_url: str) -> Instance:
    """This instance as it is set; its id and the name of its disk were made at the first start."""
    known: Any = await store.everything().read(lambda s: s.notes.get(WHO_NOTE))
    if known is None:
        known = {"id": new_id(), "incarnation": new_id()}
        await store.everything().write(lambda s: s.notes.set(WHO_NOTE, known), local=True)
    location = settings["LOCATION"]
    return Instance(
        id=known["id"], incarnation=known["incarnation"], name=settings["INSTANCE_NAME"] or socket.gethostname(),
        location=location, sync_url=settings["SYNC_URL"].rstrip("/"), web_url=web_url,
        fingerprint=fingerprint,
        failover_order=settings["FAILOVER_ORDER"], version=__version__, witness=settings["WITNESS"],
        capabilities=("vote",) if settings["WITNESS"] else ("checks", "vote"),
        system_info=system_info(), created_at=clock.now(),
    )  # fmt: skip


async def _begin(settings: Settings, store: Store, replica: Replica, net: Net, me: Instance) -> Instance:
    """Begin a cluster, or join the one that is named. It waits for that one as long as it takes."""
    url = settings["PRIMARY_SYNC_URL"].rstrip("/")
    if me.witness and not (url and me.sync_url):
        raise SettingsError(
            "TOCSIN_WITNESS: expected TOCSIN_PRIMARY_SYNC_URL (whom to join) and TOCSIN_SYNC_URL (where it is asked), found "
            + ("no TOCSIN_SYNC_URL" if url else "no TOCSIN_PRIMARY_SYNC_URL")
        )
    if not url:
        member = Member(id=me.id, incarnation=me.incarnation, url=me.sync_url, order=me.failover_order)
        await disk.found(replica, member)
        log.info("cluster.begun", instance=me.id, name=me.name)
        return me
    shows = shows_of(settings)
    mine = await store.everything().read(lambda s: len(s.monitors.all()))
    if mine:
        raise SettingsError(
            f"TOCSIN_PRIMARY_SYNC_URL: expected a server without monitors of its own, found {mine}: those of the others"
            " would take their place. Start with another TOCSIN_DATA_DIR"
        )
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
    return me


def registration(me: Instance) -> dict[str, Any]:
    """What an instance says of itself when it registers."""
    return {
        "instanceId": me.id, "instanceName": me.name, "location": me.location, "version": me.version,
        "capabilities": me.capabilities, "failoverOrder": me.failover_order, "publicEndpoint": me.sync_url or None,
        "webUrl": me.web_url,
        "systemInfo": msgspec.convert(me.system_info, SystemInfo), "incarnation": me.incarnation,
        "fingerprint": me.fingerprint, "witness": me.witness,
    }  # fmt: skip
