"""Instances of a cluster without a network: each a store with a folder and a key of its own, and a fed carrier."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

from builders import FakeClock
from tables import with_tables
from tocsin.errors import NotPrimary
from tocsin.store import Store
from tocsin.store.control import Entry
from tocsin.store.images import sealed_anew
from tocsin.store.replica import Replica, Save
from tocsin.store.sealing import Seal
from tocsin.store.shared import shared_tables


class Courier:
    """A carrier that says what it is told to: by default a majority has everything at once."""

    def __init__(self, *, at_once: bool = True) -> None:
        self.entries: list[Entry] = []
        self.may, self.lost, self.unwritten = True, False, 0
        self.at_once, self.upto, self._news = at_once, 0, asyncio.Event()

    def may_write(self) -> bool:
        return self.may

    def appended(self, entry: Entry) -> None:
        self.entries.append(entry)

    async def committed(self, index: int) -> None:
        while not self.at_once and self.upto < index:
            if self.lost:
                raise NotPrimary(primary="https://other.example", in_doubt=True)
            await self._news.wait()

    def unwritable(self) -> None:
        self.unwritten += 1

    def settle(self, upto: int, *, lost: bool = False) -> None:
        """A majority has entries up to this one (`lost`: and this instance will hear of no more)."""
        self.upto, self.lost = upto, lost
        self._news.set()
        self._news = asyncio.Event()


def key_of(name: str) -> bytes:
    return name.encode().ljust(32, b".")


async def open_instance(folder: Path, name: str, clock: Any = None) -> Store:
    """The store of an instance, with a folder and a sealing key of its own."""
    place = folder / name
    place.mkdir(parents=True, exist_ok=True)
    return await Store.open(
        f"sqlite:///{with_tables(place / 'tocsin.db')}", clock=clock or FakeClock(),
        sealing_key=key_of(name), spool_dir=place / "spool",
        retry_attempts=1,
    )  # fmt: skip


def replica_of(store: Store) -> Replica:
    assert store.replica is not None
    return store.replica


async def found(store: Store, *, at_once: bool = True, epoch: int = 1) -> tuple[bytes, Courier]:
    """The first instance of a cluster, which leads: the cluster's key and its carrier."""
    replica, courier = replica_of(store), Courier(at_once=at_once)
    key = await replica.found(b"standing")
    await replica.lead(epoch, courier)
    return key, courier


async def enrol(store: Store, key: bytes, primary: Store) -> None:
    """A further instance, whose tables are those of the primary now."""
    await replica_of(store).enrol(b"standing", key)
    await take_snapshot(store, primary)


async def take_snapshot(store: Store, primary: Store) -> None:
    made = await replica_of(primary).snapshot(lambda index: b"members")
    assert Path(made.path).stat().st_size == made.size
    assert await replica_of(store).install(Path(made.path)) == made.position
    Path(made.path).unlink()


async def catch_up(follower: Store, primary: Store, upto: int | None = None, most_bytes: int = 1 << 20) -> Any:
    """Bring the follower's log and tables to the primary's, or to an entry."""
    replica, applied = replica_of(follower), None
    while entries := await replica_of(primary).entries(await last_of(follower), most_bytes, upto):
        await append(follower, entries)
        applied = await replica.apply(entries[-1].index)
    return applied


async def append(store: Store, entries: list[Entry], cut: int | None = None) -> bool:
    """Put entries at the end of an instance's log."""
    epoch = max((e.epoch for e in entries), default=0)
    return await replica_of(store).save(Save(standing=b"heard", epoch=epoch, cut=cut, entries=tuple(entries)))


async def last_of(store: Store) -> int:
    found = await replica_of(store).state()
    assert found is not None
    return found.last.index


def shared_rows(store: Store) -> dict[str, list[tuple[Any, ...]]]:
    """Every shared row as it lies in the file, with its secrets opened."""
    path = _path(store)
    seal = Seal(key_of(path.parent.name))
    raw = sqlite3.connect(path)
    try:
        found: dict[str, list[tuple[Any, ...]]] = {}
        for table in shared_tables().values():
            columns = ", ".join(table.columns)
            rows = raw.execute(
                f"SELECT {columns} FROM {table.name} WHERE {table.where()} ORDER BY {', '.join(table.key)}"
            )
            found[table.name] = [sealed_anew(table, table.columns, row, seal.open_bytes) for row in rows]
        assert raw.execute("PRAGMA foreign_key_check").fetchall() == []
        return found
    finally:
        raw.close()


def sql(store: Store, statement: str, *values: Any) -> list[tuple[Any, ...]]:
    """Rows as they lie in the file."""
    raw = sqlite3.connect(_path(store))
    try:
        return raw.execute(statement, values).fetchall()
    finally:
        raw.close()


def _path(store: Store) -> Path:
    return Path(store._database.path)  # type: ignore[attr-defined]
