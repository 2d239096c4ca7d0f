"""One contract, two real databases: SQLite in a file, and a PostgreSQL cluster of this test run's own."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from builders import ALICE, CHARLIE, START, FakeClock, a_monitor
from pg_cluster import cluster
from tables import with_tables
from tocsin.core.account import Membership, User, Workspace
from tocsin.store import Store

SEALING_KEY = bytes(range(32))


@pytest.fixture(scope="session")
def postgres_cluster() -> Iterator[str]:
    """A PostgreSQL server on a loopback port, for the whole run: its URL without a database."""
    with cluster() as port:
        yield f"postgresql://tocsin@127.0.0.1:{port}"


@pytest.fixture(scope="session")
def furnished_cluster(postgres_cluster: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The cluster with a database `template_of_ours` that has our tables: copying it is quicker than making them."""

    async def make() -> None:
        url = await new_database(postgres_cluster, "template_of_ours")
        options: dict[str, Any] = {"clock": FakeClock(), "sealing_key": SEALING_KEY}
        await (await Store.open(url, spool_dir=tmp_path_factory.mktemp("template"), **options)).close()

    asyncio.run(make())
    return postgres_cluster


async def new_database(cluster: str, name: str = "", template: str = "template1") -> str:
    """The URL of a fresh database."""
    import asyncpg

    name = name or f"t{os.urandom(6).hex()}"
    connection = await asyncpg.connect(f"{cluster}/postgres")
    try:
        await connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
    finally:
        await connection.close()
    return f"{cluster}/{name}"


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database of each kind that nothing was written to."""
    if request.param == "sqlite":
        return f"sqlite:///{with_tables(tmp_path / 'tocsin.db')}"
    return asyncio.run(new_database(request.getfixturevalue("furnished_cluster"), template="template_of_ours"))


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


Opener = Callable[..., Awaitable[Store]]


@pytest.fixture
async def open_store(clock: FakeClock, tmp_path: Path) -> AsyncIterator[Opener]:
    """Opens stores and closes those the test left open."""
    opened: list[Store] = []

    async def open_one(url: str, **more: Any) -> Store:
        options: dict[str, Any] = {"clock": clock, "sealing_key": SEALING_KEY, "spool_dir": tmp_path / "spool"}
        store = await Store.open(url, **(options | more))
        opened.append(store)
        return store

    yield open_one
    for store in opened:
        await store.close()


@pytest.fixture
async def store(url: str, open_store: Opener) -> Store:
    """A store with workspace `ws` (alice) and workspace `elsewhere` (charlie)."""
    store = await open_store(url)
    await furnish(store)
    return store


async def furnish(store: Store) -> None:
    """Two workspaces, each with its owner."""

    def work(s: Any) -> None:
        s.accounts.create_first(a_user("alice", ALICE), a_workspace("ws"))
        s.accounts.add_workspace(a_workspace("elsewhere"))
        s.accounts.add_user(a_user("charlie", CHARLIE))
        s.accounts.add_membership(Membership(user_id="charlie", workspace_id="elsewhere", role="ADMIN"))

    await store.everything("setup").write(work)


async def keep_monitor(store: Store, **more: Any) -> Any:
    """A monitor in its workspace."""
    monitor = a_monitor(**more)
    await store.of(monitor.workspace_id).write(lambda s: s.monitors.add(monitor))
    return monitor


def a_user(id: str, email: str, at: datetime = START) -> User:
    return User(id=id, email=email, password_hash=f"hash of {id}", created_at=at)


def a_workspace(id: str) -> Workspace:
    return Workspace(id=id, name=id.title(), created_at=START)
