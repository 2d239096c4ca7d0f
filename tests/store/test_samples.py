"""What agents told, on both databases: each look once, gathered into steps, forgotten in time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from builders import START, at, records
from tocsin.core.buckets import STEPS
from tocsin.core.sample import Service
from tocsin.store import Session, Store
from tocsin.store.heartbeats import Said
from tocsin.store.samples import Looked

HOST = ("ws", "r")
CPU, DISK = "cpu.used_percent", "disk.used_percent{mount=/}"
KEEPS = dict.fromkeys(STEPS, 1e9)
T0 = int(START.timestamp())


@pytest.fixture
async def kept(store: Store) -> Store:
    await store.of("ws").write(lambda s: s.hosts.add(records()["hosts"]))
    return store


def look(seq: int, second: int, *values: float, names: Sequence[str] = (CPU, DISK)) -> Looked:
    return Looked(seq, T0 + second, list(names)[: len(values)], list(values))


async def take(store: Store, *looks: Looked, incarnation: str = "one", most: int = 10) -> Any:
    return await store.of("ws").write(lambda s: s.samples.take(HOST, incarnation, looks, most), local=True)


async def move(store: Store) -> int:
    found = await store.everything().read(lambda s: s.samples.gathered(HOST))
    return await store.everything().write(lambda s: s.samples.move(found, KEEPS), local=True)


async def counts(store: Store, step: int = 60) -> dict[str, list[tuple[int, int, float]]]:
    def read(s: Session) -> Any:
        return s.samples.read("r", [CPU, DISK], T0 - 3600, T0 + 7200, step)

    found = await store.of("ws").read(read)
    return {name: [(second - T0, b.n, b.last) for second, b in sorted(some.items())] for name, some in found.items()}


async def test_each_look_is_kept_once(kept: Store) -> None:
    assert (await take(kept, look(1, 0, 1.0, 5.0), look(2, 10, 2.0))).acked == 2
    again = await take(kept, look(1, 0, 9.0), look(2, 10, 9.0), look(3, 70, 3.0))
    assert (again.acked, len(again.fresh)) == (3, 1)
    assert (await take(kept, look(2, 10, 9.0))).acked == 3
    assert await counts(kept) == {CPU: [(0, 2, 2.0), (60, 1, 3.0)], DISK: [(0, 1, 5.0)]}
    assert (await take(kept, look(1, 80, 4.0), incarnation="two")).acked == 1


async def test_what_moved_and_what_came_later_are_one(kept: Store) -> None:
    await take(kept, *(look(n, n * 10, float(n), 50.0) for n in range(1, 400)))
    before = {step: await counts(kept, step) for step in STEPS}
    assert await move(kept) == 798
    assert {step: await counts(kept, step) for step in STEPS} == before
    assert await move(kept) == 0
    await take(kept, look(400, 3995, 7.0))
    assert (await counts(kept, 3600))[CPU] == [(0, 359, 359.0), (3600, 41, 7.0)]
    await move(kept)
    assert (await counts(kept, 3600))[CPU] == [(0, 359, 359.0), (3600, 41, 7.0)]


async def test_series_beyond_the_most_are_refused_by_name(kept: Store) -> None:
    answer = await take(kept, look(1, 0, 1.0, 2.0), most=1)
    assert (answer.refused, answer.acked) == ([DISK], 1)
    assert [m.name for m in await kept.of("ws").read(lambda s: s.samples.metrics("r"))] == [CPU]


async def test_what_was_taken_back_is_not_remembered(kept: Store) -> None:
    def fail(s: Session) -> None:
        s.samples.take(HOST, "one", [look(1, 0, 1.0)], 10)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await kept.of("ws").write(fail, local=True)
    assert (await take(kept, look(1, 0, 2.0))).acked == 1
    assert (await counts(kept))[CPU] == [(0, 1, 2.0)]


async def test_what_belongs_to_a_host_that_is_gone_is_forgotten(kept: Store) -> None:
    await take(kept, look(1, 0, 1.0))
    await move(kept)
    await take(kept, look(2, 10, 1.0))
    await kept.of("ws").write(lambda s: s.heartbeats.note(HOST, Said(), START, 75), local=True)
    assert await kept.everything().write(lambda s: s.samples.expire(at(-1), 100), local=True) == 0
    await kept.of("ws").write(lambda s: s.hosts.delete("r"))
    assert await kept.everything().write(lambda s: s.samples.expire(at(-1), 100), local=True) == 1

    def left(s: Session) -> list[Any]:
        tables = ("series", "samples", "samples_tail", "agent_acks", "heartbeats", "host_states")
        return [row for table in tables for row in s.rows(f"SELECT * FROM {table}")]

    assert await kept.everything().read(left) == []


async def test_old_steps_are_forgotten_when_new_ones_come(kept: Store) -> None:
    await take(kept, look(1, -20 * 86_400, 1.0))
    await move(kept)
    await take(kept, look(2, 0, 2.0))
    found = await kept.everything().read(lambda s: s.samples.gathered(HOST))
    keeps = KEEPS | {10: 86_400.0}
    await kept.everything().write(lambda s: s.samples.move(found, keeps), local=True)

    def read(step: int) -> Any:
        return lambda s: s.samples.read("r", [CPU], T0 - 30 * 86_400, T0 + 60, step)

    assert len((await kept.of("ws").read(read(10)))[CPU]) == 1
    assert len((await kept.of("ws").read(read(60)))[CPU]) == 2


async def test_heartbeats_are_stretches(kept: Store) -> None:
    async def beat(second: float, **more: Any) -> None:
        await kept.of("ws").write(lambda s: s.heartbeats.note(HOST, Said(**more), at(second), 75), local=True)

    for second in (0, 60, 120, 300, 360):
        await beat(second)
    await beat(420, agent_version="2")
    found = await kept.of("ws").read(lambda s: s.heartbeats.list("r"))
    assert [((one.began_at - START).total_seconds(), (one.last_at - START).total_seconds(), one.count) for one in found] == [
        (420, 420, 1), (300, 360, 2), (0, 120, 3),
    ]  # fmt: skip
    (newest,) = await kept.everything().read(lambda s: s.heartbeats.newest())
    assert newest.said.agent_version == "2"
    assert await kept.everything().write(lambda s: s.heartbeats.expire(at(200))) == 1


async def test_changes_of_what_runs_there(kept: Store) -> None:
    def thing(state: str, **more: Any) -> Service:
        return Service(kind="unit", name="nginx", state=state, ok=state == "active", **more)

    async def see(second: float, *found: Service) -> list[tuple[str, str]]:
        changed = await kept.of("ws").write(
            lambda s: s.host_states.take(HOST, "systemd", found, at(second)), local=True
        )
        return [(c.before, c.after) for c in changed]

    assert await see(0, thing("active")) == [("", "active")]
    assert await see(10, thing("active", detail="more")) == []
    assert await see(20, thing("failed")) == [("active", "failed")]
    assert await see(30) == [("failed", "gone")]
    assert await kept.of("ws").read(lambda s: s.host_states.list("r")) == []
    changes = await kept.of("ws").read(lambda s: s.host_states.changes("r", kind="unit", before=at(30)))
    assert [c.after for c in changes] == ["failed", "active"]
    assert await kept.everything().write(lambda s: s.host_states.expire(START + timedelta(seconds=5))) == 1
