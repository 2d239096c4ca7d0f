"""Results between instances: numbered once, taken in as one row, a gap stays visible."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from builders import FakeClock, a_monitor, a_result, at
from store.conftest import furnish
from store.replicas import catch_up, enrol, found, open_instance, replica_of, sql, take_snapshot
from tocsin.core.result import AssertionResult, CheckError, CheckResult, Numbered, TlsFacts
from tocsin.store import Store, sqlite
from tocsin.store.batch import Batch
from tocsin.store.replica import Transport

replace = msgspec.structs.replace


class Two:
    """A primary and a follower with one monitor that both watch from places of their own."""

    def __init__(self, primary: Store, follower: Store, monitor: Any, clock: FakeClock) -> None:
        self.primary, self.follower, self.monitor, self.clock = primary, follower, monitor, clock

    def results(self, location: str, *slots: int, status: Any = "up", **seen: Any) -> tuple[CheckResult, ...]:
        return tuple(a_result(status, monitor=self.monitor, at=at(60 * n), location=location, **seen) for n in slots)

    async def page(self, store: Store) -> list[Any]:
        found, _ = await store.of("ws").read(lambda s: s.results.page(self.monitor.id, limit=500))
        return [(r.location, r.at, r.attempt, r.status, r.error, r.timing, r.status_code, r.started_at) for r in found]


def of(store: Store) -> Transport:
    return replica_of(store).transport


@pytest.fixture
async def two(tmp_path: Path) -> AsyncIterator[Two]:
    clock = FakeClock()
    primary, follower = [await open_instance(tmp_path, name, clock) for name in ("one", "two")]
    await furnish(primary)
    key, _ = await found(primary)
    monitor = a_monitor()
    await primary.of("ws").write(lambda s: s.monitors.add(monitor))
    for name in ("paris", "tokyo"):
        await primary.everything().write(lambda s, name=name: s.places.location(name))
    await enrol(follower, key, primary)
    await of(primary).number_as("one:1")
    await of(follower).number_as("two:1")
    yield Two(primary, follower, monitor, clock)
    await primary.close()
    await follower.close()


async def test_results_reach_the_other_and_are_one_row(two: Two) -> None:
    await two.primary.commit(Batch(id="a", results=two.results("paris", 1, 2, 3)))
    await two.follower.commit(Batch(id="b", results=two.results("tokyo", 1, 2, status="down")))
    await two.primary.move_tail()
    await two.primary.commit(Batch(id="c", results=two.results("paris", 4)))
    assert await of(two.primary).ends() == {"one:1": 4}
    for _ in range(2):  # twice is the same as once
        sent = await of(two.primary).read("one:1", 0)
        assert (sent.after, sent.upto, len(sent.results)) == (0, 4, 4)
        assert await of(two.follower).take_in(sent) == 4
        back = await of(two.follower).read("two:1", 0)
        await two.primary.commit(Batch(id="d", results=back.results))  # as intake does with what it judged
        assert await of(two.primary).keep(back) == 2
    assert await two.page(two.primary) == await two.page(two.follower)
    assert len(await two.page(two.primary)) == 6
    assert await of(two.primary).ends() == await of(two.follower).ends() == {"one:1": 4, "two:1": 2}
    assert sql(two.primary, "SELECT count(*) FROM transport") == [(6,)]
    onward = await of(two.follower).read("one:1", 2)
    assert [r.numbered for r in onward.results] == [Numbered("one:1", 3), Numbered("one:1", 4)]


async def test_what_was_seen_of_a_failure_goes_along(two: Two) -> None:
    error = CheckError("assertion", "the title is another one", "transfer")
    (down,) = two.results(
        "tokyo", 1, status="down", error=error, ip="192.0.2.1", headers=(("server", "x"),), body=b"secret body",
        tls=TlsFacts(subject="CN=a", not_after=at(500), sans=("a",)), facts={"n": 1}, redirects=2, status_code=500,
    )  # fmt: skip
    seen = AssertionResult(type="title", ok=False, expected="a", actual="b", name="n")
    down = replace(down, outcome=replace(down.outcome, assertions=(seen,)), substitute_for="paris")
    await two.follower.commit(Batch(id="a", results=(down, *two.results("tokyo", 2))))
    for restarted in (False, True):
        if restarted:
            await two.follower.move_tail()
        sent = await of(two.follower).read("two:1", 0)
        got = replace(sent.results[0], numbered=None)
        bare = replace(down, outcome=replace(down.outcome, seen=replace(down.outcome.seen, body=b"")))
        assert got == bare
    wire = msgspec.json.decode(msgspec.json.encode(sent), type=type(sent))
    assert wire == sent


async def test_a_gap_stays_one_until_it_is_filled(two: Two) -> None:
    await two.primary.commit(Batch(id="a", results=two.results("paris", *range(1, 11))))
    parts = [await of(two.primary).read("one:1", after, upto) for after, upto in ((0, 3), (3, 6), (6, 10))]
    assert await of(two.follower).take_in(parts[0]) == 3
    assert await of(two.follower).take_in(parts[2]) == 3
    assert await of(two.follower).islands() == {"one:1": [(7, 10)]}
    # What lies behind the gap can be had from it already, by naming it.
    island = await of(two.follower).read("one:1", 6, 10)
    assert (island.upto, len(island.results)) == (10, 4)
    assert (await of(two.follower).read("one:1", 3)).results == ()
    assert await of(two.follower).take_in(parts[1]) == 10
    assert (await of(two.follower).islands(), await of(two.follower).ends()) == ({}, {"one:1": 10})
    part = await of(two.primary).read("one:1", 0, limit=4)
    assert (part.upto, len(part.results)) == (4, 4)


async def test_what_is_behind_a_gap_is_told_in_ranges(two: Two) -> None:
    await two.primary.commit(Batch(id="a", results=two.results("paris", *range(1, 11))))
    for after, upto in ((2, 4), (4, 5), (7, 8), (9, 10)):
        assert await of(two.follower).take_in(await of(two.primary).read("one:1", after, upto)) == 0
    assert await of(two.follower).islands() == {"one:1": [(3, 5), (8, 8), (10, 10)]}
    assert await of(two.follower).take_in(await of(two.primary).read("one:1", 0, 2)) == 5
    assert await of(two.follower).islands() == {"one:1": [(8, 8), (10, 10)]}


async def test_what_lies_on_the_spool_is_no_gap_to_the_others(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "_WAIT_S", 0.02)
    await two.follower.commit(Batch(id="a", results=two.results("tokyo", 1, 2)))
    said = await of(two.follower).read("two:1", 0)
    other = sqlite3.connect(two.primary._database.path, isolation_level=None)  # type: ignore[attr-defined]
    other.execute("BEGIN IMMEDIATE")
    assert await two.primary.commit(Batch(id="b", results=said.results)) == "spooled"
    other.execute("ROLLBACK")
    other.close()
    assert await of(two.primary).keep(said) == 2
    onward = await of(two.primary).read("two:1", 0)
    assert (onward.upto, len(onward.results)) == (2, 2)  # whom it is handed on to has them, too
    while two.primary.spooled:
        await two.clock.advance(5.0)
        await asyncio.sleep(0.01)
    assert len(await two.page(two.primary)) == 2


async def test_numbers_go_on_after_a_start_and_after_a_write_that_failed(two: Two, tmp_path: Path) -> None:
    await two.primary.commit(Batch(id="a", results=two.results("paris", 1, 2)))

    def fails(s: Any) -> None:
        s.results.add(two.results("paris", 3))
        raise ValueError("on purpose")

    with pytest.raises(ValueError, match="on purpose"):
        await two.primary.everything().write(fails)
    await two.primary.commit(Batch(id="b", results=two.results("paris", 4)))
    assert await of(two.primary).ends() == {"one:1": 3}
    await two.primary.close()
    again = await open_instance(tmp_path, "one", two.clock)
    try:
        await again.commit(Batch(id="c", results=two.results("paris", 5)))
        assert await of(again).ends() == {"one:1": 4}
        assert [r.numbered for r in (await of(again).read("one:1", 0)).results if r.numbered][-1] == Numbered(
            "one:1", 4
        )
    finally:
        await again.close()


async def test_numbers_are_kept_for_a_day(two: Two) -> None:
    await two.primary.commit(Batch(id="a", results=two.results("paris", 1, 2)))
    two.clock.jump(23 * 3600.0)
    await two.primary.commit(Batch(id="b", results=two.results("paris", 3)))
    two.clock.jump(2 * 3600.0)
    assert await of(two.primary).expire() == 2
    assert sql(two.primary, "SELECT seq FROM transport") == [(3,)]
    sent = await of(two.primary).read("one:1", 0)
    assert (sent.after, sent.upto, len(sent.results)) == (0, 3, 1)
    assert await of(two.follower).take_in(sent) == 3
    two.clock.jump(25 * 3600.0)
    assert await of(two.primary).expire() == 1
    await two.primary.commit(Batch(id="c", results=two.results("paris", 4)))
    assert await of(two.primary).ends() == {"one:1": 4}


async def test_who_is_behind_the_sender_takes_nothing_in_yet(two: Two) -> None:
    fresh = a_monitor()
    await two.primary.of("ws").write(lambda s: s.monitors.add(fresh))
    await two.primary.commit(Batch(id="a", results=(a_result(monitor=fresh, location="paris"),)))
    sent = await of(two.primary).read("one:1", 0)
    assert await of(two.follower).take_in(sent) == 0
    await catch_up(two.follower, two.primary)
    assert await of(two.follower).take_in(sent) == 1
    assert len((await two.follower.of("ws").read(lambda s: s.results.page(fresh.id)))[0]) == 1


async def test_results_of_a_monitor_that_is_gone_leave_no_gap(two: Two) -> None:
    gone = a_monitor()
    await two.primary.of("ws").write(lambda s: s.monitors.add(gone))
    await catch_up(two.follower, two.primary)
    mixed = (a_result(monitor=gone, location="tokyo"), *two.results("tokyo", 1))
    await two.follower.commit(Batch(id="a", results=mixed))
    early = await of(two.follower).read("two:1", 0)
    await two.primary.of("ws").write(lambda s: s.monitors.delete(gone.id))
    await two.primary.commit(Batch(id="b", results=early.results))
    assert await of(two.primary).keep(early) == 2
    await catch_up(two.follower, two.primary)
    late = await of(two.follower).read("two:1", 0)
    assert (late.upto, [r.monitor_id for r in late.results]) == (2, [two.monitor.id])


async def test_a_snapshot_leaves_what_was_numbered(two: Two) -> None:
    await two.follower.commit(Batch(id="a", results=two.results("tokyo", 1, 2)))
    await take_snapshot(two.follower, two.primary)
    sent = await of(two.follower).read("two:1", 0)
    assert (sent.upto, len(sent.results)) == (2, 2)


async def test_an_instance_that_stands_alone_numbers_nothing(tmp_path: Path) -> None:
    store = await open_instance(tmp_path, "one")
    await furnish(store)
    monitor = a_monitor()
    await store.of("ws").write(lambda s: s.monitors.add(monitor))
    await store.commit(Batch(id="a", results=(a_result(monitor=monitor),)))
    assert sql(store, "SELECT count(*) FROM transport") == [(0,)]
    await store.close()
