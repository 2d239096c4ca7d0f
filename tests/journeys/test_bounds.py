"""The figures of `bench/` that are promises: each within its bound, for as long as a promise says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parents[2]
PROGRAM = (
    "import json; from bench.{} import main; print(json.dumps([[f.what, f.value, f.bound, f.met] for f in main()]))"
)


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    ("script", "given"),
    [
        pytest.param("storm", {"BENCH_MINUTES": "5", "BENCH_MONITORS": "10000"}, id="10,000 monitors flap for 5 min"),
        pytest.param("kill", {}, id="100 kills under load"),
        pytest.param("failover", {"BENCH_RUNS": "30"}, id="30 kills of the primary"),
    ],
)
def test_every_bound_is_met(script: str, given: dict[str, str]) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(script)], cwd=HERE, env={**os.environ, **given}, capture_output=True,
        text=True,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout + ran.stderr
    print(ran.stdout)
    figures = json.loads(ran.stdout.splitlines()[-1])
    assert any(met for *_, met in figures)
    assert [f"{what}: {value}, expected {bound}" for what, value, bound, met in figures if met is False] == []
