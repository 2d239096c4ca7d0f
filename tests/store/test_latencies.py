"""Sketches of windows and of steps: the same whatever has moved, to the minute, all locations together."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from typing import Any

import pytest

from builders import START, a_result, at
from store.conftest import Opener, furnish, keep_monitor
from tocsin.core import sketch
from tocsin.core.result import Timing
from tocsin.store import Store
from tocsin.store.batch import Batch

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


async def fill(store: Store, monitor: Any) -> list[tuple[datetime, float, str]]:
    """Three days of answers at two locations; some failed."""
    chance, known = random.Random(3), list[tuple[datetime, float, str]]()
    for n in range(0, 3 * 24 * 60, 7):
        slot, ms = START - n * timedelta(minutes=1), float(chance.randrange(1, 5000))
        status: Any = chance.choice(["up", "degraded", "down"])
        place = chance.choice(["eu", "us"])
        result = a_result(status, monitor=monitor, at=slot, location=place, timing=Timing(total=ms))
        await store.commit(Batch(id="b", results=(result,)))
        known.append((slot, ms, status))
    return known


def expected(known: list[tuple[datetime, float, str]], start: datetime, end: datetime) -> dict[int, int]:
    buckets: dict[int, int] = {}
    for slot, ms, status in known:
        if start <= slot < end and status != "down":
            sketch.add(buckets, ms)
    return buckets


SPANS = [
    (START - timedelta(minutes=5), START + timedelta(seconds=1)),
    (START - timedelta(minutes=95), START + timedelta(seconds=1)),
    (START - timedelta(hours=30), START + timedelta(seconds=1)),
    (START - 3 * DAY, START + timedelta(seconds=1)),
    (START - 60 * HOUR, START - 58 * HOUR),
    (START - timedelta(minutes=50), START - timedelta(minutes=3)),
]


async def test_a_sketch_is_the_same_before_and_after_the_tail_moved(store: Store) -> None:
    monitor, other = await keep_monitor(store), await keep_monitor(store)
    known = await fill(store, monitor)
    wanted = [expected(known, *span) for span in SPANS]
    for _ in range(2):
        found = await store.everything().read(lambda s: s.latencies.sketches([monitor.id, other.id, "no"], SPANS))
        assert [one[monitor.id] for one in found] == wanted
        assert [one[other.id] for one in found] == [{}] * len(SPANS)
        await store.move_tail()


@pytest.mark.parametrize("step", [60, 300, 3600])
async def test_steps_add_up_to_the_whole(store: Store, step: int) -> None:
    monitor = await keep_monitor(store)
    known = await fill(store, monitor)
    start, end = START - 40 * HOUR, START + timedelta(seconds=1)
    for _ in range(2):
        steps = await store.of("ws").read(lambda s: s.latencies.steps(monitor.id, start, end, step))
        for first, buckets in steps.items():
            began = datetime.fromtimestamp(first, START.tzinfo)
            assert buckets == expected(known, max(began, start), min(began + timedelta(seconds=step), end))
        whole: dict[int, int] = {}
        for buckets in steps.values():
            sketch.merge(whole, buckets)
        assert whole == expected(known, start, end)
        await store.move_tail()


async def test_what_could_not_be_judged_does_not_make_a_vote_fresh_again(url: str, open_store: Opener) -> None:
    """The newest result that counts, also after a restart and a move."""
    store = await open_store(url)
    await furnish(store)
    monitor = await keep_monitor(store)
    rows = [("up", 0, 0), ("down", 60, 0), ("down", 60, 1), ("invalid", 120, 0), ("invalid", 180, 0)]
    for status, seconds, attempt in rows:
        result = a_result(status, monitor=monitor, at=at(seconds), attempt=attempt)  # pyright: ignore[reportArgumentType]
        await store.commit(Batch(id="b", results=(result,)))
    expected_ = [(monitor.id, "local", at(60), 1)]
    assert await store.of("ws").read(lambda s: s.results.newest()) == expected_
    statuses = await store.of("ws").read(lambda s: s.results.statuses(monitor.id, at(0), at(180), 3))
    assert [(when, attempt, status) for when, _, attempt, status, _ in statuses] == [
        (at(60), 0, "down"), (at(60), 1, "down"), (at(120), 0, "invalid")
    ]  # fmt: skip
    assert statuses[0][4] is not None
    assert statuses[0][4].message == "connection refused"
    await store.move_tail()
    assert await store.of("ws").read(lambda s: s.results.newest()) == expected_
    assert await store.of("ws").read(lambda s: s.results.statuses(monitor.id, at(0), at(180), 3)) == statuses
    await store.close()
    store = await open_store(url)
    assert await store.of("ws").read(lambda s: s.results.newest()) == expected_
    await store.commit(Batch(id="b", results=(a_result("invalid", monitor=monitor, at=at(240)),)))
    assert await store.of("ws").read(lambda s: s.results.newest()) == expected_
    await store.commit(Batch(id="b", results=(a_result("up", monitor=monitor, at=at(300)),)))
    assert await store.of("ws").read(lambda s: s.results.newest()) == [(monitor.id, "local", at(300), 0)]
