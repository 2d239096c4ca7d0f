"""What people do with an incident."""

from __future__ import annotations

import pytest

from builders import BOB, a_result, until
from tocsin.core.incident import Incident
from tocsin.errors import Conflict, NotFound
from world import Place, World


async def an_open_one(world: World) -> Incident:
    place = Place(world)
    place.status = "down"
    watched = await world.watch(failure_threshold=1, interval_s=60)
    await until(lambda: watched.incident, clock=world.clock)
    await world.quiet()
    return watched.incident


async def kinds(world: World, incident: Incident) -> list[tuple[str, str | None]]:
    return [(e.kind, e.by) for e in await world.store.of("ws").read(lambda s: s.incidents.timeline(incident.id))]


async def test_acknowledge_is_kept_and_twice_is_once(world: World) -> None:
    incident = await an_open_one(world)
    for _ in range(2):
        after = await world.corridor.response.acknowledge("ws", incident.id, BOB)
        assert after.acknowledged_by == BOB
    assert (await kinds(world, incident)).count(("acknowledged", BOB)) == 1
    kept = await world.store.of("ws").read(lambda s: s.incidents.get(incident.id))
    assert kept == after == world.corridor.watchlist.get(incident.monitor_id).incident


async def test_resolved_by_hand_stays_silent_until_it_was_up(world: World) -> None:
    incident = await an_open_one(world)
    watched = world.corridor.watchlist.get(incident.monitor_id)
    after = await world.corridor.response.resolve("ws", incident.id, BOB, "known")
    assert not after.open
    assert after.held
    await world.go(200, step=2)
    assert not watched.incident.open
    await world.corridor.intake.take_in([a_result("up", monitor=watched.monitor, at=world.clock.now())])
    await world.go(61)
    assert watched.incident.open


async def test_comments_and_assignments_are_lines_of_the_timeline(world: World) -> None:
    incident = await an_open_one(world)
    response = world.corridor.response
    await response.comment("ws", incident.id, BOB, "looking")
    assert (await response.assign("ws", incident.id, BOB, BOB)).assigned_to == BOB
    await response.assign("ws", incident.id, BOB, BOB)
    await response.resolve("ws", incident.id, BOB)
    await response.comment("ws", incident.id, BOB, "it was the switch")
    assert [k for k, by in await kinds(world, incident) if by == BOB] == ["comment", "assigned", "resolved", "comment"]


async def test_who_acted_is_in_the_audit_log(world: World) -> None:
    incident = await an_open_one(world)
    await world.corridor.response.acknowledge("ws", incident.id, BOB)
    changes, _ = await world.store.of("ws").read(lambda s: s.changes.list(10))
    assert next(c.by for c in changes if c.noun == "incident") == BOB


async def test_another_workspaces_incident_is_not_found(world: World) -> None:
    incident = await an_open_one(world)
    with pytest.raises(NotFound):
        await world.corridor.response.acknowledge("elsewhere", incident.id, "charlie@example.org")
    assert world.corridor.watchlist.get(incident.monitor_id).incident.acknowledged_at is None


async def test_a_resolved_one_cannot_be_acknowledged(world: World) -> None:
    incident = await an_open_one(world)
    await world.corridor.response.resolve("ws", incident.id, BOB)
    with pytest.raises(Conflict):
        await world.corridor.response.acknowledge("ws", incident.id, BOB)
