"""The database away: locked, full, gone. Nothing is lost, nothing is doubled, the order stays."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import subprocess
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from builders import FakeClock, a_channel, a_result, an_incident, an_outbox_row, at, until
from store.conftest import Opener, keep_monitor
from tocsin.core.incident import Entry
from tocsin.errors import StoreUnavailable
from tocsin.store import Store, sqlite
from tocsin.store.batch import Batch, IncidentChange, OutboxOutcome

replace = msgspec.structs.replace


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A held lock is noticed after 20 ms instead of a second."""
    monkeypatch.setattr(sqlite, "_WAIT_S", 0.02)


@asynccontextmanager
async def away(url: str) -> Any:
    """Meanwhile the database of `url` cannot be written: another connection holds it, or nobody may connect."""
    if url.startswith("sqlite"):
        other = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            other.execute("ROLLBACK")
            other.close()
        return
    import asyncpg

    server, name = url.rsplit("/", 1)
    admin = await asyncpg.connect(f"{server}/postgres")
    try:
        await admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        await admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name)
        try:
            yield
        finally:
            await admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    finally:
        await admin.close()


async def patiently(clock: FakeClock, work: Any) -> Any:
    """What the awaitable gives, the clock going on meanwhile."""
    task = asyncio.ensure_future(work)
    await until(task.done, clock=clock, within_s=30)
    return task.result()


def batch(monitor: Any, n: int) -> Batch:
    return Batch(id=f"b{n}", results=(a_result(monitor=monitor, at=at(n), body=b"never kept"),))


async def slots(store: Store, monitor: Any) -> list[Any]:
    found, _ = await store.of("ws").read(lambda s: s.results.page(monitor.id, limit=1000))
    return [r.at for r in reversed(found)]


async def test_an_outage_is_spooled_and_replayed_in_order(
    store: Store, url: str, clock: FakeClock, tmp_path: Path
) -> None:
    monitor, channel = await keep_monitor(store), a_channel(id="c")
    await store.of("ws").write(lambda s: s.channels.add(channel))
    incident, row = an_incident(monitor), an_outbox_row(channel_id="c")
    async with away(url):
        kept = [await patiently(clock, store.commit(batch(monitor, n))) for n in range(3)]
        opened = IncidentChange(incident=incident, entries=(Entry(at=at(3), kind="opened", text="o"),), opens=True)
        kept.append(await store.commit(Batch(id="i", incidents=(opened,), outbox=(row,))))
        done = OutboxOutcome(key=row.key, workspace_id="ws", state="sent", at=at(4), ok=True)
        kept.append(await store.settle([done]))
        assert kept == ["spooled"] * 5
        await until(lambda: store.breaker.state == "open", clock=clock)
        with pytest.raises(StoreUnavailable) as refused:
            await store.of("ws").write(lambda s: s.monitors.delete(monitor.id))
        assert 0 < refused.value.retry_after_s <= 60
        spooled = b"".join(file.read_bytes() for file in (tmp_path / "spool").glob("*.spool"))
        assert b"never kept" not in spooled
    assert await store.commit(batch(monitor, 9)) == "spooled", "the order stays while something waits"
    await until(lambda: store.breaker.state == "closed", clock=clock, within_s=30)
    await until(lambda: store.spooled == 0, clock=clock)
    assert await store.commit(batch(monitor, 10)) == "stored"
    assert await slots(store, monitor) == [at(n) for n in (0, 1, 2, 9, 10)]
    assert await store.of("ws").read(lambda s: s.incidents.list(open=True)[0]) == [incident]
    told = await store.of("ws").read(lambda s: s.outbox.get(row.key))
    assert told is not None
    assert (told.state, told.attempts) == ("sent", 1)


async def test_a_short_lock_is_waited_out(store: Store, url: str, clock: FakeClock) -> None:
    monitor = await keep_monitor(store)
    async with away(url):
        waiting = asyncio.ensure_future(store.commit(batch(monitor, 0)))
        await until(lambda: clock._sleepers)
        assert not waiting.done()
    assert await patiently(clock, waiting) == "stored"
    assert store.breaker.state == "closed"


