"""Five locations, one of them goes blind: nobody is paged for the monitors, and one message says which location it is."""

from __future__ import annotations

from pathlib import Path

from world import Place, World, a_world, webs

PLACES = ("ams", "fra", "lon", "nyc", "sgp")


async def five(world: World, count: int = 4, **more: object) -> dict[str, Place]:
    places = {name: Place(world, name) for name in PLACES}
    for n in range(count):
        wanted = {"interval_s": 10, "timeout_s": 5, "monitoring_type": "global", "locations": PLACES}
        await world.watch(target={"url": f"http://site{n}/"}, **(wanted | more))
    await world.go(12)
    return places


def values(world: World) -> list[str]:
    return sorted(w.verdict.value if w.verdict else "none" for w in world.corridor.watchlist)


async def test_a_blind_location_abstains_and_that_is_told_once(tmp_path: Path) -> None:
    async with webs(1) as (sink,), a_world(tmp_path) as world:
        await world.tell(sink)
        places = await five(world)
        assert values(world) == ["up"] * 4
        places["lon"].status = "down"
        await world.go(60, step=2)
        assert values(world) == ["up"] * 4
        assert sink.events == ["incident.opened"]
        message = sink.posts[0]
        assert message["monitor"] is None
        assert message["severity"] == "warning"
        assert message["reason"].endswith("monitors fail from there alone")
        assert not any(w.incident for w in world.corridor.watchlist)
        votes = next(iter(world.corridor.watchlist)).judge(world.clock.now()).votes
        assert [v.location for v in votes if v.quarantined] == ["lon"]

        # it stays so over a restart
        await world.stop()
        await world.start()
        places = {name: Place(world, name) for name in PLACES}
        places["lon"].status = "down"
        for watched in world.corridor.watchlist:
            world.corridor.scheduler.schedule(watched, now=True)
        await world.go(30, step=2)
        assert world.corridor.watchlist.quarantined("ws") == {"lon"}
        assert values(world) == ["up"] * 4

        places["lon"].status = "up"
        await world.go(30, step=2)
        assert sink.events == ["incident.opened"]
        await world.go(60, step=2)
        assert sink.events == ["incident.opened", "incident.resolved"]
        assert world.corridor.watchlist.quarantined("ws") == frozenset()


async def test_what_is_down_for_all_is_down_and_nobody_is_blind(tmp_path: Path) -> None:
    async with webs(1) as (sink,), a_world(tmp_path) as world:
        await world.tell(sink)
        places = await five(world, count=3)
        for place in places.values():
            place.status = "down"
        await world.go(40, step=2)
        assert values(world) == ["down"] * 3
        assert world.corridor.watchlist.quarantined("ws") == frozenset()


async def test_who_closes_it_by_hand_lets_it_vote(tmp_path: Path) -> None:
    async with webs(1) as (sink,), a_world(tmp_path) as world:
        await world.tell(sink)
        places = await five(world, count=3)
        places["lon"].status = "down"
        await world.go(40, step=2)
        (incident,) = [i for i in world.corridor.watchlist.incidents.values() if i.open]
        await world.corridor.response.resolve("ws", incident.id, "alice@example.org")
        await world.go(40, step=2)
        assert world.corridor.watchlist.quarantined("ws") == frozenset()
        assert values(world) == ["partial"] * 3
        assert sink.events == ["incident.opened", "incident.resolved"]


async def test_a_location_that_doubts_itself_abstains(tmp_path: Path) -> None:
    async with webs(1) as (sink,), a_world(tmp_path) as world:
        await world.tell(sink)
        await five(world, count=1)
        world.corridor.watchdog.quarantine.doubts = lambda ws: {"lon": "it has no route to any other machine"}
        await world.go(5)
        assert world.corridor.watchlist.quarantined("ws") == {"lon"}
        assert sink.posts[0]["reason"] == "its own self-test fails: it has no route to any other machine"


async def test_locations_of_one_failure_domain_are_one_voter(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        places = await five(world, count=1)
        for name in ("ams", "fra", "lon"):
            places[name].status = "down"
        await world.go(30, step=2)
        assert values(world) == ["down"]

        def settle(s):  # type: ignore[no-untyped-def]
            from tocsin.core.account import Preferences

            s.preferences.save("ws", Preferences(failure_domains={"ams": "aws", "fra": "aws", "lon": "aws"}))

        await world.store.of("ws").write(settle)
        await world.corridor.telling_changed("ws")
        assert values(world) == ["partial"]
        verdict = next(iter(world.corridor.watchlist)).verdict
        assert verdict is not None
        assert (verdict.n, verdict.k, verdict.d) == (3, 2, 1)
        assert verdict.reason == "1 of 3 failure domains says down; 2 are needed"
