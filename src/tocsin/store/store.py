"""The store as the rest of Tocsin sees it: opened once, then read and written for one workspace or for all."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self, TypeVar
from urllib.parse import unquote

import msgspec
from sqlalchemy import Connection

from tocsin import telemetry
from tocsin.clock import Clock
from tocsin.core.digest import Gathered
from tocsin.errors import NotPrimary, SettingsError, StoreUnavailable, TocsinError
from tocsin.store import moving, opening
from tocsin.store.batch import Batch, OutboxOutcome
from tocsin.store.breaker import Breaker
from tocsin.store.capture import Leading
from tocsin.store.jobs import Database, Undo, is_outage
from tocsin.store.keeping import Keepable, keep, without_bodies
from tocsin.store.memory import Memory
from tocsin.store.replica import Replica
from tocsin.store.sealing import Seal
from tocsin.store.session import Session
from tocsin.store.spool import Spool
from tocsin.store.sqlite import SQLiteDatabase

T = TypeVar("T")
Kept = Literal["stored", "spooled"]
log = telemetry.logger("store")
_CLOSING_S = 5.0
"""How long closing goes on moving the tail; what is left stays in it and moves after the next start."""
_HEAL_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class Scoped:
    """The store for one workspace (None: for all, each row with its own), and who acts."""

    store: Store
    workspace_id: str | None
    by: str

    async def read(self, work: Callable[[Session], T]) -> T:
        """What `work` (plain synchronous code) gives, all of it seen at one moment. StoreUnavailable when it cannot be
        had."""
        return await self.store.read(work, self.workspace_id, self.by)

    async def write(self, work: Callable[[Session], T], *, local: bool = False) -> T:
        """What `work` gives, durable when this returns; whatever it raises undoes all it did. `local`: on what is this
        instance's own, so that it waits for no other one."""
        return await self.store.write(work, self.workspace_id, self.by, local=local)


