"""Results: in by the tail, moved, rolled up, read from both, and gone in the end."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from builders import START, FakeClock, a_result, at
from store.conftest import Opener, keep_monitor
from tocsin.core.result import CheckError, CheckResult, Timing, outcome_json
from tocsin.errors import NotFound
from tocsin.store import Store
from tocsin.store.batch import Batch
from tocsin.store.results import result_json


async def commit(store: Store, *results: CheckResult) -> None:
    assert await store.commit(Batch(id="b", results=results)) == "stored"


async def page(store: Store, monitor: Any, **more: Any) -> list[Any]:
    found, _ = await store.of("ws").read(lambda s: s.results.page(monitor.id, **more))
    return found


async def test_a_result_reads_the_same_from_the_tail_and_from_the_main_table(store: Store) -> None:
    monitor = await keep_monitor(store)
    error = CheckError("tls", "certificate has expired", "tls")
    bad = a_result(
        "down", monitor=monitor, at=at(0.000123), error=error, location="eu", body_bytes=12,
        timing=Timing(dns=1.25, connect=2.5, total=100.0), body=b"not kept",
        headers=(("Content-Type", "text/html"), ("Set-Cookie", "session=canary")),
    )  # fmt: skip
    await commit(store, a_result(monitor=monitor, at=at(-60)), bad)
    for moved in (False, True):
        if moved:
            assert await store.move_tail() == 2
        first, second = await page(store, monitor)
        assert (first.id, first.at, first.attempt, first.location) == (bad.id, bad.scheduled_at, 0, "eu")
        assert (first.status, first.error, first.body_bytes) == ("down", error, 12)
        assert first.timing == Timing(dns=1.25, connect=2.5, total=100.0)
        shown = result_json(first)
        assert shown == outcome_json(bad.outcome) | {
            "id": bad.id, "attempt": 0, "scheduled_at": "2026-03-01T12:00:00.000Z",
            "headers": {"Content-Type": "text/html", "Set-Cookie": "***"},
        }  # fmt: skip
        assert (second.status, second.status_code, second.timing.total) == ("up", 200, 5.0)


async def test_an_ordinary_result_is_kept_without_evidence(store: Store) -> None:
    monitor = await keep_monitor(store)
    await commit(store, *(a_result(monitor=monitor, at=at(n * 60)) for n in range(3)))
    newest, middle, _ = await page(store, monitor)
    assert middle.outcome is None
    assert newest.outcome is None
    shown = result_json(middle)
    assert shown.keys() == (outcome_json(a_result().outcome) | {"id": 0, "attempt": 0, "scheduled_at": 0}).keys()
    assert (shown["status"], shown["timing_ms"], shown["location"]) == ("up", {"connect": 1.0, "total": 5.0}, "local")
    (latest,) = await store.of("ws").read(lambda s: s.results.latest(monitor.id))
    assert latest.outcome is not None
    assert latest.at == at(120)


async def test_the_latest_of_each_location_survives_a_restart(url: str, open_store: Opener, store: Store) -> None:
    monitor = await keep_monitor(store)
    await commit(store, a_result(monitor=monitor, location="eu"), a_result(monitor=monitor, location="us", at=at(5)))
    await store.close()
    again = await open_store(url)
    latest = await again.of("ws").read(lambda s: s.results.latest(monitor.id))
    assert [(r.location, r.at, r.outcome is not None) for r in latest] == [("eu", at(0), True), ("us", at(5), True)]
    await commit(again, a_result(monitor=monitor, location="eu"))
    assert len(await page(again, monitor)) == 2


async def test_the_same_result_is_one_row_whenever_it_arrives_again(store: Store) -> None:
    monitor = await keep_monitor(store)
    results = [a_result(monitor=monitor, at=at(60 * n), attempt=a) for n in range(5) for a in range(2)]
    await commit(store, *results, *results)
    assert len(await page(store, monitor)) == 10
    fresh = await store.everything().write(lambda s: s.results.add(results))
    assert fresh == []
    await store.move_tail()
    assert (
        await store.everything().write(lambda s: s.results.add([*results, a_result(monitor=monitor, at=at(30))])) != []
    )
    await store.move_tail()
    assert len(await page(store, monitor)) == 11
    (point,) = await store.of("ws").read(lambda s: s.rollups.series(monitor.id, at(-3600), at(3600), 3600))
    assert point.count == 11


async def test_what_was_rolled_back_is_taken_when_it_comes_again(store: Store) -> None:
    monitor = await keep_monitor(store)
    result = a_result(monitor=monitor)

    def break_off(s: Any) -> None:
        assert s.results.add([result]) == [result]
        raise NotFound("on purpose")

    with pytest.raises(NotFound):
        await store.everything().write(break_off)
    assert await page(store, monitor) == []
    await commit(store, result)
    assert len(await page(store, monitor)) == 1


async def test_pages_are_filtered_and_follow_each_other_over_tail_and_main(store: Store) -> None:
    monitor = await keep_monitor(store)
    spots = ("eu", "us")
    first = [
        a_result("down" if n % 5 == 0 else "up", monitor=monitor, at=at(n * 60), location=spot)
        for n in range(20)
        for spot in spots
    ]
    await commit(store, *first[:24])
    await store.move_tail()
    await commit(store, *first[24:])
    expected = [r.id for r in sorted(first, key=lambda r: (r.scheduled_at, r.location), reverse=True)]
    seen: list[str] = []
    cursor = None
    while True:
        found, cursor = await store.of("ws").read(lambda s: s.results.page(monitor.id, limit=7, cursor=cursor))  # noqa: B023
        seen += [r.id for r in found]
        if cursor is None:
            break
    assert seen == expected
    assert {r.status for r in await page(store, monitor, status="down")} == {"down"}
    assert len(await page(store, monitor, status="down")) == 8
    assert {r.location for r in await page(store, monitor, location="eu")} == {"eu"}
    assert await page(store, monitor, location="mars") == []
    assert [r.at for r in await page(store, monitor, start=at(60), end=at(180), location="us")] == [at(120), at(60)]


async def test_recent_slots_as_letters(store: Store) -> None:
    monitor = await keep_monitor(store)
    statuses: list[tuple[Any, Any]] = [
        ("up", "up"),
        ("up", "down"),
        ("down", "down"),
        ("degraded", "up"),
        ("invalid", "invalid"),
    ]
    for n, pair in enumerate(statuses):
        await commit(
            store,
            *(
                a_result(s, monitor=monitor, at=at(n * 60), location=spot)
                for s, spot in zip(pair, ("eu", "us"), strict=True)
            ),
        )
        if n == 2:
            await store.move_tail()
    await commit(store, a_result("down", monitor=monitor, at=at(300), location="eu"))
    await commit(store, a_result("up", monitor=monitor, at=at(300), attempt=1, location="eu"))
    ws = store.of("ws")
    assert await ws.read(lambda s: s.results.recent([monitor.id, "nothing"], 90)) == {monitor.id: "upds.u"}
    assert await ws.read(lambda s: s.results.recent([monitor.id], 4)) == {monitor.id: "ds.u"}


def expected_points(results: Sequence[CheckResult], step: int) -> dict[int, list[float]]:
    points: dict[int, list[float]] = {}
    for r in results:
        total = r.outcome.seen.timing.total
        assert total is not None
        points.setdefault(int(r.scheduled_at.timestamp()) // step * step, []).append(total)
    return points


@pytest.mark.parametrize("order", ["in order", "shuffled"])
async def test_series_do_not_depend_on_order_or_on_what_was_moved(store: Store, clock: FakeClock, order: str) -> None:
    monitor = await keep_monitor(store)
    rng = random.Random(7)
    results = [
        a_result(
            monitor=monitor,
            at=at(-60 * n),
            location=rng.choice(("eu", "us")),
            timing=Timing(total=round(rng.uniform(1, 900), 2)),
        )
        for n in range(1, 400)
        if not 100 < n < 160
    ]
    if order == "shuffled":
        rng.shuffle(results)
    for start in range(0, len(results), 90):
        await commit(store, *results[start : start + 90])
        if start < 200:
            await store.move_tail()
    for step in (30, 60, 300, 3600, 86_400):
        points = await store.of("ws").read(
            lambda s, step=step: s.rollups.series(monitor.id, at(-86_400 * 2), at(60), step)
        )
        wanted = expected_points(results, step)
        assert [int(p.at.timestamp()) for p in points] == sorted(wanted)
        for point in points:
            totals = sorted(wanted[int(point.at.timestamp())])
            assert (point.count, point.up, point.down) == (len(totals), len(totals), 0)
            assert (point.min_ms, point.max_ms) == (totals[0], totals[-1])
            assert point.avg_ms == pytest.approx(sum(totals) / len(totals), abs=0.01)
            middle = totals[(len(totals) - 1) // 2], totals[len(totals) // 2]
            assert point.p50 is not None
            assert middle[0] * 0.979 <= point.p50 <= middle[1] * 1.021
    eu = [r for r in results if r.location == "eu"]
    points = await store.of("ws").read(lambda s: s.rollups.series(monitor.id, at(-86_400), at(60), 3600, "eu"))
    assert sum(p.count for p in points) == len(eu)
    stats = await store.of("ws").read(lambda s: s.rollups.stats(monitor.id, at(-86_400 * 3), at(60)))
    assert stats.count == len(results)
    assert clock.now() == START


async def test_older_than_two_days_hours_stand_for_minutes(store: Store) -> None:
    monitor = await keep_monitor(store)
    await commit(store, *(a_result(monitor=monitor, at=at(-86_400 * 3 + n * 60)) for n in range(120)))
    await store.move_tail()
    await commit(store, a_result(monitor=monitor, at=at(-60)))
    await store.move_tail()
    await store.everything().write(lambda s: s.rollups.expire())
    points = await store.of("ws").read(lambda s: s.rollups.series(monitor.id, at(-86_400 * 4), at(0), 60))
    assert [p.count for p in points] == [60, 60, 1]
    assert points[-1].at == at(-60)


async def test_uptimes_for_lists(store: Store) -> None:
    good, bad, idle = [await keep_monitor(store) for _ in range(3)]
    await commit(store, *(a_result(monitor=good, at=at(-60 * n)) for n in range(4)))
    await commit(store, *(a_result("down" if n else "invalid", monitor=bad, at=at(-60 * n)) for n in range(2)))
    for _ in range(2):
        for window in (86_400.0, timedelta(days=90)):
            found = await store.of("ws").read(lambda s, w=window: s.rollups.uptimes([good.id, bad.id, idle.id], w))
            assert found == {good.id: 1.0, bad.id: 0.0, idle.id: None}
        await store.move_tail()


async def test_old_results_expire_with_their_evidence_but_rollups_stay(store: Store) -> None:
    monitor = await keep_monitor(store)
    await commit(
        store, *(a_result("down", monitor=monitor, at=at(-86_400 + n)) for n in range(30)), a_result(monitor=monitor)
    )
    await store.move_tail()
    gone = 0
    while step := await store.everything().write(lambda s: s.results.expire(at(-3600), limit=7)):
        gone += step
    assert gone == 60
    assert [r.at for r in await page(store, monitor)] == [at(0)]
    evidence = await store.everything().read(lambda s: s.rows("SELECT at FROM evidence WHERE monitor = 1"))
    assert len(evidence) == 1
    stats = await store.of("ws").read(lambda s: s.rollups.stats(monitor.id, at(-86_400 * 20), at(60)))
    assert stats.count == 31


async def test_large_tails_move_in_several_transactions(store: Store) -> None:
    monitors = [await keep_monitor(store) for _ in range(6)]
    await commit(store, *(a_result(monitor=m, at=at(n)) for n in range(10) for m in monitors))
    assert await store.move_tail(limit=25) == 60
    assert store.tail == 0
    for monitor in monitors:
        assert len(await page(store, monitor)) == 10


@pytest.mark.parametrize("moved", [0, 1, 2, 3])
async def test_percentiles_of_few_results_are_the_nearest_ranks(store: Store, moved: int) -> None:
    monitor = await keep_monitor(store)
    results = [a_result(monitor=monitor, at=at(n * 60), timing=Timing(total=ms)) for n, ms in enumerate((12, 1.6, 2.2))]
    if moved:
        await commit(store, *results[:moved])
        assert await store.move_tail() == moved
    if moved < 3:
        await commit(store, *results[moved:])
    stats = await store.of("ws").read(lambda s: s.rollups.stats(monitor.id, at(-60), at(600)))
    assert (stats.avg_ms, stats.min_ms, stats.max_ms) == (pytest.approx(5.267, abs=0.001), 1.6, 12)
    assert (stats.p50, stats.p95, stats.p99) == pytest.approx((2.2, 12, 12), rel=0.02)
