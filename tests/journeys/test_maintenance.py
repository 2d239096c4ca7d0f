"""Maintenance in a running server: held back while it lasts, told at its end, left out of the uptime, over restarts."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from builders import records, until
from tocsin.core.maintenance import Window
from tocsin.core.scope import Scope
from tocsin.core.uptime import uptime
from tocsin.pipeline.watchlist import Watched
from world import Place, Web, World, a_world, webs

OPENED, RESOLVED = "incident.opened", "incident.resolved"


async def plan(world: World, **more: Any) -> Window:
    window: Window = replace(records()["maintenance_windows"], scope=Scope(everything=True), rrule=None, **more)
    await world.store.of("ws").write(lambda s: s.maintenance_windows.add(window))
    await world.corridor.telling_changed("ws")
    return window


async def rewrite(world: World, window: Window, **more: Any) -> Window:
    fresh = await world.store.of("ws").write(lambda s: s.maintenance_windows.replace(replace(window, **more)))
    await world.corridor.telling_changed("ws")
    return fresh


async def a_shop(world: World, sink: Web) -> tuple[Place, Watched]:
    place = Place(world)
    await world.tell(sink)
    shop = await world.watch(target={"url": "http://shop/"}, interval_s=10, timeout_s=5)
    await world.go(15, step=5)
    return place, shop


async def test_what_is_still_down_at_the_end_is_told_then_and_uptime_leaves_it_out(tmp_path: Path) -> None:
    async with webs(1) as (sink,), a_world(tmp_path) as world:
        place, shop = await a_shop(world, sink)
        start = world.clock.now()
        window = await plan(world, starts_at=start + timedelta(seconds=60), duration_s=120)
        await world.go(65, step=5)
        assert shop.verdict is not None
        assert (shop.verdict.value, shop.verdict.maintenance) == ("up", True)
        place.status = "down"
        await world.go(60, step=5)
        assert (shop.verdict.value, shop.verdict.maintenance) == ("down", True)
        assert sink.events == []
        await until(lambda: sink.events == [OPENED], within_s=60, clock=world.clock)
        end = window.starts_at + timedelta(seconds=120)
        assert end <= world.clock.now() < end + timedelta(seconds=5)
        assert (shop.verdict.value, shop.verdict.maintenance) == ("down", False)
        await world.go(60, step=5)
        now = world.clock.now()
        intervals = await world.store.of("ws").read(lambda s: s.verdicts.intervals(shop.monitor.id, start, now))
        figure = uptime(intervals, start, now)
        assert abs(figure.unknown_s - 120) <= 6  # time goes in steps of 5 s here
        assert abs(figure.up_s - 60) <= 6  # time goes in steps of 5 s here
        assert abs(figure.down_s - (now - end).total_seconds()) <= 6  # time goes in steps of 5 s here
        place.status = "up"
        await until(lambda: sink.events == [OPENED, RESOLVED], within_s=60, clock=world.clock)


async def test_what_is_over_before_the_end_is_never_heard_of(tmp_path: Path) -> None:
    async with webs(1) as (sink,), a_world(tmp_path) as world:
        place, _ = await a_shop(world, sink)
        await plan(world, starts_at=world.clock.now(), duration_s=120)
        place.status = "down"
        await world.go(60, step=5)
        place.status = "up"
        await world.go(120, step=5)
        assert sink.events == []


async def test_what_was_told_before_is_told_to_be_over_within(tmp_path: Path) -> None:
    async with webs(1) as (sink,), a_world(tmp_path) as world:
        place, _ = await a_shop(world, sink)
        place.status = "down"
        await until(lambda: sink.events == [OPENED], within_s=60, clock=world.clock)
        window = await plan(world, starts_at=world.clock.now(), duration_s=600)
        place.status = "up"
        await until(lambda: RESOLVED in sink.events, within_s=60, clock=world.clock)
        assert world.clock.now() < window.starts_at + timedelta(seconds=600)
        await world.go(700, step=5)
        assert sink.events == [OPENED, RESOLVED]


async def test_a_window_that_is_shortened_while_it_lasts_ends_then(tmp_path: Path) -> None:
    async with webs(1) as (sink,), a_world(tmp_path) as world:
        place, shop = await a_shop(world, sink)
        window = await plan(world, starts_at=world.clock.now(), duration_s=6000)
        place.status = "down"
        await world.go(60, step=5)
        window = await rewrite(world, window, duration_s=90)
        assert sink.events == []
        await until(lambda: sink.events == [OPENED], within_s=60, clock=world.clock)
        assert shop.verdict is not None
        assert not shop.verdict.maintenance
        assert world.clock.now() - window.starts_at < timedelta(seconds=100)


async def test_a_restart_within_a_window_tells_nothing_and_its_end_is_seen(tmp_path: Path) -> None:
    async with webs(1) as (sink,), a_world(tmp_path) as world:
        place, shop = await a_shop(world, sink)
        window = await plan(world, starts_at=world.clock.now(), duration_s=200)
        place.status = "down"
        await world.go(60, step=5)
        await world.stop()
        await world.start()
        place = Place(world)
        place.status = "down"
        await world.go(60, step=5)
        assert sink.events == []
        shop = world.corridor.watchlist.get(shop.monitor.id)
        assert shop.verdict is not None
        assert shop.verdict.maintenance
        await until(lambda: sink.events == [OPENED], within_s=60, clock=world.clock)
        assert world.clock.now() >= window.starts_at + timedelta(seconds=200)


async def test_a_window_that_comes_every_day_comes_every_day(tmp_path: Path) -> None:
    async with webs(1) as (sink,), a_world(tmp_path) as world:
        _, shop = await a_shop(world, sink)
        start = world.clock.now() - timedelta(days=3) + timedelta(seconds=60)
        await plan(world, starts_at=start, duration_s=60)
        assert shop.verdict is not None
        window = world.corridor.watchlist.telling("ws").windows[0]
        await rewrite(world, window, rrule="FREQ=DAILY")
        assert not shop.verdict.maintenance
        await world.go(80, step=5)
        assert shop.verdict.maintenance
        await world.go(60, step=5)
        assert not shop.verdict.maintenance
        assert shop.judge_again_at is not None
        assert shop.judge_again_at == start + timedelta(days=4)
