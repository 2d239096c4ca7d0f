from __future__ import annotations

import json

import pytest

from tocsin.cli.main import run


def test_a_cycle_checks_judges_and_stores_every_monitor(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["bench", "cycle", "--monitors", "4,20", "--json"]) == 0
    cycles = json.loads(capfd.readouterr().out)["cycles"]
    assert [(c["monitors"], c["up"]) for c in cycles] == [(4, 4), (20, 20)]
    assert all(c["took_ms"] > 0 and c["peak_mb"] > 0 for c in cycles)


@pytest.mark.parametrize("words", [["cycle", "--monitors", "0"], ["cycle", "--monitors", "x"], ["spin"], []])
def test_wrong_usage(words: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["bench", *words]) == 2
    assert "usage" in capfd.readouterr().err


@pytest.mark.parametrize("counts", ["x", "", "0", "10001", "5,", "5,-1", "١"])
def test_counts_that_are_none_are_refused_with_what_was_expected(
    counts: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["bench", "cycle", "--monitors", counts]) == 2
    assert "expected numbers from 1 to 10000" in capsys.readouterr().err
