"""What comes true by time alone: votes that age, recovery times, and push monitors that stay silent."""

from __future__ import annotations

from typing import Any

import pytest

from builders import a_result, until
from tocsin.core.advance import advance
from tocsin.core.finding import Terms
from tocsin.core.incident import Step
from tocsin.errors import NotFound
from tocsin.pipeline import judgement
from world import Place, World, database_locked

TOKEN = "abcdefghijklmnop1234"
PUSH = {"type": "push", "failure_threshold": 1, "target": {"token": TOKEN, "period_s": 60, "grace_s": 10}}


async def test_a_verdict_whose_votes_age_becomes_unknown(world: World) -> None:
    Place(world)
    watched = await world.watch(interval_s=10, timeout_s=5)
    await world.go(11)
    world.corridor.runner.locations.clear()
    world.corridor.scheduler.schedule(watched)
    await world.go(40)
    assert watched.verdict.value == "unknown"
    assert not watched.verdict.pending
    kept = await world.store.of("ws").read(lambda s: s.verdicts.open_all())
    assert kept[watched.monitor.id].value == "unknown"


async def test_recovery_takes_its_time(world: World) -> None:
    place = Place(world)
    place.status = "down"
    watched = await world.watch(interval_s=600, timeout_s=5, recovery_s=120, failure_threshold=1)
    await until(lambda: watched.incident, clock=world.clock)
    place.status = "up"
    await world.clock.advance(0.1)
    await world.corridor.runner.run_now(watched.monitor.id)
    assert watched.incident.open
    await world.go(110)
    assert watched.incident.open
    await world.go(15)
    assert not watched.incident.open


async def test_a_silent_push_monitor_is_down_and_a_call_brings_it_back(world: World) -> None:
    watched = await world.watch(**PUSH)
    await world.corridor.push_call(TOKEN)
    assert watched.verdict.value == "up"
    await world.go(60, step=5)
    await world.corridor.push_call(TOKEN)
    await world.go(68, step=1)
    assert watched.verdict.value == "up"
    await world.go(4)
    assert watched.verdict.value == "down"
    assert watched.incident.reason == "no call came in time"
    await world.corridor.push_call(TOKEN)
    assert watched.verdict.value == "up"
    assert not watched.incident.open


async def test_a_push_monitor_that_never_calls_is_down(world: World) -> None:
    watched = await world.watch(**PUSH)
    await world.go(60, step=5)
    assert watched.incident is None
    await world.go(15)
    assert watched.incident.open


async def test_a_failure_is_reported_at_once_with_its_message(world: World) -> None:
    watched = await world.watch(**PUSH)
    await world.corridor.push_call(TOKEN, "down", message="backup failed: disk full")
    assert watched.incident.reason == "backup failed: disk full"


async def test_the_run_time_is_from_start_to_end(world: World) -> None:
    await world.watch(**PUSH)
    assert await world.corridor.push_call(TOKEN, "start", run_id="a") is None
    await world.go(7)
    result = await world.corridor.push_call(TOKEN, run_id="a")
    assert result.outcome.seen.timing.total == pytest.approx(7000, abs=100)
    result = await world.corridor.push_call(TOKEN, ping_ms=12.5)
    assert result.outcome.seen.timing.total == 12.5


async def test_a_wrong_token_is_not_found(world: World) -> None:
    watched = await world.watch(**PUSH)
    with pytest.raises(NotFound):
        await world.corridor.push_call("x" * 20)
    await world.corridor.removed(watched.monitor.id)
    with pytest.raises(NotFound):
        await world.corridor.push_call(TOKEN)


async def test_a_restart_gives_silent_jobs_another_period(world: World) -> None:
    watched = await world.watch(**PUSH)
    await world.corridor.push_call(TOKEN)
    await world.stop()
    await world.clock.advance(300, step=300)
    await world.start()
    watched = world.corridor.watchlist.get(watched.monitor.id)
    await world.go(50, step=2)
    assert watched.verdict.value == "up"
    await world.go(20)
    assert watched.verdict.value == "down"


async def test_after_a_start_everything_is_judged_once_when_it_settled(world: World) -> None:
    world.corridor.runner.locations.clear()
    watched = await world.watch(interval_s=20, timeout_s=5)
    await world.corridor.intake.take_in([a_result("up", monitor=watched.monitor, at=world.clock.now())])
    await world.stop()
    await world.clock.advance(30, step=30)
    await world.start()
    world.corridor.runner.locations.clear()
    world.corridor.scheduler.schedule(watched := world.corridor.watchlist.get(watched.monitor.id))
    await world.go(40)
    assert watched.verdict.value == "up"
    await world.go(10)
    assert watched.verdict.value == "unknown"


async def test_a_bug_that_one_monitor_wakes_keeps_no_other_from_being_judged(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    Place(world)
    sick, well = await world.watch(interval_s=10, timeout_s=5), await world.watch(interval_s=10, timeout_s=5)
    await world.go(11)
    world.corridor.runner.locations.clear()
    for watched in (sick, well):
        world.corridor.scheduler.schedule(watched)

    def break_on(latest: Any, terms: Terms, *more: Any, **named: Any) -> Step:
        if terms.monitor_id == sick.monitor.id:
            raise ZeroDivisionError
        return advance(latest, terms, *more, **named)

    monkeypatch.setattr(judgement, "advance", break_on)
    await world.go(40)
    assert well.verdict.value == "unknown"
    assert sick.verdict.value == "up"
    monkeypatch.undo()
    await world.go(31)
    assert sick.verdict.value == "unknown"


async def test_what_could_not_be_stored_is_judged_again(world: World) -> None:
    watched = await world.watch(**PUSH)
    other = await world.watch(interval_s=60, recovery_s=0)
    spool, elsewhere = world.folder / "spool", world.folder / "elsewhere"
    with database_locked(world):
        spool.rename(elsewhere)
        await world.clock.advance(75, step=1)
        await until(lambda: world.corridor.watchdog._heap, clock=world.clock)
    elsewhere.rename(spool)
    await until(lambda: watched.incident is not None and watched.incident.open, clock=world.clock)
    assert await until(lambda: other.verdict, clock=world.clock) is not None


async def test_a_silent_monitor_is_down_each_period(world: World) -> None:
    watched = await world.watch(**PUSH)
    await world.corridor.push_call(TOKEN)
    await world.go(300, step=5)
    assert watched.tally == b"udddd"


async def test_who_stood_still_holds_no_silence_against_anybody(world: World) -> None:
    watched = await world.watch(**PUSH)
    await world.corridor.push_call(TOKEN)
    await world.go(50, step=5)
    stood = [True]
    world.corridor.watchdog.stood = lambda: bool(stood) and stood.pop()
    await world.clock.advance(60, step=60)  # no call could be heard meanwhile
    await world.go(50, step=5)
    assert watched.verdict.value == "up"
    assert watched.incident is None
    await world.go(15, step=1)
    assert watched.verdict.value == "down", "after a period without a call"


async def test_time_alone_changes_nothing_while_the_lease_is_over(world: World) -> None:
    watched = await world.watch(**PUSH)
    await world.corridor.push_call(TOKEN)
    leads = [False]
    world.corridor.judge_while(lambda: leads[0])
    await world.go(120, step=5)
    assert watched.incident is None
    kept, _ = await world.store.of("ws").read(lambda s: s.results.page(watched.monitor.id))
    assert [result.status for result in kept] == ["up"], "what nobody may judge is not kept either"
    assert world.corridor.watchdog.pulse.trouble() is None
    leads[0] = True
    await world.go(2)
    assert watched.incident.open
