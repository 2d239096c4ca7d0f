"""Trouble that is only that of what a monitor depends on is told once: of that one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from msgspec.structs import replace

from builders import a_result, until
from tocsin.pipeline.draft import Draft
from tocsin.pipeline.watchlist import Watched
from world import Place, Web, World, a_world, webs

ROUTER, SHOP, OTHER = "http://router/", "http://shop/", "http://other/"


async def a_network(world: World, sink: Web, **more: Any) -> tuple[Place, Watched, Watched]:
    """A router, looked at rarely, and a shop behind it."""
    place = Place(world)
    await world.tell(sink)
    router = await world.watch(name="Router", target={"url": ROUTER}, interval_s=100, timeout_s=5)
    shop = await world.watch(
        name="Shop", target={"url": SHOP}, interval_s=10, timeout_s=5, parents=(router.monitor.id,), **more
    )
    await world.go(2)
    return place, router, shop


def told(sink: Web) -> list[tuple[str, str]]:
    return [(post["event"].removeprefix("incident."), post["monitor"]["name"]) for post in sink.posts]


async def test_the_router_is_told_and_not_what_is_behind_it(tmp_path: Path) -> None:
    async with webs(1) as (sink,), a_world(tmp_path) as world:
        place, router, shop = await a_network(world, sink)
        place.status = "down"
        await until(lambda: told(sink) == [("opened", "Router")], within_s=60, clock=world.clock)
        await until(lambda: shop.incident is not None and shop.incident.open, within_s=60, clock=world.clock)
        await world.go(60, step=5)
        assert shop.incident is not None
        assert shop.incident.suppressed == "“Router” is down"
        assert told(sink) == [("opened", "Router")]
        place.status = "up"
        await until(lambda: router.verdict is not None and router.verdict.value == "up", within_s=60, clock=world.clock)
        await until(lambda: not shop.incident.open if shop.incident else False, within_s=60, clock=world.clock)
        await world.go(60, step=5)
        assert told(sink) == [("opened", "Router"), ("resolved", "Router")]


async def test_in_one_round_with_the_router_its_child_is_not_told_first(tmp_path: Path) -> None:
    async with webs(1) as (sink,), a_world(tmp_path) as world:
        _, router, shop = await a_network(world, sink)
        now = world.clock.now()
        for attempt in range(2):
            draft = Draft()
            results = [a_result("down", monitor=w.monitor, at=now, attempt=attempt) for w in (shop, router)]
            world.corridor.judgement.fold_in(draft, results, now)
        assert [change.incident.monitor_id for change in draft.incidents] == [shop.monitor.id, router.monitor.id]
        assert [change.incident.told for change in draft.incidents] == [False, True]
        assert draft.incidents[0].incident.suppressed == "“Router” is down"


async def test_what_is_still_down_when_the_router_is_back_is_told_then(tmp_path: Path) -> None:
    async with webs(1) as (sink,), a_world(tmp_path) as world:
        place, router, _ = await a_network(world, sink)
        place.status = "down"
        await until(lambda: told(sink) == [("opened", "Router")], within_s=60, clock=world.clock)
        await world.go(40, step=5)
        place.by_url[ROUTER] = "up"
        await until(lambda: len(told(sink)) == 3, within_s=60, clock=world.clock)
        assert sorted(told(sink)[1:]) == [("opened", "Shop"), ("resolved", "Router")]  # at once: in either order
        assert router.verdict is not None
        assert (world.clock.now() - router.verdict.since).total_seconds() < 20
        place.status = "up"
        await until(lambda: told(sink)[3:] == [("resolved", "Shop")], within_s=60, clock=world.clock)


async def test_the_router_is_asked_at_once_when_something_behind_it_fails(tmp_path: Path) -> None:
    async with webs(1) as (sink,), a_world(tmp_path) as world:
        place, router, shop = await a_network(world, sink)
        place.by_url[SHOP] = "down"
        await until(lambda: told(sink) == [("opened", "Shop")], within_s=60, clock=world.clock)
        assert shop.verdict is not None
        assert router.states["local"].at is not None
        assert router.states["local"].at >= shop.verdict.since
        assert (world.clock.now() - shop.verdict.since).total_seconds() < 10
        place.by_url[SHOP] = "up"
        await until(lambda: told(sink)[1:] == [("resolved", "Shop")], within_s=60, clock=world.clock)


async def test_one_of_a_group_is_enough(tmp_path: Path) -> None:
    async with webs(1) as (sink,), a_world(tmp_path) as world:
        place, router, shop = await a_network(world, sink)
        other = await world.watch(name="Other way", target={"url": OTHER}, interval_s=100, timeout_s=5)
        both = (router.monitor.id, other.monitor.id)
        await world.rewrite(replace(shop.monitor, parents=(both,)))
        place.by_url |= {ROUTER: "down", SHOP: "down"}
        await until(lambda: ("opened", "Shop") in told(sink), within_s=60, clock=world.clock)
        place.by_url[SHOP] = "up"
        await until(lambda: ("resolved", "Shop") in told(sink), within_s=60, clock=world.clock)
        place.by_url |= {OTHER: "down", SHOP: "down"}
        await until(lambda: ("opened", "Other way") in told(sink), within_s=60, clock=world.clock)
        await world.go(60, step=5)
        assert told(sink).count(("opened", "Shop")) == 1
        assert ("reopened", "Shop") not in told(sink)
        assert shop.incident is not None
        assert shop.incident.suppressed == "“Router” and “Other way” are down"


async def test_it_stays_held_over_a_restart_and_is_told_when_the_parent_is_taken_away(tmp_path: Path) -> None:
    async with webs(1) as (sink,), a_world(tmp_path) as world:
        place, router, shop = await a_network(world, sink)
        place.status = "down"
        await until(lambda: told(sink) == [("opened", "Router")], within_s=60, clock=world.clock)
        await world.go(40, step=5)
        await world.stop()
        await world.start()
        place = Place(world)
        place.status = "down"
        await world.go(60, step=5)
        assert told(sink) == [("opened", "Router")]
        await world.corridor.removing(router.monitor.id)
        await world.store.of("ws").write(lambda s: s.monitors.delete(router.monitor.id))
        await world.corridor.removed(router.monitor.id)
        await world.corridor.changed(shop.monitor.id)
        await until(lambda: ("opened", "Shop") in told(sink), within_s=60, clock=world.clock)


async def test_a_router_that_is_paused_holds_nothing_any_more(tmp_path: Path) -> None:
    async with webs(1) as (sink,), a_world(tmp_path) as world:
        place, router, _ = await a_network(world, sink)
        place.status = "down"
        await until(lambda: told(sink) == [("opened", "Router")], within_s=60, clock=world.clock)
        await world.go(40, step=5)
        now = await world.store.of("ws").read(lambda s: s.monitors.get(router.monitor.id))
        await world.rewrite(replace(now, paused=True))
        await until(lambda: ("opened", "Shop") in told(sink), within_s=60, clock=world.clock)
        await world.go(60, step=5)
        assert told(sink) == [("opened", "Router"), ("resolved", "Router"), ("opened", "Shop")]
        assert "Held back until now by “Router”, which was down." in sink.posts[2]["text"]
