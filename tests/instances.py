"""Instances of one cluster in one process: real stores, real sync APIs on loopback, real time in short terms."""

from __future__ import annotations

import asyncio
import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from builders import ALICE, until
from tables import with_tables
from tocsin.clock import SystemClock
from tocsin.cluster import disk, joining
from tocsin.cluster.api import Api
from tocsin.cluster.instance import PEERS_NOTE, Cluster, Home
from tocsin.cluster.joining import Shows
from tocsin.cluster.machine import system_info
from tocsin.cluster.proof import Accepts
from tocsin.cluster.routes import ROUTES
from tocsin.core.account import User, Workspace
from tocsin.core.instance import Instance
from tocsin.core.lease import Terms
from tocsin.core.membership import Member
from tocsin.core.turn import Me
from tocsin.net import Net
from tocsin.net.certificate import fingerprint_of, own_certificate, server_context
from tocsin.net.egress import Egress
from tocsin.net.http import HttpEngine
from tocsin.net.listen import Listening, configuration
from tocsin.net.mutual import ask_for_certificates
from tocsin.pipeline.corridor import Corridor
from tocsin.secret import Secret
from tocsin.store import Store

SECRET = Secret("the secret of these tests")
TERMS = Terms(beat_s=0.2, lease_s=1.6, stagger_s=0.3, jitter_s=0.1, send_s=0.5, least_send_s=0.1, drain_s=2.0)
NOW = datetime(2026, 1, 1, tzinfo=UTC)


class One:
    """One instance, as app/server builds it."""

    def __init__(self, folder: Path, name: str, order: int) -> None:
        self.folder, self.name, self.order = folder / name, name, order
        self.folder.mkdir(parents=True, exist_ok=True)
        self.sock = socket.create_server(("127.0.0.1", 0))
        self.port = self.sock.getsockname()[1]
        self.clock = SystemClock()
        self.cluster: Cluster
        self.running = False
        self.accepts = Accepts(secrets=(SECRET,))
        self.authorities: Path | None = None
        self.link_key = b""

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    async def open(self) -> None:
        cert, key = own_certificate(self.folder, self.clock.now())
        self.fingerprint, self.context = fingerprint_of(cert), server_context(cert, key)
        self.store = await Store.open(
            f"sqlite:///{with_tables(self.folder / 'tocsin.db')}", clock=self.clock,
            sealing_key=self.name.encode().ljust(32, b"."),
            spool_dir=self.folder / "spool", retry_attempts=1,
        )  # fmt: skip
        self.net = Net(egress=Egress("private", own=set()), http=HttpEngine())
        await self.net.start()
        self.corridor = Corridor.build(
            store=self.store, net=self.net, clock=self.clock, location=self.name, link_key=self.link_key
        )

    def me(self, **more: Any) -> Instance:
        return Instance(
            **{
                "id": f"instance-{self.name}", "name": self.name, "location": self.name, "sync_url": self.url,
                "web_url": f"http://{self.name}.example",
                "fingerprint": self.fingerprint, "failover_order": self.order, "incarnation": f"disk-of-{self.name}",
                "created_at": NOW, "version": "0",
            } | more
        )  # fmt: skip

    async def found(self) -> None:
        await self.open()
        user = User(id="alice", email=ALICE, password_hash="x", created_at=NOW)
        await self.store.everything().write(
            lambda s: s.accounts.create_first(user, Workspace(id="ws", name="Example", created_at=NOW))
        )
        me = self.me()
        assert self.store.replica is not None
        await disk.found(
            self.store.replica, Member(id=me.id, incarnation=me.incarnation, url=me.sync_url, order=self.order)
        )
        await self.start()

    async def join(self, url: str, shows: Shows | Secret = SECRET, **more: Any) -> None:
        await self.open()
        me = self.me(**more)
        shows = Shows(secrets=(shows,)) if isinstance(shows, Secret) else shows
        try:
            given, _pin = await joining.join(self.net, url, shows, registration(me))
        except BaseException:
            self.sock.close()
            await self.net.close()
            await self.store.close()
            raise
        assert self.store.replica is not None
        await self.store.everything().write(lambda s: s.notes.set(PEERS_NOTE, [_plain(p) for p in given.peers]))
        await disk.enrol(
            self.store.replica, Me(id=me.id, incarnation=me.incarnation, witness=me.witness), given.clusterKey
        )
        await self.start(me)

    async def start(self, me: Instance | None = None) -> None:
        home = Home(
            store=self.store, corridor=self.corridor, clock=self.clock, net=self.net, folder=self.folder / "control"
        )
        self.cluster = await Cluster.begin(me or self.me(), home, accepts=self.accepts, terms=TERMS, heartbeat_s=1.0)
        if self.authorities is not None:
            ask_for_certificates(self.context, self.authorities, self.cluster.registry.not_accepted)
        await self.corridor.start(leads=False)
        config = configuration(None, per_address=0, grace_s=1)
        self.listening = Listening(Api(self.cluster, ROUTES), self.sock, self.context, config)
        config.app = Api(self.cluster, ROUTES)
        config.load()
        await self.listening.start()
        await self.cluster.start()
        self.running = True

    async def stop(self, *, handing_over: bool = False) -> None:
        """End; without a word to the others unless `handing_over`."""
        if not self.running:
            return
        self.running = False
        if handing_over:
            await self.cluster.stop()
        else:
            tasks = [*self.cluster._tasks, *self.cluster.doing]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self.cluster.carrier.stop()
            self.cluster.work.close()
            self.cluster.peers.close()
        await self.listening.stop()
        await self.corridor.stop()
        await self.net.close()
        await self.store.close()

    async def again(self, **more: Any) -> None:
        """Start anew from its disk, at the same address."""
        self.sock = socket.create_server(("127.0.0.1", self.port))
        await self.open()
        await self.start(self.me(**more))


def registration(me: Instance) -> dict[str, Any]:
    return {
        "instanceId": me.id, "instanceName": me.name, "location": me.location, "version": me.version,
        "failoverOrder": me.failover_order, "publicEndpoint": me.sync_url or None, "webUrl": me.web_url,
        "systemInfo": system_info(),
        "incarnation": me.incarnation, "fingerprint": me.fingerprint, "witness": me.witness,
    }  # fmt: skip


def _plain(peer: Any) -> dict[str, str]:
    return {"id": peer.id, "url": peer.url, "fingerprint": peer.fingerprint, "web": peer.web}


class Group:
    """Instances by name. `a` begins the cluster."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ones: dict[str, One] = {}

    def one(self, name: str) -> One:
        if name not in self.ones:
            self.ones[name] = One(self.folder, name, len(self.ones))
        return self.ones[name]

    async def gather(self, *names: str) -> list[One]:
        """So many instances that are one cluster, all voting."""
        ones = [self.one(name) for name in names]
        await ones[0].found()
        await until(lambda: ones[0].cluster.carrier.standing.leads and ones[0].corridor.leads, within_s=20)
        for one in ones[1:]:
            await one.join(ones[0].url)
        node = ones[0].cluster.carrier.node
        await until(lambda: len(node.membership.voters()) == len(ones), within_s=30)
        await until(lambda: all(one.cluster.carrier.node.commit >= node.log.changed_at for one in ones), within_s=20)
        return ones

    def primary(self) -> One | None:
        return next(
            (o for o in self.ones.values() if o.running and o.cluster.carrier.standing.leads and o.corridor.leads), None
        )

    async def stop(self) -> None:
        await asyncio.gather(*(one.stop() for one in self.ones.values()))
