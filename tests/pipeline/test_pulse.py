"""Loops that fail, hang or end: they go on where they can, and say so where they cannot."""

from __future__ import annotations

import asyncio

import pytest

from builders import until
from tocsin import telemetry
from tocsin.pipeline import housekeeping
from tocsin.pipeline.pulse import Pulse
from world import Place, World


def faults(part: str) -> float:
    return telemetry.REGISTRY.get_sample_value("tocsin_faults_total", {"part": part}) or 0.0


async def test_a_pulse_says_since_when_nothing_was_done() -> None:
    now = 0.0
    pulse = Pulse("scheduler", "checks have not been started", 30.0, lambda: now)
    assert pulse.trouble() is None
    task = asyncio.create_task(asyncio.Event().wait())
    pulse.begin(task)  # type: ignore[arg-type]
    now = 40.0
    assert pulse.trouble() == "checks have not been started for 40 s"
    pulse.beat()
    assert pulse.trouble() is None
    pulse.rest()
    now = 200.0
    assert pulse.trouble() is None
    pulse.wake()
    now = 220.0
    pulse.wake()
    now = 231.0
    assert pulse.trouble() == "checks have not been started for 31 s"
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert pulse.trouble() == "checks have not been started any more: the scheduler has ended"
    pulse.end()
    assert pulse.trouble() is None


async def test_a_tick_that_fails_is_not_the_last_one(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    place, scheduler, before = Place(world), world.corridor.scheduler, faults("scheduler")

    def break_down() -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(scheduler.admission, "admit", break_down)
    await world.watch(interval_s=5, timeout_s=1)
    await world.clock.advance(40, step=1)
    assert place.runs == []
    assert faults("scheduler") - before >= 20
    status = world.corridor.status()
    assert not status["running"]
    assert status["stalled"] == ["checks have not been started for 40 s"]
    monkeypatch.undo()
    await world.go(6)
    assert place.runs
    assert world.corridor.status()["stalled"] == []
    assert world.corridor.status()["running"]


async def test_a_monitor_that_cannot_be_scheduled_does_not_stop_the_others(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, scheduler = Place(world), world.corridor.scheduler
    sick = await world.watch(target={"url": "http://sick/"}, interval_s=5, timeout_s=1)
    await world.watch(target={"url": "http://well/"}, interval_s=5, timeout_s=1)
    await world.go(1)
    submit = world.corridor.runner.submit

    def break_on(job: object, **more: object) -> None:
        if job.watched is sick:
            raise ZeroDivisionError
        submit(job, **more)

    monkeypatch.setattr(world.corridor.runner, "submit", break_on)
    place.runs.clear()
    await world.go(16)
    assert len(place.runs) >= 3
    assert set(place.runs) == {"http://well/"}
    assert world.corridor.status()["stalled"] == []
    monkeypatch.undo()
    await world.go(6)
    assert "http://sick/" in place.runs
    assert scheduler.pulse.trouble() is None


async def test_a_monitor_that_was_left_out_is_tried_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    place, scheduler = Place(world), world.corridor.scheduler
    sick = await world.watch(interval_s=5, timeout_s=1)
    await world.go(1)

    def break_down(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(scheduler, "_push", break_down)
    await world.go(6)
    monkeypatch.undo()
    place.runs.clear()
    await world.go(40)
    assert len(place.runs) >= 2
    assert sick.next_at is not None


LOOPS = {
    "scheduler": lambda corridor: corridor.scheduler._tasks[0],
    "intake": lambda corridor: corridor.intake._task,
    "watchdog": lambda corridor: corridor.watchdog.rounds._task,
    "delivery": lambda corridor: corridor.delivery._task,
    "lag": lambda corridor: corridor.lag._task,
    "housekeeping": lambda corridor: corridor.housekeeping._loops[0]._task,
}


@pytest.mark.parametrize("part", LOOPS)
async def test_a_loop_that_ended_is_named(world: World, part: str) -> None:
    task = LOOPS[part](world.corridor)
    task.cancel()
    await until(task.done)
    (said,) = world.corridor.status()["stalled"]
    assert "any more" in said
    assert world.corridor.status()["running"] is (part != "scheduler")


async def test_results_that_are_not_taken_in_are_noticed(world: World) -> None:
    Place(world)
    await world.watch(interval_s=60)
    await world.go(2)
    async with world.corridor.intake._turn:
        await world.corridor.watchlist.recount(next(iter(world.corridor.watchlist)))
        await world.clock.advance(100, step=1)
        assert any(s.startswith("results have not been taken in for") for s in world.corridor.status()["stalled"])
    await world.quiet()
    await world.go(2)
    assert world.corridor.status()["stalled"] == []


async def test_a_loop_without_work_is_well(world: World) -> None:
    await world.go(600, step=5)
    assert world.corridor.status()["stalled"] == []
    assert housekeeping.SILENT_S > housekeeping.FORGET_EVERY_S


async def test_nothing_is_said_of_loops_that_were_stopped(world: World) -> None:
    await world.stop()
    assert world.corridor.status()["stalled"] == []
    assert not world.corridor.status()["running"]
