"""What an instance knows of each location when it comes to judge: from results, not from what it judged some time ago."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from builders import a_monitor, a_result, a_state, at
from tocsin.core.consensus import LocationState, fold
from tocsin.core.result import CheckError
from tocsin.pipeline.known import _fold, read_known
from tocsin.store.batch import Batch, StateChange
from tocsin.store.voices import Voice
from world import World, a_world

PLACES = ("one", "two", "office")


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with a_world(tmp_path, location="one") as world:
        yield world


def slot(n: int) -> datetime:
    """The n-th minute of the last ten."""
    return at(60 * n - 600)


async def keep(world: World, monitor: Any, place: str, statuses: str, *, substitute_for: str | None = None) -> None:
    """Results of a location, one each minute: u up, d down, i invalid."""
    from msgspec.structs import replace

    words = {"u": "up", "d": "down", "i": "invalid"}
    for n, letter in enumerate(statuses):
        status: Any = words[letter]
        result = a_result(status, monitor=monitor, at=slot(n), location=place)
        await world.store.commit(Batch(id="b", results=(replace(result, substitute_for=substitute_for),)))


async def known_of(world: World, monitor: Any, *, folds: bool = True) -> dict[str, LocationState]:
    known = await world.store.everything().read(lambda s: read_known(s, [s.monitors.get(monitor.id)], folds=folds))
    return {state.location: state for _, state in known.states}


async def test_votes_of_an_earlier_time_in_office_are_not_taken_for_those_of_now(world: World) -> None:
    watched = await world.watch(monitoring_type="global", locations=PLACES, interval_s=60, paused=True)
    stale = (a_state("down", location="two", downs=3, at=slot(-9)), a_state("up", location="office", at=slot(-9)))
    changes = tuple(StateChange(workspace_id="ws", monitor_id=watched.monitor.id, state=state) for state in stale)
    await world.store.commit(Batch(id="b", states=changes))
    await keep(world, watched.monitor, "one", "uuuuu")
    await keep(world, watched.monitor, "two", "dduuuu")
    await keep(world, watched.monitor, "office", "uuuddi")
    known = await known_of(world, watched.monitor)
    assert {place: state.vote for place, state in known.items()} == {"one": "up", "two": "up", "office": "down"}
    assert known["two"].at == slot(5)
    assert known["office"].at == slot(4)  # what could not be judged says nothing
    assert known["office"].reason is not None
    assert known["office"].reason.message == "connection refused"


async def test_who_stands_in_votes_for_the_seat(world: World) -> None:
    watched = await world.watch(monitoring_type="global", locations=PLACES, interval_s=60, paused=True)
    await keep(world, watched.monitor, "one", "ddd", substitute_for="office")
    known = await known_of(world, watched.monitor)
    assert [(state.location, state.vote, state.stand_in) for state in known.values()] == [("office", "down", "one")]


async def test_a_single_failure_is_a_suspicion_and_no_vote(world: World) -> None:
    watched = await world.watch(monitoring_type="global", locations=PLACES, interval_s=60, paused=True)
    await keep(world, watched.monitor, "two", "uuud")
    state = (await known_of(world, watched.monitor))["two"]
    assert (state.vote, state.suspect, state.downs) == ("up", True, 1)


async def test_who_judged_all_along_reads_what_it_wrote(world: World) -> None:
    watched = await world.watch(monitoring_type="global", locations=PLACES, interval_s=60, paused=True)
    change = StateChange(
        workspace_id="ws", monitor_id=watched.monitor.id, state=a_state("up", location="two", at=slot(0))
    )
    await world.store.commit(Batch(id="b", states=(change,)))
    await keep(world, watched.monitor, "two", "uuu")
    known = await known_of(world, watched.monitor, folds=False)
    assert (known["two"].vote, known["two"].at) == ("up", slot(2))


async def test_many_at_once_are_known_as_each_by_itself(world: World) -> None:
    histories = ("uuuuu", "dduuuu", "uuuddi", "ddddd", "ud", "i", "uuuduuu", "ddduu")
    watched = [
        await world.watch(
            id=f"m{n}", monitoring_type="global", locations=PLACES, interval_s=60, paused=True,
            failure_threshold=1 + n % 3, recovery_threshold=1 + n % 2,
        )
        for n in range(30)
    ]  # fmt: skip
    for n, one in enumerate(watched):
        for k, place in enumerate(PLACES):
            await keep(world, one.monitor, place, histories[(n + k) % len(histories)])
        if n == 15:
            await world.store.move_tail()
    found = await world.store.everything().read(lambda s: read_known(s, s.monitors.all(), folds=True))
    together: dict[str, dict[str, LocationState]] = {}
    for id, state in found.states:
        together.setdefault(id, {})[state.location] = state
    for one in watched:
        assert together.get(one.monitor.id, {}) == await known_of(world, one.monitor)
    down = together["m3"]["one"]
    assert (down.vote, down.downs) == ("down", 5)
    assert down.reason is not None
    assert down.reason.message == "connection refused"


def test_what_is_counted_at_once_is_what_is_folded_one_by_one() -> None:
    dice = random.Random(4)
    for _ in range(500):
        monitor = a_monitor(
            failure_threshold=dice.randint(1, 3), recovery_threshold=dice.randint(1, 3), degraded_threshold=2
        )
        said: list[Voice] = []
        for n in range(dice.randint(1, 25)):
            status = dice.choice(("up", "up", "down", "degraded")) if n % 7 == 0 or not said else said[-1].status
            error = None if status == "up" else CheckError("timeout", f"number {n}")
            place = dice.choice(("one", "one", "one", "two"))
            said.append(Voice(slot(n), 0, place, "one", status, error, 0))
        state = begun = LocationState(location="one")
        for one in said:
            stand_in = None if one.location == "one" else one.location
            state = fold(state, monitor, one.status, one.at, one.attempt, one.error, stand_in)
        found, why = _fold(monitor, begun, said)
        assert (found, None if why is None else why.error) == (state, state.reason)
