"""`tocsin check`: processor time and wall time of one check from the command line, by TCP and by HTTP."""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence

from bench import rig
from bench.report import Figure, at_most, plain, record

_RUNS = 20


def main() -> list[Figure]:
    """Twenty runs of each against a loopback port, in turn, after one that warms the caches."""
    target = rig.Target()
    ours = [sys.executable, "-m", "tocsin", "check"]
    url = f"http://127.0.0.1:{target.http}/"
    commands: dict[str, Sequence[str]] = {
        "tcp": [*ours, "tcp", f"127.0.0.1:{target.tcp}", "--json"],
        "http": [*ours, "http", url, "--json"],
        "curl": ["curl", "-sS", "-o", "/dev/null", "-w", "%{json}", url],
    }
    cpu: dict[str, list[float]] = {name: [] for name in commands}
    wall: dict[str, list[float]] = {name: [] for name in commands}
    try:
        for _ in range(_RUNS + 1):
            for name, command in commands.items():
                spent, took = _run(command)
                cpu[name].append(spent)
                wall[name].append(took)
    finally:
        target.end()

    def middle(times: list[float]) -> float:
        return statistics.median(times[1:]) * 1000

    return record(
        "cli",
        f"`tocsin check tcp` and `tocsin check http` against loopback, {_RUNS} runs of each in turn",
        [
            at_most("tcp: processor time, median", middle(cpu["tcp"]), "ms", 200),
            plain("tcp: wall time, median", middle(wall["tcp"]), "ms"),
            at_most("http: processor time, median", middle(cpu["http"]), "ms", 350),
            plain("http: wall time, median", middle(wall["http"]), "ms"),
            plain("http: processor time of curl for the same, median", middle(cpu["curl"]), "ms"),
        ],
    )


def _run(command: Sequence[str]) -> tuple[float, float]:
    """(processor seconds, wall seconds) of a program that must succeed."""
    before, at = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, env=rig.clean_environment(), check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, time.perf_counter() - at


if __name__ == "__main__":
    main()
