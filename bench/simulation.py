"""Clusters in worlds with faults: the real protocol, its invariants looked at after every step (tests/simulation).

BENCH_SEEDS (10000) worlds of 2, 3 and 5 instances, in two processes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from bench.report import Figure, at_most, plain, record

ROOT = Path(__file__).resolve().parents[1]
PER_CI = 500


def main() -> list[Figure]:
    """Play them, and read what the simulation says at its end."""
    seeds = os.environ.get("BENCH_SEEDS") or "10000"
    done = subprocess.run(
        [sys.executable, "-m", "simulation", "--seeds", seeds], capture_output=True, text=True, cwd=ROOT, check=False,
        env=os.environ | {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT / 'tests'}"},
    )  # fmt: skip
    last = done.stdout.strip().rpartition("\n")[2]
    found = re.fullmatch(
        r"(\d+) seeds in (\d+) s .*: (\d+) broken; (\d+) messages told, (\d+) of them again while in doubt; (.*) elections a seed",
        last,
    )
    assert found is not None, f"the simulation ended with {done.returncode}: {done.stdout[-500:]}{done.stderr[-500:]}"
    played, took, broken, told, again, elections = map(float, found.groups())
    return record(
        "simulation",
        f"{played:,.0f} worlds of 2, 3 and 5 instances with partitions, loss, pauses, crashes, lost disks and wrong clocks",
        [
            at_most("worlds in which an invariant did not hold", broken, "", 0),
            at_most(f"time of {PER_CI} worlds", took * PER_CI / played, "s", 180),
            plain("messages told", told, ""),
            plain("of them again, under the same key, while in doubt", again, ""),
            plain("elections a world", elections, ""),
        ],
    )