async def test_reading_goes_on_while_sqlite_cannot_be_written(store: Store, url: str, clock: FakeClock) -> None:
    if not url.startswith("sqlite"):
        async with away(url):
            with pytest.raises(StoreUnavailable):
                await store.of("ws").read(lambda s: s.monitors.all())
        return
    monitor = await keep_monitor(store)
    async with away(url):
        assert await patiently(clock, store.commit(batch(monitor, 0))) == "spooled"
        assert await store.of("ws").read(lambda s: s.monitors.all()) == [monitor]


async def test_a_batch_refused_for_good_is_kept_aside_and_blocks_nothing(
    store: Store, url: str, clock: FakeClock, tmp_path: Path
) -> None:
    monitor = await keep_monitor(store)
    first, second = an_incident(monitor), an_incident(monitor)
    async with away(url):
        for incident in (first, second):
            opened = Batch(id="i", incidents=(IncidentChange(incident=incident, opens=True),))
            assert await patiently(clock, store.commit(opened)) == "spooled"
        assert await patiently(clock, store.commit(batch(monitor, 5))) == "spooled"
    await until(lambda: not list((tmp_path / "spool").glob("*.spool")), clock=clock, within_s=30)
    assert await store.of("ws").read(lambda s: s.incidents.list(open=True)[0]) == [first]
    assert await slots(store, monitor) == [at(5)]
    (aside,) = (tmp_path / "spool" / "refused").iterdir()
    assert second.id.encode() in aside.read_bytes()


async def test_what_was_spooled_is_replayed_after_a_restart(
    store: Store, url: str, clock: FakeClock, open_store: Opener, tmp_path: Path
) -> None:
    monitor = await keep_monitor(store)
    async with away(url):
        for n in range(3):
            assert await patiently(clock, store.commit(batch(monitor, n))) == "spooled"
        await store.close()
    again = await open_store(url)
    await until(lambda: again.spooled == 0, clock=clock)
    assert await slots(again, monitor) == [at(0), at(1), at(2)]


