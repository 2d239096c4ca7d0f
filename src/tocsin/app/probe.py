"""`tocsin probe`: builds a probe's parts and runs them. It reaches no database and no web framework.

With a key it listens and is asked (push); once it has joined a server it calls there (pull); it may do both.
"""

from __future__ import annotations

import asyncio
import gc
import signal
import socket
import ssl
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import uvloop
from msgspec.structs import replace

from tocsin import __version__, checks, telemetry
from tocsin.app import folder, port
from tocsin.app.anchors import anchors_of
from tocsin.app.local import local_of
from tocsin.app.memory import settle_memory, share_heaps
from tocsin.clock import Clock, SystemClock
from tocsin.core.plain import clip
from tocsin.errors import Invalid, SettingsError
from tocsin.location.lag import LagMeter
from tocsin.location.self_test import SelfTest
from tocsin.net import Net
from tocsin.net import url as urls
from tocsin.net.certificate import fingerprint_of, own_certificate, server_context
from tocsin.net.egress import Egress
from tocsin.net.listen import Listening, configuration
from tocsin.probe.api import Api, Guard, Network, read_allow, read_keys
from tocsin.probe.enrol import Enrolled, Offer, split_join
from tocsin.probe.joining import Membership, ask_to_join, keep, read_membership, token_mark
from tocsin.probe.pull import Pull
from tocsin.probe.work import Worker, types_here
from tocsin.settings import Settings

log = telemetry.logger("tocsin.app")

GRACE_S = 10
PER_ADDRESS = 200
"""Connections from one address: a server asks many things at once."""


@dataclass(slots=True)
class Running:
    """A probe that runs. `port` is where it answers (at least to this machine), `fingerprint` that of its certificate;
    `pull` its link, when it has joined a server."""

    worker: Worker
    pull: Pull | None
    port: int | None
    fingerprint: str | None
    says: tuple[str, ...]
    _closing: AsyncExitStack

    async def stop(self) -> None:
        """End the checks in flight, give over what is there, hang up."""
        await self._closing.aclose()


async def start(settings: Settings, join: str | None = None, *, clock: Clock | None = None) -> Running:
    """The probe, started. Raises SettingsError when something stands in the way, PeerLost when joining was refused."""
    keys, allow = read_keys(settings["PROBE_KEY"]), read_allow(settings["PROBE_ALLOW"])
    anchors = anchors_of(settings)
    now = clock or SystemClock()
    data = folder.prepare(settings)
    member = read_membership(data)
    if not keys and member is None and join is None:
        raise SettingsError(
            "TOCSIN_PROBE_KEY: expected a key by which a server may ask this probe, found none"
            " (or join a server: tocsin probe --join URL#token)"
        )
    async with AsyncExitStack() as closing:
        listening, fingerprint, cert, key = _listening(settings, bool(keys), data, now, closing)
        own = set[tuple[str | None, int]]() if listening is None else {port.own(listening)}
        net = Net(egress=Egress(settings["EGRESS"], own=own), local=local_of(settings))
        closing.push_async_callback(net.close)
        if join is not None:
            member = await _joined(net, settings, join, member, data, fingerprint if keys else None)
        lag = LagMeter()
        lag.start()
        closing.push_async_callback(lag.stop)
        run = SelfTest(partial(checks.run, net=net, clock=now), anchors, now)
        region = _region(settings, member)
        worker = Worker(run, lag, now, region, most=settings["MAX_CONCURRENT_CHECKS"])
        pull = None if member is None else _calling(net, worker, now, member, data, closing)
        number = None
        if listening is not None:
            guard = _guard(settings, keys, allow)
            api = Api(worker, guard, now, pull.health if pull is not None else None)
            number = await _answering(api, listening, None if cert is None else server_context(cert, key), closing)
        closing.push_async_callback(worker.stop, GRACE_S / 2)
        says = _says(region, number, fingerprint if keys else None, member, bool(keys))
        return Running(worker, pull, number, fingerprint if keys else None, says, closing.pop_all())
    raise AssertionError


def _guard(settings: Settings, keys: tuple[str, ...], allow: tuple[Network, ...]) -> Guard:
    return Guard(
        keys=keys,
        allow=allow,
        trusted_proxies=settings["TRUSTED_PROXIES"],
        plain=settings["PROBE_PLAIN"],
        per_minute=settings["REQUESTS_PER_MINUTE"],
        metrics_token=settings["METRICS_TOKEN"],
    )


async def _answering(api: Api, sock: socket.socket, tls: ssl.SSLContext | None, closing: AsyncExitStack) -> int:
    """Begin to answer there; the port."""
    server = Listening(api, sock, tls, configuration(api, per_address=PER_ADDRESS, grace_s=GRACE_S))
    await server.start()
    closing.push_async_callback(server.stop)
    return server.port


