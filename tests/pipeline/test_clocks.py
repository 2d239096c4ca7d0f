"""A location whose clock is wrong: what it says counts, and when the clock is set right what it says then."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from builders import a_result, at
from world import Place, World, a_world, webs

HOUR = 3600.0
PLACES = ("one", "two", "office")


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with a_world(tmp_path, location="one") as world:
        yield world


async def watched_from_three(world: World) -> Any:
    """A monitor of three locations that none of them checks by itself."""
    world.corridor.runner.locations.clear()
    return await world.watch(monitoring_type="global", locations=PLACES, interval_s=60, failure_threshold=1)


async def say(world: World, watched: Any, status: Any, *places: str, ahead_s: float = 0.0) -> None:
    """The next minute comes, and these locations say that in it."""
    await world.go(60)
    now = (world.clock.now() - at(0)).total_seconds()
    results = [a_result(status, monitor=watched.monitor, at=at(now + ahead_s), location=place) for place in places]
    await world.corridor.intake.take_in(results)


async def test_a_location_is_believed_again_when_its_clock_is_set_right(world: World) -> None:
    watched = await watched_from_three(world)
    for _ in range(2):
        await say(world, watched, "up", "one")
        await say(world, watched, "up", "two", "office", ahead_s=HOUR)
    assert watched.verdict.value == "up"
    assert watched.states["two"].heard is not None
    await say(world, watched, "down", "two", "office")
    assert [watched.states[place].vote for place in PLACES] == ["up", "down", "down"]
    assert watched.verdict.value == "down"
    assert watched.states["two"].heard is None
    assert watched.last["two"].status == "down"
    assert watched.tally.endswith(b"d")


async def test_a_location_that_falls_silent_while_its_clock_is_ahead_has_no_vote_for_long(world: World) -> None:
    watched = await watched_from_three(world)
    await say(world, watched, "up", *PLACES, ahead_s=HOUR)
    for _ in range(5):
        await say(world, watched, "up", "one")
    await world.corridor.watchdog.look()
    votes = {vote.location: vote.fresh for vote in watched.verdict.votes}
    assert votes == {"one": True, "two": False, "office": False}


async def test_who_judges_with_a_clock_that_is_behind_counts_the_others(world: World) -> None:
    watched = await watched_from_three(world)
    for status in ("up", "down", "up"):
        await say(world, watched, status, *PLACES, ahead_s=HOUR)
        assert watched.verdict.value == status


async def test_a_vote_that_was_stored_as_of_later_than_now_grows_old(world: World) -> None:
    watched = await watched_from_three(world)
    await say(world, watched, "up", *PLACES, ahead_s=HOUR)
    await world.corridor.watchlist.load()
    again = world.corridor.watchlist.get(watched.monitor.id)
    assert again.judge(world.clock.now()).value == "up"
    await world.go(1000)
    assert again.judge(world.clock.now()).value == "unknown"


async def outage(world: World, place: Place) -> None:
    """It is down for half a minute, then well again."""
    for status in ("down", "up"):
        place.status = status
        await world.go(30)


async def test_every_outage_is_told_after_one_that_was_judged_with_a_clock_ahead(world: World) -> None:
    async with webs(1) as (sink,):
        place = Place(world, "one")
        world.places["one"] = place.look
        await world.tell(sink)
        await world.watch(interval_s=10, failure_threshold=1, flap_detection=False)
        await world.go(20)
        both = ["incident.opened", "incident.resolved"]
        world.clock.jump(HOUR)
        await outage(world, place)
        assert sink.events == both
        world.clock.jump(-HOUR)
        await world.go(400)
        await outage(world, place)
        assert sink.events == both * 2
        await world.stop()
        await world.start(location="one")
        await world.go(400)
        await outage(world, place)
        assert sink.events == both * 3


async def test_a_reminder_is_not_put_off_until_a_date_that_a_wrong_clock_gave(world: World) -> None:
    async with webs(1) as (sink,):
        place = Place(world, "one")
        world.places["one"] = place.look
        await world.tell(sink)
        await world.watch(interval_s=10, failure_threshold=1, reminder_s=60)
        world.clock.jump(HOUR)
        place.status = "down"
        await world.go(20)
        assert sink.events == ["incident.opened"]
        await world.stop()
        world.clock.jump(-HOUR)
        await world.start(location="one")
        await world.go(90)
        assert "incident.reminder" in sink.events


async def now_says(world: World, watched: Any) -> str:
    """What whoever reads the tables takes for its verdict."""
    return (await world.store.everything().read(lambda s: s.verdicts.open_all()))[watched.monitor.id].value


async def test_what_is_decided_now_is_the_verdict_whatever_a_clock_ahead_has_dated_later(world: World) -> None:
    watched = await watched_from_three(world)
    await say(world, watched, "up", *PLACES)
    world.clock.jump(HOUR)
    await say(world, watched, "down", *PLACES)
    assert await now_says(world, watched) == "down"
    world.clock.jump(-HOUR)
    await world.corridor.watchlist.load(folds=True)
    watched = world.corridor.watchlist.get(watched.monitor.id)
    for status in ("up", "down", "up"):
        await say(world, watched, status, *PLACES)
        assert await now_says(world, watched) == status
        assert watched.verdict.value == status
    for gear in (world.corridor.follow("elsewhere"), world.corridor.lead("one")):
        await gear
        assert world.corridor.watchlist.get(watched.monitor.id).verdict.value == "up"


@pytest.mark.parametrize("restarted", [False, True])
async def test_what_a_location_said_last_is_taken_up_though_it_has_dated_other_results_later(
    world: World, *, restarted: bool
) -> None:
    watched = await watched_from_three(world)
    await say(world, watched, "up", *PLACES)
    await say(world, watched, "up", *PLACES, ahead_s=HOUR)
    await say(world, watched, "down", "two", "one")
    await say(world, watched, "up", "office", ahead_s=HOUR)
    if restarted:
        await world.stop()
        await world.start(location="one")
        world.corridor.runner.locations.clear()
    await world.corridor.watchlist.load(folds=True)
    watched = world.corridor.watchlist.get(watched.monitor.id)
    assert {place: state.vote for place, state in watched.states.items()} == {
        "one": "down",
        "two": "down",
        "office": "up",
    }
    assert watched.judge(world.clock.now()).value == "down"


async def hear(world: World, watched: Any, status: Any, place: str, *, behind_s: float) -> None:
    """The next minute comes, and a location whose clock is known to be so much behind says that in it."""
    await world.go(60)
    now = (world.clock.now() - at(0)).total_seconds()
    result = a_result(status, monitor=watched.monitor, at=at(now - behind_s), location=place)
    await world.corridor.intake.take_in([replace(result, here_at=at(now))])


async def test_who_judges_with_a_clock_that_is_ahead_counts_the_others(world: World) -> None:
    async with webs(1) as (sink,):
        await world.tell(sink)
        watched = await watched_from_three(world)
        for status in ("up", "down", "up"):
            for place in ("two", "office"):
                await hear(world, watched, status, place, behind_s=HOUR)
            assert watched.verdict.value == status
            assert watched.last["two"].status == status
        await world.quiet()
        assert sink.events == ["incident.opened", "incident.resolved"]


async def test_a_call_taken_by_an_instance_whose_clock_is_behind_is_not_an_hour_old(world: World) -> None:
    watched = await world.watch(
        type="push", target={"token": "t" * 32, "period_s": 60, "grace_s": 30}, failure_threshold=1, interval_s=60
    )
    place = watched.assigned[0]
    for _ in range(4):
        await hear(world, watched, "up", place, behind_s=HOUR)
        assert watched.verdict.value == "up"
    await world.go(200)
    assert watched.verdict.value == "down", "nobody called, and this instance dates that by its own clock"
    await hear(world, watched, "up", place, behind_s=HOUR)
    assert watched.verdict.value == "up"


async def test_the_silence_of_a_job_is_noticed_though_its_last_call_is_dated_ahead(world: World) -> None:
    watched = await world.watch(
        type="push", target={"token": "t" * 32, "period_s": 60, "grace_s": 30}, failure_threshold=1, interval_s=60
    )
    await hear(world, watched, "up", watched.assigned[0], behind_s=-HOUR)
    await world.go(200)
    assert watched.verdict.value == "down"


async def test_what_a_location_saw_last_is_shown_also_when_it_has_dated_other_results_later(world: World) -> None:
    watched = await watched_from_three(world)
    await say(world, watched, "up", "two", ahead_s=HOUR)
    await say(world, watched, "down", "two")
    (shown,) = await world.store.of("ws").read(lambda s: s.results.latest(watched.monitor.id))
    assert (shown.status, shown.at) == ("down", world.clock.now())
