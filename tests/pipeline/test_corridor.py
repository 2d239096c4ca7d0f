"""The corridor as a whole: status, configuration that changes, backfill, housekeeping, what survives a restart."""

from __future__ import annotations

import asyncio
import threading
from datetime import timedelta

import pytest
from msgspec import json
from msgspec.structs import replace

from builders import a_result, at, until
from tocsin import telemetry
from tocsin.core.monitor import Assertion
from tocsin.core.uptime import uptime
from tocsin.pipeline import watchlist
from tocsin.pipeline.backfill import _verdicts
from tocsin.pipeline.catching_up import catch_up
from tocsin.pipeline.corridor import Corridor
from world import Place, World, database_locked, webs


async def test_status_is_plain_json(world: World) -> None:
    Place(world)
    await world.watch()
    await world.go(3)
    status = world.corridor.status()
    assert json.decode(json.encode(status)) == status
    assert (status["monitors"], status["active"], status["open_incidents"]) == (1, 1, 0)
    assert status["store"]["breaker"] == "closed"
    assert status["uptime_s"] >= 3


async def test_a_new_target_is_checked_at_once_under_the_new_configuration(world: World) -> None:
    place = Place(world)
    watched = await world.watch(target={"url": "http://old/"}, interval_s=3600)
    await world.go(1)
    await world.rewrite(replace(watched.monitor, target={"url": "http://new/"}))
    await world.go(0.2)
    assert place.runs == ["http://old/", "http://new/"]
    assert watched.shown == "http://new/"


async def test_a_location_that_is_taken_away_no_longer_votes(world: World) -> None:
    Place(world)
    away = Place(world, "europe")
    away.status = "down"
    watched = await world.watch(
        interval_s=60, monitoring_type="global", locations=("local", "europe"), quorum="any", failure_threshold=1
    )
    await world.go(2)
    assert watched.verdict.value == "down"
    await world.rewrite(replace(watched.monitor, locations=("local",)))
    await world.quiet()
    assert watched.verdict.value == "up"
    assert not watched.incident.open


async def test_judgement_survives_a_restart(world: World) -> None:
    place = Place(world)
    place.by_url = {"http://sick/": "down"}
    sick, well = await world.watch(target={"url": "http://sick/"}), await world.watch(target={"url": "http://well/"})
    await world.go(130, step=2)
    await world.stop()
    await world.clock.advance(5, step=5)
    await world.start()
    for before in (sick, well):
        after = world.corridor.watchlist.get(before.monitor.id)
        assert after.verdict.value == before.verdict.value
        assert after.verdict.since == before.verdict.since
        assert after.incident == before.incident
        assert after.tally == before.tally
        assert after.states["local"].vote == before.states["local"].vote
        assert after.states["local"].at == before.states["local"].at


async def test_time_in_which_nobody_looked_is_covered_by_nobody(world: World) -> None:
    Place(world)
    watched = await world.watch(interval_s=60)
    await world.go(600, step=5)
    await world.crash()
    await world.clock.advance(3600, step=3600)
    await world.start()
    Place(world)
    await world.go(300, step=5)
    start, end = watched.monitor.created_at, world.clock.now()
    intervals = await world.store.of("ws").read(lambda s: s.verdicts.intervals(watched.monitor.id, start, end))
    assert [i.value for i in intervals] == ["up", "unknown", "up"]
    figure = uptime(intervals, start, end)
    assert figure.uptime == 1.0
    assert 3300 <= figure.unknown_s <= 3700


