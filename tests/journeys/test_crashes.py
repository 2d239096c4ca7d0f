"""Crashes and a database that is away: nothing acknowledged is lost, nothing is told twice but what was in flight."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from builders import until
from tocsin.pipeline import corridor
from tocsin.pipeline.delivery import LEASE_S
from tocsin.store import sqlite
from world import Place, World, a_world, database_locked, webs


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A locked database is found out in 50 ms of real time."""
    monkeypatch.setattr(sqlite, "_WAIT_S", 0.05)


async def results_of(world: World, monitor_id: str) -> list[str]:
    found, _ = await world.store.of("ws").read(lambda s: s.results.page(monitor_id, limit=1000))
    return [r.id for r in found]


async def test_a_crash_between_sending_and_recording_sends_again_with_the_same_key(tmp_path: Path) -> None:
    async with webs(1) as (sink,), a_world(tmp_path) as world:
        place = Place(world)
        await world.tell(sink)
        watched = await world.watch(target={"url": "http://10.0.0.1/"})
        await world.go(2)
        sink.hang = asyncio.Event()
        place.status = "down"
        await until(lambda: sink.posts, clock=world.clock)
        await world.crash()
        sink.hang = None
        await world.start()
        place = Place(world)
        place.status = "down"
        await world.go(LEASE_S / 6, step=1)  # nobody else can hold it, so its lease need not run out
        assert sink.events == ["incident.opened"] * 2
        assert len({post["key"] for post in sink.posts}) == 1
        await world.go(200, step=5)
        assert len(sink.posts) == 2
        assert world.corridor.watchlist.get(watched.monitor.id).incident.open


async def test_a_crash_right_after_the_commit_still_tells(tmp_path: Path) -> None:
    async with webs(1) as (sink,), a_world(tmp_path) as world:
        place = Place(world)
        await world.tell(sink)
        await world.corridor.delivery.stop(1)
        watched = await world.watch(target={"url": "http://10.0.0.1/"})
        await world.clock.advance(2)
        place.status = "down"
        await until(lambda: watched.incident is not None and world.all_stored(), clock=world.clock)
        await world.crash()
        assert sink.posts == []
        await world.start()
        Place(world).status = "down"
        await world.go(2)
        assert sink.events == ["incident.opened"]


async def test_ten_crashes_in_an_unchanged_world_tell_nothing(tmp_path: Path) -> None:
    async with webs(1) as (sink,), a_world(tmp_path) as world:
        Place(world)
        await world.tell(sink)
        watched = await world.watch(target={"url": "http://10.0.0.1/"})
        await world.go(65, step=5)
        for _ in range(10):
            await world.crash()
            await world.clock.advance(40, step=40)
            await world.start()
            Place(world)
            await world.go(65, step=5)
        assert sink.posts == []
        assert world.corridor.watchlist.get(watched.monitor.id).verdict.value == "up"


async def test_while_the_database_is_away_outages_are_told_once_and_nothing_is_lost(tmp_path: Path) -> None:
    async with webs(1) as (sink,), a_world(tmp_path) as world:
        place = Place(world)
        await world.tell(sink)
        watched = await world.watch(target={"url": "http://10.0.0.1/"}, interval_s=10, timeout_s=5)
        await world.go(12)
        with database_locked(world):
            await world.go(30)
            place.status = "down"
            await world.go(30)
            assert sink.events == ["incident.opened"]
            place.status = "up"
            await world.go(20)
            assert sink.events == ["incident.opened", "incident.resolved"]
            runs = len(place.runs)
            assert runs >= 8
        await until(lambda: world.store.spooled == 0 and world.store.breaker.state == "closed", clock=world.clock)
        await world.go(5)
        assert len(sink.posts) == 2
        assert len(await results_of(world, watched.monitor.id)) == len(place.runs)
        log = (await world.store.of("ws").read(lambda s: s.outbox.list()))[0]
        assert [d.row.state for d in log] == ["sent", "sent"]
        kept = await world.store.of("ws").read(lambda s: s.incidents.get(watched.incident.id))
        assert kept == watched.incident
        await world.stop()
        await world.start()
        Place(world)
        await world.go(60)
        assert len(sink.posts) == 2


async def test_a_crash_while_the_database_is_away_loses_nothing(tmp_path: Path) -> None:
    async with webs(1) as (sink,), a_world(tmp_path) as world:
        place = Place(world)
        await world.tell(sink)
        watched = await world.watch(target={"url": "http://10.0.0.1/"}, interval_s=10, timeout_s=5)
        await world.go(12)
        with database_locked(world):
            place.status = "down"
            await world.go(30)
            assert sink.events == ["incident.opened"]
            runs = len(place.runs)
            await world.crash()
        await world.start()
        Place(world).status = "down"
        await until(lambda: world.store.spooled == 0, clock=world.clock)
        await world.go(70)
        assert len(await results_of(world, watched.monitor.id)) >= runs
        assert sink.events == ["incident.opened"]
        incidents, _ = await world.store.of("ws").read(lambda s: s.incidents.list())
        assert len(incidents) == 1


async def test_a_long_spool_is_replayed_before_anything_is_judged_or_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with webs(1) as (sink,), a_world(tmp_path) as world:
        place = Place(world)
        await world.tell(sink)
        watched = await world.watch(target={"url": "http://10.0.0.1/"}, interval_s=10, timeout_s=5)
        await world.go(12)
        with database_locked(world):
            place.status = "down"
            await world.go(30)
            assert sink.events == ["incident.opened"]
            await world.crash()
        monkeypatch.setattr(corridor, "REPLAY_WAIT_S", 0.0)
        await world.start()
        place = Place(world)
        place.status = "down"
        await until(world.all_sent, clock=world.clock)
        await world.go(60)
        again = world.corridor.watchlist.get(watched.monitor.id)
        assert sink.events == ["incident.opened"]
        assert again.incident is not None
        assert again.incident.id == watched.incident.id
