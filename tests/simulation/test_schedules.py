"""Worlds written by hand: the invariants hold in each, however its details fall."""

from __future__ import annotations

import pytest

from simulation.schedules import SCHEDULES


@pytest.mark.parametrize("name", SCHEDULES)
def test_invariants_hold_in_scripted_worlds(name: str) -> None:
    for seed in range(20):
        SCHEDULES[name](seed)