async def test_backfill_fills_history_and_opens_no_incident(world: World) -> None:
    Place(world)
    watched = await world.watch(id="filled", interval_s=60, failure_threshold=1)
    await until(lambda: watched.verdict is not None and watched.verdict.value == "up", clock=world.clock)
    await world.go(1)
    first = at(-7200)
    past = [
        a_result("down" if 20 <= n < 30 else "up", monitor=watched.monitor, at=first + timedelta(seconds=60 * n))
        for n in range(60)
    ]
    assert await world.corridor.backfill(watched.monitor.id, past, "alice@example.org") == 60
    await world.corridor.backfill(watched.monitor.id, past, "alice@example.org")
    assert watched.incident is None
    assert watched.verdict.value == "up"
    intervals = await world.store.of("ws").read(
        lambda s: s.verdicts.intervals(watched.monitor.id, first, world.clock.now())
    )
    assert [i.value for i in intervals] == ["up", "down", "up", "unknown", "up"]
    figure = uptime(intervals, first, first + timedelta(hours=1))
    assert figure.uptime == 50 / 60
    stored, _ = await world.store.of("ws").read(lambda s: s.results.page(watched.monitor.id, limit=200))
    assert len(stored) == 61
    assert len(watched.tally) == 61


async def test_results_are_moved_and_forgotten_in_time(world: World) -> None:
    Place(world)
    watched = await world.watch(interval_s=60)
    await world.go(120, step=5)
    housekeeping = world.corridor.housekeeping
    assert await housekeeping.move() >= 2
    assert await housekeeping.move() == 0
    assert await housekeeping.forget() == 0
    world.clock.jump(91 * 86_400)
    recent = world.clock.now() - timedelta(days=1)
    forgetting = asyncio.create_task(housekeeping.forget())
    await until(forgetting.done, clock=world.clock)
    assert forgetting.result() >= 2
    stored, _ = await world.store.of("ws").read(lambda s: s.results.page(watched.monitor.id))
    assert [one for one in stored if one.at < recent] == []  # a check of now may be there already


async def test_explain_shows_the_votes_of_now(world: World) -> None:
    Place(world)
    watched = await world.watch(interval_s=60)
    await world.go(2)
    explained, hush = world.corridor.explain(watched)
    assert hush is None
    assert explained.value == "up"
    assert explained.votes[0].age_s is not None
    assert explained.votes[0].fresh


async def test_a_pause_is_covered_by_nobody(world: World) -> None:
    Place(world)
    watched = await world.watch(interval_s=60)
    await world.go(130, step=5)
    await world.rewrite(replace(watched.monitor, paused=True))
    await world.go(3600, step=60)
    await world.rewrite(replace(watched.monitor, paused=False))
    await world.go(130, step=5)
    start, end = watched.monitor.created_at, world.clock.now()
    intervals = await world.store.of("ws").read(lambda s: s.verdicts.intervals(watched.monitor.id, start, end))
    assert [i.value for i in intervals] == ["up", "unknown", "up"]
    assert uptime(intervals, start, end).unknown_s >= 3400


async def test_open_incidents_are_exported(world: World) -> None:
    place = Place(world)
    place.status = "down"
    watched = await world.watch(interval_s=60, failure_threshold=1)
    await world.go(2)
    assert telemetry.REGISTRY.get_sample_value("active_incidents") == 1
    await world.store.of("ws").write(lambda s: s.monitors.delete(watched.monitor.id))
    await world.corridor.removed(watched.monitor.id)
    assert telemetry.REGISTRY.get_sample_value("active_incidents") == 0
    assert telemetry.REGISTRY.get_sample_value("active_monitors") == 0


async def test_backfill_leaves_the_loop_its_turns(world: World) -> None:
    Place(world)
    watched = await world.watch(interval_s=60)
    await world.go(2)
    past = [
        a_result("down" if n % 7 == 0 else "up", monitor=watched.monitor, at=at(60 * n - 700_000)) for n in range(6000)
    ]
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    turning = asyncio.create_task(turn())
    decided = await _verdicts(watched, past)
    turning.cancel()
    assert turns >= 6000 // 200 - 1
    assert decided


