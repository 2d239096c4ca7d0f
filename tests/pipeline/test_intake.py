"""The one door: batches, repetition, late results, races, and a store that refuses."""

from __future__ import annotations

import asyncio

import pytest

from builders import a_result, an_incident, at, until
from tocsin.core.incident import Incident
from tocsin.core.result import CheckResult
from tocsin.errors import StoreUnavailable
from tocsin.pipeline import judgement
from tocsin.store.batch import Batch, IncidentChange
from world import Place, World, database_locked


async def resting(world: World, **more: object) -> object:
    """A monitor that is not checked by itself."""
    world.corridor.runner.locations.clear()
    watched = await world.watch(**({"failure_threshold": 1, "interval_s": 60} | more))
    await world.go(1)
    return watched


async def page(world: World, monitor_id: str) -> list[str]:
    found, _ = await world.store.of("ws").read(lambda s: s.results.page(monitor_id))
    return [r.status for r in found]


async def test_the_same_result_twice_is_one(world: World) -> None:
    watched = await resting(world)
    result = a_result("up", monitor=watched.monitor, at=at(1))
    await world.corridor.intake.take_in([result])
    await world.corridor.intake.take_in([result, result])
    assert await page(world, watched.monitor.id) == ["up"]
    assert watched.tally == b"u"


async def test_steady_results_wait_for_company_and_changes_do_not(world: World) -> None:
    watched = await resting(world)
    intake = world.corridor.intake
    await intake.take_in([a_result("up", monitor=watched.monitor, at=at(1))])
    assert watched.calm
    intake.offer(a_result("up", monitor=watched.monitor, at=at(61)))
    assert intake._timer is not None
    intake.offer(a_result("down", monitor=watched.monitor, at=at(121)))
    assert intake._timer is None
    await until(world.all_stored)
    assert watched.verdict.value == "down"
    assert len(await page(world, watched.monitor.id)) == 3


async def test_a_late_result_fills_history_only(world: World) -> None:
    watched = await resting(world)
    await world.corridor.intake.take_in([a_result("up", monitor=watched.monitor, at=at(120))])
    await world.corridor.intake.take_in([a_result("down", monitor=watched.monitor, at=at(60))])
    assert watched.verdict.value == "up"
    assert watched.incident is None
    assert await page(world, watched.monitor.id) == ["up", "down"]


async def test_an_old_failure_opens_no_incident(world: World) -> None:
    watched = await resting(world)
    world.clock.jump(3600)
    await world.corridor.intake.take_in([a_result("down", monitor=watched.monitor, at=at(60))])
    assert watched.incident is None


async def test_results_of_a_monitor_that_is_gone_drop_out(world: World) -> None:
    watched = await resting(world)
    await world.store.of("ws").write(lambda s: s.monitors.delete(watched.monitor.id))
    await world.corridor.removed(watched.monitor.id)
    await world.corridor.intake.take_in([a_result("up", monitor=watched.monitor)])
    assert world.all_stored()


async def test_bodies_are_not_kept(world: World) -> None:
    watched = await resting(world)
    await world.corridor.intake.take_in([a_result("up", monitor=watched.monitor, at=at(1), body=b"x" * 1000)])
    assert watched.last["local"].outcome.seen.body == b""


async def test_who_loses_the_race_for_the_open_incident_takes_the_other_one(world: World) -> None:
    watched = await resting(world)
    other = an_incident(watched.monitor, told=True, locations=("local",))
    change = IncidentChange(incident=other, opens=True)
    await world.store.commit(Batch(id="other", incidents=(change,)))
    await world.corridor.intake.take_in([a_result("down", monitor=watched.monitor, at=at(1))])
    assert watched.incident is not None
    assert watched.incident.id == other.id
    incidents, _ = await world.store.of("ws").read(lambda s: s.incidents.list())
    assert [i.id for i in incidents] == [other.id]


async def test_what_could_not_be_kept_is_taken_back_and_tried_again(world: World) -> None:
    watched = await resting(world)
    await world.corridor.intake.take_in([a_result("up", monitor=watched.monitor, at=at(1))])
    before = watched.verdict, dict(watched.states), watched.incident
    spool, elsewhere = world.folder / "spool", world.folder / "elsewhere"
    with database_locked(world):
        spool.rename(elsewhere)
        taking = asyncio.ensure_future(
            world.corridor.intake.take_in([a_result("down", monitor=watched.monitor, at=at(61))])
        )
        await until(taking.done, clock=world.clock)
        with pytest.raises(StoreUnavailable):
            taking.result()
        assert (watched.verdict, watched.states, watched.incident) == before
    elsewhere.rename(spool)
    await until(lambda: isinstance(watched.incident, Incident), clock=world.clock)
    await world.quiet()
    assert await page(world, watched.monitor.id) == ["down", "up"]


async def test_events_come_after_the_commit(world: World) -> None:
    watched = await resting(world)
    events = world.corridor.live.subscribe("ws", {f"monitor:{watched.monitor.id}"})
    await world.corridor.intake.take_in([a_result("down", monitor=watched.monitor, at=at(1))])
    seen = [await anext(events) for _ in range(3)]
    assert {e["type"] for e in seen} == {"check.completed", "verdict.changed", "incident.opened"}
    assert all(e["monitor"] == watched.monitor.id for e in seen)


async def test_the_tally_shows_slots(world: World) -> None:
    watched = await resting(world, failure_threshold=2)
    for n, status in enumerate(["up", "degraded", "down", "invalid"]):
        await world.corridor.intake.take_in([a_result(status, monitor=watched.monitor, at=at(60 * n))])
    await world.corridor.intake.take_in([a_result("up", monitor=watched.monitor, at=at(180), attempt=1)])
    assert watched.tally == b"usdu"
    recent = await world.store.of("ws").read(lambda s: s.results.recent([watched.monitor.id]))
    assert recent[watched.monitor.id] == "usdu"


