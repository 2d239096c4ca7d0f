"""Runs of a job: told apart, measured from their start, and found when they last too long."""

from __future__ import annotations

from builders import at
from tocsin.core import runs
from tocsin.core.runs import IDLE, MOST_LINES, MOST_RUNS


def test_runs_are_told_apart() -> None:
    doing = runs.started(runs.started(IDLE, "a", at(0)), "b", at(5))
    assert [(r.rid, r.began) for r in doing.runs] == [("a", at(0)), ("b", at(5))]
    assert [r.rid for r in runs.ended(doing, "a").runs] == ["b"]
    assert [r.rid for r in runs.ended(doing, "unknown").runs] == ["a", "b"]


def test_an_end_that_names_no_run_ends_them_all() -> None:
    doing = runs.started(runs.started(IDLE, "a", at(0)), "", at(5))
    assert runs.ended(doing, "") == IDLE


def test_a_run_is_overdue_by_its_own_start() -> None:
    doing = runs.started(runs.started(IDLE, "a", at(0)), "b", at(5))
    when, run = runs.overdue_at(doing, 60) or (None, None)
    assert (when, run and run.rid) == (at(60), "a")
    assert run is not None
    doing = runs.told(doing, run)
    when, run = runs.overdue_at(doing, 60) or (None, None)
    assert (when, run and run.rid) == (at(65), "b")


def test_without_a_limit_no_run_is_watched() -> None:
    doing = runs.started(IDLE, "a", at(0))
    assert runs.overdue_at(doing, 0) is None
    assert runs.busy_until(doing, 0) is None


def test_a_job_that_crashes_and_begins_again_gains_no_time() -> None:
    doing = runs.started(runs.started(IDLE, "", at(0)), "", at(50))
    assert runs.busy_until(doing, 60) == at(60)
    when, run = runs.overdue_at(doing, 60) or (None, None)
    assert when == at(110)
    assert run is not None
    fresh = runs.started(runs.told(doing, run), "", at(200))
    assert runs.busy_until(fresh, 60) == at(260)


def test_there_are_never_very_many() -> None:
    doing = IDLE
    for n in range(200):
        doing = runs.said(runs.started(doing, f"r{n}", at(n)), f"line {n}", at(n))
    assert [r.rid for r in doing.runs] == [f"r{n}" for n in range(200 - MOST_RUNS, 200)]
    assert [line.text for line in doing.lines] == [f"line {n}" for n in range(200 - MOST_LINES, 200)]
