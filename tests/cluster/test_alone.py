"""An instance that is cut off from all others tells what it sees, marked as unconfirmed, and nothing twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from builders import a_channel, a_monitor, until
from instances import Group, One
from world import Web, webs


@pytest.fixture
async def pair() -> AsyncIterator[list[Web]]:
    async with webs(2) as pair:
        yield pair


async def cut_off(group: Group, target: Web, sink: Web) -> tuple[One, One]:
    """Two of which the first is gone, and the second told that the target is down."""
    a, b = await group.gather("a", "b")
    channel = a_channel(config={"url": sink.url})
    monitor = a_monitor(
        name="Shop",
        target={"url": target.url},
        interval_s=1,
        timeout_s=0.8,
        retries=0,
        failure_threshold=2,
        channels=(channel.id,),
    )

    def work(s) -> None:
        s.channels.add(channel)
        s.monitors.add(monitor)

    await a.store.of("ws").write(work)
    await a.corridor.channels_changed("ws")
    await a.corridor.changed(monitor.id)
    await until(lambda: b.corridor.watchlist.find(monitor.id) is not None, within_s=10)
    await until(lambda: a.corridor.watchlist.get(monitor.id).verdict is not None, within_s=10)
    await a.stop()
    await until(lambda: b.corridor.alone.on, within_s=20)
    target.status = 500
    await until(lambda: sink.events == ["incident.opened"], within_s=20)
    return a, b


async def test_the_survivor_of_two_tells_unconfirmed_what_it_sees(group: Group, pair: list[Web]) -> None:
    target, sink = pair
    a, b = await cut_off(group, target, sink)
    (told,) = sink.posts
    assert told["monitor"]["name"] == "Shop"
    assert told["reason"].endswith("(unconfirmed: seen from b alone)")
    assert told["key"] == sink.calls[0][0]["idempotency-key"]
    target.status = 200
    await until(lambda: sink.events == ["incident.opened", "incident.resolved"], within_s=30)
    await a.again()
    await until(lambda: group.primary() is not None, within_s=20)
    await until(lambda: not b.corridor.alone.on, within_s=10)
    await asyncio.sleep(2)
    assert sink.events == ["incident.opened", "incident.resolved"], "nobody confirms what was over"


async def test_what_was_told_unconfirmed_has_an_end_after_a_promotion_by_force(group: Group, pair: list[Web]) -> None:
    target, sink = pair
    _a, b = await cut_off(group, target, sink)
    target.status = 200  # before anybody confirms it
    await b.cluster.carrier.force(1000)
    await until(lambda: b.corridor.leads, within_s=20)
    assert not b.corridor.alone.on
    await until(lambda: sink.events == ["incident.opened", "incident.resolved"], within_s=30)
    assert sink.posts[1]["title"].startswith("Unconfirmed: ")
    assert "as it told the beginning while nobody led" in sink.posts[1]["text"]


async def test_what_is_confirmed_after_it_was_told_unconfirmed_has_one_end(group: Group, pair: list[Web]) -> None:
    target, sink = pair
    _a, b = await cut_off(group, target, sink)
    await b.cluster.carrier.force(1000)
    await until(lambda: sink.events == ["incident.opened", "incident.opened"], within_s=30)
    target.status = 200
    await until(lambda: len(sink.events) == 3, within_s=30)
    await asyncio.sleep(3)
    assert sink.events == ["incident.opened", "incident.opened", "incident.resolved"]
    assert [post["title"].startswith("Unconfirmed: ") for post in sink.posts] == [True, False, False]
