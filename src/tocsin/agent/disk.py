"""The agent's file: one SQLite database, used by one thread. What it holds survives a kill at any moment.

The folder is locked for this process alone, so two agents never share one. A file that cannot be read is set aside, and a
new one begins with a new incarnation. Where there is no room for one, it begins in memory, and goes to the disk when it can.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import sqlite3
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from tocsin import telemetry
from tocsin.clock import new_id
from tocsin.core.host import LIFE_PREFIX
from tocsin.errors import SettingsError

log = telemetry.logger("tocsin.agent.disk")

FILE = "agent.db"
LAYOUT = 1
_TABLES = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE batches (seq INTEGER PRIMARY KEY, lived REAL NOT NULL, body BLOB NOT NULL);
CREATE TABLE standings (rule TEXT, what TEXT, body BLOB NOT NULL, PRIMARY KEY (rule, what)) WITHOUT ROWID;
CREATE TABLE turns (
  rule TEXT, what TEXT, number INTEGER, body BLOB NOT NULL, PRIMARY KEY (rule, what, number)
) WITHOUT ROWID;
"""
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CONSTRAINT)
"""What SQLite says of a file that holds something else than we wrote."""
_TABLE_NAMES = ("meta", "batches", "standings", "turns")
_TRY_EVERY = 5
"""Each so many writes it is tried whether there is room by now."""
P = ParamSpec("P")
T = TypeVar("T")


class Unwritten(Exception):
    """It could not be written, or read: the disk is full, or fails. What there is in memory goes on."""


class Broken(Exception):
    """The file is no database any more."""


