"""Instances that end, or whose database is away, at any point of what they do: kill -9 by real processes."""

from __future__ import annotations

import asyncio
import random
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from builders import FakeClock, a_channel, a_monitor, a_result, an_incident
from store.conftest import furnish, keep_monitor
from store.replicas import append, catch_up, enrol, found, last_of, open_instance, replica_of, shared_rows, sql
from tocsin.errors import NotPrimary
from tocsin.store import Store, sqlite
from tocsin.store.batch import Batch, IncidentChange
from tocsin.store.images import decode

CHILD = """
import asyncio, sys
sys.path[:0] = {paths!r}
from pathlib import Path
import msgspec
from builders import a_channel, a_monitor, a_result, at
from store.replicas import Courier, Save, append, open_instance, replica_of
from tocsin.store.batch import Batch
from tocsin.store.control import Entry
from tocsin.clock import SystemClock

class Telling(Courier):
    def appended(self, entry):
        super().appended(entry)
        print("appended", entry.index, flush=True)

async def main():
    store = await open_instance(Path({folder!r}), {name!r}, SystemClock())
    replica = replica_of(store)
    {body}

asyncio.run(main())
"""
LEADS = """
courier = Telling(at_once=False)
await replica.lead(2, courier)

async def settle():
    while True:
        await asyncio.sleep(0.02)
        if courier.entries:
            courier.settle(courier.entries[-1].index)

async def one(n):
    await store.of("ws").write(lambda s: s.channels.add(a_channel(id=f"c{n}")))
    await store.of("ws").write(lambda s: s.monitors.add(a_monitor(id=f"n{n}", channels=(f"c{n}",))))
    print("done", n, flush=True)
    if n % 3 == 0:
        await store.of("ws").write(lambda s: s.channels.delete(f"c{n}"))

task = asyncio.create_task(settle())
for n in range(0, 100_000, 4):
    await asyncio.gather(*(one(n + k) for k in range(4)))
"""
FOLLOWS = """
state = await replica.state()
entries = msgspec.msgpack.decode(Path({file!r}).read_bytes(), type=list[Entry])
print("began", state.last.index, state.applied, flush=True)
for entry in entries[state.last.index:]:
    await append(store, [entry])
    if entry.index % 3 == 0:
        await replica.apply(entry.index)
    print("at", entry.index, flush=True)
await replica.apply(entries[-1].index)
print("at", "the end", flush=True)
"""
TESTS = str(Path(__file__).parent.parent)


def child(folder: Path, name: str, body: str) -> subprocess.Popen[str]:
    text = CHILD.format(paths=[TESTS], folder=str(folder), name=name, body=body.replace("\n", "\n    "))
    return subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE, text=True)


def kill_after(process: subprocess.Popen[str], lines: int) -> list[str]:
    """What it said until it was killed, a moment after so many lines."""
    said: list[str] = []
    assert process.stdout is not None
    try:
        for line in process.stdout:
            if line.endswith("\n"):  # the last one it may have been killed in
                said.append(line.strip())
            if len(said) == lines:
                process.send_signal(signal.SIGKILL)
    finally:
        process.kill()
        process.communicate()
    return said


@pytest.mark.parametrize("lines", [7, 40, 131])
async def test_log_and_tables_of_a_killed_primary_agree(tmp_path: Path, lines: int) -> None:
    store = await open_instance(tmp_path, "one")
    await furnish(store)
    key, _ = await found(store)
    other = await open_instance(tmp_path, "two")
    await enrol(other, key, store)
    await store.close()
    said = kill_after(child(tmp_path, "one", LEADS), lines)
    told = [int(line.split()[1]) for line in said if line.startswith("appended")]
    done = [int(line.split()[1]) for line in said if line.startswith("done")]
    assert told == list(range(1, len(told) + 1))
    again = await open_instance(tmp_path, "one")
    state = await replica_of(again).state()
    assert state is not None
    assert state.applied == state.last.index >= len(told)
    with pytest.raises(NotPrimary):
        await again.of("ws").write(lambda s: s.channels.add(a_channel(id="x")))
    monitors = {m.id for m in await again.of("ws").read(lambda s: s.monitors.all())}
    assert {f"n{n}" for n in done} <= monitors
    await catch_up(other, again)
    assert shared_rows(other) == shared_rows(again)
    await again.close()
    await other.close()


async def test_a_follower_that_is_killed_again_and_again_arrives(tmp_path: Path) -> None:
    store = await open_instance(tmp_path, "one")
    await furnish(store)
    key, courier = await found(store)
    follower = await open_instance(tmp_path, "two")
    await enrol(follower, key, store)
    await follower.close()
    for n in range(60):
        await store.of("ws").write(lambda s, n=n: s.channels.add(a_channel(id=f"c{n}")))
        await store.of("ws").write(lambda s, n=n: s.monitors.add(a_monitor(id=f"n{n}", channels=(f"c{n}",))))
        if n % 2:
            await store.of("ws").write(lambda s, n=n: s.channels.delete(f"c{n - 1}"))
    file = tmp_path / "entries"
    file.write_bytes(msgspec.msgpack.encode(courier.entries))
    for lines in (3, 20, 45):
        said = kill_after(child(tmp_path, "two", FOLLOWS.format(file=str(file))), lines)
        assert len(said) >= lines
    process = child(tmp_path, "two", FOLLOWS.format(file=str(file)))
    out, _ = process.communicate(timeout=60)
    _, last, applied = next(line for line in out.splitlines() if line.startswith("began")).split()
    assert 0 < int(applied) <= int(last)
    follower = await open_instance(tmp_path, "two")
    assert shared_rows(follower) == shared_rows(store)
    await follower.close()
    await store.close()


