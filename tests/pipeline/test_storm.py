"""Storms: a few messages by themselves, many as digests, twenty a minute, and nobody is left unnamed."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from builders import a_message, an_outbox_row, until
from tocsin import notifiers
from tocsin.core.alert import Channel, OutboxRow
from tocsin.core.digest import gather
from tocsin.core.storm import BURST, MOST_A_MINUTE
from tocsin.pipeline.delivery import LEASE_S
from tocsin.store import sqlite
from tocsin.store.batch import Batch
from world import Place, Web, World, a_world, database_locked, webs


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A locked database is found out in 50 ms of real time."""
    monkeypatch.setattr(sqlite, "_WAIT_S", 0.05)


def rows_of(
    world: World, channel: Channel, *names: str, event: str = "incident.opened", order: int = 1
) -> list[OutboxRow]:
    """Messages about so many monitors."""
    now = world.clock.now()
    return [
        an_outbox_row(
            message=a_message(event=event, title=f"{name}: {event}", at=now), channel_id=channel.id,
            subject=f"monitor:{name}", order=order, created_at=now, next_at=now, incident_id=f"i-{name}",
        )
        for name in names
    ]  # fmt: skip


async def tell(world: World, rows: list[OutboxRow]) -> list[OutboxRow]:
    """Commit them as intake does."""
    kept = await world.store.commit(Batch(id=rows[0].key, outbox=tuple(rows)))
    world.corridor.delivery.handed(rows, kept == "spooled")
    return rows


def names(count: int, prefix: str = "m") -> list[str]:
    return [f"{prefix}{n}" for n in range(count)]


def told(sink: Web) -> list[str]:
    """The key of every message the sink has heard of, by itself or in a digest."""
    posts = sink.posts
    return [key for p in posts for key in ([k for i in p["items"] for k in i["keys"]] if "items" in p else [p["key"]])]


async def arrive(world: World, sink: Web, count: int) -> None:
    """Until so many posts have come, and are recorded."""
    await until(lambda: len(sink.posts) >= count, clock=world.clock, within_s=30)
    await world.quiet()
    assert len(sink.posts) == count


async def state(world: World, row: OutboxRow) -> tuple[str, str | None]:
    kept = await world.store.of("ws").read(lambda s: s.outbox.get(row.key))
    return (kept.state, kept.digest) if kept else ("none", None)


async def test_five_openings_go_at_once_and_the_rest_is_one_digest_that_is_updated(world: World) -> None:
    async with webs(1) as (sink,):
        channel = await world.tell(sink)
        first = await tell(world, rows_of(world, channel, *names(5)))
        await arrive(world, sink, 5)
        assert sink.events == ["incident.opened"] * 5
        more = await tell(world, rows_of(world, channel, *names(40, "n")))
        await arrive(world, sink, 6)
        assert sink.events == ["incident.opened"] * 5 + ["digest"]
        digest = sink.posts[5]
        assert sink.calls[5][0]["idempotency-key"] == digest["key"]
        assert [i["title"] for i in digest["items"]] == [row.message.title for row in more]
        assert {await state(world, row) for row in more} == {("sent", digest["key"])}
        await tell(world, rows_of(world, channel, *names(3, "p")))
        ends = await tell(world, rows_of(world, channel, *names(3), event="incident.resolved", order=2))
        await world.go(8)
        assert len(sink.posts) == 6
        await arrive(world, sink, 7)
        assert len(sink.posts[6]["items"]) == 6
        assert sink.posts[6]["severity"] == "critical"
        assert len(told(sink)) == len(set(told(sink))) == 5 + 40 + 6
        assert {await state(world, row) for row in (*first, *ends)} == {("sent", None), ("sent", sink.posts[6]["key"])}


async def test_a_digest_says_how_much_is_down_in_all(world: World) -> None:
    async with webs(1) as (sink,):
        place = Place(world)
        await world.tell(sink, default=True)
        for _ in range(9):
            await world.watch(failure_threshold=1, retries=0, interval_s=20, timeout_s=5)
        await world.go(60)
        place.status = "down"
        await world.go(90)
        alone = sink.events.index("digest")
        new = len(sink.posts[alone]["items"])
        assert alone
        assert sink.posts[alone]["title"] == f"{new} more monitors are down, {alone + new} in all"


