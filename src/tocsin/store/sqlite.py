"""SQLite: one thread that writes and checkpoints, a few that only read."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.pool import NullPool

from tocsin import telemetry
from tocsin.store.capture import Capture, Fenced, Following, Leading, raw_of
from tocsin.store.control import Entry
from tocsin.store.images import Oversize
from tocsin.store.jobs import ROOM_ROWS, Job, Undo, is_outage, run_group, take_group

T = TypeVar("T")
_READERS = 3
_WAIT_S = 1.0


def connect(path: Path, *, readonly: bool) -> sqlite3.Connection:
    """A connection with our pragmas. Transactions are begun by us alone."""
    uri = f"file:{quote(str(path))}?mode={'ro' if readonly else 'rwc'}"
    connection = sqlite3.connect(
        uri, uri=True, isolation_level=None, check_same_thread=False, timeout=_WAIT_S, cached_statements=128
    )
    pragmas = [
        "mmap_size = 0",
        "temp_store = MEMORY",
        f"cache_size = {-768 if readonly else -4096}",
        "foreign_keys = ON",
    ]
    if not readonly:
        pragmas += [
            "journal_mode = WAL",
            "synchronous = FULL",
            "wal_autocheckpoint = 2000",
            "journal_size_limit = 33554432",
        ]
    for pragma in pragmas:
        connection.execute(f"PRAGMA {pragma}")
    return connection


def engine_for(path: Path, *, readonly: bool) -> Engine:
    """SQLAlchemy over such connections; each `connect()` opens one."""
    return create_engine(
        "sqlite://", creator=lambda: connect(path, readonly=readonly), poolclass=NullPool, query_cache_size=16
    )


class _Together(Exception):
    """What a group changed is too much for one entry of the log: one by one it may not be."""


class SQLiteDatabase:
    """One file. Jobs are committed in groups: what arrived while the last group was being written goes together."""

    def __init__(self, path: Path) -> None:
        self.path, self.backlog, self.capture = path, 0, Capture()
        self.appended: Callable[[Entry], object] = lambda entry: None
        """Told in the loop of every entry that this instance's own work made, once it is durable."""
        self._jobs: deque[Job] = deque()
        self._wake = threading.Condition()
        self._closing = False
        self._room = asyncio.Event()
        self._room.set()
        self._reading = engine_for(path, readonly=True)
        self._local = threading.local()
        self._opened: list[Connection] = []
        self._readers = ThreadPoolExecutor(_READERS, "store-reader")
        self._writer = threading.Thread(target=self._write_all, name="store-writer", daemon=True)
        self._writer.start()

    # Reading --------------------------------------------------------------------------------------------------------
    async def read(self, work: Callable[[Connection], T]) -> T:
        """What the work gives, seen from one moment, in a reader thread."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._read, work)

    def _read(self, work: Callable[[Connection], T]) -> T:
        connection: Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = self._reading.connect()
            self._opened.append(connection)
        try:
            connection.exec_driver_sql("BEGIN")
            return work(connection)
        finally:
            connection.rollback()

    # Writing --------------------------------------------------------------------------------------------------------
    async def write(
        self, work: Callable[[Connection, Undo], T], rows: int = 1, *, alone: bool = False, local: bool = False
    ) -> T:
        """What the work gives, once its group is committed (at a primary, on a majority; `local` work only when it changed
        what all share). Waits first while too much is waiting."""
        while self.backlog >= ROOM_ROWS:
            self._room.clear()
            await self._room.wait()
        loop = asyncio.get_running_loop()
        return await self._run(Job(work, rows, loop, loop.create_future(), alone, local))

    async def bring(self, work: Callable[[Connection, Undo], T], *, unbound: bool = True) -> T:
        """What the work of the replica itself gives, once it is committed: by itself, also while other work is held up, and
        with `unbound` on a connection on which nothing cascades."""
        loop = asyncio.get_running_loop()
        return await self._run(Job(work, 1, loop, loop.create_future(), True, True, ours=True, unbound=unbound))

    async def _run(self, job: Job) -> Any:
        with self._wake:
            if self._closing:
                raise RuntimeError("the store is closed")
            self._jobs.append(job)
            self.backlog += job.rows
            telemetry.store_queue.set(self.backlog)
            self._wake.notify()
        result = await job.done
        if job.settled is not None:
            await job.settled()
        return result

    def _write_all(self) -> None:
        engine = engine_for(self.path, readonly=False)
        connections: dict[bool, Connection] = {}
        while True:
            with self._wake:
                while not self._closing and not self._ready():
                    self._wake.wait()
                if not self._jobs:
                    break
                group = [self._jobs.popleft()] if self._jobs[0].ours else take_group(self._jobs)
            unbound, entry = group[0].unbound, None
            connection = connections.pop(unbound, None)
            try:
                if connection is None:
                    connection = engine.connect()
                    connection.exec_driver_sql(f"PRAGMA foreign_keys = {'OFF' if unbound else 'ON'}")
                entry = self._commit(connection, group)
            except _Together:
                self._put_back(group)
                group = []
            except BaseException as error:  # noqa: BLE001 - told to everybody who waits
                connection = self._give_up(connection, group, error)
            if connection is not None:
                connections[unbound] = connection
            if group:
                self._tell(group, entry)
        for connection in connections.values():
            self._checkpoint(connection)

    def stir(self) -> None:
        """Look again for work that may be done."""
        with self._wake:
            self._wake.notify()

    def _ready(self) -> bool:
        """Whether there is work that may be done now; it is the first then."""
        if self.capture.held:
            job = next((job for job in self._jobs if job.ours), None)
            if job is None:
                return False
            self._jobs.remove(job)
            self._jobs.appendleft(job)
        return bool(self._jobs)

    def _commit(self, connection: Connection, group: list[Job]) -> Entry | None:
        """Run a group and make it durable: the entry of the control log that it made, if it made one."""
        gear = None if group[0].unbound else self.capture.begin(raw_of(connection))
        try:
            return self._transaction(connection, group, gear)
        except Fenced:
            self._undo(connection, group)
            self.capture.again()
            return self._transaction(connection, group, Following())
        except Oversize as error:
            self._undo(connection, group)
            if len(group) > 1:
                raise _Together from None
            group[0].error = error
            return None

    @staticmethod
    def _undo(connection: Connection, group: list[Job]) -> None:
        connection.rollback()
        for job in reversed(group):
            job.take_back()
            job.result = job.error = None

    def _put_back(self, group: list[Job]) -> None:
        """Let each of them be tried again by itself, before all others."""
        for job in group:
            job.alone = True
        with self._wake:
            self._jobs.extendleft(reversed(group))

    def _transaction(self, connection: Connection, group: list[Job], gear: Leading | Following | None) -> Entry | None:
        entry = None
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        if gear is None:
            run_group(connection, group)
        else:
            run_group(connection, group, partial(self.capture.after_job, gear))
            entry = self.capture.before_commit(gear, connection, group)
        connection.commit()
        telemetry.store_commits.inc()
        return entry

    def _give_up(self, connection: Connection | None, group: list[Job], error: BaseException) -> Connection | None:
        for job in reversed(group):
            job.take_back()
            job.error = job.error or error
        if connection is None:
            return None
        try:
            connection.rollback()
        except Exception:  # noqa: BLE001 - a connection that cannot even roll back is replaced
            connection.invalidate()
            return None
        return connection if is_outage(error) else None

    def _tell(self, group: list[Job], entry: Entry | None) -> None:
        rows = sum(job.rows for job in group)

        def told() -> None:
            self.backlog -= rows
            telemetry.store_queue.set(self.backlog)
            if self.backlog < ROOM_ROWS:
                self._room.set()
            if entry is not None:
                self.appended(entry)
            for job in group:
                job.finish()

        try:
            group[0].loop.call_soon_threadsafe(told)
        except RuntimeError:
            return  # the loop is gone, and with it everybody who waited

    @staticmethod
    def _checkpoint(connection: Connection) -> None:
        raw: Any = connection.connection.dbapi_connection
        try:
            raw.execute("PRAGMA optimize")
            raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.OperationalError:
            telemetry.logger("store").warning("store.checkpoint_left_over", exc_info=True)
        connection.close()

    async def close(self) -> None:
        """Write what waits, fold the log into the file, close every connection."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, self._shut)

    def _shut(self) -> None:
        self._readers.shutdown(wait=True)
        for connection in self._opened:
            connection.close()
        self._writer.join()