async def test_a_place_that_is_not_assigned_has_no_vote(world: World) -> None:
    watched = await resting(world)
    await world.corridor.intake.take_in([a_result("down", monitor=watched.monitor, at=at(1), location="mars")])
    assert "mars" not in watched.states
    assert watched.incident is None
    Place(world)


async def test_many_results_at_once_are_taken_in_slices_and_waited_for(world: World) -> None:
    watched = await resting(world)
    results = [a_result("up", monitor=watched.monitor, at=at(n)) for n in range(2500)]
    await world.corridor.intake.take_in(results)
    assert world.all_stored()
    assert watched.last["local"].scheduled_at == at(2499)
    stored, _ = await world.store.of("ws").read(lambda s: s.results.page(watched.monitor.id, limit=5000))
    assert len(stored) == 2500


async def test_a_failed_round_leaves_nobody_waiting_for_ever(world: World) -> None:
    watched = await resting(world)
    intake = world.corridor.intake
    spool, elsewhere = world.folder / "spool", world.folder / "elsewhere"
    with database_locked(world):
        spool.rename(elsewhere)
        first = asyncio.create_task(intake.take_in([a_result("up", monitor=watched.monitor, at=at(1))]))
        await until(intake._turn.locked)
        second = asyncio.create_task(intake.take_in([a_result("up", monitor=watched.monitor, at=at(2))]))
        await until(first.done, clock=world.clock)
        with pytest.raises(StoreUnavailable):
            first.result()
        assert not second.done()
    elsewhere.rename(spool)
    await until(second.done, clock=world.clock)
    assert second.exception() is None
    assert len(await page(world, watched.monitor.id)) == 2


async def test_after_the_stop_nobody_waits(world: World) -> None:
    watched = await resting(world)
    intake = world.corridor.intake
    spool, elsewhere = world.folder / "spool", world.folder / "elsewhere"
    with database_locked(world):
        spool.rename(elsewhere)
        waiting = asyncio.create_task(intake.take_in([a_result("up", monitor=watched.monitor, at=at(1))]))
        await until(intake._turn.locked)
        late = asyncio.create_task(intake.take_in([a_result("up", monitor=watched.monitor, at=at(2))]))
        stopped = asyncio.create_task(intake.stop())
        await until(lambda: stopped.done() and late.done(), clock=world.clock)
    elsewhere.rename(spool)
    for task in (waiting, late):
        assert isinstance(task.exception(), StoreUnavailable)
    for more in (intake.take_in([a_result("up", monitor=watched.monitor, at=at(3))]), intake.flushed()):
        with pytest.raises(StoreUnavailable):
            await asyncio.wait_for(more, 5)


POISON = 2**70
"""No database has room for an attempt of that number."""


async def test_a_result_that_cannot_be_stored_with_others_is_set_aside(world: World) -> None:
    watched = await resting(world)
    intake = world.corridor.intake
    results = [a_result("up", monitor=watched.monitor, at=at(n), attempt=POISON if n == 42 else 0) for n in range(100)]
    with pytest.raises(OverflowError):
        await asyncio.wait_for(intake.take_in(results), 10)
    assert len(await page(world, watched.monitor.id)) == 99
    assert intake.dropped == 1
    assert watched.last["local"].scheduled_at == at(99)
    await intake.take_in([a_result("down", monitor=watched.monitor, at=at(160))])
    assert watched.verdict.value == "down"


async def test_when_everything_fails_nothing_is_set_aside(world: World) -> None:
    watched = await resting(world)
    intake = world.corridor.intake
    with pytest.raises(OverflowError):
        await intake.take_in([a_result("up", monitor=watched.monitor, at=at(n), attempt=POISON) for n in range(3)])
    assert (intake.dropped, intake.backlog) == (0, 3)
    well = asyncio.create_task(intake.take_in([a_result("up", monitor=watched.monitor, at=at(60))]))
    await until(well.done, clock=world.clock)
    assert well.exception() is None
    assert intake.dropped == 3
    assert await page(world, watched.monitor.id) == ["up"]


async def test_a_bug_in_folding_one_result_stops_no_other(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    sick, well = await resting(world), await resting(world)
    fold = judgement.fold

    def break_on(state: object, monitor: object, *more: object) -> object:
        if monitor is sick.monitor:
            raise ZeroDivisionError
        return fold(state, monitor, *more)

    monkeypatch.setattr(judgement, "fold", break_on)
    results = [a_result("down", monitor=w.monitor, at=at(1)) for w in (sick, well)]
    await asyncio.wait_for(world.corridor.intake.take_in(results), 5)
    assert well.incident is not None
    assert sick.states == {}
    assert await page(world, sick.monitor.id) == ["down"]


async def test_who_cannot_be_told_does_not_undo_what_is_stored(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    watched = await resting(world)
    events = world.corridor.live.subscribe("ws")
    note = world.corridor.intake._note

    def break_once(result: CheckResult) -> None:
        if result.scheduled_at == at(1):
            raise ZeroDivisionError
        note(result)

    monkeypatch.setattr(world.corridor.intake, "_note", break_once)
    await asyncio.wait_for(world.corridor.intake.take_in([a_result("down", monitor=watched.monitor, at=at(1))]), 5)
    assert await anext(e async for e in events if e["type"] == "incident.opened")
    assert await page(world, watched.monitor.id) == ["down"]
