"""A round of judgement: what it keeps, what it takes back, and bugs that must not spread."""

from __future__ import annotations

from typing import Any

import pytest

from builders import a_result, at
from tocsin.core.advance import advance
from tocsin.core.finding import Terms
from tocsin.core.incident import Step
from tocsin.pipeline import judgement
from tocsin.pipeline.draft import Draft
from world import World


async def test_what_is_taken_back_leaves_no_trace(world: World) -> None:
    world.corridor.runner.locations.clear()
    watched = await world.watch(failure_threshold=1)
    draft = Draft()
    before = (dict(watched.states), watched.verdict, watched.incident, watched.calm)
    world.corridor.judgement.fold_in(draft, [a_result("down", monitor=watched.monitor)], world.clock.now())
    assert watched.incident is not None
    assert draft.incidents
    draft.take_back(world.corridor.watchlist)
    assert (watched.states, watched.verdict, watched.incident, watched.calm) == before


async def test_a_bug_that_one_monitor_wakes_does_not_stop_the_others(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.corridor.runner.locations.clear()
    sick, other = await world.watch(failure_threshold=1), await world.watch(failure_threshold=1)

    def break_on(latest: Any, terms: Terms, *more: Any, **named: Any) -> Step:
        if terms.monitor_id == sick.monitor.id:
            raise ZeroDivisionError
        return advance(latest, terms, *more, **named)

    monkeypatch.setattr(judgement, "advance", break_on)
    results = [a_result("down", monitor=w.monitor, at=at(1)) for w in (sick, other)]
    await world.corridor.intake.take_in(results)
    assert sick.incident is None
    assert sick.verdict is None
    assert other.incident is not None
    for watched in (sick, other):
        stored, _ = await world.store.of("ws").read(lambda s, w=watched: s.results.page(w.monitor.id))
        assert [r.status for r in stored] == ["down"]
    monkeypatch.setattr(judgement, "advance", advance)
    await world.corridor.intake.take_in([a_result("down", monitor=sick.monitor, at=at(61))])
    assert sick.incident is not None
