"""A look at a database from outside, for `tocsin doctor`: nothing is changed, no lock is kept."""

from __future__ import annotations

import os
import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path

from tocsin.errors import SettingsError
from tocsin.store import opening, sqlite


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """What was seen of a SQLite file. `schema` None: no tables. `found`: what the quick check says ("ok" or not)."""

    version: str
    schema: str | None
    newest: str
    found: str
    size: int
    took_ms: float


def examine_file(path: Path) -> Examined:
    """What there is to know of the file, read only. Raises sqlite3.Error when it cannot be read."""
    began = time.perf_counter()
    with sqlite.engine_for(path, readonly=True).connect() as connection:
        schema = opening.stored_head(connection)
        found = str(connection.exec_driver_sql("PRAGMA quick_check(1)").scalar_one())
    return Examined(
        version=sqlite3.sqlite_version,
        schema=schema,
        newest=opening.HEAD,
        found=found,
        size=path.stat().st_size,
        took_ms=(time.perf_counter() - began) * 1000,
    )


async def examine_server(url: str) -> str:
    """The version of the PostgreSQL server at this URL. Raises what the driver raises when it does not answer,
    SettingsError when there is no driver."""
    opening.require_postgres_driver()
    from sqlalchemy.ext.asyncio import create_async_engine

    from tocsin.store.postgres import driver_url

    engine = create_async_engine(driver_url(url), connect_args={"timeout": 3.0})
    try:
        async with engine.connect() as connection:
            return str((await connection.exec_driver_sql("SHOW server_version")).scalar_one())
    finally:
        await engine.dispose()


def holder(path: Path) -> str | None:
    """Why the lock file beside this database cannot be had (who has it), or None when nobody has it."""
    lock = path.with_name(path.name + ".lock")
    if not lock.exists():
        return None
    try:
        os.close(opening.lock(lock, sign=False))
    except SettingsError as error:
        return str(error)
    return None


def waiting(spool_dir: Path) -> int:
    """How many bytes wait in the spool for the database."""
    return sum(file.stat().st_size for file in spool_dir.glob("*.spool")) if spool_dir.is_dir() else 0
