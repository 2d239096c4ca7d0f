"""Back-off, channels that are away, and what the outbox says afterwards."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from builders import a_message, an_outbox_row, until
from tocsin.core.alert import OutboxRow
from tocsin.core.backoff import LONGEST_WAIT_S, backoff_s
from tocsin.core.refusal import Refusals
from tocsin.pipeline.delivery import SEND_LIMIT_S, STOP_S
from tocsin.store.batch import Batch
from world import World, webs


async def intend(world: World, **more: object) -> OutboxRow:
    """Commit a message as intake does."""
    now = world.clock.now()
    row = an_outbox_row(**({"created_at": now, "next_at": now} | more))
    await world.store.commit(Batch(id=row.key, outbox=(row,)))
    world.corridor.delivery.handed([row], False)
    return row


async def state(world: World, row: OutboxRow) -> str:
    kept = await world.store.of("ws").read(lambda s: s.outbox.get(row.key))
    return kept.state if kept else "none"


@given(key=st.text(), attempts=st.integers(0, 1000))
def test_back_off_grows_to_five_minutes_with_jitter(key: str, attempts: int) -> None:
    wait = backoff_s(key, attempts)
    span = min(LONGEST_WAIT_S, 2.0 ** min(attempts, 10))
    assert 0.75 * span <= wait <= span
    assert wait == backoff_s(key, attempts)


async def test_a_disabled_channel_gets_its_messages_when_it_is_enabled_again(world: World) -> None:
    async with webs(1) as (sink,):
        channel = await world.tell(sink)
        off = replace(channel, enabled=False)
        await world.store.of("ws").write(lambda s: s.channels.replace(off))
        await world.corridor.channels_changed("ws")
        row = await intend(world, channel_id=channel.id)
        await world.go(90, step=5)
        assert sink.posts == []
        assert await state(world, row) == "pending"
        (waiting,) = (await world.store.of("ws").read(lambda s: s.outbox.list()))[0]
        assert waiting.row.last_error == "the channel is disabled: by hand"
        await world.store.of("ws").write(lambda s: s.channels.replace(channel))
        await world.corridor.channels_changed("ws")
        await world.go(2)
        assert [p["key"] for p in sink.posts] == [row.key]
        assert sink.posts[0]["late_s"] > 60


async def test_the_first_retry_comes_soon_after_a_look_that_found_nothing(world: World) -> None:
    async with webs(1) as (sink,):
        await world.go(20)  # nothing waits for long, so that looks are far apart
        channel = await world.tell(sink)
        sink.script.append(503)
        await world.quiet()  # the change of the channel made it look, and nothing waited
        row = await intend(world, channel_id=channel.id)
        await until(lambda: sink.posts)
        await world.quiet()
        await world.go(6)
        assert [p["key"] for p in sink.posts] == [row.key, row.key]
        assert await state(world, row) == "sent"


async def test_a_channel_that_fails_for_a_day_is_given_up(world: World) -> None:
    async with webs(1) as (sink,):
        channel = await world.tell(sink)
        sink.status = 503
        row = await intend(world, channel_id=channel.id)
        await world.go(3)
        assert await state(world, row) == "pending"
        tried = len(sink.posts)
        await world.clock.advance(86_400, step=86_400)
        await world.go(5)
        assert await state(world, row) == "failed"
        assert len(sink.posts) == tried + 1


async def test_messages_of_a_deleted_channel_are_dropped(world: World) -> None:
    async with webs(1) as (sink,):
        channel = await world.tell(sink)
        sink.script.append(500)
        row = await intend(world, channel_id=channel.id)
        await until(lambda: sink.posts)
        await world.quiet()
        await world.store.of("ws").write(lambda s: s.channels.delete(channel.id))
        await world.corridor.channels_changed("ws")
        await world.go(5)
        assert await state(world, row) == "dropped"
        assert len(sink.posts) == 1


async def test_messages_of_one_subject_leave_in_order_and_subjects_side_by_side(world: World) -> None:
    async with webs(1) as (sink,):
        channel = await world.tell(sink)
        rows = [
            await intend(
                world, channel_id=channel.id, subject=subject, order=order,
                message=a_message(event="incident.escalated"),
            )
            for order in (1, 2, 3)
            for subject in ("monitor:a", "monitor:b", "monitor:c")
        ]  # fmt: skip
        await world.go(5)
        sent = [p["key"] for p in sink.posts]
        assert sorted(sent) == sorted(r.key for r in rows)
        for subject in ("monitor:a", "monitor:b", "monitor:c"):
            keys = [r.key for r in rows if r.subject == subject]
            assert [k for k in sent if k in keys] == keys


async def test_a_burst_of_many_messages_all_arrives_once(world: World) -> None:
    async with webs(1) as (sink,):
        channel = await world.tell(sink)
        now = world.clock.now()
        rows = [
            an_outbox_row(channel_id=channel.id, subject=f"monitor:{n}", created_at=now, next_at=now)
            for n in range(300)
        ]
        await world.store.commit(Batch(id="many", outbox=tuple(rows)))
        world.corridor.delivery.handed(rows, False)
        await until(lambda: sink.posts, clock=world.clock, within_s=30)
        await world.quiet()
        assert sink.events == ["digest"]
        assert [key for item in sink.posts[0]["items"] for key in item["keys"]] == [r.key for r in rows]
        assert {await state(world, row) for row in rows} == {"sent"}
        assert await world.store.of("ws").read(lambda s: s.outbox.pending_count()) == 0


async def test_spooled_messages_are_sent_from_memory_and_not_again_from_the_database(world: World) -> None:
    async with webs(1) as (sink,):
        channel = await world.tell(sink)
        now = world.clock.now()
        row = an_outbox_row(channel_id=channel.id, created_at=now, next_at=now)
        world.corridor.delivery.handed([row], True)
        await until(lambda: sink.posts)
        await world.quiet()
        await world.store.commit(Batch(id="replayed", outbox=(row,)))
        world.corridor.delivery.nudge()
        await world.go(100, step=5)
        assert len(sink.posts) == 1
        assert await state(world, row) == "sent"
        assert row.created_at + timedelta(seconds=60) < world.clock.now()


async def test_an_old_failure_does_not_switch_off_a_channel_that_was_corrected_meanwhile(world: World) -> None:
    async with webs(2) as (gone, sink):
        channel = await world.tell(gone)
        gone.status, gone.hang = 410, asyncio.Event()
        row = await intend(world, channel_id=channel.id)
        await until(lambda: gone.posts, clock=world.clock)
        corrected = replace(channel, config={"url": sink.url}, updated_at=world.clock.now())
        await world.store.of("ws").write(lambda s: s.channels.replace(corrected))
        await world.corridor.channels_changed("ws")
        gone.hang.set()
        await until(lambda: sink.posts, clock=world.clock)
        await world.quiet()
        kept = await world.store.of("ws").read(lambda s: s.channels.get(channel.id))
        assert kept == corrected
        assert [p["key"] for p in sink.posts] == [row.key]
        assert await state(world, row) == "sent"


async def test_a_failure_that_comes_as_its_channel_changes_switches_nothing_off(world: World) -> None:
    async with webs(1) as (gone,):
        channel = await world.tell(gone)
        often = Refusals(since=world.clock.now(), of=channel.updated_at, count=3)
        corrected = replace(channel, name="Corrected", updated_at=world.clock.now())
        await world.store.of("ws").write(lambda s: s.channels.replace(corrected))
        await world.corridor.delivery.trouble.disable(channel, "410 Gone", often)
        assert await world.store.of("ws").read(lambda s: s.channels.get(channel.id)) == corrected
        await world.store.of("ws").write(lambda s: s.channels.delete(channel.id))
        await world.corridor.delivery.trouble.disable(corrected, "410 Gone", often)
        assert await world.store.of("ws").read(lambda s: s.channels.all()) == []


async def test_a_stop_lets_a_message_in_flight_arrive_and_be_recorded(world: World) -> None:
    async with webs(1) as (sink,):
        channel = await world.tell(sink)
        sink.hang = asyncio.Event()
        row = await intend(world, channel_id=channel.id)
        await until(lambda: sink.posts, clock=world.clock)
        stopped = asyncio.create_task(world.corridor.stop())
        await until(lambda: world.corridor.delivery._stopping)
        other = await intend(world, channel_id=channel.id, subject="monitor:other")
        sink.hang.set()
        await until(stopped.done)
        assert (await state(world, row), await state(world, other)) == ("sent", "pending")
    assert STOP_S > SEND_LIMIT_S
