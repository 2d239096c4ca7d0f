"""`tocsin check tcp`: processor time and wall time of one check from the command line."""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import time

from bench import rig
from bench.report import Figure, at_most, plain, record


def main() -> list[Figure]:
    """Twenty runs against a loopback port, after one that warms the caches."""
    target = rig.Target()
    environment = rig.clean_environment()
    command = [sys.executable, "-m", "tocsin", "check", "tcp", f"127.0.0.1:{target.tcp}", "--json"]
    cpu: list[float] = []
    wall: list[float] = []
    try:
        for _ in range(21):
            before, at = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
            subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            cpu.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
            wall.append(time.perf_counter() - at)
    finally:
        target.end()
    return record(
        "cli",
        "`tocsin check tcp` against loopback, 20 runs",
        [
            at_most("processor time, median", statistics.median(cpu[1:]) * 1000, "ms", 200),
            plain("wall time, median", statistics.median(wall[1:]) * 1000, "ms"),
        ],
    )


if __name__ == "__main__":
    main()
