"""A database with our tables and no row, copied: making the tables takes longer than most tests."""

from __future__ import annotations

import sqlite3
import tempfile
from contextlib import closing
from functools import cache
from pathlib import Path

from tocsin.store.opening import prepare_sqlite


def with_tables(path: Path) -> Path:
    """This path, with a new database there such as a first start makes, unless there is one already."""
    if not path.exists():
        path.touch(mode=0o600)
        path.write_bytes(_new())
    return path


@cache
def _new() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "tocsin.db")
        prepare_sqlite(path, create=True)
        with closing(sqlite3.connect(path)) as database:
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return path.read_bytes()
