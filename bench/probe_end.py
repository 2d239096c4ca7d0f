"""Many probes in one process, each with its own key and connection: `python -m bench.probe_end` (bench/probe.py starts it)."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import uvloop

from tocsin import checks
from tocsin.checks import Order
from tocsin.clock import SystemClock
from tocsin.core.result import Observation, Outcome, Timing
from tocsin.location.lag import LagMeter
from tocsin.net import Net
from tocsin.net import url as urls
from tocsin.net.certificate import fingerprint_of, own_certificate, server_context
from tocsin.net.kept import Kept
from tocsin.net.listen import Listening, configuration
from tocsin.probe.api import Api, Guard
from tocsin.probe.enrol import Enrolled
from tocsin.probe.pull import Pull
from tocsin.probe.wire import read_execute
from tocsin.probe.work import Worker

CLOCK = SystemClock()


async def canned(order: Order) -> Outcome:
    """An outcome without a check, where the way there and back is what is measured."""
    return Outcome(
        type=order.type, target="", status="up", error=None, started_at=CLOCK.now(), location=order.location,
        seen=Observation(status_code=200, timing=Timing(dns=0.1, connect=0.2, ttfb=5.0, transfer=0.1, total=5.4)),
    )  # fmt: skip


async def _target(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers HTTP after as many milliseconds as the path says, and hangs up."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        wait = head.split(b" ")[1].strip(b"/")
        await asyncio.sleep(int(wait or b"0") / 1000)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
        await writer.drain()
    except (OSError, asyncio.IncompleteReadError):  # a bare connection: a tcp check
        pass
    finally:
        writer.close()


async def _poll(net: Net, server: str, key: str, worker: Worker) -> None:
    """A probe that asks for work by a held request, and brings each result in another."""
    kept, headers = Kept(net, urls.parse(server)), [("Authorization", f"Bearer {key}")]

    async def bring(answer: bytes) -> None:
        await kept.ask("POST", "/result", headers, answer, timeout_s=30)

    tasks: set[asyncio.Task[None]] = set()
    while True:
        reply = await kept.ask("GET", "/poll", headers, timeout_s=60)
        if reply.status == 200:
            answer = await worker.do(read_execute(json.loads(reply.body)))
            tasks.add(task := asyncio.create_task(bring(answer)))
            task.add_done_callback(tasks.discard)


async def main(given: dict[str, Any]) -> None:
    """Start what is asked for, say where it is, and go on until the standard input ends."""
    net, lag = Net(), LagMeter()
    lag.start()
    run = canned if given["canned"] else partial(checks.run, net=net, clock=CLOCK)
    target = await asyncio.start_server(_target, "127.0.0.1", 0, backlog=4096)
    folder = Path(tempfile.mkdtemp())
    cert, key = own_certificate(folder, CLOCK.now())
    tls, ports, kept = server_context(cert, key), list[int](), list[Any]()
    for secret in given["push"]:
        worker = Worker(run, lag, CLOCK, "x", most=1000)
        api = Api(worker, Guard(keys=(secret,), per_minute=1_000_000), CLOCK)
        sock = socket.socket()
        sock.bind(("127.0.0.1", 0))
        listening = Listening(api, sock, tls, configuration(api, per_address=0, grace_s=1))
        await listening.start()
        ports.append(listening.port)
        kept.append(listening)
    joined = [Enrolled(probe_id=secret, location="x", key=secret, urls=(given["server"],)) for secret in given["pull"]]
    for enrolled in [*joined, *(msgspec.convert(one, Enrolled) for one in given.get("joined", ()))]:
        worker = Worker(run, lag, CLOCK, "x", most=1000)
        pull = Pull(net, worker, CLOCK, enrolled, lambda _: None)
        kept.append(asyncio.create_task(pull.run()))
    for secret in given["poll"]:
        worker = Worker(run, lag, CLOCK, "x", most=1000)
        kept.append(asyncio.create_task(_poll(net, given["server"], secret, worker)))
    said = {"ports": ports, "pin": fingerprint_of(cert), "target": target.sockets[0].getsockname()[1]}
    print(json.dumps(said), flush=True)
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(json.loads(sys.stdin.readline())))
