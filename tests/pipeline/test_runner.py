"""One run: fairness, faults of our own, checks that people ask for, cycles."""

from __future__ import annotations

import asyncio
import time

import pytest
from msgspec.structs import replace

from builders import until
from tocsin import checks
from tocsin.checks import Order
from tocsin.core import shape
from tocsin.errors import Conflict, NotFound
from world import Place, World


async def test_a_run_during_which_our_loop_stood_still_is_invalid(world: World) -> None:
    place = Place(world)
    place.status = "down"
    place.gate = asyncio.Event()
    watched = await world.watch()
    await until(lambda: place.now, clock=world.clock)
    await asyncio.sleep(0.15)
    time.sleep(0.7)  # noqa: ASYNC251 (the stall is what is tested)
    place.gate.set()
    await world.quiet()
    result = watched.last["local"]
    assert result.status == "invalid"
    assert "event loop stood still" in result.outcome.error.message
    assert watched.states["local"].vote is None if "local" in watched.states else True


async def test_a_check_that_raises_is_our_fault(world: World) -> None:
    place = Place(world)
    place.status = RuntimeError("a bug")
    watched = await world.watch()
    await world.go(30)
    assert watched.last["local"].status == "invalid"
    assert watched.incident is None
    assert watched.verdict is None or watched.verdict.pending


async def test_an_invalid_result_is_repeated(world: World) -> None:
    place = Place(world)
    place.status = RuntimeError("a bug")
    watched = await world.watch(interval_s=60, retry_interval_s=5)
    await until(lambda: place.runs, clock=world.clock)
    place.status = "up"
    await world.go(7)
    assert watched.verdict is not None
    assert watched.verdict.value == "up"


async def test_a_target_that_cannot_be_read_is_invalid_and_says_why(world: World) -> None:
    Place(world)
    watched = await world.watch(target={"address": "http://x/"})
    await world.go(2)
    assert watched.problem is not None
    assert watched.last["local"].status == "invalid"
    assert "url" in watched.last["local"].outcome.error.message


async def test_run_now_checks_stores_judges_and_answers(world: World) -> None:
    place = Place(world)
    watched = await world.watch(interval_s=3600)
    await world.go(1)
    place.status = "down"
    await world.corridor.runner.run_now(watched.monitor.id)
    place.status = "down"
    await world.clock.advance(0.05)
    answer = await world.corridor.runner.run_now(watched.monitor.id)
    assert [r.status for r in answer["results"]] == ["down"]
    assert answer["verdict"].value == "down"
    stored, _ = await world.store.of("ws").read(lambda s: s.results.page(watched.monitor.id))
    assert answer["results"][0].id in {r.id for r in stored}


async def test_a_failure_that_somebody_asked_for_is_repeated_like_any_other(world: World) -> None:
    place = Place(world)
    place.status = "up"
    watched = await world.watch(interval_s=3600, retry_interval_s=5, retries=1, failure_threshold=2)
    await until(lambda: watched.verdict is not None and watched.verdict.value == "up", clock=world.clock)
    place.status = "down"
    answer = await world.corridor.runner.run_now(watched.monitor.id)
    assert [r.status for r in answer["results"]] == ["down"]
    assert watched.verdict is not None
    assert watched.verdict.value == "up"
    await world.go(7)
    assert (watched.verdict.value, watched.last["local"].attempt) == ("down", 1)


async def test_run_now_waits_for_the_run_that_is_on(world: World) -> None:
    place = Place(world)
    place.gate = asyncio.Event()
    watched = await world.watch(interval_s=3600)
    await until(lambda: place.now, clock=world.clock)
    asked = asyncio.create_task(world.corridor.runner.run_now(watched.monitor.id))
    await asyncio.sleep(0)
    await world.clock.advance(0.1)
    assert place.most == 1
    place.gate.set()
    answer = await asked
    assert place.most == 1
    assert len(place.runs) == 2
    assert answer["verdict"].value == "up"


async def test_run_now_refuses_what_cannot_be_run(world: World) -> None:
    Place(world)
    watched = await world.watch()
    await world.go(1)
    await world.rewrite(replace(watched.monitor, paused=True))
    with pytest.raises(Conflict, match="paused"):
        await world.corridor.runner.run_now(watched.monitor.id)
    with pytest.raises(NotFound):
        await world.corridor.runner.run_now("nothing")
    push = await world.watch(type="push", target={"token": "t" * 20})
    with pytest.raises(Conflict):
        await world.corridor.runner.run_now(push.monitor.id)


