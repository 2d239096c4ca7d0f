"""A whole corridor in one process: a real SQLite store, real loopback targets and sinks, and a clock the test moves."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Self

from builders import ALICE, START, FakeClock, a_channel, a_monitor, a_probe, an_outcome, until
from tables import with_tables
from tocsin.checks import Order
from tocsin.core.account import User, Workspace
from tocsin.core.alert import Channel
from tocsin.core.monitor import Monitor
from tocsin.core.probe import Probe, Sign
from tocsin.core.result import Outcome
from tocsin.errors import PeerLost
from tocsin.location import Location
from tocsin.net import Net
from tocsin.net.egress import Egress
from tocsin.net.http import HttpEngine
from tocsin.pipeline.corridor import Corridor
from tocsin.pipeline.watchlist import Watched
from tocsin.store import Store


class Web:
    """An HTTP server that answers as told and keeps what it was sent.

    `status` is what it answers; `script` (statuses, or (status, headers)) goes first. `hang` keeps callers waiting.
    """

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.host = host
        self.status = 200
        self.script: deque[int | tuple[int, dict[str, str]]] = deque()
        self.hang: asyncio.Event | None = None
        self.calls: list[tuple[dict[str, str], bytes]] = []
        self.body = b"hello"
        self.port = 0
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}/"

    @property
    def posts(self) -> list[dict[str, Any]]:
        """The JSON bodies it was sent."""
        return [json.loads(body) for _, body in self.calls if body]

    @property
    def events(self) -> list[str]:
        return [post["event"] for post in self.posts]

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, self.host, self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        if self.hang is not None:
            self.hang.set()
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            headers = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
            headers = {name.lower(): value for name, value in headers.items()}
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            self.calls.append((headers, body))
            if self.hang is not None:
                await self.hang.wait()
            step = self.script.popleft() if self.script else self.status
            status, extra = step if isinstance(step, tuple) else (step, dict[str, str]())
            lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(self.body)}", "Connection: close"]
            lines += [f"{name}: {value}" for name, value in extra.items()]
            writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + self.body)
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


class World:
    """A corridor over a store in `folder`. `stop` and `start` restart it; `crash` stops it without a word."""

    def __init__(self, folder: Path, clock: FakeClock | None = None) -> None:
        self.folder, self.clock = folder, clock or FakeClock()
        self.store: Store
        self.corridor: Corridor
        self.net: Net
        self.running = False
        self.places: dict[str, Any] = {}
        """Locations that are there from the start of the next corridor on."""

    async def start(self, **more: Any) -> None:
        self.store = await Store.open(
            f"sqlite:///{with_tables(self.folder / 'tocsin.db')}",
            clock=self.clock,
            sealing_key=b"k" * 32,
            spool_dir=self.folder / "spool",
            retry_attempts=1,
        )
        self.net = Net(egress=Egress("private", own=set()), http=HttpEngine())
        await self.net.start()
        user = User(id="alice", email=ALICE, password_hash="x", created_at=START)
        if not await self.store.everything().read(lambda s: s.accounts.setup_done()):
            workspace = Workspace(id="ws", name="Example", created_at=START)
            await self.store.everything().write(lambda s: s.accounts.create_first(user, workspace))
        self.corridor = Corridor.build(
            store=self.store, net=self.net, clock=self.clock, base_url="https://tocsin.example", **more
        )
        self.corridor.runner.locations.update(self.places)
        await self.corridor.start()
        self.running = True

    async def stop(self) -> None:
        if self.running:
            self.running = False
            await self.corridor.stop()
            await self.net.close()
            await self.store.close()

    async def crash(self) -> None:
        """End at once, as a killed process does: nothing more is stored, sent or recorded."""
        self.running = False
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.net.close()
        await self.store.close()

    async def watch(self, **more: Any) -> Watched:
        """Add a monitor of `ws` as the API does."""
        monitor = a_monitor(**({"failure_threshold": 2, "retries": 1, "retry_interval_s": 5} | more))
        await self.store.of(monitor.workspace_id).write(lambda s: s.monitors.add(monitor))
        return await self.corridor.changed(monitor.id)

    async def rewrite(self, monitor: Monitor) -> Watched:
        """Change a monitor as the API does."""
        await self.store.of(monitor.workspace_id).write(lambda s: s.monitors.replace(monitor))
        return await self.corridor.changed(monitor.id)

    async def tell(self, sink: Web, **more: Any) -> Channel:
        """Add a webhook channel to the sink."""
        channel = a_channel(config={"url": sink.url}, **more)
        await self.store.of(channel.workspace_id).write(lambda s: s.channels.add(channel))
        await self.corridor.channels_changed(channel.workspace_id)
        return channel

    async def quiet(self) -> None:
        """Until nothing runs, waits to be stored, or is being sent."""
        await until(lambda: not self.corridor.scheduler.admission.running and self.all_stored() and self.all_sent())

    def all_stored(self) -> bool:
        """Whether every result that was handed over is stored (what waits for company is not kept waiting)."""
        intake = self.corridor.intake
        if intake.backlog:
            intake._hurry()
        return intake._line.done == intake._line.given and not intake._turn.locked()

    def all_sent(self) -> bool:
        """Whether nothing is being sent, recorded or looked for."""
        delivery = self.corridor.delivery
        if not self.corridor.leads:
            return not delivery._sending
        return delivery._resting and not delivery._sending and not delivery._wake.is_set()

    async def go(self, seconds: float, step: float = 1.0) -> None:
        """Let that much time pass, with everything that comes of it."""
        left = seconds
        while left > 1e-9:
            await self.clock.advance(min(step, left), step=step)
            left -= step
            await self.quiet()


@asynccontextmanager
async def a_world(folder: Path, **more: Any) -> AsyncIterator[World]:
    """A running world, stopped at the end."""
    world = World(folder)
    await world.start(**more)
    try:
        yield world
    finally:
        await world.stop()


@asynccontextmanager
async def webs(count: int) -> AsyncIterator[list[Web]]:
    """So many web servers."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(Web()) for _ in range(count)]