def _listening(
    settings: Settings, keyed: bool, data: Path, clock: Clock, closing: AsyncExitStack
) -> tuple[socket.socket | None, str | None, Path | None, Path | None]:
    """The bound socket, and the certificate with its fingerprint. Without a key it answers this machine alone, only where
    a port was set (the usual one is for a probe that a server calls), and a port that is taken does not matter."""
    if not keyed and settings.sources["PROBE_PORT"] == "default":
        return None, None, None, None
    host: str = settings["PROBE_HOST"] if keyed else "127.0.0.1"
    try:
        listening = port.bind(host, settings["PROBE_PORT"], "TOCSIN_PROBE_")
    except SettingsError as error:
        if keyed:
            raise
        log.warning("probe.no_local_port", reason=str(error))
        return None, None, None, None
    closing.callback(listening.close)
    if not keyed:
        return listening, None, None, None
    cert: Path | None = settings["PROBE_CERT"]
    key: Path | None = settings["PROBE_CERT_KEY"]
    if cert is None:
        cert, key = own_certificate(data, clock.now())
    return listening, fingerprint_of(cert), cert, key


def _calling(net: Net, worker: Worker, clock: Clock, member: Membership, data: Path, closing: AsyncExitStack) -> Pull:
    def save(enrolled: Enrolled) -> None:
        keep(data, replace(member, enrolled=enrolled))

    pull = Pull(net, worker, clock, member.enrolled, save)
    running = asyncio.create_task(pull.run(), name="pull")

    async def end() -> None:
        await pull.stop()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    closing.push_async_callback(end)
    return pull


async def _joined(
    net: Net, settings: Settings, join: str, member: Membership | None, data: Path, fingerprint: str | None
) -> Membership:
    """What joining gave. The token that this probe joined with before is not used again: a container may be started with
    the same words each time."""
    try:
        url, token = split_join(join)
    except Invalid as error:
        raise SettingsError(str(error)) from None
    if url.startswith("http://") and not settings["PROBE_PLAIN"] and not _is_local(url):
        raise SettingsError(
            "--join: expected an https:// URL, found http:// (without TLS the key could be read on the way;"
            " TOCSIN_PROBE_PLAIN=true allows it)"
        )
    mark = token_mark(token)
    if member is not None and member.token_sha256 == mark:
        log.info("probe.joined_before", location=member.enrolled.location)
        return member
    offer = Offer(
        token=token, name=clip(socket.gethostname(), 100) or "probe", version=__version__, types=list(types_here()),
        fingerprint=fingerprint,
    )  # fmt: skip
    made = Membership(enrolled=await ask_to_join(net, url, offer), token_sha256=mark)
    try:
        keep(data, made)
    except OSError as error:
        raise SettingsError(
            f"TOCSIN_DATA_DIR: expected a folder we can write to, found {data}: {error.strerror}"
        ) from error
    return made


def _is_local(url: str) -> bool:
    try:
        return port.only_loopback(urls.parse(url).host)
    except ValueError:
        return False


def _region(settings: Settings, member: Membership | None) -> str:
    """What this probe is called in its answers: what the server called it, else by the settings."""
    if member is not None:
        return member.enrolled.location
    return settings["LOCATION"] if settings.sources["REGION_CODE"] == "default" else settings["REGION_CODE"]


def _says(
    region: str, number: int | None, fingerprint: str | None, member: Membership | None, keyed: bool
) -> tuple[str, ...]:
    lines = [f"Tocsin {__version__} probe for {region}"]
    if keyed:
        lines.append(f"listens on port {number}; SHA-256 of its certificate: {fingerprint}")
    if member is not None:
        lines.append(f"calls {', '.join(member.enrolled.urls)} as {member.enrolled.probe_id}")
    return tuple(lines)


def serve(settings: Settings, join: str | None = None) -> int:
    """Run the probe until SIGTERM or SIGINT; 0 after a graceful stop. Raises SettingsError, or PeerLost."""
    telemetry.set_up_logging(
        settings["LOG_LEVEL"], json=settings["LOG_FORMAT"] == "json", error_file=settings.data_dir / "errors.log"
    )
    share_heaps()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_until_told(settings, join))


async def _until_told(settings: Settings, join: str | None) -> int:
    loop, told = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    running = await start(settings, join)
    print("\n".join(["", *(f"  {line}" for line in running.says), ""]), flush=True)  # noqa: T201
    gc.enable()
    settle_memory()
    log.info("probe.started", version=__version__, location=running.worker.region)
    await told.wait()
    log.info("probe.stopping")
    await running.stop()
    log.info("probe.stopped")
    return 0
