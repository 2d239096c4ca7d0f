"""A real PostgreSQL with a real standby; roles that see less; servers that answer something else."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from collectors.looking import named, source, troubles
from hostile import Talk, authority, issue, serving
from pg_cluster import cluster, standby
from tocsin import collectors
from tocsin.collectors import _pg
from tocsin.collectors.postgres import where
from tocsin.core.sample import Reading
from tocsin.core.shape import read
from tocsin.errors import Invalid
from tocsin.net import Egress, Net


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with cluster() as listening:
        asyncio.run(furnished(listening))
        yield listening


async def furnished(port: int) -> None:
    async with session(port) as connection:
        await connection.execute("CREATE ROLE small LOGIN; CREATE TABLE orders (id int)")
        await connection.execute("CREATE DATABASE shop")


@asynccontextmanager
async def session(port: int, database: str = "postgres") -> AsyncIterator[Any]:
    import asyncpg

    connection = await asyncpg.connect(f"postgresql://tocsin@127.0.0.1:{port}/{database}")
    try:
        yield connection
    finally:
        await connection.close()


@asynccontextmanager
async def looking(port: int, user: str = "tocsin", **more: Any) -> AsyncIterator[Any]:
    async with Net(egress=Egress("private")) as net:
        made = source("postgres", net=net, connection=f"postgres://{user}@127.0.0.1:{port}/postgres", **more)
        yield made
        await made.close()


async def until(made: Any, wanted: Any) -> Reading:
    """Look until the reading is as wanted."""
    async with asyncio.timeout(60):
        while True:
            reading = named(await made.collect())
            if wanted(reading):
                return reading
            await asyncio.sleep(0.1)


def state(reading: Reading, kind: str) -> tuple[str, bool | None]:
    (found,) = [s for s in reading.services if s.kind == kind]
    return found.state, found.ok


def figure(reading: Reading, metric: str, **labels: str) -> float:
    """The value of the one series of that metric that has those labels."""
    (found,) = [
        v
        for k, v in reading.values.items()
        if k.partition("{")[0] == metric and all(f"{n}={t}" in k for n, t in labels.items())
    ]
    return found


async def test_a_server_tells_of_itself(port: int) -> None:
    async with looking(port) as made:
        before = named(await made.collect())
        assert before.trouble == ""
        assert state(before, "database") == ("up", True)
        (service,) = before.services
        assert (service.facts["role"], service.name) == ("primary", f"127.0.0.1:{port}")
        assert figure(before, "postgres.database_bytes", database="shop") > 1_000_000
        assert 0 < figure(before, "postgres.wraparound_percent", database="shop") < 1
        assert figure(before, "postgres.connections_percent") < 50
        async with session(port) as connection:
            for _ in range(20):
                await connection.execute("SELECT count(*) FROM orders")
        await asyncio.sleep(0.3)
        after = await until(made, lambda r: any(k.startswith("postgres.commits_per_s") for k in r.values))
        assert figure(after, "postgres.commits_per_s", database="postgres") > 0
        assert 0 <= figure(after, "postgres.cache_hit_percent", database="postgres") <= 100
        assert figure(after, "postgres.checkpoints_timed_per_s") == 0
        assert troubles("postgres", after) == set()


async def test_what_connections_do(port: int) -> None:
    async with session(port) as idle, session(port) as waits, looking(port) as made:
        await idle.execute("BEGIN; LOCK TABLE orders")
        waiting = asyncio.create_task(waits.execute("SELECT * FROM orders"))
        reading = await until(made, lambda r: figure(r, "postgres.locks_waiting") == 1)
        assert figure(reading, "postgres.connections") == 3
        assert figure(reading, "postgres.connections_idle_in_transaction") == 1
        assert figure(reading, "postgres.connections_active") == 1
        for metric in ("longest_query_s", "longest_transaction_s", "longest_idle_in_transaction_s"):
            assert 0 < figure(reading, f"postgres.{metric}") < 60
        await idle.execute("ROLLBACK")
        await waiting


async def test_a_role_that_sees_little(port: int) -> None:
    async with looking(port, "small") as made, session(port) as connection:
        reading = named(await made.collect())
        assert "GRANT pg_monitor" in reading.trouble
        assert state(reading, "database") == ("up", True)
        assert figure(reading, "postgres.connections") >= 2
        assert not any("longest" in name for name in reading.values)
        await connection.execute("REVOKE EXECUTE ON FUNCTION pg_database_size(oid) FROM PUBLIC")
        reading = named(await made.collect())
        assert "sizes: ERROR 42501" in reading.trouble
        assert figure(reading, "postgres.locks_waiting") == 0
        await connection.execute("GRANT EXECUTE ON FUNCTION pg_database_size(oid) TO PUBLIC")


async def test_a_standby_that_is_behind(port: int) -> None:
    with standby(port) as second:
        async with (
            looking(port) as primary,
            looking(second) as follower,
            session(port) as writes,
            session(second) as replays,
        ):
            reading = await until(primary, lambda r: any(s.kind == "replica" and s.ok for s in r.services))
            assert state(reading, "slot") == ("active", True)
            assert figure(reading, "postgres.slot_retained_bytes", slot="standby") >= 0
            await until(
                follower,
                lambda r: (
                    state(r, "replication") == ("receives", True) and figure(r, "postgres.replication_lag_s") == 0
                ),
            )
            await replays.execute("SELECT pg_wal_replay_pause()")
            await writes.execute("INSERT INTO orders SELECT generate_series(1, 10000)")
            reading = await until(
                follower,
                lambda r: (
                    state(r, "replication")[0] == "paused" and figure(r, "postgres.replication_lag_bytes") > 100_000
                ),
            )
            assert figure(reading, "postgres.replication_lag_s") > 0
            assert ("replication", f"replication/127.0.0.1:{second}") in troubles("postgres", reading)
            reading = await until(
                primary, lambda r: figure(r, "postgres.replica_lag_bytes", replica="standby@127.0.0.1") > 100_000
            )
            await replays.execute("SELECT pg_wal_replay_resume()")
            reading = await until(follower, lambda r: figure(r, "postgres.replication_lag_s") == 0)
            assert reading.services[0].facts["role"] == "standby"
            assert figure(reading, "postgres.replication_lag_bytes") == 0
            await replays.execute("ALTER SYSTEM SET primary_conninfo = 'host=127.0.0.1 port=1 user=tocsin'")
            await replays.execute("SELECT pg_reload_conf()")
            reading = await until(follower, lambda r: state(r, "replication") == ("not receiving", False))
            assert figure(reading, "postgres.replication_lag_s") > 0
    async with looking(port) as primary, session(port) as writes:
        reading = await until(primary, lambda r: state(r, "slot") == ("inactive", None))
        await writes.execute("SELECT pg_drop_replication_slot('standby')")


async def test_a_server_that_does_not_answer(port: int) -> None:
    async def silent(talk: Talk) -> None:
        await talk.hang()

    async def other(talk: Talk) -> None:
        await talk.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    for script, says in ((silent, "no answer within 0.5 s"), (other, "expected S or N to SSLRequest")):
        async with serving(script, read=False) as server, looking(server.port, timeout=0.5) as made:
            reading = named(await made.collect())
            assert state(reading, "database") == ("not answering", False)
            assert says in reading.trouble
            assert troubles("postgres", reading) == {("database", f"database/127.0.0.1:{server.port}")}
    async with looking(port, "nobody") as made:
        reading = named(await made.collect())
        assert "did not let the user in: FATAL 28000" in reading.trouble
    async with looking(port, "small", timeout=5, password="hunter2") as made:
        assert "hunter2" not in str(await made.collect())


def test_what_is_lost_and_odd() -> None:
    told = {
        "slots": [{"name": "old", "wal_status": "lost", "active": False, "retained": None}, 5],
        "replicas": [{"name": None}, {"name": "a", "state": "catchup", "lag_bytes": 1e300}],
    }
    values, services = _pg.replicas(told, "db")
    assert {(s.kind, s.name, s.state, s.ok) for s in services} == {
        ("slot", "db/old", "lost", False),
        ("replica", "db/a", "catchup", None),
    }
    assert values == {"postgres.replica_lag_s{replica=a,server=db}": 0}
    assert "pg_stat_checkpointer" in _pg.checkpoints(170001)
    values, (service,) = _pg.reception({"receives": 0, "paused": False, "from": False, "replayed_s": 50}, "db")
    assert (service.state, service.ok, values) == (
        "not receiving",
        None,
        {"postgres.replication_lag_s{server=db}": 50},
    )


def test_connections_are_read_strictly() -> None:
    assert where("postgresql://a%40b:p%2Fw@[::1]/shop?sslmode=require").__class__.__name__ == "Where"
    assert where("postgres://localhost:5432/mydb").database == "mydb"
    for wrong in (
        "mysql://a",
        "postgres:///x",
        "postgres://a:99999/x",
        "postgres://a/x?host=/run",
        "postgres://a/x?sslmode=maybe",
        "postgres://[x",
        "a",
    ):
        with pytest.raises(Invalid) as caught:
            read(collectors.kind("postgres").options, {"connection": wrong})
        assert wrong not in str(caught.value) or wrong == "a"


def with_tls(data: Path) -> None:
    """Let nobody in without TLS."""
    here = issue("127.0.0.1", by=authority())
    hba = "hostssl all all 127.0.0.1/32 trust\n"
    for name, text in (("server.crt", here.pem), ("server.key", here.key_pem), ("pg_hba.conf", hba)):
        (data / name).write_text(text)
        (data / name).chmod(0o600)
        if os.geteuid() == 0:
            shutil.chown(data / name, "postgres", "postgres")
    with (data / "postgresql.conf").open("a") as conf:
        conf.write("\nssl = on\n")


async def test_a_server_that_offers_tls_is_asked_over_tls_when_the_connection_says_nothing_of_it() -> None:
    with cluster(with_tls) as listening:
        async with Net(egress=Egress("private")) as net:
            for mode, ok in (
                ("", True),
                ("?sslmode=prefer", True),
                ("?sslmode=require", True),
                ("?sslmode=disable", False),
            ):
                made = source("postgres", net=net, connection=f"postgres://tocsin@127.0.0.1:{listening}/postgres{mode}")
                assert state(named(await made.collect()), "database")[1] is ok, mode
                await made.close()


async def test_a_server_without_tls_is_asked_without_unless_it_is_required(port: int) -> None:
    async with Net(egress=Egress("private")) as net:
        for mode, ok in (("", True), ("?sslmode=prefer", True), ("?sslmode=require", False)):
            made = source("postgres", net=net, connection=f"postgres://tocsin@127.0.0.1:{port}/postgres{mode}")
            assert state(named(await made.collect()), "database")[1] is ok, mode
            await made.close()