class Store:
    """The one place with a database. Made by `Store.open`, ended by `close`."""

    def __init__(
        self,
        database: Database,
        spool: Spool,
        *,
        clock: Clock,
        seal: Seal,
        lock: int,
        gated: bool,
        attempts: int,
        delay_s: float,
    ) -> None:
        self._database, self._spool, self._clock, self._seal, self._lock = database, spool, clock, seal, lock
        self._gated, self._attempts, self._delay_s = gated, max(1, attempts), delay_s
        self._memory = Memory()
        self._disk = ThreadPoolExecutor(1, "store-spool")
        self._order, self._moving = asyncio.Lock(), asyncio.Lock()
        self._stirred = asyncio.Event()
        self._healing: asyncio.Task[None] | None = None
        self._closed = False
        self.breaker = Breaker(clock.monotonic)
        self.replica: Replica | None = None
        """The store as an instance of a cluster may have it: on SQLite."""
        if isinstance(database, SQLiteDatabase):
            self.replica = Replica(database, self._memory, seal, clock, database.path.with_name("control"))

    @classmethod
    async def open(
        cls, url: str, *, clock: Clock, sealing_key: bytes, spool_dir: Path, retry_attempts: int = 3,
        retry_delay_s: float = 1.0,
        create: bool = True,
    ) -> Self:  # fmt: skip
        """The store at sqlite:////absolute/path or postgresql://…, checked and at this program's schema.

        SettingsError when another server uses the data folder, the file is damaged, the tables are of a newer program,
        or the database cannot be reached."""
        seal = Seal(sealing_key)
        sqlite_path = _sqlite_path(url)
        lock = opening.lock(
            spool_dir / "lock" if sqlite_path is None else sqlite_path.with_name(sqlite_path.name + ".lock")
        )
        try:
            database = await _open_database(url, sqlite_path, create)
            spool = Spool(spool_dir)
        except BaseException:
            os.close(lock)
            raise
        store = cls(
            database, spool, clock=clock, seal=seal, lock=lock, gated=sqlite_path is None, attempts=retry_attempts,
            delay_s=retry_delay_s,
        )  # fmt: skip
        await store.write(moving.remember, None, "tocsin")
        if store.replica is not None:
            await store.replica.resume()
        store._healing = asyncio.create_task(store._heal())
        return store

    @property
    def backlog(self) -> int:
        """Rows waiting for the writer, those on the spool's way in left aside."""
        return self._database.backlog

    @property
    def alone(self) -> bool:
        """Whether no other server can use this database: a SQLite file is locked to one."""
        return not self._gated

    @property
    def spooled(self) -> int:
        """Batches on the disk that the database does not have yet."""
        return self._spool.count

    def of(self, workspace_id: str, by: str = "tocsin") -> Scoped:
        """The store for one workspace: every query names it."""
        return Scoped(self, workspace_id, by)

    def everything(self, by: str = "tocsin") -> Scoped:
        """The store for all workspaces: only for the corridor, sign-in and app."""
        return Scoped(self, None, by)

    # Uses of the database -------------------------------------------------------------------------------------------
    async def read(self, work: Callable[[Session], T], workspace_id: str | None, by: str) -> T:
        """See Scoped.read."""
        if self._gated and not self.breaker.allows():
            raise self._unavailable()
        now = self._clock.now()

        def on(connection: Connection) -> T:
            return work(Session(connection, self._memory, self._seal, workspace_id, by, now))

        try:
            return await self._database.read(on)
        except Exception as error:
            if is_outage(error):
                telemetry.store_errors.inc()
                if self._gated:
                    self._failed()
                raise self._unavailable() from error
            raise

    async def write(
        self, work: Callable[[Session], T], workspace_id: str | None, by: str, rows: int = 1, *, alone: bool = False,
        local: bool = False,
    ) -> T:  # fmt: skip
        """See Scoped.write. An outage is tried again, then StoreUnavailable. Nobody's commit waits for work that is
        `alone`, but for its turn. In a cluster it is done when a majority has it, and all that was written before it
        (`local` work, on what is this instance's own, at once); NotPrimary where that cannot be."""
        delay = self._delay_s
        for left in reversed(range(self._attempts)):
            if not self.breaker.allows():
                raise self._unavailable()
            try:
                return await self._write_once(work, workspace_id, by, rows, alone=alone, local=local)
            except NotPrimary:
                raise
            except StoreUnavailable:
                self._give_up_leading()
                if left == 0:
                    raise
            await self._clock.sleep(delay)
            delay *= 2
        raise self._unavailable()

    async def _write_once(
        self, work: Callable[[Session], T], workspace_id: str | None, by: str, rows: int, *, alone: bool = False,
        local: bool = False,
    ) -> T:  # fmt: skip
        now = self._clock.now()

        def on(connection: Connection, undo: Undo) -> T:
            return work(Session(connection, self._memory, self._seal, workspace_id, by, now, undo=undo))

        try:
            result = await self._database.write(on, rows, alone=alone, local=local)
        except Exception as error:
            if not is_outage(error):
                raise
            log.warning("store.unavailable", error=str(error).splitlines()[0])
            telemetry.store_errors.inc()
            self._failed()
            raise self._unavailable() from error
        self.breaker.succeeded()
        return result

    def _give_up_leading(self) -> None:
        """What a primary cannot write it cannot bring to the others: another one should lead."""
        gear = None if self.replica is None else self.replica.gear
        if isinstance(gear, Leading):
            gear.carrier.unwritable()

    def _failed(self) -> None:
        self.breaker.failed()
        if self.breaker.state == "open":
            log.error("store.breaker_open", retry_after_s=round(self.breaker.rest_left_s(), 1))
            self._stirred.set()

    def _unavailable(self) -> StoreUnavailable:
        return StoreUnavailable(retry_after_s=max(1.0, self.breaker.rest_left_s()))

    # Batches --------------------------------------------------------------------------------------------------------
    async def commit(self, batch: Batch) -> Kept:
        """Keep a batch, all or nothing: "stored" in the database, or "spooled" on the disk while that cannot be
        written (it follows later, in order). Keeping it twice is the same as once. Conflict when an incident lost the
        race to be open; StoreUnavailable when neither database nor disk take it. NotPrimary when a cluster does not take
        what was decided: what was seen is kept all the same, and nobody may be told anything."""
        return await self._keep(Keepable(batch=batch), len(batch.results) + 1)

    async def settle(self, changes: Sequence[OutboxOutcome]) -> Kept:
        """Keep what came of deliveries, like `commit`."""
        return await self._keep(Keepable(outcomes=tuple(changes)), len(changes))

    async def gather(self, digest: Gathered) -> Kept:
        """Keep a digest and what it carries, like `commit`."""
        return await self._keep(Keepable(digest=digest), len(digest.keys) + 1)

    async def _keep(self, record: Keepable, rows: int) -> Kept:
        if self._spool.count == 0 and self.breaker.allows():
            try:
                await self.write(lambda s: keep(s, record), None, record.by, rows, local=not record.shared)
                return "stored"
            except NotPrimary:
                if record.shared and (own := record.own) is not None:
                    await self._keep(own, rows)
                raise
            except StoreUnavailable:
                log.warning("store.spooling")
        if self._clustered and record.shared:
            if (own := record.own) is not None:
                await self._spool_away(own)
            raise NotPrimary("the database of this instance cannot be written now")
        return await self._spool_away(record)

    async def _spool_away(self, record: Keepable) -> Kept:
        payload = msgspec.msgpack.encode(without_bodies(record))
        async with self._order:
            try:
                await self._on_disk(self._spool.append, payload)
            except OSError as error:
                telemetry.store_errors.inc()
                log.error("store.spool_refused", error=str(error))  # noqa: TRY400 - the caller holds on to the batch
                raise StoreUnavailable("neither the database nor the spool can be written") from error
        self._stirred.set()
        return "spooled"

    @property
    def _clustered(self) -> bool:
        return self.replica is not None and self.replica.gear is not None

    async def _on_disk(self, work: Callable[..., T], *values: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._disk, work, *values)

    # Healing --------------------------------------------------------------------------------------------------------
    async def _heal(self) -> None:
        """While something waits on the spool or the breaker is not closed: try, in order, as the breaker lets us."""
        if self._spool.count:
            self._stirred.set()
        while True:
            await self._stirred.wait()
            self._stirred.clear()
            while self._spool.count or self.breaker.state != "closed":
                if not (self.breaker.allows() and await self._heal_once()):
                    await self._clock.sleep(_HEAL_EVERY_S)

    async def _heal_once(self) -> bool:
        """Whether a step succeeded: the oldest record of the spool is in the database, or a write without effect went
        well."""
        try:
            payload = await self._on_disk(self._spool.first)
            if payload is None:
                await self._write_once(lambda s: s.notes.set("last_probe", True), None, "tocsin", 1, local=True)
                return True
            await self._replay(payload)
            async with self._order:
                await self._on_disk(self._spool.done)
        except StoreUnavailable:
            return False
        except OSError as error:
            log.error("store.spool_failed", error=str(error))  # noqa: TRY400 - tried again
            return False
        if self._spool.count == 0:
            log.info("store.spool_empty")
        return True

    async def _replay(self, payload: bytes) -> None:
        try:
            record = msgspec.msgpack.decode(payload, type=Keepable)
            try:
                await self._put_back(record)
            except NotPrimary:  # spooled while it stood alone: what was decided then is the cluster's to decide now
                path = await self._on_disk(self._spool.set_aside, payload)
                log.warning("store.decisions_refused", kept_in=str(path))
                if (own := record.own) is not None:
                    await self._put_back(own)
        except StoreUnavailable:
            raise
        except Exception as error:
            path = await self._on_disk(self._spool.set_aside, payload)
            telemetry.store_errors.inc()
            log.error(  # noqa: TRY400 - with a traceback only when it is none of ours
                "store.batch_refused", error=str(error), kept_in=str(path), exc_info=not isinstance(error, TocsinError)
            )

    async def _put_back(self, record: Keepable) -> None:
        rows = 1 + (len(record.batch.results) if record.batch is not None else len(record.outcomes))
        await self._write_once(lambda s: keep(s, record), None, record.by, rows, local=not record.shared)

    # The tail, the end ----------------------------------------------------------------------------------------------
    @property
    def tail(self) -> int:
        """Results that wait to be moved."""
        return self._memory.tail.count

    @property
    def tail_monitors(self) -> int:
        """Monitors that they are of, about."""
        return len(self._memory.tail.rows)

    @property
    def tail_age_s(self) -> float:
        """How long the first of them has waited, about."""
        since = self._memory.tail.since
        return 0.0 if since is None else max(0.0, (self._clock.now() - since).total_seconds())

    async def move_tail(self, limit: int = 5000) -> int:
        """How many results were moved out of the tail, in short transactions (of at most `limit`) between which other
        writes get through."""
        return await self._move(limit, self.write)

    async def _move(self, limit: int, write: Callable[..., Awaitable[int | None]]) -> int:
        async with self._moving:
            run, moved = moving.Run(most=limit), 0
            while (step := await write(run.slice, None, "tocsin", 1, alone=True, local=True)) is not None:
                moved += step
            return moved

    async def close(self) -> None:
        """Write what waits, move the tail, let go of everything. Closing twice is the same as once."""
        if self._closed:
            return
        self._closed = True
        if self._healing is not None:
            self._healing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._healing
        if self.breaker.state == "closed":
            try:
                await asyncio.wait_for(self._move(5000, self._write_once), _CLOSING_S)
            except (StoreUnavailable, TimeoutError):
                log.warning("store.closed_without_moving", left=self.tail)
        await self._database.close()
        await self._on_disk(self._spool.close)
        self._disk.shutdown()
        os.close(self._lock)


def _sqlite_path(url: str) -> Path | None:
    if url.startswith("sqlite:///"):
        path = Path(unquote(url.removeprefix("sqlite:///").partition("?")[0]))
        if not path.is_absolute():
            raise SettingsError(f"TOCSIN_DATABASE_PATH: expected an absolute path (sqlite:////…), found {path}")
        return path
    if url.startswith(("postgresql://", "postgres://")):
        return None
    raise SettingsError(
        f"TOCSIN_DATABASE_URL: expected sqlite:////… or postgresql://…, found {url.partition(':')[0]!r}"
    )


async def _open_database(url: str, path: Path | None, create: bool) -> Database:
    if path is not None:
        await asyncio.to_thread(opening.prepare_sqlite, path, create=create)
        return SQLiteDatabase(path)
    opening.require_postgres_driver()
    from tocsin.store.postgres import PostgresDatabase

    return await PostgresDatabase.open(url)
