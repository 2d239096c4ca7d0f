"""Probes: what one costs where it runs, and what many cost the server that asks them."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import uvloop

from bench import rig
from bench.report import Figure, at_most, plain, record
from tocsin import checks
from tocsin.checks import Order
from tocsin.clock import SystemClock
from tocsin.core.result import Outcome
from tocsin.core.shape import read
from tocsin.net import Net
from tocsin.net.listen import Listening, configuration
from tocsin.probe.client import location
from tocsin.probe.enrol import Enrolled, Offer
from tocsin.probe.join import LINK_PATH, Door, Seat, answer_link
from tocsin.probe.link import Links
from tocsin.probe.orders import Orders, outcome_of
from tocsin.probe.wire import MAX_MESSAGE, read_answer
from tocsin.secret import Secret

PROBES, MONITORS, INTERVAL_S = 200, 50, 60
CLOCK = SystemClock()
Ask = Callable[[Order], Awaitable[Outcome]]


class _Registry:
    """A probe for every key that looks like one."""

    async def authenticate(self, key: str) -> Seat | None:
        return Seat(who=("ws", key), probe_id=key)

    async def redeem(self, token: str, offer: Offer) -> Enrolled:
        raise NotImplementedError


class _Poll:
    """The other way to have work fetched, only to be compared: a held request for each order, another for its result."""

    def __init__(self) -> None:
        self._waiting: dict[str, asyncio.Queue[bytes]] = {}
        self._answers: dict[str, asyncio.Future[bytes]] = {}
        self._orders = Orders()
        self._number = 0

    async def ask(self, key: str, order: Order) -> Outcome:
        self._number += 1
        job_id = str(self._number)
        future = self._answers[job_id] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(key, asyncio.Queue()).put_nowait(self._orders.write(order, job_id))
        return outcome_of(read_answer(await future), order, CLOCK.now())

    async def serve(self, path: str, key: str, receive: Any, send: Any) -> None:
        body = b"{}"
        if path == "/poll":
            body = await self._waiting.setdefault(key, asyncio.Queue()).get()
        else:
            message = await receive()
            answer = message["body"]
            while message.get("more_body"):
                message = await receive()
                answer += message["body"]
            self._answers.pop(json.loads(answer)["jobId"]).set_result(answer)
        length = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": length})
        await send({"type": "http.response.body", "body": body})


@asynccontextmanager
async def _world(
    push: int, pull: int, poll: int = 0, *, canned: bool = False
) -> AsyncIterator[tuple[list[Ask], int, int]]:
    """The ways to ask so many probes (those that are called first), the target's port, the process they live in."""
    links, polls = Links(CLOCK), _Poll()
    door = Door(probes=_Registry(), links=links, urls=lambda: ())

    async def app(scope: Any, receive: Any, send: Any) -> None:
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        if scope["path"] == LINK_PATH:
            await answer_link(headers, receive, send, door)
        else:
            await polls.serve(scope["path"], headers["authorization"][7:], receive, send)

    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    listening = Listening(app, sock, None, configuration(app, per_address=0, grace_s=1, max_message=MAX_MESSAGE))
    await listening.start()
    keys = {kind: [f"a key of a probe that we {kind} {n:04}" for n in range(count)]
            for kind, count in (("push", push), ("pull", pull), ("poll", poll))}  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.probe_end"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin
    assert process.stdout
    process.stdin.write(json.dumps(keys | {"server": f"http://127.0.0.1:{listening.port}", "canned": canned}) + "\n")
    process.stdin.flush()
    try:
        said = json.loads(await asyncio.to_thread(process.stdout.readline))
        async with Net() as net:
            pushes = [location(f"https://127.0.0.1:{port}", Secret(key), said["pin"], net, CLOCK)
                      for port, key in zip(said["ports"], keys["push"], strict=True)]  # fmt: skip
            while any(links.linked(("ws", key)) is None for key in keys["pull"]):
                await asyncio.sleep(0.05)
            polled: list[Ask] = [lambda order, key=key: polls.ask(key, order) for key in keys["poll"]]
            asks: list[Ask] = [*pushes, *(links.location(("ws", key)) for key in keys["pull"]), *polled]
            yield asks, said["target"], process.pid
            for one in pushes:
                one.close()
    finally:
        await asyncio.sleep(0)
        process.stdin.close()
        process.kill()
        process.wait(20)
        process.stdout.close()
        await listening.stop()


def _order(type_: str, number: int, timeout_s: float = 5, **target: Any) -> Order:
    return Order(type_, read(checks.kind(type_).target, target), timeout_s, (), "x", f"m{number}", CLOCK.now(), 0)