async def test_a_bug_in_one_piece_of_work_harms_only_itself(store: Store) -> None:
    monitor = await keep_monitor(store)
    with pytest.raises(ZeroDivisionError):
        await store.of("ws").write(lambda s: 1 // 0)

    async def one(n: int) -> Any:
        def work(s: Any) -> int:
            s.notes.set(f"n{n}", n)
            return 1 // (n % 7)

        return await asyncio.gather(store.everything().write(work), return_exceptions=True)

    await asyncio.gather(*(one(n) for n in range(50)), *(store.commit(batch(monitor, n)) for n in range(50)))
    kept = await store.everything().read(lambda s: [s.notes.get(f"n{n}") for n in range(50)])
    assert kept == [None if n % 7 == 0 else n for n in range(50)]
    assert len(await slots(store, monitor)) == 50
    assert store.breaker.state == "closed"


async def test_submitters_wait_while_too_much_is_waiting(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    from tocsin.store import postgres

    for module in (sqlite, postgres):
        monkeypatch.setattr(module, "ROOM_ROWS", 20)
    monitor = await keep_monitor(store)
    highest = 0

    async def one(n: int) -> None:
        nonlocal highest
        await store.commit(
            Batch(id="b", results=tuple(a_result(monitor=monitor, at=at(n * 10 + k)) for k in range(10)))
        )
        highest = max(highest, store.backlog)

    await asyncio.gather(*(one(n) for n in range(40)))
    assert store.backlog == 0
    assert 0 < highest <= 42
    assert len(await slots(store, monitor)) == 400


# Other processes ----------------------------------------------------------------------------------------------------
CHILD = """
import asyncio, resource, signal, sys
from pathlib import Path
sys.path[:0] = {paths!r}
from builders import a_result, at
from store.conftest import SEALING_KEY, furnish, keep_monitor
from tocsin.clock import SystemClock
from tocsin.store import Store
from tocsin.store.batch import Batch

async def main():
    folder = Path({folder!r})
    store = await Store.open(f"sqlite:///{{folder}}/tocsin.db", clock=SystemClock(), sealing_key=SEALING_KEY,
                             spool_dir=folder / "spool", retry_delay_s=0.01)
    await furnish(store)
    monitor = await keep_monitor(store, id="m")
    {body}

asyncio.run(main())
"""
TESTS = str(Path(__file__).parent.parent)


def child(folder: Path, body: str) -> subprocess.Popen[str]:
    text = CHILD.format(paths=[TESTS], folder=str(folder), body=body.replace("\n", "\n    "))
    return subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


async def test_nothing_committed_is_lost_by_kill_9(tmp_path: Path, open_store: Opener) -> None:
    body = """
for n in range(100_000):
    results = tuple(a_result(monitor=monitor, at=at(n * 5 + k)) for k in range(5))
    print("kept", n, await store.commit(Batch(id="b", results=results)), flush=True)
    if n % 40 == 39:
        await store.move_tail()
"""
    process = child(tmp_path, body)
    assert process.stdout is not None
    acknowledged = -1
    try:
        for line in process.stdout:
            if line.startswith("kept"):
                _, number, kept = line.split()
                assert kept == "stored"
                acknowledged = int(number)
                if acknowledged == 150:
                    process.send_signal(signal.SIGKILL)
    finally:
        process.kill()
        process.communicate()
    assert acknowledged >= 150
    store = await open_store(f"sqlite:///{tmp_path}/tocsin.db")
    await store.move_tail()
    monitor = await store.of("ws").read(lambda s: s.monitors.get("m"))
    rows = await store.everything().read(lambda s: [r[0] for r in s.rows("SELECT at FROM results ORDER BY at")])
    assert len(rows) == len(set(rows))
    assert len(rows) in ((acknowledged + 1) * 5, (acknowledged + 2) * 5)
    points = await store.of("ws").read(lambda s: s.rollups.series(monitor.id, at(0), at(10**6), 86_400))
    assert sum(p.count for p in points) == len(rows)


async def test_a_full_disk_spools_and_nothing_is_lost(tmp_path: Path, open_store: Opener) -> None:
    body = """
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, hard))
n, kept = 0, "stored"
while kept == "stored":
    results = tuple(a_result(monitor=monitor, at=at(n * 50 + k)) for k in range(50))
    kept = await store.commit(Batch(id="b", results=results))
    n += 1
for _ in range(5):
    assert await store.commit(Batch(id="b", results=(a_result(monitor=monitor, at=at(n * 50)),))) == "spooled"
    n += 1
print(n, flush=True)
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
await store.close()
"""
    process = child(tmp_path, body)
    out, err = await asyncio.to_thread(process.communicate, timeout=60)
    assert process.returncode == 0, err
    n = int(out.split()[-1])
    assert list((tmp_path / "spool").glob("*.spool"))
    store = await open_store(f"sqlite:///{tmp_path}/tocsin.db")
    await until(lambda: not list((tmp_path / "spool").glob("*.spool")))
    rows = await store.everything().read(lambda s: s.results.recent(["m"], 100_000))
    assert rows["m"] == "u" * ((n - 5) * 50 + 5)


async def test_when_neither_database_nor_spool_take_it_the_caller_is_told(tmp_path: Path) -> None:
    body = """
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
from tocsin.errors import StoreUnavailable
batch = Batch(id="b", results=tuple(a_result(monitor=monitor, at=at(k)) for k in range(50)))
try:
    await store.commit(batch)
except StoreUnavailable as error:
    print("told:", error)
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
print(await store.commit(batch))
await store.close()
"""
    process = child(tmp_path, body)
    out, err = await asyncio.to_thread(process.communicate, timeout=60)
    assert process.returncode == 0, err
    assert "told: neither the database nor the spool can be written\nstored" in out
