"""When checks start: slots, overlap, gaps, limits, repetitions, clocks that jump."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from msgspec.structs import replace

from builders import until
from tocsin import telemetry
from tocsin.core.schedule import next_slot
from tocsin.pipeline.scheduler import BURST, WATERMARK
from world import Place, World


async def some(world: World, count: int, **more: object) -> list[object]:
    return [await world.watch(target={"url": f"http://10.0.0.{n}/"}, **more) for n in range(count)]


async def test_slots_are_kept_and_shown(world: World) -> None:
    Place(world)
    watched = await world.watch(interval_s=30)
    await world.go(31)
    monitor = watched.monitor
    assert watched.next_at == next_slot(monitor.id, 30, world.clock.now())
    results, _ = await world.store.of("ws").read(lambda s: s.results.page(monitor.id))
    slots = sorted(r.at for r in results)[1:]
    assert slots
    assert all(next_slot(monitor.id, 30, slot - timedelta(seconds=1)) == slot for slot in slots)


async def test_monitors_are_spread_over_the_interval(world: World) -> None:
    place = Place(world)
    await some(world, 30, interval_s=60)
    await world.go(2)
    place.runs.clear()
    await world.go(30)
    assert 5 <= len(place.runs) <= 25
    await world.go(30)
    assert len(place.runs) == 30


async def test_never_two_runs_of_one_monitor_at_once(world: World) -> None:
    place = Place(world)
    place.gate = asyncio.Event()
    watched = await world.watch(interval_s=2, timeout_s=1)
    await world.clock.advance(11)
    assert place.most == 1
    assert watched.running == {"local"}
    assert world.corridor.scheduler.missed >= 4
    place.gate.set()
    await world.quiet()
    assert watched.running == set()


async def test_a_gap_is_counted_and_not_caught_up(world: World) -> None:
    place = Place(world)
    await some(world, 20, interval_s=10, timeout_s=5)
    await world.go(11)
    place.runs.clear()
    await world.clock.advance(95, step=95)
    await world.quiet()
    assert len(place.runs) <= 20
    assert world.corridor.scheduler.missed >= 20 * 8
    place.runs.clear()
    await world.go(10)
    assert 15 <= len(place.runs) <= 25


async def test_a_failure_is_repeated_and_then_believed(world: World) -> None:
    place = Place(world)
    watched = await world.watch(interval_s=60, retry_interval_s=5, retries=1, failure_threshold=2)
    await world.go(2)
    place.status = "down"
    await until(lambda: watched.states["local"].suspect, clock=world.clock)
    assert watched.verdict is not None
    assert watched.verdict.value == "up"
    await world.go(6)
    assert watched.verdict.value == "down"
    results, _ = await world.store.of("ws").read(lambda s: s.results.page(watched.monitor.id, limit=2))
    assert [r.attempt for r in results] == [1, 0]
    assert results[0].at == results[1].at


async def test_nothing_is_repeated_once_it_is_down(world: World) -> None:
    place = Place(world)
    place.status = "down"
    watched = await world.watch(interval_s=60, retry_interval_s=5, retries=3, failure_threshold=2)
    await world.go(30)
    assert watched.verdict is not None
    assert watched.verdict.value == "down"
    count = len(place.runs)
    await world.go(61)
    assert len(place.runs) == count + 1


async def test_a_repetition_gives_way_to_the_next_slot(world: World) -> None:
    place = Place(world)
    watched = await world.watch(interval_s=4, timeout_s=1, retry_interval_s=30, retries=5, failure_threshold=3)
    await world.go(5)
    place.status = "down"
    await world.go(16)
    results, _ = await world.store.of("ws").read(lambda s: s.results.page(watched.monitor.id))
    assert {r.attempt for r in results} == {0}


async def test_a_failure_asks_the_other_locations_at_once(world: World) -> None:
    home, away = Place(world), Place(world, "europe")
    watched = await world.watch(
        interval_s=60, monitoring_type="global", locations=("local", "europe"), retry_interval_s=5, failure_threshold=2
    )
    await world.go(2)
    assert watched.verdict is not None
    assert watched.verdict.value == "up"
    home.status = away.status = "down"
    await until(lambda: any(s.suspect for s in watched.states.values()), clock=world.clock)
    await world.go(12)
    assert watched.verdict.value == "down"
    assert watched.verdict.d == 2


async def test_limits_hold(world: World) -> None:
    place = Place(world)
    place.gate = asyncio.Event()
    world.corridor.scheduler.admission.max_concurrent = 7
    await some(world, 20, interval_s=60)
    await world.clock.advance(2)
    assert place.now == 7
    place.gate.set()
    await world.go(1)
    assert place.most == 7
    assert len(place.runs) >= 20


async def test_one_slow_host_does_not_hold_up_the_others(world: World) -> None:
    place = Place(world)
    place.gate = asyncio.Event()
    world.corridor.scheduler.admission.max_per_host = 2
    for n in range(6):
        await world.watch(target={"url": f"http://slow.example/{n}"}, interval_s=60)
    other = await world.watch(target={"url": "http://other.example/"}, interval_s=60)
    await world.clock.advance(1)
    assert other.running
    assert place.now == 3
    place.gate.set()
    await world.quiet()
    assert len(place.runs) == 7


async def test_what_waited_longer_than_an_interval_is_invalid_and_accuses_nobody(world: World) -> None:
    place = Place(world)
    place.gate = asyncio.Event()
    world.corridor.scheduler.admission.max_concurrent = 1
    first, second = await world.watch(interval_s=5, timeout_s=1), await world.watch(interval_s=5, timeout_s=1)
    await world.clock.advance(12)
    place.status = "down"
    place.gate.set()
    await world.quiet()
    waited = second if second.last["local"].status == "invalid" else first
    assert waited.last["local"].status == "invalid"
    assert waited.verdict is None or waited.verdict.value == "unknown"
    assert "late" in waited.last["local"].outcome.error.message


async def test_a_full_writer_holds_starts_back(world: World, monkeypatch: object) -> None:
    place = Place(world)
    scheduler = world.corridor.scheduler
    scheduler._intake._line._results = [None] * 30_000  # type: ignore[attr-defined]
    await world.watch(interval_s=60)
    await world.clock.advance(1)
    assert place.runs == []
    assert scheduler.holding is not None
    scheduler._intake._line._results = []  # type: ignore[attr-defined]
    await world.go(1)
    assert len(place.runs) == 1
    assert scheduler.holding is None


async def test_the_further_behind_the_loop_is_the_fewer_checks_start(world: World) -> None:
    scheduler, lag = world.corridor.scheduler, world.corridor.lag
    scheduler._budget = 150

    def room(lag_s: float) -> int:
        lag.latest_s = lag_s
        return scheduler._room(1)

    rooms = [room(s) for s in (0.0, 0.03, 0.05, 0.08, 0.11, 0.12, 0.2)]
    assert rooms == sorted(rooms, reverse=True)
    assert rooms[:2] == [150, 150]
    assert 0 < rooms[3] < 100
    assert rooms[-2:] == [5, 5]
    assert scheduler.holding is None
    assert room(0.3) == 5
    assert scheduler.holding is not None
    assert scheduler._room(0) == 150  # nothing runs: it is not our checks that the loop waits for
    lag.latest_s = 0.0


async def test_a_pause_stops_checks_and_a_resume_starts_them_at_once(world: World) -> None:
    place = Place(world)
    watched = await world.watch(interval_s=10, timeout_s=1)
    await world.go(1)
    await world.rewrite(replace(watched.monitor, paused=True))
    place.runs.clear()
    await world.go(25)
    assert place.runs == []
    assert watched.next_at is None
    await world.rewrite(replace(watched.monitor, paused=False))
    await world.go(0.2)
    assert len(place.runs) == 1


async def test_what_still_waits_for_a_monitor_is_not_checked_once_it_moved_and_paused(world: World) -> None:
    place = Place(world)
    place.gate = asyncio.Event()
    world.corridor.scheduler.admission.max_concurrent = 1
    await world.watch(target={"url": "http://busy/"}, interval_s=60)
    await world.clock.advance(0.2)
    watched = await world.watch(target={"url": "http://old/"}, interval_s=60)
    await world.clock.advance(0.2)
    assert watched.running == {"local"}
    await world.rewrite(replace(watched.monitor, target={"url": "http://new/"}, paused=True))
    place.gate.set()
    await world.go(2)
    assert place.runs == ["http://busy/"]
    assert watched.running == set()


async def test_a_deleted_monitor_is_not_checked_any_more(world: World) -> None:
    place = Place(world)
    watched = await world.watch(interval_s=5, timeout_s=1)
    await world.go(1)
    await world.store.of("ws").write(lambda s: s.monitors.delete(watched.monitor.id))
    await world.corridor.removed(watched.monitor.id)
    place.runs.clear()
    await world.go(11)
    assert place.runs == []
    assert len(world.corridor.watchlist) == 0


async def test_many_new_monitors_start_in_slices(world: World) -> None:
    place = Place(world)
    place.gate = asyncio.Event()
    await some(world, 3 * BURST, interval_s=3600)
    await world.clock.advance(0.05)
    assert place.now <= BURST
    await world.clock.advance(0.3)
    assert place.now == 3 * BURST
    place.gate.set()


async def test_a_clock_that_jumps_makes_no_burst_and_no_silence(world: World) -> None:
    place = Place(world)
    await some(world, 20, interval_s=20, timeout_s=5)
    await world.go(21)
    for jump in (3600, -7200, 365 * 86_400):
        world.clock.jump(jump)
        await world.go(1)
        place.runs.clear()
        await world.go(20)
        assert 19 <= len(place.runs) <= 21


async def test_a_clock_set_back_does_not_hide_an_outage(world: World) -> None:
    place = Place(world)
    watched = await world.watch(interval_s=20, timeout_s=5, retry_interval_s=5)
    await world.go(21)
    world.clock.jump(-7200)
    place.status = "down"
    await world.go(45)
    assert watched.verdict is not None
    assert watched.verdict.value == "down"


async def test_lateness_is_measured(world: World) -> None:
    Place(world)
    before = telemetry.scheduler_lateness._sum.get()  # type: ignore[attr-defined]
    await world.watch(interval_s=5, timeout_s=1)
    await world.go(11)
    assert 0 <= telemetry.scheduler_lateness._sum.get() - before < 5  # type: ignore[attr-defined]


async def test_after_a_stop_the_gap_is_known(world: World) -> None:
    Place(world)
    await world.watch(interval_s=10, timeout_s=1)
    await world.go(2)
    await world.stop()
    await world.clock.advance(100, step=100)
    await world.start()
    assert world.corridor.scheduler.gap_s is not None
    assert 99 <= world.corridor.scheduler.gap_s <= 101
    assert world.corridor.scheduler.missed == 10
    assert await world.store.everything().read(lambda s: s.notes.get(WATERMARK))


async def test_a_check_that_waits_stands_for_the_newest_slot(world: World) -> None:
    """Far more is due than may start: what starts at last is judged, for it stands for a slot that has just come."""
    place = Place(world)
    await world.watch(interval_s=60)
    watched = await world.watch(interval_s=10, timeout_s=5)
    await world.go(12)
    world.corridor.scheduler.admission.max_concurrent = 0
    missed = world.corridor.scheduler.missed
    await world.go(45)
    assert world.corridor.scheduler.missed > missed + 2
    runs = len(place.runs)
    world.corridor.scheduler.admission.max_concurrent = 10
    await until(lambda: len(place.runs) > runs and not watched.running, clock=world.clock)
    await world.quiet()
    assert watched.last["local"].status == "up"
