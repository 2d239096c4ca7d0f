"""What comes after a message that a channel does not take: its fallback hears of it too, at once, in order and once."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from builders import a_message, an_outbox_row
from pipeline.test_fallback import log, notices, rewrite
from tocsin.core.alert import Channel, OutboxRow
from tocsin.store import sqlite
from tocsin.store.batch import Batch
from world import Web, World, database_locked, webs

FIVE_TRIES = 20.0
"""They are over within so many seconds."""
OPENED, REOPENED, RESOLVED = "incident.opened", "incident.reopened", "incident.resolved"


async def intend(world: World, channels: Sequence[Channel], event: str, order: int, *subjects: str) -> list[OutboxRow]:
    """Commit the same message about each subject for each channel, as intake does."""
    now = world.clock.now()
    rows = [
        an_outbox_row(
            message=a_message(event=event, title=f"{one} {event}", at=now), channel_id=channel.id,
            subject=f"monitor:{one}", order=order, created_at=now, next_at=now, incident_id=f"i-{one}",
        )
        for channel in channels
        for one in subjects or ("m",)
    ]  # fmt: skip
    kept = await world.store.commit(Batch(id=rows[0].key, outbox=tuple(rows)))
    world.corridor.delivery.handed(rows, kept == "spooled")
    return rows


def heard(sink: Web) -> list[str]:
    """What the sink took, a line for each message that a digest names."""
    return [i["event"] for post in sink.posts for i in post.get("items") or [post]]


async def test_what_follows_reaches_the_fallback_at_once_and_the_channel_when_it_is_back(world: World) -> None:
    async with webs(2) as (first, second):
        channel = await world.tell(first, name="Ops hook", fallback=(await world.tell(second)).id)
        first.status = 500
        await intend(world, [channel], OPENED, 1)
        await world.go(FIVE_TRIES)
        assert second.events == [OPENED]
        await world.go(600, step=20)
        tried, events = len(first.posts), [RESOLVED, REOPENED, "incident.reminder", "incident.escalated", RESOLVED]
        for number, event in enumerate(events, 2):
            await intend(world, [channel], event, number)
            await world.go(2)
            assert second.events[-1] == event
        assert second.events == [OPENED, *events]
        assert len(first.posts) <= tried + 1, "nobody waited for another try"
        assert second.posts[1]["text"].endswith("Sent here because Ops hook did not take what came before it.")
        assert len(await notices(world)) == 1
        await world.stop()
        await world.start()
        first.status = 200
        first.calls.clear()
        await world.go(400, step=20)
        assert first.events == [OPENED, *events]
        assert second.events == [OPENED, *events]
        assert {told.row.state for told in await log(world)} == {"sent"}


async def test_a_fallback_that_is_named_late_hears_of_all_that_waits(world: World) -> None:
    async with webs(2) as (first, second):
        channel, stands_in = await world.tell(first), await world.tell(second)
        first.status = 500
        await intend(world, [channel], OPENED, 1)
        await intend(world, [channel], RESOLVED, 2)
        await world.go(2 * FIVE_TRIES)
        await rewrite(world, replace(channel, fallback=stands_in.id))
        await world.go(300, step=20)
        assert second.events == [OPENED, RESOLVED]


async def test_what_a_digest_carried_is_told_and_ended_once_at_the_fallback(world: World) -> None:
    async with webs(2) as (first, second):
        channel = await world.tell(first, name="Ops hook", fallback=(await world.tell(second)).id)
        first.status = 500
        some = [f"m{n}" for n in range(12)]
        await intend(world, [channel], OPENED, 1, *some)
        await world.go(40)
        assert heard(second) == [OPENED] * 12
        assert "Sent here because Ops hook did not take it: 5 tries" in second.posts[-1]["text"]
        await intend(world, [channel], RESOLVED, 2, *some[:6])
        await world.go(30)
        assert sorted(heard(second)) == [OPENED] * 12 + [RESOLVED] * 6
        first.status = 200
        await world.go(400, step=20)
        await intend(world, [channel], RESOLVED, 2, *some[6:])
        await world.go(60)
        assert sorted(heard(second)) == [OPENED] * 12 + [RESOLVED] * 12
        keys = [
            key for post in second.posts for i in post.get("items") or [{"keys": [post["key"]]}] for key in i["keys"]
        ]
        assert len(keys) == len(set(keys)) == 24


async def test_who_is_told_by_itself_is_not_told_in_place_of_another(world: World) -> None:
    """Nor do two that stand in for each other pass one message to and fro."""
    async with webs(2) as (first, second):
        one, other = await world.tell(first), await world.tell(second)
        one, other = replace(one, fallback=other.id), replace(other, fallback=one.id)
        await rewrite(world, one)
        await rewrite(world, other)
        first.status = 500
        await intend(world, [one, other], OPENED, 1)
        await world.go(2 * FIVE_TRIES)
        await intend(world, [one, other], RESOLVED, 2)
        await world.go(5)
        assert second.events == [OPENED, RESOLVED]
        second.status = 500
        await intend(world, [one], OPENED, 1, "n")
        await intend(world, [one], RESOLVED, 2, "n")
        await world.go(600, step=20)
        assert len(await log(world)) == 4 + 4


async def test_while_the_database_is_away_they_follow_from_memory(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "_WAIT_S", 0.05)
    async with webs(2) as (first, second):
        channel = await world.tell(first, fallback=(await world.tell(second)).id)
        first.status = 500
        with database_locked(world):
            await intend(world, [channel], OPENED, 1)
            await world.go(2 * FIVE_TRIES)
            await intend(world, [channel], RESOLVED, 2)
            await world.go(5)
            assert second.events == [OPENED, RESOLVED]
        await world.go(120, step=5)
        first.status = 200
        await world.go(600, step=20)
        assert second.events == [OPENED, RESOLVED]
        assert [e for e in first.events if e == RESOLVED] == [RESOLVED]
        assert {told.row.state for told in await log(world)} == {"sent"}
