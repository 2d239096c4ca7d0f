"""One contract, two real databases: SQLite in a file, and a PostgreSQL cluster of this test run's own."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from builders import ALICE, CHARLIE, START, FakeClock, a_monitor
from needs import program, require
from tocsin.core.account import Membership, User, Workspace
from tocsin.store import Store

SEALING_KEY = bytes(range(32))


def _as_postgres(*command: str) -> None:
    """Run one of PostgreSQL's programs; it refuses root, who becomes the user postgres."""
    prefix = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    subprocess.run([*prefix, *command], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/")


def _free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def _started(pg_ctl: str, data: str, log: Path, attempts: int = 5) -> int:
    """The port on which the cluster of that folder now listens. A free port may be taken before we have it."""
    port = _free_port()
    where = f"-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories=''"
    options = f"{where} -c fsync=off -c synchronous_commit=off -c shared_buffers=16MB"
    try:
        _as_postgres(pg_ctl, "-D", data, "-w", "-o", options, "-l", str(log), "start")
    except subprocess.CalledProcessError:
        if attempts == 1:
            raise
        return _started(pg_ctl, data, log, attempts - 1)
    return port


@pytest.fixture(scope="session")
def postgres_cluster() -> Iterator[str]:
    """A PostgreSQL server on a loopback port, for the whole run: its URL without a database."""
    real = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), reverse=True)
    initdb = str(real[0]) if real else program("initdb")
    pg_ctl = str(Path(initdb).with_name("pg_ctl")) if real else program("pg_ctl")
    if os.geteuid() == 0:
        require("runuser", shutil.which("runuser"))
    folder = Path(tempfile.mkdtemp(prefix="tocsin-pg-"))
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres")
    data = str(folder / "data")
    _as_postgres(initdb, "-D", data, "-A", "trust", "-U", "tocsin", "--encoding=UTF8", "--no-sync")
    port = _started(pg_ctl, data, folder / "log")
    try:
        yield f"postgresql://tocsin@127.0.0.1:{port}"
    finally:
        _as_postgres(pg_ctl, "-D", data, "-m", "immediate", "-w", "stop")
        shutil.rmtree(folder, ignore_errors=True)


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
        return f"sqlite:///{tmp_path}/tocsin.db"
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