async def test_a_trial_stores_nothing(world: World) -> None:
    place = Place(world)
    target = shape.read(checks.kind("http").target, {"url": "http://10.0.0.1/"})
    place.status = "down"
    outcome = await world.corridor.runner.try_check(Order("http", target))
    assert outcome.status == "down"
    assert len(world.corridor.watchlist) == 0
    assert world.all_stored()


async def test_a_cycle_checks_every_active_monitor_of_the_workspace(world: World) -> None:
    place = Place(world)
    for n in range(5):
        await world.watch(target={"url": f"http://10.0.0.{n}/"}, interval_s=3600)
    paused = await world.watch(interval_s=3600)
    await world.rewrite(replace(paused.monitor, paused=True))
    await world.go(1)
    place.runs.clear()
    place.by_url = {"http://10.0.0.1/": "down"}
    figures = await world.corridor.runner.cycle("ws")
    assert (figures["total"], figures["up"], figures["down"], figures["skipped"]) == (5, 4, 1, 0)
    assert len(place.runs) == 5
    assert (await world.corridor.runner.cycle("elsewhere"))["total"] == 0


async def test_a_test_cycle_stores_nothing_and_tells_nobody(world: World) -> None:
    place = Place(world)
    watched = await world.watch(interval_s=3600, failure_threshold=1)
    await world.go(1)
    before, _ = await world.store.of("ws").read(lambda s: s.results.page(watched.monitor.id))
    place.status = "down"
    figures = await world.corridor.runner.cycle(stored=False)
    assert figures["down"] == 1
    await world.quiet()
    after, _ = await world.store.of("ws").read(lambda s: s.results.page(watched.monitor.id))
    assert len(after) == len(before)
    assert watched.verdict.value == "up"


async def test_a_stop_lets_what_runs_end_and_stores_it(world: World) -> None:
    place = Place(world)
    place.gate = asyncio.Event()
    watched = await world.watch(interval_s=3600)
    await until(lambda: place.now, clock=world.clock)
    stopping = asyncio.create_task(world.stop())
    await asyncio.sleep(0.05)
    place.gate.set()
    await stopping
    await world.start()
    Place(world)
    stored, _ = await world.store.of("ws").read(lambda s: s.results.page(watched.monitor.id))
    assert [r.status for r in stored] == ["up"]


async def test_a_run_that_never_ends_is_cancelled_and_the_monitor_is_checked_again(world: World) -> None:
    place = Place(world)
    place.gate = asyncio.Event()
    watched = await world.watch(interval_s=20, timeout_s=5)
    await until(lambda: place.now, clock=world.clock)
    place.gate = None
    await world.clock.advance(100)
    await world.go(25)
    assert watched.last["local"].status == "up"
    assert watched.running == set()


async def test_a_cycle_survives_a_run_that_never_ends(world: World) -> None:
    place = Place(world)
    await world.watch(interval_s=3600, timeout_s=5)
    await world.go(1)
    place.gate = asyncio.Event()
    cycle = asyncio.create_task(world.corridor.runner.cycle())
    await asyncio.sleep(0)
    await world.clock.advance(100)
    figures = await asyncio.wait_for(cycle, 5)
    assert figures["total"] == 0


async def test_a_bug_in_the_follow_up_leaves_nobody_waiting(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    Place(world)
    watched = await world.watch()
    await world.go(1)

    def break_down(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(world.corridor.runner, "ended", break_down)
    answer = await asyncio.wait_for(world.corridor.runner.run_now(watched.monitor.id), 5)
    assert [r.status for r in answer["results"]] == ["up"]


async def test_run_now_ends_when_its_monitor_is_paused_meanwhile(world: World) -> None:
    """One check of the host runs, one of another monitor waits its turn: whoever waits for that one hears the end."""
    place = Place(world)
    place.gate = asyncio.Event()
    world.corridor.scheduler.admission.max_per_host = 1
    first = await world.watch(name="first")
    second = await world.watch(name="second")
    await until(lambda: second.running and place.now, clock=world.clock)
    asked = asyncio.create_task(world.corridor.runner.run_now(second.monitor.id))
    await until(lambda: second.idle, clock=world.clock)
    await world.rewrite(replace(second.monitor, paused=True))
    with pytest.raises(Conflict, match="paused"):
        await asyncio.wait_for(asked, 5)
    place.gate.set()
    await world.quiet()
    assert first.last["local"].status == "up"
