"""`tocsin bench engine`: what one check of each kind costs, and how true its times are, against a target of our own."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tocsin import checks
from tocsin.app.memory import settle_memory
from tocsin.clock import SystemClock
from tocsin.core.result import Outcome
from tocsin.core.shape import read
from tocsin.net import Net

KINDS = ("http", "https", "tcp", "tls", "dns", "ping")
AT_ONCE = 100
IN_FLIGHT = 1000
ROUNDS_IN_FLIGHT = 2
WAIT_MS = {"http": 1_000, "https": 8_000}


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """What was measured of one kind. `cpu_s_per_1000`: all of this process, a hundred checks at a time. `rss_mb` and
    `ttfb_error_p99_ms`: with a thousand in flight all the time (each that ends is followed by the next), against an answer
    that takes as long as a thousand need to be begun; the error is how far our time of the first byte is from what the
    target says it took, from reading the request to writing the answer. None for kinds without one."""

    kind: str
    cpu_s_per_1000: float
    rss_mb: float
    ttfb_error_p99_ms: float | None


async def measure(kinds: Sequence[str], count: int) -> AsyncIterator[Engine]:
    """The figures of each kind. Raises RuntimeError when a check that must be up is not."""
    async with target() as ports, Net() as net:
        for kind in kinds:
            yield await _engine(kind, ports, net, count)


@asynccontextmanager
async def target() -> AsyncGenerator[dict[str, Any]]:
    """Ports of a target in a process of its own, as bench_target prints them."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tocsin.cli.bench_target", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        yield json.loads(await process.stdout.readline())
    finally:
        process.kill()
        await process.wait()


def _order(kind: str, ports: dict[str, Any], path: str = "/") -> checks.Order:
    given: dict[str, Any] = {
        "http": {"url": f"http://127.0.0.1:{ports['http']}{path}"},
        "https": {"url": f"https://127.0.0.1:{ports['https']}{path}", "ca_file": ports["ca"]},
        "tcp": {"host": "127.0.0.1", "port": ports["tcp"]},
        "tls": {"host": "127.0.0.1", "port": ports["https"], "ca_file": ports["ca"]},
        "dns": {"name": "bench.test", "server": f"127.0.0.1:{ports['dns']}"},
        "ping": {"host": "127.0.0.1", "count": 1},
    }[kind]
    type_ = "http" if kind == "https" else kind
    return checks.Order(type_, read(checks.kind(type_).target, given), 30.0)


async def _engine(kind: str, ports: dict[str, Any], net: Net, count: int) -> Engine:
    order = _order(kind, ports)
    await _run(order, net, AT_ONCE, AT_ONCE, _pass)  # imports, caches
    settle_memory()  # as the server does
    cpu = time.process_time()
    await _run(order, net, count, AT_ONCE, _pass)
    used = time.process_time() - cpu
    error: float | None = None
    if kind in WAIT_MS:
        errors = list[float]()
        slow = _order(kind, ports, f"/wait/{WAIT_MS[kind]}")
        await _run(slow, net, IN_FLIGHT * ROUNDS_IN_FLIGHT, IN_FLIGHT, lambda o: errors.append(_error_ms(o)))
        error = sorted(errors)[int(len(errors) * 0.99)]
    return Engine(
        kind=kind, cpu_s_per_1000=used / count * 1000, rss_mb=_resident_mb(), ttfb_error_p99_ms=error
    )  # fmt: skip


async def _run(order: checks.Order, net: Net, count: int, at_once: int, tell: Callable[[Outcome], None]) -> None:
    """So many checks, so many at a time; each outcome is told. Raises RuntimeError for one that is not up."""
    clock = SystemClock()

    async def some(many: int) -> None:
        for _ in range(many):
            outcome = await checks.run(order, net, clock)
            if outcome.status != "up":
                raise RuntimeError(f"a check of {outcome.type} was {outcome.status}: {outcome.error}")
            tell(outcome)

    await asyncio.gather(*(some(count // at_once) for _ in range(at_once)))


def _pass(outcome: Outcome) -> None:
    """Keep nothing of it."""


def _error_ms(outcome: Outcome) -> float:
    took = next(float(value) for name, value in outcome.seen.headers if name == "x-took-ms")
    return abs((outcome.seen.timing.ttfb or 0.0) - took)


def _resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
