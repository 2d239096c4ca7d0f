"""The tail: read by its rows' numbers, moved in slices, and right through roll-backs, moves under way and restarts."""

from __future__ import annotations

import asyncio
import random
from datetime import timedelta
from pathlib import Path
from typing import Any

from builders import START, FakeClock, a_result, at
from store.conftest import Opener, furnish, keep_monitor
from tocsin.core.result import Timing
from tocsin.errors import NotFound
from tocsin.store import Session, Store, moving
from tocsin.store.batch import Batch
from tocsin.store.packing import pack_more, unpack_more
from tocsin.store.tail import Tail, not_moved


async def take(store: Store, *results: Any) -> None:
    assert await store.commit(Batch(id="b", results=results)) == "stored"


async def seen(store: Store, monitor: Any) -> dict[str, Any]:
    """Everything that is read from tail and main table together."""

    def read(s: Any) -> dict[str, Any]:
        results, _ = s.results.page(monitor.id, limit=1000)
        points = s.rollups.series(monitor.id, START - timedelta(days=1), START + timedelta(days=1), 3600)
        return {
            "slots": [r.at for r in results],
            "counts": [(p.at, p.count, p.up, p.down, p.avg_ms) for p in points],
            "stats": s.rollups.stats(monitor.id, START - timedelta(days=1), START + timedelta(days=1)),
            "latest": [(r.at, r.status) for r in s.results.latest(monitor.id)],
            "letters": s.results.recent([monitor.id])[monitor.id],
            "newest": s.results.newest_at(1),
            "uptimes": s.rollups.uptimes([monitor.id], 86_400),
            "uptimes30": s.rollups.uptimes([monitor.id], 30 * 86_400),
        }

    return await store.of("ws").read(read)


async def fill(store: Store, count: int, monitors: int = 3) -> list[Any]:
    made = [await keep_monitor(store) for _ in range(monitors)]
    chance = random.Random(7)
    for n in range(count):
        status: Any = chance.choice(["up", "up", "up", "degraded", "down"])
        await take(store, *(a_result(status, monitor=m, at=at(60 * n + i)) for i, m in enumerate(made)))
    return made


def waiting(s: Session) -> list[Any]:
    """What is still in the tail."""
    waits, marked = not_moved(s)
    return s.rows(f"SELECT 1 FROM results_tail WHERE {waits}", *marked)


async def test_every_step_of_a_move_reads_the_same(store: Store) -> None:
    made = await fill(store, 20)
    before = [await seen(store, m) for m in made]
    run, steps = moving.Run(most=7), 0
    while await store.write(run.slice, None, "tocsin", alone=True) is not None:
        steps += 1
        assert [await seen(store, m) for m in made] == before
        assert len(await store.everything().read(waiting)) == store.tail
    assert steps >= 60 // 7
    assert store.tail == 0
    assert await store.everything().read(lambda s: s.rows("SELECT 1 FROM results_tail")) == []
    assert [await seen(store, m) for m in made] == before


async def test_a_move_cut_off_by_a_restart_goes_on(url: str, open_store: Opener, store: Store) -> None:
    made = await fill(store, 20)
    before = [await seen(store, m) for m in made]
    run = moving.Run(most=7)
    for _ in range(3):
        await store.write(run.slice, None, "tocsin")
    moved = 60 - store.tail
    assert moved > 0
    memory: Any = store._memory  # pyright: ignore[reportPrivateUsage]
    memory.tail, memory.newest = Tail(), {}  # as after a crash: made anew from what is stored
    await store.write(moving.remember, None, "tocsin")
    assert store.tail == 60 - moved
    assert [await seen(store, m) for m in made] == before
    await store.close()
    again = await open_store(url)
    assert again.tail == 0
    assert [await seen(again, m) for m in made] == before
    await take(again, a_result(monitor=made[0], at=at(99_999)))
    assert (await seen(again, made[0]))["slots"][0] == at(99_999), "numbers go on above those that moved"


async def test_what_comes_during_a_move_is_seen_and_waits_for_the_next(store: Store) -> None:
    made = await fill(store, 10)
    run = moving.Run(most=7)
    await store.write(run.slice, None, "tocsin")
    await take(store, *(a_result(monitor=m, at=at(9000 + i)) for i, m in enumerate(made)))
    before = [await seen(store, m) for m in made]
    while await store.write(run.slice, None, "tocsin") is not None:
        pass
    assert store.tail == 3
    assert [await seen(store, m) for m in made] == before
    assert await store.move_tail() == 3
    assert [await seen(store, m) for m in made] == before


