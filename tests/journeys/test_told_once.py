"""One outage is told once, to everybody who should hear of it, whatever fails on the way."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from builders import until
from tocsin.pipeline.watchlist import Watched
from tocsin.store.outbox import Delivery as Told
from world import Place, Web, World, a_world, webs


async def down(world: World, place: Place, watched: Watched) -> None:
    """Make it fail until an incident is open."""
    place.status = "down"
    await until(lambda: watched.incident is not None and watched.incident.open, clock=world.clock)
    await world.quiet()


async def up(world: World, place: Place, watched: Watched) -> None:
    """Make it well until its incident is resolved."""
    place.status = "up"
    await until(lambda: watched.incident is not None and not watched.incident.open, clock=world.clock)
    await world.quiet()


async def log(world: World) -> list[Told]:
    """The delivery log, oldest first."""
    return (await world.store.of("ws").read(lambda s: s.outbox.list()))[0][::-1]


def told(sink: Web) -> int:
    """How many openings it has heard of, in whatever way."""
    return len({key for post in sink.posts for key in keys(post)})


def keys(post: dict[str, Any]) -> list[str]:
    """The messages that a post stands for."""
    return [key for item in post["items"] for key in item["keys"]] if "items" in post else [post["key"]]


async def test_one_message_for_the_outage_and_one_for_the_recovery(tmp_path: Path) -> None:
    async with webs(1) as (sink,), a_world(tmp_path) as world:
        place = Place(world)
        await world.tell(sink)
        watched = await world.watch(target={"url": "http://10.0.0.1/"})
        await world.go(2)
        await down(world, place, watched)
        await world.go(300, step=5)
        assert sink.events == ["incident.opened"]
        await up(world, place, watched)
        await world.go(300, step=5)
        assert sink.events == ["incident.opened", "incident.resolved"]
        first, second = sink.posts
        assert first["key"] != second["key"]
        assert first["incident"]["id"] == second["incident"]["id"] == watched.incident.id
        assert [d.row.state for d in await log(world)] == ["sent", "sent"]
        assert sink.calls[0][0]["idempotency-key"] == first["key"]


async def test_a_restart_in_an_unchanged_world_tells_nothing(tmp_path: Path) -> None:
    async with webs(1) as (sink,), a_world(tmp_path) as world:
        place = Place(world)
        await world.tell(sink)
        sick, well = (
            await world.watch(target={"url": "http://sick/"}),
            await world.watch(target={"url": "http://well/"}),
        )
        place.by_url = {"http://sick/": "down"}
        await world.go(70)
        assert sink.events == ["incident.opened"]
        for pause_s in (1, 400, 10):
            await world.stop()
            await world.clock.advance(pause_s, step=pause_s)
            await world.start()
            place = Place(world)
            place.by_url = {"http://sick/": "down"}
            await world.go(200, step=2)
        again = world.corridor.watchlist.get(sick.monitor.id)
        assert sink.events == ["incident.opened"]
        assert again.incident is not None
        assert again.incident.id == sick.incident.id
        assert again.verdict.value == "down"
        assert world.corridor.watchlist.get(well.monitor.id).verdict.value == "up"


async def test_what_changed_while_we_were_away_is_told_once(tmp_path: Path) -> None:
    async with webs(1) as (sink,), a_world(tmp_path) as world:
        place = Place(world)
        await world.tell(sink)
        watched = await world.watch(target={"url": "http://sick/"})
        await world.go(2)
        await down(world, place, watched)
        await world.stop()
        await world.clock.advance(600, step=600)
        await world.start()
        Place(world)
        await world.go(130, step=1)
        assert sink.events == ["incident.opened", "incident.resolved"]


async def test_a_channel_that_fails_is_tried_again_with_the_same_key(tmp_path: Path) -> None:
    async with webs(1) as (sink,), a_world(tmp_path) as world:
        place = Place(world)
        await world.tell(sink)
        sink.script.extend([500, 502, 503])
        watched = await world.watch(target={"url": "http://10.0.0.1/"})
        await world.go(2)
        await down(world, place, watched)
        await world.go(12)
        assert sink.events == ["incident.opened"] * 4
        assert len({post["key"] for post in sink.posts}) == 1
        (told,) = await log(world)
        assert told.row.state == "sent"
        assert [a.ok for a in told.attempts] == [False, False, False, True]
        await world.go(60)
        assert len(sink.posts) == 4


async def test_retry_after_is_heeded(tmp_path: Path) -> None:
    async with webs(1) as (sink,), a_world(tmp_path) as world:
        place = Place(world)
        await world.tell(sink)
        sink.script.append((429, {"Retry-After": "90"}))
        watched = await world.watch(target={"url": "http://10.0.0.1/"})
        await world.go(2)
        await down(world, place, watched)
        await world.go(80)
        assert len(sink.posts) == 1
        await world.go(15)
        assert len(sink.posts) == 2
        assert sink.posts[1]["late_s"] > 60


async def test_the_recovery_waits_for_the_outage_of_that_channel(tmp_path: Path) -> None:
    async with webs(1) as (sink,), a_world(tmp_path) as world:
        place = Place(world)
        await world.tell(sink)
        sink.script.extend([500] * 6)
        watched = await world.watch(target={"url": "http://10.0.0.1/"}, interval_s=10, timeout_s=5)
        await world.go(2)
        await down(world, place, watched)
        await up(world, place, watched)
        await world.go(120)
        assert sink.events == ["incident.opened"] * 7 + ["incident.resolved"]


async def test_a_hanging_channel_delays_nobody_else(tmp_path: Path) -> None:
    async with webs(2) as (stuck, sink), a_world(tmp_path) as world:
        place = Place(world)
        stuck.hang = asyncio.Event()
        await world.tell(stuck)
        await world.tell(sink)
        watched = [await world.watch(target={"url": f"http://10.0.0.{n}/"}) for n in range(8)]
        place.status = "down"
        await until(lambda: all(w.incident for w in watched), clock=world.clock)
        await until(lambda: told(sink) == 8, clock=world.clock)
        assert stuck.posts
        stuck.hang.set()
        await until(lambda: told(stuck) == 8, clock=world.clock)


async def test_permanent_trouble_disables_the_channel_and_says_so(tmp_path: Path) -> None:
    async with webs(2) as (gone, sink), a_world(tmp_path) as world:
        place = Place(world)
        gone.status = 410
        broken = await world.tell(gone)
        await world.tell(sink)
        watched = await world.watch(target={"url": "http://10.0.0.1/"})
        await world.go(2)
        events = world.corridor.live.subscribe("ws")
        await down(world, place, watched)
        await world.go(700, step=10)
        kept = await world.store.of("ws").read(lambda s: s.channels.get(broken.id))
        assert not kept.enabled
        assert kept.disabled_reason
        assert await anext(e async for e in events if e["type"] == "channel.disabled")
        await up(world, place, watched)
        assert sink.events == ["incident.opened", "incident.resolved"]
        assert gone.events == ["incident.opened"] * 3, "a second opinion, and a third"


async def test_nobody_is_told_by_a_monitor_without_channels(tmp_path: Path) -> None:
    async with webs(1) as (sink,), a_world(tmp_path) as world:
        place = Place(world)
        await world.tell(sink)
        watched = await world.watch(target={"url": "http://10.0.0.1/"}, channels=())
        await world.go(2)
        await down(world, place, watched)
        assert sink.posts == []
        assert await log(world) == []


async def test_pausing_a_failing_monitor_closes_its_incident_and_says_so(tmp_path: Path) -> None:
    async with webs(1) as (sink,), a_world(tmp_path) as world:
        place = Place(world)
        await world.tell(sink)
        watched = await world.watch(target={"url": "http://10.0.0.1/"})
        await world.go(2)
        await down(world, place, watched)
        await world.rewrite(replace(watched.monitor, paused=True))
        await world.quiet()
        assert watched.incident.resolution == "the monitor was paused"
        assert sink.events == ["incident.opened", "incident.resolved"]
        await world.go(300, step=5)
        assert len(sink.posts) == 2


async def test_deleting_a_failing_monitor_closes_its_incident_and_says_so(tmp_path: Path) -> None:
    async with webs(1) as (sink,), a_world(tmp_path) as world:
        place = Place(world)
        await world.tell(sink)
        watched = await world.watch(target={"url": "http://10.0.0.1/"})
        await world.go(2)
        await down(world, place, watched)
        await world.corridor.removing(watched.monitor.id)
        await world.store.of("ws").write(lambda s: s.monitors.delete(watched.monitor.id))
        await world.corridor.removed(watched.monitor.id)
        await world.quiet()
        assert sink.events == ["incident.opened", "incident.resolved"]
        kept = await world.store.of("ws").read(lambda s: s.incidents.get(watched.incident.id))
        assert not kept.open


async def test_who_heard_of_the_outage_hears_of_its_end_though_the_monitor_has_come_to_tell_others(
    tmp_path: Path,
) -> None:
    async with webs(2) as (first, second), a_world(tmp_path) as world:
        place = Place(world)
        a, b = await world.tell(first), await world.tell(second)
        watched = await world.watch(target={"url": "http://10.0.0.1/"}, channels=(a.id,), reminder_s=60)
        await world.go(2)
        await down(world, place, watched)
        await world.rewrite(replace(watched.monitor, channels=(b.id,)))
        await world.go(65)
        await world.stop()
        await world.start()
        place = Place(world)
        watched = world.corridor.watchlist.get(watched.monitor.id)
        await up(world, place, watched)
        await world.go(5)
        assert first.events == ["incident.opened", "incident.reminder", "incident.resolved"]
        assert second.events == []


async def test_reminders_come_where_asked_for_and_end_with_the_acknowledgement(tmp_path: Path) -> None:
    async with webs(1) as (sink,), a_world(tmp_path) as world:
        place = Place(world)
        await world.tell(sink)
        watched = await world.watch(target={"url": "http://10.0.0.1/"}, reminder_s=600)
        await world.go(2)
        await down(world, place, watched)
        await world.go(1250, step=5)
        assert sink.events == ["incident.opened", "incident.reminder", "incident.reminder"]
        await world.corridor.response.acknowledge("ws", watched.incident.id, "bob@example.org")
        await world.go(1250, step=5)
        assert len(sink.posts) == 3


async def test_the_test_button_sends_at_once_and_stores_nothing(tmp_path: Path) -> None:
    async with webs(1) as (sink,), a_world(tmp_path) as world:
        channel = await world.tell(sink)
        assert (await world.corridor.delivery.test(channel))["ok"]
        sink.status = 500
        failed = await world.corridor.delivery.test(channel)
        assert not failed["ok"]
        assert "500" in failed["detail"]
        assert sink.events == ["test", "test"]
        assert await log(world) == []
