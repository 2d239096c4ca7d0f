"""Worlds drawn from a seed: partitions, loss, pauses, crashes, a lost disk, operators; the invariants hold in each of them.

`make simulate SEEDS=10000` plays more of them; `PYTHONPATH=src:tests python -m simulation --story SEED` tells one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from simulation.play import play_all, story
from simulation.takeover import spread

SEEDS, CHUNK = 500, 50


def told(broken: dict[int, str]) -> str:
    """What broke, with the story of the first."""
    first = next(iter(broken))
    return "\n".join([*(f"seed {seed}: {why}" for seed, why in broken.items()), story(first)[-20_000:]])


@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_invariants_hold_in_random_worlds(first: int) -> None:
    played = play_all(range(first, first + CHUNK))
    assert not played.broken, told(played.broken)
    assert played.elections > CHUNK
    assert played.writes > CHUNK
    assert played.told > CHUNK


@pytest.mark.soak
@pytest.mark.parametrize("first", range(10_000, 20_000, 500))
def test_invariants_hold_in_many_random_worlds(first: int) -> None:
    played = play_all(range(first, first + 500))
    assert not played.broken, told(played.broken)


def test_a_seed_replays_exactly() -> None:
    here = Path(__file__).parents[2]
    program = "from simulation.play import story; print(story(6))"
    told = {
        subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=100,
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": f"{here / 'src'}:{here / 'tests'}"},
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    assert len(told) == 1
    assert "is primary of epoch" in told.pop()


@pytest.mark.parametrize("names", ["abc", "abcde"])
def test_the_next_primary_is_there_soon(names: str) -> None:
    middle, high, most = spread(names, 0.0, 20)
    assert middle < 20
    assert high < 25
    assert most < 30
