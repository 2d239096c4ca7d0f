"""A server's end for probes in the test's own process: real sockets, a real server, and a registry that the test fills."""

from __future__ import annotations

import asyncio
import hashlib
import json
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from tocsin import checks
from tocsin.checks import Order
from tocsin.clock import SystemClock
from tocsin.core.shape import read
from tocsin.errors import Denied, Invalid
from tocsin.location.lag import LagMeter
from tocsin.location.self_test import SelfTest
from tocsin.net import Net
from tocsin.net.certificate import fingerprint_of, own_certificate, server_context
from tocsin.net.listen import Listening, configuration
from tocsin.probe.api import Api, Guard
from tocsin.probe.enrol import Enrolled, Offer
from tocsin.probe.join import JOIN_PATH, LINK_PATH, Door, Seat, answer_link, join
from tocsin.probe.link import Links
from tocsin.probe.wire import MAX_MESSAGE, Late
from tocsin.probe.work import Worker

KEY = "a key of sixteen characters or more"
WHO = ("ws", "europe")


def listener(port: int = 0) -> socket.socket:
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind(("127.0.0.1", port))
    return made


def an_order(type_: str = "http", timeout_s: float = 5.0, monitor: str = "m1", **target: Any) -> Order:
    """An order as the runner gives it."""
    parsed = read(checks.kind(type_).target, target)
    return Order(type_, parsed, timeout_s, (), "europe", monitor, SystemClock().now(), 0)


@dataclass
class Registry:
    """Probes that may link, by key, and tokens that were not used."""

    keys: dict[str, Seat] = field(default_factory=dict[str, Seat])
    tokens: dict[str, str] = field(default_factory=dict[str, str])
    used: set[str] = field(default_factory=set[str])
    offers: list[Offer] = field(default_factory=list[Offer])
    urls: tuple[str, ...] = ()

    async def authenticate(self, key: str) -> Seat | None:
        return self.keys.get(key)

    async def redeem(self, token: str, offer: Offer) -> Enrolled:
        if token in self.used:
            raise Denied("the token was used before")
        if token not in self.tokens:
            raise Denied("there is no such token")
        code = self.tokens.pop(token)
        self.used.add(token)
        self.offers.append(offer)
        key = hashlib.sha256(token.encode()).hexdigest()
        self.keys[key] = Seat(who=("ws", code), probe_id=f"p-{code}")
        return Enrolled(probe_id=f"p-{code}", location=code, key=key, urls=self.urls)


class Hub:
    """The server's ends of joining and linking, on a port of this machine. `late` collects late results."""

    def __init__(self, port: int = 0, registry: Registry | None = None, tls: ssl.SSLContext | None = None) -> None:
        self.clock = SystemClock()
        self.registry = registry or Registry(keys={KEY: Seat(who=WHO, probe_id="p1")})
        self.links = Links(self.clock)
        self.links.late = self._late
        self.late: list[Late] = []
        self.late_fails = 0
        self.primary: str | None = None
        self.asked = 0
        self.changes: list[Any] = []
        self.links.changed = self.changes.append
        self._sock = listener(port)
        self.port = self._sock.getsockname()[1]
        self.urls: list[str] = [self.url]
        door = Door(probes=self.registry, links=self.links, urls=lambda: self.urls, primary=lambda: self.primary)
        self._listening = Listening(
            partial(_application, self, door), self._sock, tls,
            configuration(partial(_application, self, door), per_address=0, grace_s=1, max_message=MAX_MESSAGE),
        )  # fmt: skip

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        self.registry.urls = tuple(self.urls)
        await self._listening.start()

    async def stop(self) -> None:
        await self._listening.stop()

    async def _late(self, late: Late) -> None:
        if self.late_fails:
            self.late_fails -= 1
            raise OSError("no room")
        self.late.append(late)


async def _application(hub: Hub, door: Door, scope: Any, receive: Any, send: Any) -> None:
    hub.asked += 1
    headers = {name.decode(): value.decode() for name, value in scope["headers"]}
    if scope["type"] == "websocket" and scope["path"] == LINK_PATH:
        await answer_link(headers, receive, send, door, scope["client"][0])
        return
    status, said = 404, dict[str, Any]()
    if scope["type"] == "http" and scope["path"] == JOIN_PATH:
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        if (primary := door.primary()) is not None:
            status, said = 409, {"primary": primary}
        else:
            try:
                status, said = 200, await join(body, door.probes)
            except Denied as error:
                status, said = 403, {"detail": str(error)}
            except Invalid as error:
                status, said = 422, {"detail": str(error)}
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": json.dumps(said).encode()})


@asynccontextmanager
async def hub(port: int = 0, registry: Registry | None = None, tls: ssl.SSLContext | None = None) -> AsyncIterator[Hub]:
    made = Hub(port, registry, tls)
    await made.start()
    try:
        yield made
    finally:
        await made.stop()


@asynccontextmanager
async def a_worker(net: Net, region: str = "europe", most: int = 100, run: Any = None) -> AsyncIterator[Worker]:
    """A probe's worker with real checks."""
    clock, lag = SystemClock(), LagMeter()
    lag.start()
    worker = Worker(
        run or SelfTest(partial(checks.run, net=net, clock=clock), [], clock), lag, clock, region, most=most
    )
    try:
        yield worker
    finally:
        await worker.stop(1)
        await lag.stop()


@dataclass
class Listener:
    """A probe that listens in this process."""

    port: int
    fingerprint: str
    worker: Worker
    guard: Guard

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"


@asynccontextmanager
async def a_listener(folder: Path, worker: Worker, *, port: int = 0, **more: Any) -> AsyncIterator[Listener]:
    """A probe's API on TLS with a certificate of its own."""
    clock = SystemClock()
    cert, key = own_certificate(folder, clock.now())
    guard = Guard(**({"keys": (KEY,)} | more))
    api = Api(worker, guard, clock)
    listening = Listening(api, listener(port), server_context(cert, key), configuration(api, per_address=0, grace_s=1))
    await listening.start()
    try:
        yield Listener(listening.port, fingerprint_of(cert), worker, guard)
    finally:
        await listening.stop()


async def raw(port: int, text: bytes, wait_s: float = 5.0) -> bytes:
    """What is answered to these bytes on a plain connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(text)
    try:
        async with asyncio.timeout(wait_s):
            return await reader.read()
    finally:
        writer.close()
