"""A hundred times the primary of three real servers is killed or cut off, and comes back, while a target is watched every
second from all of them (tests/cluster/test_processes.py, which holds what is found to what is promised)."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

from bench.report import Figure, at_least, at_most, plain, record

ROOT = Path(__file__).resolve().parents[1]
TEST = "test_over_and_over_nothing_acknowledged_is_lost_and_nothing_is_there_twice"


def main() -> list[Figure]:
    """Run the long form of that test; it fails where anything was lost, there twice, or told."""
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-m", "soak", "-q", "-s", "tests/cluster/test_processes.py", "-k", TEST],
        capture_output=True, text=True, cwd=ROOT, check=False, env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
    )  # fmt: skip
    counted = re.findall(r"(\d+) of 100, (\d+) results acknowledged", done.stdout)
    assert done.returncode == 0, f"after {counted[-1:]} of the rounds: {done.stdout[-2000:]}"
    rounds, acknowledged = map(int, counted[-1])
    return record(
        "cycles",
        "the primary of three is killed, or cut off from both others, and comes back, over and over; leases of 3 s",
        [
            at_least("rounds", rounds, "", 100),
            plain("results acknowledged to somebody who asked for them", acknowledged, ""),
            at_most("of them lost, on any of the three", 0, "", 0),
            at_most("rows that are there twice, on any of the three", 0, "", 0),
            at_most("messages told (nothing was down)", 0, "", 0),
            plain("a round", (time.monotonic() - began) / rounds, "s"),
        ],
    )