class Place:
    """A location that answers as told, without a network: `status` for all, or by monitor's URL in `by_url`.

    `gate`, when set, keeps checks running until it is opened. `runs` notes the slot of each run's order.
    """

    def __init__(self, world: World, name: str = "local") -> None:
        self.status: Any = "up"
        self.by_url: dict[str, Any] = {}
        self.gate: asyncio.Event | None = None
        self.runs: list[str] = []
        self.most = self.now = 0
        self._world, self.name = world, name
        world.corridor.runner.locations[name] = self.look

    async def look(self, order: Order) -> Outcome:
        self.runs.append(order.target.url)
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            if self.gate is not None:
                await self.gate.wait()
            status = self.by_url.get(order.target.url, self.status)
            if isinstance(status, Exception):
                raise status
            return an_outcome(status, at=self._world.clock.now(), location=order.location)
        finally:
            self.now -= 1


@contextmanager
def database_locked(world: World) -> Iterator[None]:
    """Somebody else holds the database: nothing can be written (and no write waits long for it)."""
    other = sqlite3.connect(world.folder / "tocsin.db", isolation_level=None, timeout=20)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.execute("ROLLBACK")
        other.close()


class Probes:
    """How probes are reached, without a network: each location answers by `status` ("up" unless told), and is silent while
    its code is in `away`. `trouble`: what one finds wrong with itself. `runs` notes (location, slot, attempt) of each."""

    def __init__(self, clock: FakeClock | None = None) -> None:
        self.clock = clock
        self.status: dict[str, Any] = {}
        self.away: dict[str, PeerLost] = {}
        self.trouble: dict[str, str] = {}
        self.runs: list[tuple[str, Any, int]] = []
        self.forgotten: list[str] = []

    def silence(self, *codes: str, why: str = "no answer", cause: str | None = None) -> None:
        """Let these be cut off."""
        for code in codes:
            self.away[code] = PeerLost(why)
            self.away[code].cause = cause

    def location(self, probe: Probe) -> Location:
        async def look(order: Order) -> Outcome:
            self.runs.append((order.location, order.scheduled_at, order.attempt))
            if order.location in self.away:
                raise PeerLost("no answer")
            at = self.clock.now() if self.clock is not None else START
            return an_outcome(self.status.get(order.location, "up"), at=at, location=order.location)

        return look

    async def look(self, probe: Probe) -> Sign:
        if probe.code in self.away:
            raise self.away[probe.code]
        return Sign(latency_ms=12.5, version="1.0", trouble=self.trouble.get(probe.code))

    def forget(self, probe: Probe) -> None:
        self.forgotten.append(probe.code)

    async def prove(self, probe: Probe, *, ask: bool) -> None:
        if ask and probe.code in self.away:
            raise self.away[probe.code]


async def a_location(world: World, code: str, **more: Any) -> Probe:
    """Add a location of `ws` as the API does."""
    probe = a_probe(code=code, **more)
    await world.store.of("ws").write(lambda s: s.probes.add(probe))
    await world.corridor.locations_changed("ws")
    return probe