async def test_a_part_that_cannot_be_stopped_does_not_keep_the_others_running(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    Place(world)
    watched = await world.watch(interval_s=60)
    await world.go(2)
    c = world.corridor

    async def break_down(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(c.scheduler, "stop", break_down)
    monkeypatch.setattr(c.watchdog, "stop", break_down)
    c.intake.offer(a_result("up", monitor=watched.monitor, at=world.clock.now()))
    await c.stop()
    assert c.intake.backlog == 0
    assert c.delivery._task is not None
    assert c.delivery._task.done()
    assert c.lag._task is None
    monkeypatch.undo()
    await c.scheduler.stop()
    await c.watchdog.stop()


async def test_what_is_done_while_the_spool_is_read_anew_is_not_overwritten(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Place(world)
    watched = await world.watch(interval_s=60, failure_threshold=1)
    await world.go(2)
    place.status = "down"
    await world.corridor.runner.run_now(watched.monitor.id)
    assert watched.incident.open
    reading, go_on, read = threading.Event(), threading.Event(), watchlist.read_known

    def read_slowly(*more: object) -> object:
        known = read(*more)
        reading.set()
        go_on.wait(10)
        return known

    monkeypatch.setattr(watchlist, "read_known", read_slowly)
    monkeypatch.setattr(Corridor, "receive", lambda _: None)
    catching_up = asyncio.create_task(catch_up(world.corridor))
    await until(reading.is_set)
    response = world.corridor.response
    acknowledged = asyncio.create_task(response.acknowledge("ws", watched.incident.id, "bob@example.org"))
    await until(lambda: acknowledged.done() or world.corridor.intake._turn._waiters)
    go_on.set()
    await until(lambda: catching_up.done() and acknowledged.done())
    assert watched.incident.acknowledged_by == "bob@example.org"
    assert watched.incident == await world.store.of("ws").read(lambda s: s.incidents.get(watched.incident.id))


async def test_what_was_written_is_taken_as_it_is_stored_and_never_for_something_newer(world: World) -> None:
    Place(world)
    watched = await world.watch(interval_s=60, assertions=(Assertion(type="status_code", op="in", value=[200, 204]),))
    ws, id = world.store.of("ws"), watched.monitor.id
    second = await ws.write(lambda s: s.monitors.replace(replace(watched.monitor, name="Second", tags=("a",))))
    third = await ws.write(lambda s: s.monitors.replace(replace(second, name="Third")))
    assert (await world.corridor.changed(id, third)).monitor == await ws.read(lambda s: s.monitors.get(id)) == third
    assert (await world.corridor.changed(id, second)).monitor == third


async def test_a_monitor_without_trouble_is_paused_while_a_round_is_under_way(world: World) -> None:
    """Unless that round has judged it: then it may still be taken back."""
    place = Place(world)
    watched, other = await world.watch(interval_s=60), await world.watch(interval_s=60, failure_threshold=1, retries=0)
    await world.go(1)
    place.status = "down"
    intake = world.corridor.intake
    result = a_result("down", monitor=other.monitor, at=world.clock.now())
    with database_locked(world):
        taking = asyncio.create_task(intake.take_in([result]))
        await until(lambda: intake.at(other.monitor.id))
        assert not intake.at(watched.monitor.id)
        assert intake._turn.locked()
        await world.corridor._close(watched, "the monitor was paused")
        assert intake._turn.locked()
        closing = asyncio.create_task(world.corridor._close(other, "the monitor was paused"))
        await asyncio.sleep(0)
        assert not closing.done()
    await asyncio.gather(taking, closing)
    assert not intake.at(other.monitor.id)
    assert other.incident is not None
    assert other.incident.resolution == "the monitor was paused"


async def test_a_stored_target_that_breaks_a_rule_by_now_is_checked_as_before(world: World) -> None:
    async with webs(1) as (site,):
        target = {"url": site.url, "max_redirects": 50, "username": "left over", "gone": True}
        watched = await world.watch(target=target, interval_s=10, timeout_s=5)
        unreadable = await world.watch(target={"url": 7}, interval_s=10, timeout_s=5)
        await until(lambda: watched.verdict is not None and watched.verdict.value == "up", clock=world.clock)
        assert site.calls
        assert watched.problem is None
        assert "max_redirects: expected a whole number from 0 to 20, found 50" in watched.breaks
        assert "username: expected nothing, as auth is none" in watched.breaks
        assert "gone: expected a known field" in watched.breaks
        assert unreadable.target is None
        assert unreadable.problem is not None
