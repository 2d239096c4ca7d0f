"""A thousand monitors, each every 10 s, half http and half tcp: punctual, cheap, and the API answers meanwhile."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

from bench import rig
from bench.report import Figure, at_most, plain, record

COUNT, INTERVAL = 1000, 10


def _timed(server: rig.Server, path: str, times: int) -> list[float]:
    took: list[float] = []
    for _ in range(times):
        at = time.perf_counter()
        server.call("GET", path)
        took.append((time.perf_counter() - at) * 1000)
    return took


def _a_year(server: rig.Server, monitor: str) -> int:
    """Backfill a year of results, every 30 minutes, with some outages."""
    now, sent = datetime.now(UTC), 0
    slots: list[dict[str, Any]] = []
    for number in range(365 * 48):
        at = now - timedelta(days=365) + timedelta(minutes=30 * number)
        status = "down" if number % 500 in (7, 8, 9) else "up"
        slots.append({"at": at.strftime("%Y-%m-%dT%H:%M:%SZ"), "status": status, "total_ms": 20 + number % 37})
        if len(slots) == 1000:
            server.call("POST", f"/monitors/{monitor}/results", {"results": slots})
            sent, slots = sent + len(slots), []
    return sent


def main() -> list[Figure]:
    """Run for BENCH_MINUTES (10), then read the server's own histogram of lateness."""
    length = rig.minutes(10) * 60
    with rig.running() as (server, target):
        ids = server.monitors(target, COUNT, INTERVAL)
        year = server.call("POST", "/monitors", {
            "name": "A year", "type": "tcp", "target": {"host": "127.0.0.1", "port": target.tcp}, "interval_s": 1800, "timeout_s": 5,
        })["id"]  # fmt: skip
        filled = _a_year(server, year)
        server.stop()  # moves the year out of the tail, where a year never is
        server.start()
        time.sleep(INTERVAL + 5)  # every monitor has its place and its first result
        before, cpu, at = server.metrics(), rig.cpu_s(server.pid), time.monotonic()
        time.sleep(length)
        took, used, after = time.monotonic() - at, rig.cpu_s(server.pid) - cpu, server.metrics()
        lateness = rig.histogram(before, after, "tocsin_scheduler_lateness_seconds")
        ran = lateness[-1][1]
        missed = after.get("tocsin_slots_missed_total", 0) - before.get("tocsin_slots_missed_total", 0)
        listed = _timed(server, "/monitors?limit=100", 100)
        uptimes = _timed(server, f"/monitors/{year}/uptime?window=1y", 100)
        series = _timed(server, f"/monitors/{ids[0]}/series", 100)
        page = _timed(server, f"/monitors/{ids[0]}/results?limit=100", 100)
        memory = rig.peak_mb(server.pid)
        finished = rig.gone_up({}, server.metrics(), "monitor_checks_total{")
        server.stop()
        lost = max(0.0, finished + filled - server.stored())
    expected = COUNT / INTERVAL * took
    return record(
        "steady",
        f"{COUNT} monitors every {INTERVAL} s (half http, half tcp) for {took:.0f} s, nobody looking; then 100 calls of each route under the same load; a year of {filled:,} results for one",
        [
            at_most("checks start late, p99", rig.quantile(lateness, 0.99) * 1000, "ms", 150),
            at_most("slots missed", missed, "", 0),
            plain("checks run, of those due", ran / expected * 100, "%"),
            at_most("results finished but not stored", lost, "", 0),
            at_most("processor, all of the server", used / took * 100, "% of a core", 15),
            plain("processor for each check", used / ran * 1000, "ms"),
            at_most("GET /monitors?limit=100, p95", rig.percentile(listed, 0.95), "ms", 15),
            at_most("uptime over a year, p95", rig.percentile(uptimes, 0.95), "ms", 15),
            at_most("series, p95", rig.percentile(series, 0.95), "ms", 30),
            plain("results, newest 100, p95", rig.percentile(page, 0.95), "ms"),
            plain("largest resident memory", memory, "MB"),
        ],
    )  # fmt: skip


if __name__ == "__main__":
    main()
