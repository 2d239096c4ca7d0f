"""PostgreSQL through asyncpg; imported only when it is used."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import URL, Connection, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from tocsin import telemetry
from tocsin.errors import SettingsError
from tocsin.store import opening
from tocsin.store.jobs import ROOM_ROWS, Job, Undo, is_outage, run_group, take_group

T = TypeVar("T")
_CONNECT_S = 3.0
_COMMAND_S = 30.0


class PostgresDatabase:
    """A pool for reading and one connection that writes, in the same groups as SQLite's."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self.backlog = 0
        self._jobs: deque[Job] = deque()
        self._wake, self._room = asyncio.Event(), asyncio.Event()
        self._room.set()
        self._closing = False
        self._writer = asyncio.create_task(self._write_all())

    @classmethod
    async def open(cls, url: str) -> PostgresDatabase:
        """The database, its tables brought up to this program. SettingsError when it cannot be reached."""
        engine = create_async_engine(
            driver_url(url), pool_size=6, max_overflow=0, pool_timeout=1.0, pool_pre_ping=False,
            connect_args={"timeout": _CONNECT_S, "command_timeout": _COMMAND_S,
            "server_settings": {"application_name": "tocsin"}},
        )  # fmt: skip
        shown = engine.url.render_as_string(hide_password=True)
        try:
            async with engine.connect() as connection:
                await connection.run_sync(opening.bring_up, shown)
        except SettingsError:
            await engine.dispose()
            raise
        except Exception as error:
            await engine.dispose()
            raise SettingsError(
                f"TOCSIN_DATABASE_URL: expected a PostgreSQL that answers at {shown}, found: {error}"
            ) from error
        return cls(engine)

    async def read(self, work: Callable[[Connection], T]) -> T:
        """What the work gives, seen from one moment."""
        async with self._engine.connect() as connection:
            await connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            return await connection.run_sync(work)

    async def write(
        self, work: Callable[[Connection, Undo], T], rows: int = 1, *, alone: bool = False, local: bool = False
    ) -> T:
        """What the work gives, once its group is committed. Waits first while too much is waiting."""
        while self.backlog >= ROOM_ROWS:
            self._room.clear()
            await self._room.wait()
        if self._closing:
            raise RuntimeError("the store is closed")
        loop = asyncio.get_running_loop()
        job = Job(work, rows, loop, loop.create_future(), alone, local)
        self._jobs.append(job)
        self._add(rows)
        self._wake.set()
        return await job.done

    def _add(self, rows: int) -> None:
        self.backlog += rows
        telemetry.store_queue.set(self.backlog)
        if self.backlog < ROOM_ROWS:
            self._room.set()

    async def _write_all(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._jobs:
                group = take_group(self._jobs)
                await self._commit(group)
                self._add(-sum(job.rows for job in group))
                for job in group:
                    job.finish()
            if self._closing:
                return

    async def _commit(self, group: list[Job]) -> None:
        try:
            async with self._engine.connect() as connection:
                await self._in_transaction(connection, group)
        except Exception as error:  # noqa: BLE001 - told to everybody who waits
            for job in reversed(group):
                job.take_back()
                job.error = job.error or error

    @staticmethod
    async def _in_transaction(connection: AsyncConnection, group: list[Job]) -> None:
        try:
            await connection.run_sync(run_group, group)
            await connection.commit()
        except Exception as error:
            if is_outage(error):
                await connection.invalidate(error)
            raise
        telemetry.store_commits.inc()

    async def close(self) -> None:
        """Write what waits and close every connection."""
        self._closing = True
        self._wake.set()
        await self._writer
        await self._engine.dispose()


def driver_url(url: str) -> URL:
    """SQLAlchemy's form of a postgresql:// URL; libpq's `sslmode` becomes asyncpg's `ssl`. SettingsError when it is
    none."""
    try:
        parsed = make_url(url).set(drivername="postgresql+asyncpg")
    except ArgumentError as error:
        raise SettingsError(
            "TOCSIN_DATABASE_URL: expected postgresql://user:password@host/name, found something else"
        ) from error
    mode = parsed.query.get("sslmode")
    return parsed if mode is None else parsed.difference_update_query(["sslmode"]).update_query_dict({"ssl": mode})
