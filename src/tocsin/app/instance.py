"""Whether this server is one of several, by its settings the first time and by what it remembers later; and its sync API."""

from __future__ import annotations

import socket
from contextlib import AsyncExitStack

from tocsin import telemetry
from tocsin.app import joining
from tocsin.clock import Clock
from tocsin.cluster import disk
from tocsin.cluster.api import Api
from tocsin.cluster.instance import Cluster, Home
from tocsin.cluster.routes import ROUTES
from tocsin.core.lease import Terms
from tocsin.errors import SettingsError
from tocsin.net import Net
from tocsin.net.certificate import fingerprint_of, own_certificate, server_context
from tocsin.net.egress import Egress
from tocsin.net.http import HttpEngine
from tocsin.net.listen import Listening, configuration
from tocsin.net.mutual import ask_for_certificates
from tocsin.pipeline.corridor import Corridor
from tocsin.settings import Settings
from tocsin.store import Store
from tocsin.store.replica import Replica

log = telemetry.logger("tocsin.app")


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
    if wanted or await store.replica.state() is not None:
        return True
    await joining.must_not_be_handed_over(store)
    await joining.stands_alone(store)
    return False


async def take_part(
    settings: Settings, store: Store, corridor: Corridor, clock: Clock, web_url: str, closing: AsyncExitStack
) -> Cluster | None:
    """The cluster this server belongs to from now on, its sync API answering. `web_url` is where people reach this server.
    None where nobody answered it yet that it is to hand its data to: it goes on alone. Raises SettingsError where it is
    refused."""
    replica = store.replica
    assert replica is not None
    folder = settings.data_dir / "control"
    cert, key = own_certificate(settings.data_dir, clock.now())
    sock = _bound(settings)
    closing.callback(sock.close)
    net = Net(egress=Egress("private", own=set()), http=HttpEngine())
    me = await joining.this_one(settings, store, clock, fingerprint_of(cert), web_url)
    if await replica.state() is not None:
        await _must_be_as_before(replica, settings)
    elif not await joining.begin(settings, store, replica, net, me):
        await joining.stands_alone(store)
        return None
    cluster = await Cluster.begin(
        me, Home(store=store, corridor=corridor, clock=clock, net=net, folder=folder),
        accepts=joining.accepts_of(settings), terms=terms_of(settings), heartbeat_s=float(settings["HEARTBEAT_INTERVAL_S"]),
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