async def test_an_opening_is_told_before_its_end_also_when_a_digest_tells_it(world: World) -> None:
    async with webs(1) as (sink,):
        channel = await world.tell(sink)
        sink.script.extend([500, 500])
        await tell(world, rows_of(world, channel, *names(30)))
        await until(lambda: sink.posts, clock=world.clock)
        await tell(world, rows_of(world, channel, *names(30), event="incident.resolved", order=2))
        await world.go(40)
        assert sink.events[:3] == ["digest"] * 3
        assert len({post["key"] for post in sink.posts[:3]}) == 1, "the same digest, tried again"
        events = [[i["event"] for i in post["items"]] for post in sink.posts[2:]]
        assert events == [["incident.opened"] * 30, ["incident.resolved"] * 30]


@pytest.mark.parametrize("apart_s", [1, 4])
async def test_ends_that_come_one_after_the_other_are_gathered_too(world: World, apart_s: int) -> None:
    async with webs(1) as (sink,):
        channel = await world.tell(sink)
        begun = await tell(world, rows_of(world, channel, *names(12)))
        await world.go(120)
        before = len(sink.posts)
        ends: list[OutboxRow] = []
        for name in names(12):
            ends += await tell(world, rows_of(world, channel, name, event="incident.resolved", order=2))
            await world.go(apart_s)
        await world.go(40)
        rings = sink.posts[before:]
        assert [post["event"] for post in rings[:BURST]] == ["incident.resolved"] * BURST
        assert {post["event"] for post in rings[BURST:]} == {"digest"}
        assert len(rings) <= BURST + 2
        assert sorted(told(sink)) == sorted(row.key for row in (*begun, *ends))
        (row,) = await tell(world, rows_of(world, channel, "m0", event="incident.reopened", order=3))
        await world.go(3)
        assert told(sink)[-1] == row.key, "trouble does not wait for what else ends"


async def test_an_opening_that_is_put_off_leaves_before_the_digest_of_ends(world: World) -> None:
    async with webs(1) as (sink,):
        channel = await world.tell(sink)
        for name in names(12):
            await tell(world, rows_of(world, channel, name))
            await world.go(31)
        sink.script.extend([500, 500, 500])
        late = await tell(world, rows_of(world, channel, "late"))
        await world.go(1)
        ends = await tell(world, rows_of(world, channel, *names(12), event="incident.resolved", order=2))
        late += await tell(world, rows_of(world, channel, "late", event="incident.resolved", order=2))
        await world.go(60)
        assert set(told(sink)) >= {row.key for row in (*late, *ends)}
        taken = [key for key in dict.fromkeys(reversed(told(sink))) if key in {row.key for row in late}]
        assert taken == [late[1].key, late[0].key]


async def test_never_more_than_twenty_a_minute_whatever_comes(world: World) -> None:
    async with webs(1) as (sink,):
        channel = await world.tell(sink)
        every: list[OutboxRow] = []
        for second in range(150):
            every += await tell(world, rows_of(world, channel, *names(7, f"s{second}-")))
            if second % 10 == 0:
                await world.corridor.delivery.test(channel)
            await world.go(1)
        assert len([e for e in sink.events if e == "test"]) == 15
        assert len(sink.posts) <= 3 * MOST_A_MINUTE
        await world.go(30)
        tests = {post["key"] for post in sink.posts if post["event"] == "test"}
        assert sorted(set(told(sink)) - tests) == sorted(row.key for row in every)


async def test_a_channel_of_a_kind_that_gathers_by_itself_gets_every_message_paced(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notifiers, "groups", lambda name: True)
    async with webs(1) as (sink,):
        channel = await world.tell(sink)
        await tell(world, rows_of(world, channel, *names(30)))
        await world.go(30)
        assert sink.events == ["incident.opened"] * MOST_A_MINUTE
        await world.go(60)
        assert len(set(told(sink))) == len(sink.posts) == 30


async def test_a_storm_on_one_channel_delays_no_other(world: World) -> None:
    async with webs(2) as (loud, calm):
        one, other = await world.tell(loud), await world.tell(calm)
        loud.hang = asyncio.Event()
        await tell(world, rows_of(world, one, *names(500)))
        await world.clock.advance(5, step=1)
        (row,) = await tell(world, rows_of(world, other, "alone"))
        await until(lambda: calm.posts, clock=world.clock)
        assert told(calm) == [row.key]
        loud.hang.set()
        await until(lambda: len(set(told(loud))) == 500, clock=world.clock)