async def test_what_is_rolled_back_leaves_no_row_and_no_number(store: Store) -> None:
    (monitor,) = await fill(store, 5, monitors=1)
    before = await seen(store, monitor)

    def add_and_break(s: Any) -> None:
        s.results.add([a_result(monitor=monitor, at=at(50_000 + n)) for n in range(4)])
        raise NotFound("on purpose")

    def move_and_break(s: Any) -> None:
        assert moving.Run().slice(s)
        raise NotFound("on purpose")

    good = a_result(monitor=monitor, at=at(40_000))
    for work in (add_and_break, move_and_break):
        done = await asyncio.gather(
            store.everything().write(work),
            store.everything().write(lambda s: len(s.results.add([good]))),
            store.everything().write(work),
            return_exceptions=True,
        )
        assert [type(d) for d in done] == [NotFound, int, NotFound]
        assert store.tail == 6
        assert (await seen(store, monitor))["slots"] == [at(40_000), *before["slots"]]


async def test_a_reader_that_began_before_the_move_still_sees_what_moves(
    tmp_path: Path, open_store: Opener, clock: FakeClock
) -> None:
    store = await open_store(f"sqlite:///{tmp_path}/tocsin.db")
    await furnish(store)
    made = await fill(store, 5)
    begun, moved = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    async def whole() -> int:
        def read(s: Any) -> int:
            s.row("SELECT 1 FROM results")
            asyncio.run_coroutine_threadsafe(_set(begun), loop).result()
            asyncio.run_coroutine_threadsafe(moved.wait(), loop).result()
            return len(s.results.page(made[0].id)[0])

        return await store.of("ws").read(read)

    task = asyncio.create_task(whole())
    await begun.wait()
    await store.move_tail()
    await store.move_tail()
    moved.set()
    assert await task == 5
    clock.jump(60)
    await take(store, a_result(monitor=made[0], at=at(7000)))
    await store.move_tail()
    memory: Any = store._memory  # pyright: ignore[reportPrivateUsage]
    assert len(memory.tail.of(1)) == 1, "numbers that moved long ago are forgotten"


async def _set(event: asyncio.Event) -> None:
    event.set()


async def test_other_writes_get_through_between_the_slices(store: Store) -> None:
    await fill(store, 40)
    order: list[str] = []

    async def moves() -> None:
        await store.move_tail(limit=5)
        order.append("moved")

    async def writes() -> None:
        for n in range(5):
            await store.everything().write(lambda s, n=n: s.notes.set("x", n))
            order.append(f"wrote {n}")

    await asyncio.gather(moves(), writes())
    assert order == [*(f"wrote {n}" for n in range(5)), "moved"]


async def test_a_late_result_of_last_year_counts_for_its_own_time_only(store: Store) -> None:
    (monitor,) = await fill(store, 5, monitors=1)
    share = (await seen(store, monitor))["uptimes"]
    await take(store, *(a_result("down", monitor=monitor, at=at(-86_400 * 200 + n)) for n in range(50)))
    assert (await seen(store, monitor))["uptimes"] == share


def test_what_no_query_asks_for_is_packed_and_comes_back() -> None:
    chance = random.Random(3)
    for _ in range(500):
        numbers = [chance.choice([None, 0, 1, 127, 128, 16_384, 2**40, chance.randrange(10**6)]) for _ in range(7)]
        lag = chance.choice([0, 1, -1, 127, -128, 10**9, -(10**9)])
        assert unpack_more(pack_more(lag, numbers)) == (lag, [*numbers, None])
    assert len(pack_more(3, (200, 100, 300, 500, 9000, 50, 5000))) <= 14


async def test_figures_of_lists_are_those_of_each_monitor_before_during_and_after_a_move(store: Store) -> None:
    made = await fill(store, 10)
    old = [a_result(monitor=made[0], at=at(-86_400 * n), timing=Timing(total=n * 10.0)) for n in (6, 5, 3, 1)]
    await take(store, *old)
    ids, windows = [m.id for m in made], (3600, 86_400, 604_800)

    async def right() -> None:
        def read(s: Any) -> tuple[Any, Any]:
            alone = {
                id: [
                    s.rollups.stats(id, START - timedelta(seconds=w), START + timedelta(days=1)).avg_ms for w in windows
                ]
                for id in ids
            }
            return alone, s.rollups.averages([*ids, "no"], windows)

        alone, together = await store.of("ws").read(read)
        assert together == alone

    run = moving.Run(most=7)
    await right()
    while await store.write(run.slice, None, "tocsin") is not None:
        await right()
    await take(store, a_result(monitor=made[1], at=at(3000), timing=Timing(total=77.0)))
    await right()
    await store.move_tail()
    await right()