@pytest.mark.parametrize("fails", ["the log", "the tables", "applied"])
async def test_an_entry_is_applied_whole_or_not_at_all(tmp_path: Path, fails: str) -> None:
    """A power cut between any two statements is a transaction that never was; so is one that fails."""
    store = await open_instance(tmp_path, "one")
    await furnish(store)
    key, courier = await found(store)
    follower = await open_instance(tmp_path, "two")
    await enrol(follower, key, store)
    monitor = a_monitor()
    await store.of("ws").write(lambda s: s.monitors.add(monitor))
    before = shared_rows(follower)
    await append(follower, courier.entries)
    path = tmp_path / "two" / "tocsin.db"
    trigger = {
        "the log": "CREATE TRIGGER broken BEFORE UPDATE ON control BEGIN SELECT RAISE(ABORT, 'broken'); END",
        "the tables": "CREATE TRIGGER broken BEFORE INSERT ON changes BEGIN SELECT RAISE(ABORT, 'broken'); END",
        "applied": "CREATE TRIGGER broken AFTER UPDATE OF applied ON control BEGIN SELECT RAISE(ABORT, 'broken'); END",
    }[fails]
    with sqlite3.connect(path) as raw:
        raw.execute(trigger)
    raw.close()
    with pytest.raises(Exception, match="broken"):
        await replica_of(follower).apply(1)
    assert shared_rows(follower) == before
    assert await follower.of("ws").read(lambda s: s.places.find(monitor.id)) is None
    with sqlite3.connect(path) as raw:
        raw.execute("DROP TRIGGER broken")
    raw.close()
    await replica_of(follower).apply(1)
    assert shared_rows(follower) == shared_rows(store)
    await follower.close()
    await store.close()


async def _away(store: Store) -> sqlite3.Connection:
    other = sqlite3.connect(Path(store._database.path), isolation_level=None)  # type: ignore[attr-defined]
    other.execute("BEGIN IMMEDIATE")
    return other


async def test_a_primary_whose_database_is_away_tells_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "_WAIT_S", 0.02)
    clock = FakeClock()
    store = await open_instance(tmp_path, "one", clock)
    await furnish(store)
    monitor = await keep_monitor(store)
    await store.everything().write(lambda s: s.places.location("local"))
    _, courier = await found(store)
    other = await _away(store)
    decided = Batch(
        id="b", results=(a_result("down", monitor=monitor),),
        incidents=(IncidentChange(incident=an_incident(monitor), opens=True),),
    )  # fmt: skip
    with pytest.raises(NotPrimary):
        await store.commit(decided)
    assert store.spooled == 1
    assert courier.unwritten > 0
    seen = Batch(id="c", results=(a_result("up", monitor=monitor, attempt=1),))
    assert await store.commit(seen) == "spooled"
    other.execute("ROLLBACK")
    other.close()
    while store.spooled:
        await clock.advance(5.0)
        await asyncio.sleep(0.01)
    page, _ = await store.of("ws").read(lambda s: s.results.page(monitor.id))
    assert [r.attempt for r in page] == [1, 0]
    assert courier.entries == []
    assert sql(store, "SELECT count(*) FROM incidents") == [(0,)]
    await store.close()


async def test_what_was_spooled_before_it_joined_is_not_decided_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "_WAIT_S", 0.02)
    clock = FakeClock()
    store = await open_instance(tmp_path, "one", clock)
    await furnish(store)
    monitor = await keep_monitor(store)
    await store.everything().write(lambda s: s.places.location("local"))
    other = await _away(store)
    decided = Batch(
        id="b", results=(a_result("down", monitor=monitor),),
        incidents=(IncidentChange(incident=an_incident(monitor), opens=True),),
    )  # fmt: skip
    assert await store.commit(decided) == "spooled"
    await asyncio.sleep(0.3)  # the first try to put it back fails, too
    other.execute("ROLLBACK")
    other.close()
    await replica_of(store).found(b"standing")
    while store.spooled:
        await clock.advance(5.0)
        await asyncio.sleep(0.01)
    page, _ = await store.of("ws").read(lambda s: s.results.page(monitor.id))
    assert len(page) == 1
    assert sql(store, "SELECT count(*) FROM incidents") == [(0,)]
    assert len(list((tmp_path / "one" / "spool" / "refused").iterdir())) == 1
    await store.close()


async def test_work_that_was_running_when_the_office_was_lost_is_in_the_log_or_refused(tmp_path: Path) -> None:
    store = await open_instance(tmp_path, "one")
    await furnish(store)
    _, courier = await found(store, at_once=False)
    replica, dice = replica_of(store), random.Random(5)
    for epoch in range(2, 12):
        writes = [
            asyncio.create_task(store.of("ws").write(lambda s: s.channels.add(a_channel()))) for _ in range(6)
        ]  # fmt: skip
        await asyncio.sleep(dice.random() * 0.01)
        await replica.follow("https://other.example")
        told = courier.entries[-1].index if courier.entries else 0
        assert await last_of(store) == told
        courier.settle(told, lost=True)
        results = await asyncio.gather(*writes, return_exceptions=True)
        assert all(r is None or isinstance(r, NotPrimary) for r in results)
        courier.settle(told)
        rows = [len(i.rows) for e in courier.entries for i in decode(e.payload).tables if i.table == "channels"]
        assert sum(rows) == sql(store, "SELECT count(*) FROM channels")[0][0]
        await replica.lead(epoch, courier)
    await store.close()
