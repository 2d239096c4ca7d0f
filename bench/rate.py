"""A thousand checks a second, stored and judged; the same checks by blackbox_exporter beside it; then three times too many."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from bench import rig
from bench.report import Figure, at_least, at_most, plain, record


def _loaded(server: rig.Server, seconds: float) -> dict[str, float]:
    before, cpu, at = server.metrics(), rig.cpu_s(server.pid), time.monotonic()
    time.sleep(seconds)
    used, took, after = rig.cpu_s(server.pid) - cpu, time.monotonic() - at, server.metrics()

    def gone_up(prefix: str) -> float:
        return sum(v - before.get(k, 0) for k, v in after.items() if k.startswith(prefix))

    ran = gone_up("monitor_checks_total{")
    lateness = rig.histogram(before, after, "tocsin_scheduler_lateness_seconds")
    return {
        "rate": ran / took,
        "cpu_ms": used / ran * 1000 if ran else 0,
        "cpu": used / took * 100,
        "late_ms": rig.quantile(lateness, 0.99) * 1000,
        "missed": gone_up("tocsin_slots_missed_total"),
        "invalid": gone_up("tocsin_checks_invalid_total{") / ran * 100 if ran else 0,
        "down": gone_up('monitor_checks_total{status="down"')
        + gone_up('monitor_checks_total{type="http",status="down"}'),
        "stored": gone_up("tocsin_intake_results_total"),
        "rss": rig.rss_mb(server.pid),
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


def main() -> list[Figure]:
    """1,000 monitors every second for BENCH_MINUTES (1), the peer, then 3,000 monitors every second."""
    length = rig.minutes(1) * 60
    with rig.running(TOCSIN_MAX_CONCURRENT_CHECKS="2000") as (server, target):
        server.monitors(target, 1000, 1, retries=0)
        time.sleep(5)
        seen = _loaded(server, length)
        peer = _blackbox(target, 5000)
        server.monitors(target, 2000, 1, retries=0)
        time.sleep(5)
        over = _loaded(server, min(length, 60))
        states = {m["verdict"] for m in _all(server)}
        answered = server.ask("GET", "/monitors?limit=1")[0]
        server.stop()
    figures = [
        at_least("checks each second at 1,000 offered, stored and judged", seen["rate"], "/s", 990),
        at_most("processor for each check, everything", seen["cpu_ms"], "ms", 0.35),
        plain("processor of the server", seen["cpu"], "% of a core"),
        at_most("checks start late, p99", seen["late_ms"], "ms", 500),
        at_most("slots missed", seen["missed"], "", 0),
        at_most("invalid", seen["invalid"], "%", 0.1),
        plain("largest resident memory at 1,000/s", seen["peak"], "MB"),
        plain("at 3,000 offered: checks each second", over["rate"], "/s"),
        plain("at 3,000 offered: slots missed, counted", over["missed"], ""),
        at_most("at 3,000 offered: largest resident memory", over["peak"], "MB", 512),
        at_most("at 3,000 offered: monitors shown down", float("down" in states), "", 0),
        at_most("at 3,000 offered: the API still answers (status)", answered, "", 200),
    ]
    if peer is not None:
        figures.insert(2, plain("blackbox_exporter for the same check, nothing stored", peer, "ms"))
        figures.insert(3, at_least("times cheaper", peer / seen["cpu_ms"], "×", 1))
    return record("rate", f"1,000 monitors every second (half http, half tcp) for {length:.0f} s, then 3,000", figures)


def _all(server: rig.Server) -> list[dict[str, Any]]:
    return server.call("GET", "/monitors?limit=1000")["items"]


if __name__ == "__main__":
    main()
