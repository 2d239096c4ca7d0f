"""How long until the first answer, and how much memory when nothing happens."""

from __future__ import annotations

import statistics
import time

from bench import rig
from bench.report import Figure, at_most, plain, record


def main() -> list[Figure]:
    """Start on an empty folder, then seven times on one that is set up; stop each time."""
    with rig.folder() as place:
        server = rig.Server(place / "data").start()
        first = server.started_s
        server.set_up()
        stops = [server.stop()]
        starts: list[float] = []
        for _ in range(7):
            server.start()
            starts.append(server.started_s)
            stops.append(server.stop())
        server.start()
        time.sleep(5)
        began, at = rig.cpu_s(server.pid), time.monotonic()
        time.sleep(10)
        idle_cpu = (rig.cpu_s(server.pid) - began) / (time.monotonic() - at) * 100
        idle = rig.rss_mb(server.pid)
        server.stop()
    return record(
        "start",
        "process start to the first 200 on /health (median of 7 starts), and the idle server 5 s later",
        [
            at_most("first 200 on /health", statistics.median(starts), "s", 1.5),
            plain("first 200 on /health, empty folder (schema made)", first, "s"),
            plain("graceful stop, slowest", max(stops), "s"),
            at_most("idle resident memory", idle, "MB", 115),
            plain("idle processor time", idle_cpu, "% of a core"),
        ],
    )


if __name__ == "__main__":
    main()
