"""`tocsin bench cycle`: how long this machine takes to check, judge and store many monitors once."""

from __future__ import annotations

import resource
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from tocsin.cli.bench_engine import target
from tocsin.clock import SystemClock, new_id
from tocsin.core.account import Workspace
from tocsin.core.monitor import Monitor
from tocsin.net import Net
from tocsin.pipeline.corridor import Corridor
from tocsin.store import Session, Store

DAY = 86_400


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the loopback targets listen."""

    http: int
    tcp: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Cycle:
    """One measured cycle. `cpu_ms_per_check` is all of this process: check, judgement, storing."""

    monitors: int
    took_ms: float
    cpu_ms_per_check: float
    up: int
    peak_mb: float


async def measure(counts: Sequence[int]) -> AsyncIterator[Cycle]:
    """A cycle for each count, half http and half tcp, each in a fresh database that is removed afterwards."""
    async with target() as found:
        ports = Ports(found["http"], found["tcp"])
        for count in counts:
            yield await _cycle(count, ports)


async def _cycle(count: int, ports: Ports) -> Cycle:
    clock = SystemClock()
    with tempfile.TemporaryDirectory(prefix="tocsin-bench-") as place:
        async with AsyncExitStack() as closing:
            store = await Store.open(
                f"sqlite:///{place}/bench.db", clock=clock, sealing_key=bytes(32), spool_dir=Path(place) / "spool"
            )
            closing.push_async_callback(store.close)
            net = await closing.enter_async_context(Net())
            await _fill(store, count, ports, clock)
            corridor = Corridor.build(store=store, net=net, clock=clock, max_per_host=1000)
            await corridor.start()
            closing.push_async_callback(corridor.stop)
            began, cpu = time.perf_counter(), time.process_time()
            seen = await corridor.runner.cycle()
            took, used = time.perf_counter() - began, time.process_time() - cpu
    return Cycle(
        monitors=count,
        took_ms=took * 1000,
        cpu_ms_per_check=used / max(1, seen["total"]) * 1000,
        up=seen["up"],
        peak_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6,
    )


async def _fill(store: Store, count: int, ports: Ports, clock: SystemClock) -> None:
    now, workspace = clock.now(), new_id()
    url, port = f"http://127.0.0.1:{ports.http}/", ports.tcp
    monitors = [
        Monitor(
            id=new_id(),
            workspace_id=workspace,
            name=f"Monitor {number}",
            type="http" if number % 2 else "tcp",
            target={"url": url} if number % 2 else {"host": "127.0.0.1", "port": port},
            interval_s=DAY,
            created_at=now,
            updated_at=now,
        )
        for number in range(count)
    ]

    await store.everything().write(
        lambda s: s.accounts.add_workspace(Workspace(id=workspace, name="Bench", created_at=now))
    )

    def add_all(s: Session) -> None:
        for monitor in monitors:
            s.monitors.add(monitor)

    await store.of(workspace).write(add_all)
