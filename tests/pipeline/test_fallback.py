"""Channels that do not take their messages: who stands in, what is said of it, and canaries that notice it early."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from builders import a_channel, a_message, an_outbox_row, at, until
from tocsin import notifiers, telemetry
from tocsin.core.alert import Channel, OutboxRow
from tocsin.core.canary import canary_key, slot
from tocsin.notifiers import Receipt
from tocsin.pipeline import sending, trouble
from tocsin.pipeline.trouble import TRIES
from tocsin.store.batch import Batch
from tocsin.store.outbox import Delivery as Told
from world import World, webs


async def intend(world: World, channel: Channel, *events: str, incident: str = "i") -> list[OutboxRow]:
    """Commit messages of incidents (with spaces between) as intake does."""
    now = world.clock.now()
    rows = [
        an_outbox_row(
            message=a_message(event=event, at=now), channel_id=channel.id, subject=f"monitor:{one}", order=order,
            created_at=now, next_at=now, incident_id=one,
        )
        for one in incident.split()
        for order, event in enumerate(events)
    ]  # fmt: skip
    kept = await world.store.commit(Batch(id=rows[0].key, outbox=tuple(rows)))
    world.corridor.delivery.handed(rows, kept == "spooled")
    return rows


async def rewrite(world: World, channel: Channel) -> Channel:
    await world.store.of("ws").write(lambda s: s.channels.replace(channel))
    await world.corridor.channels_changed("ws")
    return channel


async def log(world: World) -> list[Told]:
    return (await world.store.of("ws").read(lambda s: s.outbox.list()))[0][::-1]


EARLY = next(
    id for id in map(str, range(1000)) if len({slot(a_channel(id=id, canary_s=3600), at(s)) for s in (0, 3000)}) == 1
)
"""A channel of this id has most of its stretch before it when a test begins."""


async def try_them(world: World) -> None:
    """Let canaries that are due go, as far as they come."""
    await world.corridor.canary.look()
    await world.go(45)


async def notices(world: World) -> list[tuple[str, str]]:
    found = await world.store.of("ws").read(lambda s: s.notices.list(unseen=True))
    return [(n.kind, n.text) for n in found]


async def test_after_five_tries_the_fallback_is_told_once_and_the_channel_still_tried(world: World) -> None:
    async with webs(2) as (first, second):
        stands_in = await world.tell(second, name="Phone")
        channel = await world.tell(first, name="Ops hook", fallback=stands_in.id)
        first.status = 500
        (row,) = await intend(world, channel, "incident.opened")
        await world.go(10)
        assert second.posts == []
        await world.go(10)
        assert len(first.posts) >= TRIES
        assert second.events == ["incident.opened"]
        assert second.posts[0]["key"] != row.key
        await world.go(600, step=20)
        assert len(second.posts) == 1
        tried, instead = await log(world)
        assert tried.row.state == "pending"
        assert "Phone is told too" in (tried.attempts[TRIES - 1].error or "")
        assert "Sent here because Ops hook did not take it: 5 tries: HTTP 500" in instead.row.message.text
        (said,) = await notices(world)
        assert said[0] == "channel.fallback"
        assert "Ops hook did not take a message" in said[1]
        first.status = 200
        await world.go(300, step=20)
        assert (await log(world))[0].row.state == "sent"
        assert len(second.posts) == 1


async def test_who_stood_in_for_the_opening_hears_of_the_end(world: World) -> None:
    async with webs(2) as (first, second):
        stands_in = await world.tell(second)
        channel = await world.tell(first, fallback=stands_in.id)
        first.script.extend([500] * TRIES)
        await intend(world, channel, "incident.opened", "incident.resolved")
        await world.go(60)
        await intend(world, channel, "incident.opened", "incident.resolved", incident="other")
        await world.go(20)
        assert [post["event"] for post in second.posts] == ["incident.opened", "incident.resolved"]
        assert first.events.count("incident.resolved") == 2


async def kept(world: World, channel: Channel) -> Channel:
    return await world.store.of("ws").read(lambda s: s.channels.get(channel.id))


async def test_a_channel_that_is_gone_for_good_hands_over_what_waits(world: World) -> None:
    async with webs(2) as (gone, second):
        stands_in = await world.tell(second, name="Phone")
        channel = await world.tell(gone, name="Ops hook", fallback=stands_in.id)
        gone.status, gone.hang = 410, asyncio.Event()
        rows = await intend(world, channel, "incident.opened", "incident.resolved")
        await until(lambda: gone.posts, clock=world.clock)
        gone.hang.set()
        await world.go(5)
        assert second.events == ["incident.opened", "incident.resolved"]
        assert len(gone.posts) == 1
        ((kind, text),) = await notices(world)
        assert kind == "channel.refused"
        assert text == (
            "Ops hook refused a message: HTTP 410: hello; Phone is told too. It is asked again; after 3 refusals in a row, "
            "over 10 min or more, it is switched off"
        )
        assert (await kept(world, channel)).enabled
        await world.go(500, step=20)
        assert ((await kept(world, channel)).enabled, len(gone.posts)) == (True, 2)
        await world.go(200, step=20)
        off = await kept(world, channel)
        assert (off.enabled, off.disabled_reason, len(gone.posts)) == (False, "HTTP 410: hello", 3)
        ((kind, text),) = await notices(world)
        assert kind == "channel.disabled"
        assert re.match("Ops hook was switched off after 3 refusals in 1[01] min", text)
        mend = "A test message that it takes, or a change of it, switches it on again"
        assert text.endswith(f": HTTP 410: hello; Phone knows it already. {mend}")
        assert len(second.posts) == 2
        gone.status = 200
        await rewrite(world, replace(off, enabled=True, disabled_reason=None, updated_at=world.clock.now()))
        await world.go(5)
        assert [post["key"] for post in gone.posts[3:]] == [row.key for row in rows], "and it gets what it missed"
        assert len(second.posts) == 2


@pytest.mark.parametrize("status", [401, 403, 404, 410])
async def test_one_refusal_that_passes_switches_nothing_off_and_loses_nothing(world: World, status: int) -> None:
    async with webs(2) as (first, second):
        channel = await world.tell(first, name="Ops hook", fallback=(await world.tell(second)).id)
        first.script.append(status)
        refused = await intend(world, channel, "incident.opened", "incident.resolved")
        await world.go(5)
        assert second.events == ["incident.opened", "incident.resolved"]
        others = await intend(world, channel, "incident.opened", incident="other")
        await world.go(5)
        assert [post["key"] for post in first.posts[1:]] == [others[0].key], "the others are not held up"
        assert await notices(world) == [], "it was no end"
        await world.go(360, step=5)
        assert [post["key"] for post in first.posts[2:]] == [row.key for row in refused]
        first.script.extend([status, status])
        await intend(world, channel, "incident.opened", incident="third")
        await world.go(700, step=20)
        assert (await kept(world, channel)).enabled, "a count begins anew after what was taken"
        assert len(second.posts) == 3


async def test_a_message_that_alone_is_refused_is_given_up_and_its_channel_goes_on(world: World) -> None:
    async with webs(1) as (sink,):
        channel = await world.tell(sink, name="Ops hook")
        sink.status = 400
        (odd,) = await intend(world, channel, "incident.opened", incident="odd")
        await world.go(5)
        for refused_s in (40, 60):
            sink.status = 200
            await intend(world, channel, "incident.opened", incident=f"i{refused_s}")
            await world.go(270, step=5)
            sink.status = 400
            await world.go(refused_s, step=5)
        told = {t.row.key: t for t in await log(world)}
        assert (told[odd.key].row.state, len(told[odd.key].attempts)) == ("failed", 3)
        assert [t.row.state for key, t in told.items() if key != odd.key] == ["sent", "sent"]
        assert (await kept(world, channel)).enabled
        assert ("channel.given_up", "Ops hook did not get a message: HTTP 400: hello") in await notices(world)


async def test_a_channel_that_hangs_has_its_fallback_told_after_two_tries(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "SEND_LIMIT_S", 0.2)
    monkeypatch.setattr(trouble, "SLOW_S", 0.1)
    world.corridor.delivery.one.budget = lambda: 0.2
    async with webs(2) as (hangs, second):
        channel = await world.tell(hangs, name="Ops hook", fallback=(await world.tell(second)).id)
        hangs.hang = asyncio.Event()
        rows = await intend(world, channel, "incident.opened", "incident.resolved")
        await until(lambda: len(second.posts) == 2, clock=world.clock)
        assert second.events == ["incident.opened", "incident.resolved"]
        assert "did not take it: 2 tries: no result within" in second.posts[0]["text"]
        assert 2 <= len(hangs.calls) < TRIES
        hangs.hang.set()
        await world.go(60)
        done = {t.row.key: t.row.state for t in await log(world)}
        assert [done[row.key] for row in rows] == ["sent", "sent"]
        assert len(second.posts) == 2


async def test_a_channel_that_dies_has_one_notice_whatever_was_said_before(world: World) -> None:
    async with webs(2) as (first, second):
        channel = await world.tell(first, fallback=(await world.tell(second)).id)
        first.script.extend([500] * TRIES)
        first.status = 410
        await intend(world, channel, "incident.opened")
        await world.go(900, step=5)
        assert second.events == ["incident.opened"]
        assert [kind for kind, _ in await notices(world)] == ["channel.disabled"]


async def test_monitors_of_a_channel_that_is_gone_for_good_tell_its_fallback(world: World) -> None:
    from tocsin.core.alert import told_by

    async with webs(2) as (first, second):
        third = await world.tell(first, default=False)
        stands_in = await world.tell(second, default=False, fallback=third.id)
        channel = await world.tell(first, fallback=stands_in.id)
        watched = await world.watch(channels=(channel.id,))

        def told(channels: Sequence[Channel]) -> list[str]:
            return [c.id for c in told_by(watched.monitor, channels)]

        off = replace(channel, enabled=False, disabled_reason="410")
        assert told([channel, stands_in, third]) == [channel.id]
        assert told([off, stands_in, third]) == [stands_in.id]
        assert told([off, replace(stands_in, enabled=False, disabled_reason="404"), third]) == [third.id]
        assert told([off, replace(stands_in, enabled=False), third]) == []
        assert told([replace(off, disabled_reason=None), stands_in, third]) == []


@pytest.mark.parametrize(("status", "outcome"), [(400, "off"), (401, "off"), (404, "off"), (410, "off"), (302, "off"),
                                                 (429, "again"), (500, "again"), (503, "again")])  # fmt: skip
async def test_what_an_answer_means_for_the_message_and_for_the_channel(
    world: World, status: int, outcome: str
) -> None:
    async with webs(2) as (bad, good):
        channel, other = await world.tell(bad), await world.tell(good)
        bad.status = status
        (row,) = await intend(world, channel, "incident.opened")
        (fine,) = await intend(world, other, "incident.opened")
        await world.go(4)
        told = {t.row.key: t for t in await log(world)}
        assert (await kept(world, channel)).enabled
        assert told[row.key].row.state == "pending"
        assert str(status) in (told[row.key].attempts[0].error or "")
        assert told[fine.key].row.state == "sent"
        assert bad.calls
        assert good.events == ["incident.opened"]
        assert (await notices(world) == []) is (outcome == "again")
        await world.go(700, step=20)
        assert (await kept(world, channel)).enabled is (outcome == "again")


async def test_a_canary_goes_the_whole_way_once_in_each_stretch_also_over_a_restart(world: World) -> None:
    async with webs(1) as (sink,):
        channel = await world.tell(sink, id=EARLY, canary_s=3600)
        await try_them(world)
        assert sink.events == ["test"]
        assert sink.posts[0]["key"] == canary_key(channel, slot(channel, world.clock.now()))
        await world.stop()
        await world.start()
        await try_them(world)
        assert sink.events == ["test"]
        await world.go(3600, step=60)
        await try_them(world)
        assert sink.events == ["test", "test"]
        (found,) = (await world.corridor.canary.latest([channel])).values()
        assert (found.key, found.state) == (sink.posts[1]["key"], "sent")
        assert await notices(world) == []


async def test_a_canary_that_fails_is_given_up_soon_and_noticed_until_one_arrives(world: World) -> None:
    async with webs(1) as (sink,):
        channel = await world.tell(sink, id=EARLY, name="Ops hook", canary_s=3600)
        sink.status = 500
        await try_them(world)
        assert len(sink.posts) == TRIES
        (found,) = (await world.corridor.canary.latest([channel])).values()
        assert found.state == "failed"
        ((kind, text),) = await notices(world)
        assert (kind, text.startswith("The canary of Ops hook did not arrive: HTTP 500")) == ("channel.canary", True)
        sink.status = 200
        before = telemetry.canaries.labels("webhook", "arrived")._value.get()
        await world.go(3600, step=60)
        await try_them(world)
        assert sink.events[TRIES:] == ["test"]
        assert await notices(world) == []
        assert telemetry.canaries.labels("webhook", "arrived")._value.get() == before + 1


async def test_the_end_of_an_incident_is_given_the_name_of_its_opening_on_the_other_side(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kind that edits in place, in front of the real webhook."""
    seen: list[str | None] = []
    send = notifiers.kind("webhook").send

    async def editing(config: object, message: object, way: notifiers.Way) -> Receipt:
        seen.append(way.earlier)
        receipt = await send(config, message, way)  # pyright: ignore[reportArgumentType]
        return Receipt(receipt.detail, ref=f"ref-{len(seen)}")

    edits = replace_kind(editing)
    monkeypatch.setattr(notifiers, "kind", lambda name: edits)
    async with webs(1) as (sink,):
        channel = await world.tell(sink)
        await intend(world, channel, "incident.opened", "incident.reminder", "incident.resolved")
        await world.go(4)
        assert seen == [None, None, "ref-2"]
        for _ in range(2):
            some = " ".join(f"i{n}-{len(seen)}" for n in range(8))
            await intend(world, channel, "incident.opened", incident=some)
            await world.go(20)
        assert sink.events[3:] == ["digest", "digest"]
        assert seen[3:] == [None, "ref-4"]
        first, second = sink.posts[3:]
        assert [i["title"] for i in second["items"]][:8] == [i["title"] for i in first["items"]]
        assert len(second["items"]) == 16


def replace_kind(send: object) -> notifiers.Kind:
    """The webhook, sent by somebody else."""
    webhook = notifiers.kind("webhook")
    return notifiers.Kind(webhook.name, webhook.config, send, webhook.label)  # pyright: ignore[reportArgumentType]
