"""Live events: topics, workspaces, and subscribers that read too slowly."""

from __future__ import annotations

import asyncio

from builders import START
from tocsin.pipeline.live import LIMIT, Live, event


def seen(kind: str, monitor: str = "m") -> dict[str, object]:
    return event(kind, START, monitor)


async def test_events_reach_the_workspace_and_nobody_else() -> None:
    live = Live()
    mine, other = live.subscribe("ws"), live.subscribe("elsewhere")
    live.publish("ws", seen("verdict.changed"))
    assert (await anext(mine))["type"] == "verdict.changed"
    other.close()
    assert [e async for e in other] == []


async def test_a_monitor_topic_gets_that_monitor_only() -> None:
    live = Live()
    one = live.subscribe("ws", {"monitor:a"})
    live.publish("ws", seen("check.completed", "b"))
    live.publish("ws", seen("check.completed", "a"))
    assert (await anext(one))["monitor"] == "a"


async def test_topics_can_be_changed() -> None:
    live = Live()
    one = live.subscribe("ws", ())
    live.publish("ws", seen("lost"))
    one.topics.add("workspace")
    live.publish("ws", seen("found"))
    assert (await anext(one))["type"] == "found"


async def test_who_reads_too_slowly_is_dropped_and_the_others_are_not() -> None:
    live = Live()
    slow, quick = live.subscribe("ws"), live.subscribe("ws")
    reader = asyncio.create_task(read(quick, LIMIT + 1))
    for n in range(LIMIT + 1):
        live.publish("ws", seen(f"e{n}"))
        await asyncio.sleep(0)
    assert slow.closed
    assert slow.too_slow
    assert [e async for e in slow] == []
    assert len(await reader) == LIMIT + 1
    assert not quick.closed


async def read(subscription: object, count: int) -> list[object]:
    return [await anext(subscription) for _ in range(count)]  # type: ignore[call-overload]


async def test_a_waiting_reader_ends_when_closed() -> None:
    live = Live()
    one = live.subscribe("ws")
    reader = asyncio.create_task(anext(one, None))
    await asyncio.sleep(0)
    live.close()
    assert await reader is None
    assert not live.wanted("ws")


def test_nobody_listens_until_somebody_does() -> None:
    live = Live()
    assert not live.wanted("ws")
    one = live.subscribe("ws")
    assert live.wanted("ws")
    one.close()
    one.close()
    assert not live.wanted("ws")