async def _steady(
    asks: list[Ask], orders: list[Order], per_s: float, seconds: float
) -> tuple[list[float], float, float]:
    """Ask the probes in turn at this rate: how much longer than the check itself each took (ms), the failures, and the
    share of a core that this process needed."""
    extra: list[float] = []
    failed = 0

    async def one(ask: Ask, order: Order) -> None:
        nonlocal failed
        began = time.perf_counter()
        try:
            outcome = await ask(order)
            failed += outcome.status != "up"
            extra.append((time.perf_counter() - began) * 1000 - (outcome.seen.timing.total or 0))
        except Exception as error:
            failed += 1
            print(f"  {error}")

    await asyncio.gather(*(one(ask, orders[0]) for ask in asks))  # connections are opened
    extra.clear()
    tasks: list[asyncio.Task[None]] = []
    began, cpu, sent = time.monotonic(), time.process_time(), 0
    while (passed := time.monotonic() - began) < seconds:
        while sent < passed * per_s:
            tasks.append(asyncio.create_task(one(asks[sent % len(asks)], orders[sent // len(asks) % len(orders)])))
            sent += 1
        await asyncio.sleep(0.01)
    await asyncio.gather(*tasks)
    share = (time.process_time() - cpu) / (time.monotonic() - began)
    return sorted(extra), failed, share


def _at(values: list[float], share: float) -> float:
    return values[min(len(values) - 1, int(len(values) * share))]


async def _one_probe() -> list[Figure]:
    """A real `tocsin probe`: its memory after the start, and with 200 checks of three types done."""
    port, folder = rig.free_port(), Path(tempfile.mkdtemp())
    key = "a key for the one probe"
    env = rig.clean_environment() | {
        "TOCSIN_DATA_DIR": str(folder), "TOCSIN_PROBE_PORT": str(port), "TOCSIN_PROBE_KEY": key, "TOCSIN_PROBE_HOST": "127.0.0.1",
    }  # fmt: skip
    async with _world(0, 1) as (_, target, _pid), Net() as net:
        process = subprocess.Popen(
            [sys.executable, "-m", "tocsin", "probe"],
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert process.stdout
        try:
            pin = ""
            while not pin:
                line = await asyncio.to_thread(process.stdout.readline)
                pin = line.rpartition(": ")[2].strip() if "certificate" in line else ""
            await asyncio.sleep(1)
            used = psutil.Process(process.pid)
            first = used.memory_info().rss
            ask = location(f"https://127.0.0.1:{port}", Secret(key), pin, net, CLOCK)
            for n in range(100):
                await ask(_order("http", n, url=f"http://127.0.0.1:{target}/"))
                await ask(_order("tcp", n, host="127.0.0.1", port=target))
            await ask(_order("tls", 0, host="127.0.0.1", port=port, verify_tls=False))
            ask.close()
            later = used.memory_info().rss
        finally:
            process.terminate()
            process.wait(20)
            process.stdout.close()
    return [
        plain("memory of a probe after its start", first / 2**20, "MB"),
        at_most("memory of a probe with http, tcp and tls checks done", later / 2**20, "MB", 60),
    ]


async def _many(seconds: float) -> list[Figure]:
    before = psutil.Process().memory_info().rss
    async with _world(PROBES, PROBES) as (asks, target, pid):
        mixed = [asks[n // 2 + (n % 2) * PROBES] for n in range(2 * PROBES)]
        orders = [_order("tcp", n, host="127.0.0.1", port=target) for n in range(MONITORS)]
        there = psutil.Process(pid)
        began, used = time.monotonic(), sum(there.cpu_times()[:2])
        extra, failed, share = await _steady(mixed, orders, 2 * PROBES * MONITORS / INTERVAL_S, seconds)
        theirs = (sum(there.cpu_times()[:2]) - used) / (time.monotonic() - began)
        after = psutil.Process().memory_info().rss
    return [
        plain(
            "orders a second, 400 probes with 50 monitors each at 60 s", 2 * PROBES * MONITORS / INTERVAL_S, "a second"
        ),
        at_most("orders that failed", failed, "", 0),
        at_most("a core's share for the server's ends", share * 100, "%", 50),
        plain("longer than the check itself, half of them at most", _at(extra, 0.5), "ms"),
        plain("longer than the check itself, 99 of 100 at most", _at(extra, 0.99), "ms"),
        plain("a core's share for the 400 probes, all in one process", theirs * 100, "%"),
        plain("memory for 400 probes", (after - before) / 2**20, "MB"),
    ]


async def _fan_out() -> list[Figure]:
    """One monitor at six probes at once: when all have answered, after the slowest one's own time."""
    async with _world(3, 3) as (asks, target, _):
        late: list[float] = []
        for round_ in range(60):
            orders = [_order("http", 0, url=f"http://127.0.0.1:{target}/{50 * (n + 1)}") for n in range(6)]
            began = time.perf_counter()
            seen = await asyncio.gather(*(ask(order) for ask, order in zip(asks, orders, strict=True)))
            passed = (time.perf_counter() - began) * 1000
            if round_:
                late.append(passed - max(outcome.seen.timing.total or 0 for outcome in seen))
    return [at_most("one monitor at six probes: after the slowest of them", max(late), "ms", 100)]


async def _ways(seconds: float) -> list[Figure]:
    """What an order costs the server by each way to reach 200 probes, without a check."""
    made: list[Figure] = []
    for what, counts in (
        ("call (push)", (PROBES, 0, 0)),
        ("link (pull)", (0, PROBES, 0)),
        ("long poll", (0, 0, PROBES)),
    ):
        async with _world(*counts, canned=True) as (asks, _, _pid):
            orders = [_order("tcp", n, host="127.0.0.1", port=1) for n in range(MONITORS)]
            per_s = PROBES * MONITORS / INTERVAL_S
            extra, failed, share = await _steady(asks, orders, per_s, seconds)
            assert not failed
            made.append(plain(f"processor time of an order by {what}", share / per_s * 1000, "ms"))
            made.append(plain(f"way there and back by {what}, 99 of 100 at most", _at(extra, 0.99), "ms"))
    return made


def main() -> list[Figure]:
    """Measure all of it."""
    seconds = rig.minutes(0.5) * 60
    figures: list[Figure] = []
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        figures += runner.run(_one_probe())
        figures += runner.run(_fan_out())
        figures += runner.run(_many(seconds))
        figures += runner.run(_ways(seconds))
    how = f"the two ends of the wire in two processes on one machine, {seconds:.0f} s each; real tcp and http checks; TLS for probes that are called"
    return record("probe", how, figures)


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    main()
