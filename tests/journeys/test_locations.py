"""Monitors checked from several locations: partial pages nobody, a majority pages once, a lost probe is one message."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from builders import FakeClock, a_pass, an_outcome
from tocsin.app.server import take_late, tell_twice
from tocsin.pipeline.watchlist import Watched
from tocsin.probe.wire import Late
from world import Place, Probes, Web, World, a_location, webs

THREE = ("us-east", "europe", "asia")


@asynccontextmanager
async def around_the_world(
    folder: Path, *codes: str, count: int = 1, **more: Any
) -> AsyncIterator[tuple[World, Probes, Web, list[Watched]]]:
    """A world with these locations, monitors that are checked from all of them, and one receiver of messages."""
    clock = FakeClock()
    probes, world = Probes(clock), World(folder, clock)
    async with webs(1) as (sink,):
        await world.start(reach=probes)
        try:
            await world.tell(sink)
            Place(world)
            for code in codes:
                await a_location(world, code)
            wanted: dict[str, Any] = {"interval_s": 20, "timeout_s": 5, "monitoring_type": "global", "locations": codes}
            watched = [
                await world.watch(name=f"Shop {n}", target={"url": f"http://shop{n}/"}, **(wanted | more))
                for n in range(count)
            ]
            await world.go(3)
            yield world, probes, sink, watched
        finally:
            await world.stop()


def value(watched: Watched) -> str:
    return watched.verdict.value if watched.verdict else "none"


async def test_one_that_fails_alone_is_partial_and_nobody_is_paged(tmp_path: Path) -> None:
    async with around_the_world(tmp_path, *THREE) as (world, probes, sink, (watched,)):
        assert value(watched) == "up"
        probes.status["europe"] = "down"
        await world.go(45)
        assert value(watched) == "partial"
        assert bytes(watched.tally[-2:]) == b"pp"
        assert sink.events == []


async def test_a_majority_is_one_message_that_says_who_sees_it(tmp_path: Path) -> None:
    async with around_the_world(tmp_path, *THREE) as (world, probes, sink, (watched,)):
        probes.status |= {"europe": "down", "asia": "down"}
        await world.go(30)
        assert value(watched) == "down"
        assert sink.events == ["incident.opened"]
        assert "2 of 3 locations say down; 2 are needed." in sink.posts[0]["text"]
        assert "Seen from asia and europe." in sink.posts[0]["text"]
        probes.status.clear()
        await world.go(45)
        assert sink.events == ["incident.opened", "incident.resolved"]


async def test_all_look_in_the_same_slot_and_each_result_is_kept(tmp_path: Path) -> None:
    async with around_the_world(tmp_path, *THREE) as (world, probes, _, (watched,)):
        probes.runs.clear()
        probes.silence("asia")
        ticks = len(watched.tally)
        await world.go(20)
        assert bytes(watched.tally[ticks:]) == b"u"  # one letter for all of them
        slots = {slot for _, slot, attempt in probes.runs if attempt == 0}
        assert len(slots) == 1
        rows, _ = await world.store.of("ws").read(lambda s: s.results.page(watched.monitor.id))
        of_slot = {(r.location, r.status) for r in rows if {r.at} == slots and r.attempt == 0}
        assert of_slot == {("us-east", "up"), ("europe", "up"), ("asia", "invalid")}
        unasked = next(r for r in reversed(rows) if r.location == "asia" and r.status == "invalid")
        assert unasked.error is not None
        assert "location asia could not be asked: no answer" in unasked.error.message


async def test_a_first_failure_asks_the_others_at_once(tmp_path: Path) -> None:
    async with around_the_world(tmp_path, *THREE, interval_s=3600, retry_interval_s=5) as (
        world,
        probes,
        _,
        (watched,),
    ):
        slot = watched.next_at
        assert slot is not None
        await world.go((slot - world.clock.now()).total_seconds() - 0.5, step=600)
        probes.runs.clear()
        probes.status |= dict.fromkeys(THREE, "down")
        await world.go(8)
        assert value(watched) == "down"
        # Each looked twice, the second time after the pause: none took another's question for its own repetition.
        assert sorted((place, attempt) for place, _, attempt in probes.runs) == sorted(
            (place, attempt) for place in THREE for attempt in (0, 1)
        )


async def test_a_lost_probe_is_one_message_and_somebody_stands_in(tmp_path: Path) -> None:
    async with around_the_world(tmp_path, *THREE, count=3) as (world, probes, sink, some):
        probes.silence("asia", why="connection refused")
        await world.go(75)
        assert [value(w) for w in some] == ["up"] * 3
        assert sink.events == ["incident.opened"]
        message = sink.posts[0]
        assert message["monitor"] is None
        assert message["severity"] == "warning"
        assert message["title"].startswith("Location asia is lost: not heard for ")
        assert "(connection refused); it watches Shop 0, Shop 1 and Shop 2" in message["title"]

        # Its seat has a vote all the same, marked, in what is judged, stored and shown.
        votes = {v.location: v for v in some[0].judge(world.clock.now()).votes}
        assert {place: v.stand_in for place, v in votes.items()} == {"us-east": None, "europe": None, "asia": "local"}
        assert votes["asia"].fresh
        assert votes["asia"].vote == "up"
        rows, _ = await world.store.of("ws").read(lambda s: s.results.page(some[0].monitor.id))
        assert {(r.location, r.substitute_for) for r in rows if r.location == "local"} == {("local", "asia")}
        assert {r.substitute_for for r in rows if r.location != "local"} == {None}

        # It counts: with one more that fails the target is down.
        probes.status["europe"] = "down"
        Place(world).status = "down"
        await world.go(45)
        assert [value(w) for w in some] == ["down"] * 3

        # Back: told once; its seat is its own again.
        probes.status.clear()
        probes.away.clear()
        Place(world)
        await world.go(75)
        told = [post for post in sink.posts if post["monitor"] is None]
        assert [post["event"] for post in told] == ["incident.opened", "incident.resolved"]
        assert told[1]["title"].startswith("Location asia is heard again after ")
        assert all(v.stand_in is None for w in some for v in w.judge(world.clock.now()).votes)
        assert [value(w) for w in some] == ["up"] * 3


async def test_who_stands_in_has_one_vote_and_none_beside_its_own(tmp_path: Path) -> None:
    async with around_the_world(tmp_path, *THREE) as (world, probes, sink, (watched,)):
        with_us = await world.watch(
            name="Near", interval_s=20, timeout_s=5, monitoring_type="global", locations=("local", "us-east", "asia")
        )
        probes.silence("us-east", "asia")
        await world.go(120)
        votes = {v.location: v.stand_in for v in watched.judge(world.clock.now()).votes}
        assert votes == {"us-east": "local", "europe": None, "asia": None}
        # Two of three are heard, and both see it up.
        assert value(watched) == "up"
        # The other has one vote of three left, which is too few: it is not known, and the message of the lost ones says so.
        assert {v.stand_in for v in with_us.judge(world.clock.now()).votes} == {None}
        assert value(with_us) == "unknown"
        assert sorted(post["title"].partition(":")[0] for post in sink.posts) == [
            "Location asia is lost", "Location us-east is lost",
        ]  # fmt: skip


async def test_a_lost_probe_stays_lost_over_a_restart_and_is_told_once(tmp_path: Path) -> None:
    async with around_the_world(tmp_path, *THREE) as (world, probes, sink, _):
        probes.silence("asia")
        await world.go(75)
        assert sink.events == ["incident.opened"]
        await world.stop()
        await world.start(reach=probes)
        Place(world)
        await world.go(75)
        assert sink.events == ["incident.opened"]
        probes.away.clear()
        await world.go(35)
        assert sink.events == ["incident.opened", "incident.resolved"]
        assert value(next(iter(world.corridor.watchlist))) == "up"


async def test_a_location_that_comes_goes_or_is_switched_off_counts_at_once(tmp_path: Path) -> None:
    async with around_the_world(tmp_path, *THREE, interval_s=3600) as (world, probes, _, (watched,)):
        probes.runs.clear()
        await a_location(world, "us-west")
        watched = await world.rewrite(replace(watched.monitor, locations=(*THREE, "us-west")))
        await world.go(2)
        assert [place for place, _, _ in probes.runs] == ["us-west"]
        assert watched.verdict is not None
        assert (watched.verdict.n, watched.verdict.u) == (4, 4)

        asia = world.corridor.watchlist.roster.get("ws", "asia").probe
        off = replace(asia, enabled=False)
        off = await world.store.of("ws").write(lambda s: s.probes.replace(off))
        await world.corridor.locations_changed("ws")
        assert watched.assigned == ("us-east", "europe", "us-west")
        assert (watched.verdict.n, watched.verdict.u) == (3, 3)

        probes.runs.clear()
        await world.store.of("ws").write(lambda s: s.probes.replace(replace(off, enabled=True)))
        await world.corridor.locations_changed("ws")
        await world.go(2)
        assert [place for place, _, _ in probes.runs] == ["asia"]
        assert (watched.verdict.n, watched.verdict.u) == (4, 4)
        assert "asia" in probes.forgotten


async def test_a_probe_that_doubts_itself_abstains(tmp_path: Path) -> None:
    async with around_the_world(tmp_path, *THREE) as (world, probes, sink, _):
        probes.trouble["asia"] = "it reaches none of its 3 anchors"
        await world.go(35)
        assert world.corridor.watchlist.quarantined("ws") == {"asia"}
        assert sink.posts[0]["reason"] == "its own self-test fails: it reaches none of its 3 anchors"


async def test_a_result_that_comes_late_fills_history_if_it_may_come_from_there(tmp_path: Path) -> None:
    async with around_the_world(tmp_path, *THREE) as (world, _, sink, (watched,)):
        slot = world.clock.now()
        await world.go(30)

        def late(code: str, monitor_id: str = watched.monitor.id, workspace: str = "ws") -> Late:
            outcome = an_outcome("down", at=slot, location=code)
            return Late(who=(workspace, code), monitor_id=monitor_id, scheduled_at=slot, attempt=3, outcome=outcome)

        for one in (late("asia"), late("us-west"), late("asia", "nobody"), late("asia", workspace="elsewhere")):
            await take_late(world.corridor, one)
        rows, _ = await world.store.of("ws").read(lambda s: s.results.page(watched.monitor.id, limit=100))
        assert [(r.location, r.status) for r in rows if r.attempt == 3] == [("asia", "down")]
        assert value(watched) == "up"
        assert sink.events == []


async def test_misses_of_two_offices_are_not_in_a_row(tmp_path: Path) -> None:
    async with around_the_world(tmp_path, *THREE) as (world, probes, sink, _):
        probes.silence("europe")
        await world.go(31)
        post = world.corridor.watchlist.roster.get("ws", "europe")
        assert post.health.state == "missing"
        home = world.corridor.watchlist.home
        await world.corridor.follow("elsewhere")
        await world.go(60)
        assert post.health.misses == 0
        await world.corridor.lead(home)
        await world.go(20)
        assert post.health.state == "missing"  # looked for once in this office
        assert sink.events == []
        await world.go(20)
        assert post.health.state == "lost"
        assert sink.events == ["incident.opened"]


async def test_one_that_may_join_yet_is_waited_for_and_not_lost(tmp_path: Path) -> None:
    async with around_the_world(tmp_path, *THREE) as (world, probes, sink, _):
        probes.silence("office", why="it has not called yet")
        probe = await a_location(world, "office", mode="pull", endpoint_url=None, keys=())
        until = world.clock.now() + timedelta(minutes=15)
        token = a_pass(probe.id, kind="join", created_at=world.clock.now(), expires_at=until)
        await world.store.of("ws").write(lambda s: s.probes.let_in(token))
        await world.go(120, step=1)
        health = world.corridor.watchlist.roster.get("ws", "office").health
        assert (health.state, sink.events) == ("new", [])
        assert "its join token is good until" in health.why
        await world.go(13 * 60, step=5)
        assert sink.events == []
        await world.go(150, step=1)
        assert sink.events == ["incident.opened"]
        assert (
            "not heard since this server looks for it"
            in world.corridor.watchlist.incidents["ws", "probe:office"].reason
        )


async def test_one_that_joined_and_is_silent_is_lost(tmp_path: Path) -> None:
    async with around_the_world(tmp_path, *THREE) as (world, probes, sink, _):
        probes.silence("office", why="it has not called yet")
        probe = await a_location(world, "office", mode="pull", endpoint_url=None, keys=())
        key = a_pass(probe.id, created_at=world.clock.now())
        await world.store.of("ws").write(lambda s: s.probes.let_in(key))
        await world.go(120, step=1)
        assert sink.events == ["incident.opened"]


async def test_that_a_probe_runs_twice_is_a_notice(tmp_path: Path) -> None:
    async with around_the_world(tmp_path, *THREE) as (world, _, _, _):
        await tell_twice(world.corridor, ("ws", "europe"), "192.0.2.7")
        (notice,) = await world.store.of("ws").read(lambda s: s.notices.list())
        assert (notice.kind, notice.location) == ("location.twice", "europe")
        assert "192.0.2.7" in notice.text
