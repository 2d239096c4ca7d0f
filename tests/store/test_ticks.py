"""Ticks are kept as they were found, and made anew when results come late."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from builders import START, a_result
from store.conftest import keep_monitor
from tocsin.clock import SystemClock
from tocsin.core.schedule import slot_at_or_before
from tocsin.core.ticks import Tick, ticks
from tocsin.pipeline.ticking import Ticking
from tocsin.pipeline.watchlist import Watchlist
from tocsin.store import Store
from tocsin.store.batch import Batch

MONITOR: dict[str, Any] = {"monitoring_type": "global", "locations": ("eu", "us"), "quorum": "any"}


class Clock(SystemClock):
    def now(self) -> Any:
        return START + timedelta(hours=1)


async def ready(store: Store) -> tuple[Any, Ticking, Any]:
    monitor = await keep_monitor(store, **MONITOR)
    watchlist = Watchlist(store, Clock(), "here")
    await watchlist.load()
    return monitor, Ticking(store, watchlist, Clock()), slot_at_or_before(monitor.id, monitor.interval_s, START)


async def come(store: Store, *results: Any) -> None:
    await store.commit(Batch(id=f"b{results[0].id}", results=results))


async def read(store: Store, id: str, limit: int = 100) -> list[Tick]:
    return await store.of("ws").read(
        lambda s: s.ticks.read(id, START - timedelta(days=1), START + timedelta(days=1), limit)
    )


async def test_what_came_is_kept_as_it_is_made_of_results(store: Store) -> None:
    monitor, ticking, slot = await ready(store)
    step = timedelta(seconds=monitor.interval_s)
    await come(
        store,
        *(
            a_result("up", monitor=monitor, at=slot + n * step, location=place)
            for n in range(3)
            for place in ("eu", "us")
        ),
    )
    await come(store, a_result("down", monitor=monitor, at=slot + 3 * step, location="eu"))
    assert await ticking.settle() == 4  # since the start: all that is there
    kept = await read(store, monitor.id)
    looks = await store.of("ws").read(
        lambda s: s.results.looks(monitor.id, START - timedelta(days=1), START + timedelta(days=1), 100)
    )
    assert kept == ticks(monitor, looks)
    assert [t.consensus for t in kept] == ["DOWN", "UP", "UP", "UP"]
    assert [t.at for t in await read(store, monitor.id, 2)] == [slot + 3 * step, slot + 2 * step]


async def test_what_comes_late_makes_its_tick_anew_and_others_stay_as_they_were(store: Store) -> None:
    monitor, ticking, slot = await ready(store)
    step = timedelta(seconds=monitor.interval_s)
    for n in range(2):
        await come(store, a_result("up", monitor=monitor, at=slot + n * step, location="us"))
    await ticking.settle()
    changed = await store.of("ws").read(lambda s: s.monitors.get(monitor.id))
    await come(store, a_result("down", monitor=changed, at=slot, location="eu"))
    await ticking.settle()  # what came until the look before: this one is not whole yet
    await ticking.settle()
    late, first = await read(store, monitor.id)
    assert (late.total, late.consensus) == (1, "UP")
    assert (first.total, first.successful, first.consensus) == (2, 1, "DOWN")
    assert await ticking.settle() == 0  # nothing came


async def test_one_location_alone_needs_no_ticks(store: Store) -> None:
    monitor = await keep_monitor(store)
    watchlist = Watchlist(store, Clock(), "here")
    await watchlist.load()
    await come(store, a_result("up", monitor=monitor, at=START))
    ticking = Ticking(store, watchlist, Clock())
    assert [await ticking.settle() for _ in range(3)] == [0, 0, 0]
    assert await read(store, monitor.id) == []


async def test_ticks_go_when_they_are_old_or_their_monitor_goes(store: Store) -> None:
    monitor, ticking, slot = await ready(store)
    step = timedelta(seconds=monitor.interval_s)
    await come(store, *(a_result("up", monitor=monitor, at=slot + n * step, location="eu") for n in range(4)))
    await ticking.settle()
    everything = store.everything()
    assert await everything.write(lambda s: s.ticks.expire(slot + 2 * step, 1), local=True) == 1
    assert await everything.write(lambda s: s.ticks.expire(slot + 2 * step), local=True) == 1
    assert len(await read(store, monitor.id)) == 2
    await store.of("ws").write(lambda s: s.monitors.delete(monitor.id))
    rows = await everything.read(lambda s: s.rows("SELECT at FROM ticks"))
    assert rows == []
