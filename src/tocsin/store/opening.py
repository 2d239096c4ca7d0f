"""Before the first use of a database: nobody else has it, it is whole, and its tables are of this program."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from pathlib import Path

from sqlalchemy import Connection, inspect

from tocsin import telemetry
from tocsin.errors import SettingsError
from tocsin.store import sqlite
from tocsin.store.version import HEAD

log = telemetry.logger("store")

_ALWAYS_CHECKED = 256 << 20


def require_postgres_driver() -> None:
    """Return when PostgreSQL can be spoken to; SettingsError when its driver is not installed."""
    try:
        import asyncpg  # noqa: F401 # pyright: ignore[reportMissingTypeStubs, reportUnusedImport]
        import greenlet  # noqa: F401 # pyright: ignore[reportUnusedImport]
    except ImportError as error:
        raise SettingsError(
            "TOCSIN_DATABASE_URL: expected the driver for PostgreSQL, found it not installed: install tocsin[postgresql]"
        ) from error


def lock(path: Path, *, sign: bool = True) -> int:
    """A held lock file (its descriptor: closing it lets go), with our process number in it unless `sign` is False.
    SettingsError when another process holds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    file = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        holder = os.pread(file, 32, 0).decode(errors="replace").strip() or "unknown"
        os.close(file)
        raise SettingsError(
            f"TOCSIN_DATA_DIR: expected a data folder that no other server uses, found that process {holder} has "
            f"{path.parent} "
            "(stop it, or set TOCSIN_DATA_DIR to another folder)"
        ) from error
    if not sign:
        return file
    os.ftruncate(file, 0)
    os.pwrite(file, f"{os.getpid()}\n".encode(), 0)
    return file


def prepare_sqlite(path: Path, *, create: bool) -> None:
    """Make the file and its tables when they are not there, check it, bring its tables up to this program."""
    if not path.exists() and not create:
        raise SettingsError(f"TOCSIN_DATABASE_PATH: expected a database at {path}, found nothing")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _check_whole(path)
        with sqlite.engine_for(path, readonly=False).connect() as connection:
            bring_up(connection, str(path))
        path.chmod(0o600)
    except (OSError, sqlite3.OperationalError) as error:
        raise SettingsError(
            f"TOCSIN_DATABASE_PATH: expected a file at {path} that can be written, found: {error}"
        ) from error


def _check_whole(path: Path) -> None:
    """Read the file through once (`quick_check`: about 1 s for each GB from a cold disk). A large one that was closed
    in order is not read again."""
    wal = path.with_name(path.name + "-wal")
    size = path.stat().st_size if path.exists() else 0
    if size == 0 or (size > _ALWAYS_CHECKED and not (wal.exists() and wal.stat().st_size)):
        return
    began = time.monotonic()
    try:
        connection = sqlite3.connect(path, timeout=5)
        try:
            found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        finally:
            connection.close()
    except sqlite3.OperationalError:
        raise
    except sqlite3.DatabaseError as error:
        found = str(error)
    if found != "ok":
        raise SettingsError(
            f"TOCSIN_DATABASE_PATH: expected a whole database, found that {path} is damaged ({found}). Put back a backup, "
            "or save what "
            f"can be read with: sqlite3 {path} .recover | sqlite3 new.db"
        )
    log.debug("store.checked", file=str(path), took_s=round(time.monotonic() - began, 3))


def bring_up(connection: Connection, shown: str) -> None:
    """Make the tables in an empty database, or migrate older ones. SettingsError when they are of a newer program."""
    postgres = connection.dialect.name == "postgresql"
    if postgres:
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(7465838571)")
    else:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    head = stored_head(connection)
    if head is None:
        if inspect(connection).has_table("monitors"):
            raise SettingsError(
                f"TOCSIN_DATABASE_URL: expected a database of Tocsin or an empty one, found other tables in {shown}"
            )
        from tocsin.store import schema  # only to make them: our statements are text

        (schema.for_postgresql() if postgres else schema.metadata).create_all(connection)
        connection.exec_driver_sql("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)")
        connection.exec_driver_sql(f"INSERT INTO alembic_version (version_num) VALUES ('{HEAD}')")
        log.info("store.created", database=shown, schema=HEAD)
    elif head != HEAD:
        from tocsin.store import migrations

        migrations.upgrade(connection, head, shown)
        log.info("store.migrated", database=shown, before=head, now=HEAD)
    connection.commit()


def stored_head(connection: Connection) -> str | None:
    """The migration the tables are at, or None in a database without any."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    row = connection.exec_driver_sql("SELECT version_num FROM alembic_version").fetchone()
    return None if row is None else str(row[0])
