"""The server: builds the parts in order, serves, and stops so that nothing is lost.

Order of the start: settings → data folder and key → port → database → net → corridor → listening. Each step refuses
with a SettingsError that names what to change. The port is only bound early; nobody is answered before everything runs.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import socket
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import uvicorn
import uvloop

from tocsin import __version__, telemetry
from tocsin.app import folder, instance, port
from tocsin.app.anchors import anchors_of
from tocsin.app.keys import derive
from tocsin.app.local import local_of
from tocsin.app.memory import settle_memory, share_heaps
from tocsin.app.reach import Reaching
from tocsin.clock import Clock, SystemClock
from tocsin.cluster.instance import Cluster
from tocsin.core.notice import Notice
from tocsin.core.result import CheckResult
from tocsin.errors import NotFound, StoreUnavailable
from tocsin.net import Net
from tocsin.net.egress import Egress
from tocsin.net.http import HttpEngine
from tocsin.net.listen import Server, configuration
from tocsin.pipeline.beginning import begin_all
from tocsin.pipeline.corridor import Corridor
from tocsin.probe.link import Links
from tocsin.probe.wire import MAX_MESSAGE, Late, Linked
from tocsin.settings import Settings
from tocsin.store import Store
from tocsin.web.parts import Parts
from tocsin.web.routes import application
from tocsin.web.warm import warm

log = telemetry.logger("tocsin.app")

GRACE_S = 10
"""How long open requests may take to finish once we stop."""
SAME_SIGNAL_S = 1.0
"""A second signal within this time is the first one again (a terminal and a supervisor that both tell us)."""
START_S = 2.0
"""A start that a signal came into may end by itself for so long: one that waits for another server never does."""


@dataclass(slots=True)
class Running:
    """A server that answers. `stop()` ends it gracefully: no more connections, checks ended, everything written."""

    parts: Parts
    url: str
    port: int
    _http: uvicorn.Server
    _serving: asyncio.Task[None]
    _closing: AsyncExitStack

    async def ended(self) -> None:
        """Return when the HTTP side has ended by itself or by `leave()`."""
        await asyncio.wait({self._serving})

    def leave(self) -> None:
        """Ask for the end (a signal came)."""
        self._http.should_exit = True

    async def stop(self) -> None:
        """End gracefully; safe to call twice."""
        self.leave()
        await asyncio.wait({self._serving})
        await self._closing.aclose()


async def start(settings: Settings, *, clock: Clock | None = None) -> Running:
    """The server, started and answering. Raises SettingsError when something stands in the way."""
    anchors_of(settings)  # a wrong one is refused before anything is made
    async with AsyncExitStack() as closing:
        parts, listening = await _build(settings, clock or SystemClock(), closing)
        number = listening.getsockname()[1]
        http = Server(_configuration(application(parts), settings))
        serving = asyncio.create_task(http.serve(sockets=[listening]), name="http")
        while not http.started and not serving.done():  # noqa: ASYNC110 (uvicorn offers no event for it)
            await asyncio.sleep(0.005)
        if serving.done():
            await serving
        url = settings.reached_at(number)
        return Running(parts, url, number, http, serving, closing.pop_all())
    raise AssertionError


async def _build(settings: Settings, clock: Clock, closing: AsyncExitStack) -> tuple[Parts, socket.socket]:
    data = folder.prepare(settings)
    if mode := folder.open_to_others(data):  # an operator may want it so, or it is on a file system without modes
        log.warning("server.data_folder_open", folder=str(data), mode=f"{mode:04o}", remedy=f"chmod 700 {data}")
    host: str = settings["HOST"]
    listening = port.bind(host, settings["PORT"])
    closing.callback(listening.close)
    with folder.kept_if_used(settings) as master:
        store = await _store(settings, clock, derive(master, "sealing"), closing)
    several = await instance.belongs(settings, store)
    if not several:
        await begin_all(store, clock)
    egress = Egress(settings["EGRESS"], own={port.own(listening)})
    net = Net(egress=egress, http=HttpEngine(), local=local_of(settings))
    await net.start()
    closing.push_async_callback(net.close)
    links = Links(clock)
    reach = _reach(settings, net, clock, links, closing)
    corridor = _corridor(settings, clock, store, net, listening, derive(master, "links"), reach)
    _hear(corridor, links)
    cluster = None
    if several:
        reached = settings.reached_at(listening.getsockname()[1])
        cluster = await instance.take_part(settings, store, corridor, clock, reached, closing)
        if cluster is None:
            await begin_all(store, clock)
    await _run(corridor, links, cluster, closing)
    is_set_up = await _is_set_up(store)
    token = None if port.only_loopback(host) or is_set_up else secrets.token_urlsafe(18)
    parts = Parts(
        settings=settings, clock=clock, store=store, net=net, corridor=corridor, links=links, cluster=cluster,
        signing_key=derive(master, "signing"), setup_token=token, is_set_up=is_set_up,
    )  # fmt: skip
    return parts, listening


async def _store(settings: Settings, clock: Clock, sealing_key: bytes, closing: AsyncExitStack) -> Store:
    store = await Store.open(
        settings.database_url,
        clock=clock,
        sealing_key=sealing_key,
        spool_dir=settings.data_dir / "spool",
        retry_attempts=settings["DB_RETRY_ATTEMPTS"],
        retry_delay_s=settings["DB_RETRY_DELAY_MS"] / 1000,
    )
    closing.push_async_callback(store.close)
    return store


async def _run(corridor: Corridor, links: Links, cluster: Cluster | None, closing: AsyncExitStack) -> None:
    await corridor.start(leads=cluster is None)
    closing.push_async_callback(corridor.stop)
    closing.callback(links.close)
    if cluster is not None:
        await cluster.start()
        closing.push_async_callback(cluster.stop)


def _corridor(
    settings: Settings, clock: Clock, store: Store, net: Net, listening: socket.socket, link_key: bytes,
    reach: Reaching,
) -> Corridor:  # fmt: skip
    made = Corridor.build(
        store=store,
        net=net,
        clock=clock,
        location=settings["LOCATION"],
        max_concurrent=settings["MAX_CONCURRENT_CHECKS"],
        max_per_host=settings["MAX_CONCURRENT_PER_HOST"],
        base_url=settings.reached_at(listening.getsockname()[1]),
        link_key=link_key,
        anchors=anchors_of(settings),
        smtp_url=settings["SMTP_URL"],
        retention_days=settings["RETENTION_DAYS"],
        reach=reach,
    )
    made.housekeeping.ticks_kept = timedelta(days=settings["CONSENSUS_DAYS"])
    return made


def _reach(settings: Settings, net: Net, clock: Clock, links: Links, closing: AsyncExitStack) -> Reaching:
    reach = Reaching(net, clock, links, plain=settings["PROBE_PLAIN"])
    closing.callback(reach.close)
    return reach


def _hear(corridor: Corridor, links: Links) -> None:
    """Let the corridor hear of links that come and go, and of results that come late."""

    def changed(who: Linked) -> None:
        corridor.lookout.hurry(*who)

    async def late(result: Late) -> None:
        await take_late(corridor, result)

    async def twice(who: Linked, address: str) -> None:
        await tell_twice(corridor, who, address)

    links.changed, links.late, links.twice = changed, late, twice


async def tell_twice(corridor: Corridor, who: Linked, address: str) -> None:
    """Tell the people who run the workspace that two processes call as one probe."""
    text = (
        f"The probe of location {who[1]} runs twice: a second process with its key called from {address or 'somewhere'} and"
        " is not listened to; its data folder is a copy. End that process, or let it join as a location of its own"
    )
    told = Notice(
        workspace_id=who[0], mark=f"location.twice:{who[1]}", kind="location.twice", at=corridor.clock.now(),
        location=who[1], text=text,
    )  # fmt: skip
    try:
        await corridor.store.of(who[0]).write(lambda s: s.notices.put(told))
    except (StoreUnavailable, NotFound):
        log.exception("link.notice_not_kept", location=who[1])


async def take_late(corridor: Corridor, late: Late) -> None:
    """Take a result in that nobody waited for any more; one of a monitor that is not checked from there is passed over."""
    (workspace_id, code), watched = late.who, corridor.watchlist.find(late.monitor_id)
    if watched is None or watched.monitor.workspace_id != workspace_id or code not in watched.assigned:
        return
    result = CheckResult(
        workspace_id=workspace_id, monitor_id=late.monitor_id, location=code, scheduled_at=late.scheduled_at,
        attempt=late.attempt, outcome=late.outcome,
    )  # fmt: skip
    await corridor.intake.take_in([result])


async def _is_set_up(store: Store) -> bool:
    return await store.everything().read(lambda s: s.accounts.setup_done())


def _configuration(app: Any, settings: Settings) -> uvicorn.Config:
    behind_proxies = settings["TRUSTED_PROXIES"] > 0
    return configuration(
        app,
        per_address=0 if behind_proxies else settings["CONNECTIONS_PER_ADDRESS"],
        grace_s=GRACE_S,
        max_message=MAX_MESSAGE,
    )


def serve(settings: Settings) -> int:
    """Run the server until SIGTERM or SIGINT; 0 after a graceful stop. Raises SettingsError when it cannot start."""
    telemetry.set_up_logging(
        settings["LOG_LEVEL"], json=settings["LOG_FORMAT"] == "json", error_file=settings.data_dir / "errors.log"
    )
    share_heaps()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_until_told(settings))


async def _until_told(settings: Settings) -> int:
    loop = asyncio.get_running_loop()
    told = asyncio.Event()

    first_at = 0.0

    def on_signal() -> None:
        nonlocal first_at
        if not told.is_set():
            first_at = loop.time()
            told.set()
        elif loop.time() - first_at >= SAME_SIGNAL_S:
            log.warning("server.stopped_at_once")  # every acknowledged result is on disk already: this loses none
            os._exit(1)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    starting = asyncio.create_task(start(settings))
    waiting = asyncio.create_task(told.wait())
    await asyncio.wait({starting, waiting}, return_when=asyncio.FIRST_COMPLETED)
    if not starting.done() and await _broken_off(starting):
        return 0
    running = await starting
    print(welcome(running), flush=True)  # noqa: T201 (what the person who started it looks for)
    await asyncio.to_thread(warm)
    settle_memory()
    log.info("server.started", url=running.url, version=__version__)
    await asyncio.wait({waiting, asyncio.ensure_future(running.ended())}, return_when=asyncio.FIRST_COMPLETED)
    log.info("server.stopping")
    by_itself = not told.is_set()
    await running.stop()
    waiting.cancel()
    log.info("server.stopped")
    return 1 if by_itself else 0


async def _broken_off(starting: asyncio.Task[Running]) -> bool:
    """Whether a start that somebody wants to end was still under way, and ended without a server."""
    await asyncio.wait({starting}, timeout=START_S)
    if not starting.cancel():
        return False
    log.info("server.stopping", started=False)
    await asyncio.wait({starting})
    if not starting.cancelled():
        return False
    log.info("server.stopped")
    return True


def welcome(running: Running) -> str:
    """What `tocsin serve` prints when it answers: the address, and how to begin."""
    settings = running.parts.settings
    kind = "PostgreSQL" if settings.database_file is None else f"SQLite in {settings.database_file.parent}"
    lines = ["", f"  Tocsin {__version__} runs at {running.url}   ({kind})"]
    if running.parts.is_set_up:
        lines.append(f"  Sign in at {running.url}")
    elif running.parts.cluster is not None and settings["PRIMARY_SYNC_URL"]:
        lines.append(
            "  One of several: the accounts are those of the others, and sign in works once their tables are here."
        )
    elif running.parts.setup_token:
        lines.append(f"  First account: open {running.url}/setup with setup token {running.parts.setup_token}")
    else:
        lines.append(f"  First time? Open {running.url}/setup to make your account.")
    return "\n".join([*lines, "  Ctrl+C stops it.", ""])
