"""A corridor that leads, one that only follows, and the change between them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from builders import a_monitor, a_result, until
from tocsin.pipeline import watchlist
from tocsin.pipeline.known import read_known
from world import Place, Web, World, a_world, webs

TOKEN = "t" * 32


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with a_world(tmp_path, location="here") as world:
        yield world


@pytest.fixture
async def sink() -> AsyncIterator[Web]:
    async with webs(1) as (sink,):
        yield sink


async def statuses(world: World, monitor_id: str) -> list[str]:
    page = await world.store.of("ws").read(lambda s: s.results.page(monitor_id))
    return [result.status for result in page[0]]


async def test_who_follows_keeps_results_and_tells_nobody(world: World, sink: Web) -> None:
    place = Place(world, "here")
    await world.tell(sink)
    watched = await world.watch(monitoring_type="global", locations=("here",), interval_s=10)
    await world.go(12)
    assert watched.verdict.value == "up"
    await world.corridor.follow("elsewhere")
    place.status = "down"
    await world.go(40)
    watched = world.corridor.watchlist.get(watched.monitor.id)
    assert (await statuses(world, watched.monitor.id)).count("down") >= 3
    assert watched.states["here"].vote == "down"
    assert watched.verdict.value == "up", "the latest that was judged by who led"
    assert sink.events == []
    await world.corridor.lead("here")
    await world.go(12)
    await until(lambda: sink.events == ["incident.opened"])
    place.status = "up"
    await world.go(12)
    await until(lambda: sink.events == ["incident.opened", "incident.resolved"])


async def test_local_monitors_are_checked_by_who_leads_only(world: World) -> None:
    place = Place(world, "here")
    watched = await world.watch(interval_s=10)
    await world.go(12)
    before = len(place.runs)
    await world.corridor.follow("elsewhere")
    await world.go(30)
    assert len(place.runs) == before
    await world.corridor.lead("here")
    await world.go(12)
    assert len(place.runs) > before
    assert world.corridor.watchlist.get(watched.monitor.id).verdict.value == "up"


async def test_nothing_is_told_again_after_turning_there_and_back(world: World, sink: Web) -> None:
    place = Place(world, "here")
    await world.tell(sink)
    await world.watch(interval_s=10)
    place.status = "down"
    await world.go(30)
    assert sink.events == ["incident.opened"]
    for _ in range(3):
        await world.corridor.follow("elsewhere")
        await world.go(5)
        await world.corridor.lead("here")
        await world.go(15)
    assert sink.events == ["incident.opened"]
    delivery = world.corridor.delivery
    assert delivery.trouble._afloat is delivery.afloat, "both know the same messages after a turn too"
    place.status = "up"
    await world.go(15)
    assert sink.events == ["incident.opened", "incident.resolved"]


async def test_calls_of_push_monitors_count_whoever_takes_them_in(world: World, sink: Web) -> None:
    await world.tell(sink)
    watched = await world.watch(type="push", target={"token": TOKEN}, interval_s=60)
    await world.corridor.push_call(TOKEN)
    await world.corridor.follow("elsewhere")
    await world.go(20)
    assert await world.corridor.push_call(TOKEN) is not None
    await world.corridor.lead("here")
    await world.go(20)
    assert world.corridor.watchlist.get(watched.monitor.id).verdict.value == "up"
    assert sink.events == []


async def test_what_another_instance_wrote_is_checked_here(world: World) -> None:
    place = Place(world, "here")
    await world.corridor.follow("elsewhere")
    monitor = a_monitor(monitoring_type="global", locations=("here", "elsewhere"), interval_s=3600)
    await world.store.of("ws").write(lambda s: s.monitors.add(monitor))
    await world.corridor.adopt([monitor.id], ["ws"], judged=True)
    await world.go(2)
    assert len(place.runs) == 1
    await world.store.of("ws").write(lambda s: s.monitors.delete(monitor.id))
    await world.corridor.adopt([monitor.id], [], judged=False)
    await world.go(30)
    assert len(place.runs) == 1


@contextmanager
def a_slow_read(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[threading.Event, threading.Event]]:
    """What is read of all monitors has been read, and comes only when the second of these is set."""
    read, come = threading.Event(), threading.Event()

    def slowly(*some: Any, **more: Any) -> Any:
        found = read_known(*some, **more)
        read.set()
        assert come.wait(20)
        return found

    with monkeypatch.context() as patch:
        patch.setattr(watchlist, "read_known", slowly)
        yield read, come


async def test_what_is_written_while_all_is_read_anew_is_known_afterwards(
    world: World, sink: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed, gone = await world.watch(name="Old"), await world.watch()
    channel = await world.tell(sink)
    store, corridor = world.store.of("ws"), world.corridor
    await corridor.follow("elsewhere")
    with a_slow_read(monkeypatch) as (read, come):
        turning = asyncio.create_task(corridor.lead("here"))
        await asyncio.to_thread(read.wait, 20)
        for name in ("New", "Newer"):
            before = await store.read(lambda s: s.monitors.get(changed.monitor.id))
            written = await store.write(lambda s, m=replace(before, name=name): s.monitors.replace(m))
        telling = asyncio.gather(corridor.changed(written.id, written), corridor.channels_changed("ws"))
        await store.write(lambda s: s.channels.delete(channel.id))
        await store.write(lambda s: s.monitors.delete(gone.monitor.id))
        corridor.watchlist.remove(gone.monitor.id)
        await asyncio.sleep(0.05)
        come.set()
        await asyncio.gather(turning, telling)
    known = corridor.watchlist.get(written.id)
    assert (known.monitor.name, known.monitor.version) == ("Newer", written.version)
    assert corridor.watchlist.channels("ws") == ()
    assert corridor.watchlist.find(gone.monitor.id) is None


@pytest.mark.parametrize(("then", "told"), [("up", []), ("down", ["incident.opened"])])
async def test_who_comes_to_lead_changes_no_verdict_by_what_it_heard_before(
    world: World, sink: Web, then: Any, told: list[str]
) -> None:
    places = ("here", "two", "office")
    world.corridor.runner.locations.clear()
    await world.tell(sink)
    watched = await world.watch(monitoring_type="global", locations=places, interval_s=60, failure_threshold=1)

    async def say(status: Any, *some: str) -> None:
        await world.go(10)
        now = world.clock.now()
        found = [a_result(status, monitor=watched.monitor, at=now, location=place) for place in some]
        await world.corridor.intake.take_in(found)
        await world.go(1)

    await say("up", *places)
    await world.corridor.follow("two")
    await say("down", "two", "office")  # whoever leads now has seen them recover: these results are not here yet
    await world.corridor.lead("here")
    await world.corridor.watchdog.look()
    await say("up", "here")
    assert (watched.verdict.value, sink.events) == ("up", [])
    await say(then, "two")
    await say(then, "office")
    assert (watched.verdict.value, sink.events) == (then, told)


async def test_a_call_that_is_taken_in_while_all_is_read_anew_counts_for_the_one_that_is_watched(
    world: World, sink: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.tell(sink)
    watched = await world.watch(type="push", target={"token": TOKEN}, interval_s=60)
    await world.corridor.push_call(TOKEN)
    await world.corridor.follow("elsewhere")
    with a_slow_read(monkeypatch) as (read, come):
        turning = asyncio.create_task(world.corridor.lead("here"))
        await asyncio.to_thread(read.wait, 20)
        call = asyncio.create_task(world.corridor.push_call(TOKEN))
        await asyncio.sleep(0.05)
        come.set()
        await asyncio.gather(turning, call)
    assert world.corridor.watchlist.get(watched.monitor.id) is watched
    for _ in range(5):
        await world.go(50)
        await world.corridor.push_call(TOKEN)
    assert (watched.verdict.value, sink.events) == ("up", [])


async def test_a_monitor_that_another_instance_deleted_is_gone_after_all_is_read_anew(world: World) -> None:
    watched = await world.watch()
    await world.corridor.follow("elsewhere")
    await world.store.of("ws").write(lambda s: s.monitors.delete(watched.monitor.id))
    await world.corridor.lead("here")
    assert watched.gone
    assert world.corridor.watchlist.find(watched.monitor.id) is None
