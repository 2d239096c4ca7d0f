"""Results that came to an instance by another way than usual: all get them all the same."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing

import pytest
from msgspec.structs import replace
from sqlalchemy.exc import OperationalError

from builders import a_monitor, a_result, at, until
from instances import Group, One
from tocsin.cluster.results import Exchange
from tocsin.core.monitor import Monitor
from tocsin.core.result import Numbered
from tocsin.store import sqlite as sqlite_store
from tocsin.store.replica import Portion, Transport


def of(one: One) -> Transport:
    assert one.store.replica is not None
    return one.store.replica.transport


async def watched(group: Group, *, known: bool) -> Monitor:
    """A monitor that nobody looks at by himself. `known`: the primary works by it already."""
    monitor = a_monitor(interval_s=3600, paused=True, target={"url": "http://127.0.0.1:9/"})
    a = group.one("a")
    await a.store.of("ws").write(lambda s: s.monitors.add(monitor))
    if known:
        await a.corridor.changed(monitor.id)
    others = [one for name, one in group.ones.items() if name != "a"]
    await until(lambda: all(one.corridor.watchlist.find(monitor.id) for one in others), within_s=10)
    return monitor


def seen(monitor: Monitor, source: str, *numbers: int) -> Portion:
    """What an instance has of a source from before the first of these numbers to the last one."""
    results = tuple(
        replace(a_result(monitor=monitor, at=at(60 * n), location="b"), numbered=Numbered(source, n)) for n in numbers
    )
    return Portion(source=source, after=numbers[0] - 1, upto=numbers[-1], results=results)


async def count(one: One, monitor: Monitor) -> int:
    found, _ = await one.store.of("ws").read(lambda s: s.results.page(monitor.id, limit=500, location="b"))
    return len(found)


async def all_have(ones: list[One], monitor: Monitor, many: int) -> None:
    async def so() -> bool:
        return [await count(one, monitor) for one in ones] == [many] * len(ones)

    await until_async(so)


async def until_async(condition: Callable[[], Awaitable[bool]], within_s: float = 20.0) -> None:
    async with asyncio.timeout(within_s):
        while not await condition():
            await asyncio.sleep(0.05)


async def test_what_one_has_behind_a_gap_that_nobody_can_fill_all_get(group: Group) -> None:
    a, b, c = await group.gather("a", "b", "c")
    monitor = await watched(group, known=True)
    # Whose disk is gone took them with it, and what came before them.
    await of(b).take_in(seen(monitor, "gone:1", 5, 6, 7))
    await of(b).take_in(seen(monitor, "gone:1", 10, 11))
    await of(a).take_in(seen(monitor, "lost:1", 3, 4))
    await all_have([a, b, c], monitor, 7)
    for one in (a, b, c):
        assert await of(one).islands() == {"gone:1": [(5, 7), (10, 11)], "lost:1": [(3, 4)]}
    ends = [await of(one).ends() for one in (a, b, c)]
    assert [found["gone:1"] for found in ends] == [0, 0, 0]  # nothing is called whole that is not


async def test_what_a_primary_alone_has_behind_a_gap_its_successor_gets(group: Group) -> None:
    a, b, c = await group.gather("a", "b", "c")
    monitor = await watched(group, known=True)
    await a.cluster.carrier.promote("instance-b")
    new = await until(lambda: (one := group.primary()) is not a and one, within_s=20)
    assert new is b
    await of(a).take_in(seen(monitor, "gone:1", 5, 6))  # on its way when the office changed
    await all_have([a, b, c], monitor, 2)


async def test_what_is_offered_again_and_again_does_not_fill_the_spool(
    group: Group, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_store, "_WAIT_S", 0.02)
    (a,) = await group.gather("a")
    await a.store.everything().write(lambda s: s.places.location("b"))
    monitor = await watched(group, known=True)
    said = Exchange(portions=(seen(monitor, "far:1", 1, 2),))
    with closing(sqlite3.connect(a.folder / "tocsin.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(OperationalError):
            await a.cluster.results.answer(said, "instance-b")
        assert a.store.spooled == 1
        for _ in range(3):
            answered = await a.cluster.results.answer(said, "instance-b")
            assert (answered.ends.get("far:1"), a.store.spooled) == (None, 1)
        other.execute("ROLLBACK")
    await until(lambda: not a.store.spooled, within_s=15)
    assert (await a.cluster.results.answer(said, "instance-b")).ends["far:1"] == 2
    assert await count(a, monitor) == 2


async def test_a_result_is_kept_by_a_primary_that_does_not_know_its_monitor_yet(group: Group) -> None:
    a, b, c = await group.gather("a", "b", "c")
    monitor = await watched(group, known=False)
    assert a.corridor.watchlist.find(monitor.id) is None
    await of(b).take_in(seen(monitor, "far:1", 1, 2))
    await all_have([a, b, c], monitor, 2)
