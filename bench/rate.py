"""A thousand checks a second, stored and judged; the same checks by blackbox_exporter beside it; then three times too many."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from bench import rig
from bench.many import fill, switch
from bench.report import Figure, at_least, at_most, plain, record

OVERLOAD = int(os.environ.get("BENCH_OVERLOAD", "8000"))
"""Monitors every second on top of the thousand: together about three times what one core can check. 0 leaves that out."""


PAUSING_S = 60


def _loaded(server: rig.Server, seconds: float) -> dict[str, float]:
    before, cpu, at = server.metrics(), rig.cpu_s(server.pid), time.monotonic()
    time.sleep(seconds)
    used, took, after = rig.cpu_s(server.pid) - cpu, time.monotonic() - at, server.metrics()

    def gone_up(prefix: str) -> float:
        return rig.gone_up(before, after, prefix)

    ran = gone_up("monitor_checks_total{")
    lateness = rig.histogram(before, after, "tocsin_scheduler_lateness_seconds")
    return {
        "rate": ran / took,
        "cpu_ms": used / ran * 1000 if ran else 0,
        "cpu": used / took * 100,
        "late_ms": rig.quantile(lateness, 0.99) * 1000,
        "missed": gone_up("tocsin_slots_missed_total"),
        "invalid": gone_up("tocsin_checks_invalid_total{") / ran * 100 if ran else 0,
        "peak": rig.peak_mb(server.pid),
    }


async def _ask(port: int, path: str) -> bool:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    text = await reader.read()
    writer.close()
    return b"\nprobe_success 1" in text


async def _probe_all(port: int, target: rig.Target, count: int) -> int:
    limit, good = asyncio.Semaphore(50), 0

    async def one(number: int) -> None:
        nonlocal good
        module, goal = (
            ("http_2xx", f"http://127.0.0.1:{target.http}/")
            if number % 2
            else ("tcp_connect", f"127.0.0.1:{target.tcp}")
        )
        async with limit:
            well = await _ask(port, f"/probe?target={goal}&module={module}")
        good += well

    await asyncio.gather(*(one(n) for n in range(count)))
    return good


def _blackbox(target: rig.Target, count: int) -> float | None:
    """Processor ms of blackbox_exporter for each of `count` probes, half http and half tcp; None when it is not installed."""
    program = shutil.which("prometheus-blackbox-exporter")
    if program is None:
        return None
    modules = {"modules": {
        "http_2xx": {"prober": "http", "timeout": "5s", "http": {"preferred_ip_protocol": "ip4"}},
        "tcp_connect": {"prober": "tcp", "timeout": "5s"},
    }}  # fmt: skip
    with tempfile.TemporaryDirectory() as place:
        file, port = Path(place) / "blackbox.yml", rig.free_port()
        file.write_text(json.dumps(modules))
        process = subprocess.Popen(
            [program, f"--config.file={file}", f"--web.listen-address=127.0.0.1:{port}", "--log.level=error"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            rig.wait_for(lambda: _listens(port), 10, "blackbox exporter")
            asyncio.run(_probe_all(port, target, 100))
            cpu = rig.cpu_s(process.pid)
            good = asyncio.run(_probe_all(port, target, count))
            assert good == count, f"{good} of {count} probes were well"
            return (rig.cpu_s(process.pid) - cpu) / count * 1000
        finally:
            process.kill()
            process.wait()


def _listens(port: int) -> bool:
    with rig.socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _overload(server: rig.Server, target: rig.Target, seconds: float) -> list[Figure]:
    """About three times what a core can do, from the start on: what is checked and judged, what the server says of itself
    meanwhile, and how soon it is itself again afterwards."""
    server.stop()
    fill(server, target, OVERLOAD, 1, retries=0, paused=True)
    server.start()
    time.sleep(10)
    base = rig.rss_mb(server.pid)
    server.stop()
    extra = switch(server, on=True)
    server.start()
    time.sleep(5)
    seen = _loaded(server, seconds)
    waits = sorted(_wait_ms(server) for _ in range(20))
    status = server.ask("GET", "/monitors?limit=1")[0]
    down = sum(m["verdict"] == "down" for m in _all(server))
    peak, began = rig.peak_mb(server.pid), time.monotonic()
    paused = _pause(server, extra, PAUSING_S)
    took = time.monotonic() - began
    if paused < len(extra):  # the rest at once, or the bench would take hours
        server.stop()
        switch(server, on=False, but=1000)
        server.start()
    ended = time.monotonic()
    rig.wait_for(lambda: not server.metrics().get("tocsin_scheduler_waiting"), 120, "an end of the waiting")
    back = time.monotonic() - ended
    calm = _loaded(server, 10)
    return [
        plain("three times overload: checks offered each second", OVERLOAD + 1000, "/s"),
        plain(
            "three times overload: checks run and judged each second", seen["rate"] * (1 - seen["invalid"] / 100), "/s"
        ),
        at_most("three times overload: invalid", seen["invalid"], "%", 5),
        plain("three times overload: checks start late, p99", seen["late_ms"], "ms"),
        plain("three times overload: slots missed, counted", seen["missed"], ""),
        at_most("three times overload: memory above that with all of them paused, at most", peak - base, "MB", 100),
        at_most("three times overload: monitors shown down", down, "", 0),
        at_most("three times overload: the API still answers (status)", status, "", 200),
        plain("three times overload: the API answers within, median", waits[len(waits) // 2], "ms"),
        plain("three times overload: the API answers within, slowest of 20", waits[-1], "ms"),
        plain("three times overload: monitors paused through the API each second", paused / took, "/s"),
        plain("after the last was paused: nothing waits any more within", back, "s"),
        at_most("after the overload: checks start late, p99", calm["late_ms"], "ms", 250),
        plain("after the overload: memory above that with all of them paused", rig.rss_mb(server.pid) - base, "MB"),
    ]


def _pause(server: rig.Server, ids: list[str], seconds: float) -> int:
    """How many of them were paused through the API, four at a time, until that time was over."""
    until = time.monotonic() + seconds

    def pause(id: str) -> bool:
        if time.monotonic() > until:
            return False
        server.call("POST", f"/monitors/{id}/pause")
        return True

    with ThreadPoolExecutor(4) as pool:
        return sum(pool.map(pause, ids))


def _wait_ms(server: rig.Server) -> float:
    asked = time.monotonic()
    server.ask("GET", "/monitors?limit=1")
    return (time.monotonic() - asked) * 1000


def main() -> list[Figure]:
    """1,000 monitors every second for BENCH_MINUTES (1), the peer, then 8,000 more for as long."""
    length = rig.minutes(1) * 60
    with rig.running() as (server, target):
        server.monitors(target, 1000, 1, retries=0)
        time.sleep(5)
        seen = _loaded(server, length)
        peer = _blackbox(target, 5000)
        over = _overload(server, target, min(length, 60)) if OVERLOAD else []
        finished = server.finished + rig.gone_up({}, server.metrics(), "monitor_checks_total{")
        server.stop()
        lost = max(0.0, finished - server.stored())
    figures = [
        at_least("checks each second at 1,000 offered, stored and judged", seen["rate"], "/s", 990),
        at_most("processor for each check, everything", seen["cpu_ms"], "ms", 0.35),
        at_most("processor of the server", seen["cpu"], "% of a core", 50),
        at_most("checks start late, p99", seen["late_ms"], "ms", 250),
        at_most("slots missed", seen["missed"], "", 0),
        at_most("invalid", seen["invalid"], "%", 0),
        plain("largest resident memory at 1,000/s", seen["peak"], "MB"),
        *over,
        at_most("results finished but not stored, overload included", lost, "", 0),
    ]
    if peer is not None:
        figures.insert(2, plain("blackbox_exporter for the same check, nothing stored", peer, "ms"))
        figures.insert(3, plain("times cheaper", peer / seen["cpu_ms"], "×"))
    return record(
        "rate", f"1,000 monitors every second (half http, half tcp) for {length:.0f} s, then {OVERLOAD:,} more", figures
    )


def _all(server: rig.Server) -> list[dict[str, Any]]:
    return server.call("GET", "/monitors?limit=1000")["items"]


if __name__ == "__main__":
    main()