class Disk:
    """The database of one folder. Everything here is for one thread. `machine`: what tells this machine from others; a
    folder that was copied to another one begins anew there. `life`: made anew with each start, so that two processes with
    copies of one folder are told apart. `set_aside`: where an unreadable file was put, for people."""

    def __init__(self, folder: Path, machine: str = "") -> None:
        self.file, self._machine = folder / FILE, machine
        self.set_aside, self.life = "", LIFE_PREFIX + new_id()
        self.trouble = ""
        self._db: sqlite3.Connection | None = None
        self._incarnation = ""
        self._lock: int | None = None
        self._writes = 0

    @property
    def incarnation(self) -> str:
        """Made anew with each new file."""
        return self._incarnation

    @property
    def in_memory(self) -> bool:
        """Whether there was no room for the file: all of it is in memory for now, and `trouble` says so."""
        return bool(self.trouble)

    def open(self) -> None:
        """Open it, or make it. Raises SettingsError when another process has it, or when the folder cannot be used."""
        self._lock = _locked(self.file.parent)
        try:
            self._begin()
        except Broken as error:
            self.put_aside(str(error))
        machine = self.meta("machine", self._machine)
        if machine != self._machine:
            self.put_aside("it was copied from another machine")

    def put_aside(self, why: str) -> None:
        """Begin a new file, with a new incarnation, and keep the old one beside it."""
        self._hang_up()
        name = f"{FILE}.broken-{new_id()}"
        for old in sorted(self.file.parent.glob(f"{FILE}.broken-*"))[:-1]:  # two at most: they are large
            old.unlink(missing_ok=True)
        for ending in ("-wal", "-shm"):
            self.file.with_name(FILE + ending).unlink(missing_ok=True)
        with suppress(FileNotFoundError):
            self.file.rename(self.file.with_name(name))
        self.set_aside = f"{why}; the old file is {name}"
        log.error("agent.file_set_aside", reason=why, kept_as=name)
        self._begin()

    def close(self) -> None:
        """Let go of it."""
        self._hang_up()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _hang_up(self) -> None:
        if self._db is not None:
            with suppress(sqlite3.Error):
                self._db.close()
            self._db = None

    @contextmanager
    def writing(self, *, safely: bool = False) -> Generator[sqlite3.Connection]:
        """One transaction, all or nothing. `safely`: it, and all before it, is on the disk itself when this returns. Raises
        Unwritten or Broken."""
        db = self._connected()
        if self.in_memory:
            self._writes += 1
            if self._writes % _TRY_EVERY == 0:
                db = self._to_disk(db)
        try:
            db.execute(f"PRAGMA synchronous={'FULL' if safely else 'NORMAL'}")
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
                db.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    db.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise _meant(error) from error

    def read(self, text: str, *values: Any) -> list[Any]:
        """Rows. Raises Unwritten or Broken."""
        try:
            return self._connected().execute(text, values).fetchall()
        except sqlite3.Error as error:
            raise _meant(error) from error

    def meta(self, name: str, default: Any) -> Any:
        """One value that is kept by its name."""
        found = self.read("SELECT value FROM meta WHERE name=?", name)
        return found[0][0] if found else default

    def _only_memory(self, why: str) -> None:
        self._hang_up()
        self._db = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        self._make(self._db)
        self._incarnation = str(self.meta("incarnation", ""))
        self.trouble = f"the data folder takes nothing ({why}): what is seen, found and told is in memory only"
        log.error("agent.only_in_memory", reason=why)

    def _to_disk(self, memory: sqlite3.Connection) -> sqlite3.Connection:
        """Go on in the file, with all that is in memory, when there is room by now; what is to be worked with."""
        rows = {name: memory.execute(f"SELECT * FROM {name}").fetchall() for name in _TABLE_NAMES}  # noqa: S608 (ours)
        self._db = None
        try:
            self._db = self._connect()
            self._fill(self._db, rows)
        except (sqlite3.Error, OSError, SettingsError, Broken):
            self._hang_up()
            self._db = memory
            return memory
        memory.close()
        self.trouble = ""
        log.info("agent.on_disk_again")
        return self._db

    def _fill(self, db: sqlite3.Connection, rows: dict[str, list[tuple[Any, ...]]]) -> None:
        db.execute("PRAGMA synchronous=FULL")
        db.execute("BEGIN IMMEDIATE")
        for name, some in rows.items():
            db.execute(f"DELETE FROM {name}")  # noqa: S608 (ours)
            if some:
                db.executemany(f"INSERT INTO {name} VALUES ({', '.join('?' * len(some[0]))})", some)  # noqa: S608
        db.execute("COMMIT")

    def _connected(self) -> sqlite3.Connection:
        if self._db is None:
            raise Unwritten("the agent's file is not open")
        return self._db

    def _begin(self) -> None:
        """Raises SettingsError, or Broken for a file that is no sound database."""
        try:
            self._connect()
            self._incarnation = str(self.meta("incarnation", ""))
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL:
                self._only_memory(str(error))
                return
            if isinstance(error, sqlite3.OperationalError) and "locked" in str(error):
                raise SettingsError(
                    f"data_dir: expected a folder of this agent's own, found another agent at work in {self.file.parent}"
                ) from error
            meant = _meant(error)
            if isinstance(meant, Broken):
                raise meant from error
            raise SettingsError(f"data_dir: expected a folder we can write to, found {self.file}: {error}") from error
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                self._only_memory(str(error.strerror))
                return
            raise SettingsError(
                f"data_dir: expected a folder we can write to, found {self.file}: {error.strerror}"
            ) from error

    def _connect(self) -> sqlite3.Connection:
        os.close(os.open(self.file, os.O_RDWR | os.O_CREAT, 0o600))
        db = self._db = sqlite3.connect(self.file, isolation_level=None, timeout=0.2, check_same_thread=False)
        db.execute("PRAGMA locking_mode=EXCLUSIVE")
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA journal_size_limit=4194304")
        db.execute("PRAGMA cache_size=-512")
        db.execute("BEGIN IMMEDIATE").execute("COMMIT")
        wrong = db.execute("PRAGMA quick_check(1)").fetchone()[0]
        if wrong != "ok":
            raise Broken(f"the file is damaged ({str(wrong)[:100]})")
        if not db.execute("SELECT 1 FROM sqlite_master").fetchone():
            self._make(db)
        layout = self.meta("layout", 0)
        if layout != LAYOUT:
            raise Broken(f"the file is of another version ({layout})")
        return db

    def _make(self, db: sqlite3.Connection) -> None:
        db.execute("PRAGMA synchronous=FULL")
        values = {"layout": LAYOUT, "incarnation": new_id(), "machine": self._machine}
        db.executescript("BEGIN IMMEDIATE;" + _TABLES)
        db.executemany("INSERT INTO meta VALUES (?, ?)", values.items())
        db.execute("COMMIT")


def _locked(folder: Path) -> int | None:
    """The lock of the folder, which ends with this process; None where a folder cannot be locked. Raises SettingsError when
    another process has it."""
    try:
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise SettingsError(
            f"data_dir: expected a folder of this agent's own, found another agent at work in {folder}"
        ) from None
    except OSError:
        os.close(lock)
        return None
    return lock


def is_at_work(folder: Path) -> bool:
    """Whether an agent runs with that folder, whatever it could write there."""
    try:
        lock = _locked(folder)
    except SettingsError:
        return True
    if lock is not None:
        os.close(lock)
    return False


def _meant(error: sqlite3.Error) -> Unwritten | Broken:
    """What an error of SQLite's means to us."""
    if getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGED:
        return Broken(f"the file is damaged ({error})")
    return Unwritten(str(error))


class Hand:
    """The one thread that works with the disk."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "disk")

    async def do(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """What `work(…)` gives, done there after all that was asked before. It is done even when nobody waits any more."""
        asked = asyncio.get_running_loop().run_in_executor(self._thread, partial(work, *args, **kwargs))
        return await asyncio.shield(asked)

    def close(self) -> None:
        """End the thread, after all that was asked."""
        self._thread.shutdown()