async def test_a_digest_whose_sender_died_comes_again_with_the_same_key(tmp_path: Path) -> None:
    async with webs(1) as (sink,), a_world(tmp_path) as world:
        channel = await world.tell(sink)
        sink.hang = asyncio.Event()
        rows = await tell(world, rows_of(world, channel, *names(50)))
        await until(lambda: sink.posts, clock=world.clock)
        await world.crash()
        sink.hang = None
        await world.start()
        await world.go(5)
        assert sink.events == ["digest"] * 2
        assert sink.posts[0] == sink.posts[1]
        await world.go(LEASE_S + 5, step=5)
        assert len(sink.posts) == 2
        assert {await state(world, row) for row in rows} == {("sent", sink.posts[0]["key"])}


async def test_a_digest_that_was_gathered_but_not_sent_when_its_sender_died_is_sent(tmp_path: Path) -> None:
    async with webs(1) as (sink,), a_world(tmp_path) as world:
        channel = await world.tell(sink)
        await world.corridor.delivery.stop(1)
        rows = rows_of(world, channel, *names(9))
        await world.store.commit(Batch(id="b", outbox=tuple(rows)))
        digest, _ = gather(rows, world.clock.now(), storm="s")
        await world.store.gather(digest)
        await world.crash()
        await world.start()
        await world.go(5)
        assert [post["key"] for post in sink.posts] == [digest.row.key]
        assert {await state(world, row) for row in rows} == {("sent", digest.row.key)}


async def test_while_the_database_is_away_a_storm_is_told_in_digests_and_once(tmp_path: Path) -> None:
    async with webs(1) as (sink,), a_world(tmp_path) as world:
        channel = await world.tell(sink)
        await world.go(1)
        with database_locked(world):
            for _ in range(6):
                await tell(world, rows_of(world, channel, "first"))
                if world.store.breaker.state == "open":
                    break
            rows = await tell(world, rows_of(world, channel, *names(60)))
            await world.go(5)
            ends = await tell(world, rows_of(world, channel, *names(60), event="incident.resolved", order=2))
            await world.go(30)
            assert {row.key for row in (*rows, *ends)} <= set(told(sink))
            assert sink.events.count("digest") == 2
        count = len(sink.posts)
        await until(lambda: world.store.spooled == 0 and world.store.breaker.state == "closed", clock=world.clock)
        await world.go(LEASE_S + 10, step=5)
        assert len(sink.posts) == count
        assert {(await state(world, row))[0] for row in (*rows, *ends)} == {"sent"}


async def test_a_crash_while_the_database_is_away_tells_a_digest_again_with_the_same_key(tmp_path: Path) -> None:
    async with webs(1) as (sink,), a_world(tmp_path) as world:
        channel = await world.tell(sink)
        await world.go(1)
        with database_locked(world):
            sink.hang = asyncio.Event()
            rows = await tell(world, rows_of(world, channel, *names(60)))
            await until(lambda: "digest" in sink.events, clock=world.clock)
            await world.crash()
            sink.hang = None
        await world.start()
        await world.go(10)
        assert [post["key"] for post in sink.posts] == [sink.posts[0]["key"]] * 2
        assert {await state(world, row) for row in rows} == {("sent", sink.posts[0]["key"])}


async def test_what_left_before_a_restart_counts(tmp_path: Path) -> None:
    async with webs(1) as (sink,), a_world(tmp_path) as world:
        channel = await world.tell(sink)
        await tell(world, rows_of(world, channel, *names(5)))
        await arrive(world, sink, 5)
        await world.stop()
        await world.start()
        await tell(world, rows_of(world, channel, *names(3, "n")))
        await arrive(world, sink, 6)
        assert sink.events[5:] == ["digest"]


async def test_messages_for_a_channel_that_asks_to_be_left_alone_all_wait(world: World) -> None:
    async with webs(1) as (sink,):
        channel = await world.tell(sink)
        sink.script.append((429, {"Retry-After": "90"}))
        await tell(world, rows_of(world, channel, "a"))
        await world.go(5)
        await tell(world, rows_of(world, channel, "b"))
        await world.go(80)
        assert len(sink.posts) == 1
        await world.go(15)
        assert len(set(told(sink))) == 2


async def test_the_log_names_the_digest(world: World) -> None:
    async with webs(1) as (sink,):
        channel = await world.tell(sink)
        await tell(world, rows_of(world, channel, *names(8)))
        await arrive(world, sink, 1)
        log: list[Any] = (await world.store.of("ws").read(lambda s: s.outbox.list(incident="i-m3")))[0]
        assert [(d.row.state, d.row.digest, len(d.attempts)) for d in log] == [("sent", sink.posts[0]["key"], 1)]
