"""What the writer does for an instance of a cluster around each group of work: at the primary, turn what the group changed
in the shared tables into one entry of the control log, in the group's own transaction; elsewhere, refuse work that changes
them.

Triggers note what was touched, cascades too. They are TEMP triggers on the writer's own connection: an instance that stands
alone has none, and nothing of them is in the file. The connection on which entries are applied has none either.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol, cast

import msgspec
from sqlalchemy import Connection

from tocsin.errors import NotPrimary
from tocsin.store import control, images
from tocsin.store.control import ROWS, Entry
from tocsin.store.images import Images, Key, Reseal
from tocsin.store.jobs import Job
from tocsin.store.shared import SharedTable, shared_tables

_BROUGHT = "SELECT images FROM temp.brought ORDER BY n"
"""What store.history brought into this group's entry."""


class Carrier(Protocol):
    """Who brings the primary's entries to the others."""

    def may_write(self) -> bool:
        """Whether this instance holds its lease now. Asked in the writer's thread, before each commit: it must not wait."""
        ...

    def appended(self, entry: Entry) -> None:
        """An entry of this instance is durable in its log. Called in the loop, in the order of the log, before whoever
        wrote it goes on."""
        ...

    async def committed(self, index: int) -> None:
        """Returns when a majority has the entry. NotPrimary when that can no longer be known here."""
        ...

    def unwritable(self) -> None:
        """The database cannot be written: whoever cannot write should not stay primary."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Leading:
    """This instance is the primary of an epoch."""

    epoch: int
    carrier: Carrier


@dataclass(frozen=True, slots=True, eq=False)
class Following:
    """Another instance is, or nobody."""

    primary: str | None = None
    retry_after_s: float = 5.0

    def refusal(self) -> NotPrimary:
        """What is said to whoever wants to change shared rows."""
        return NotPrimary(primary=self.primary, retry_after_s=self.retry_after_s)


class Fenced(Exception):
    """This instance is no longer the primary it was when the group began."""


def raw_of(connection: Connection) -> sqlite3.Connection:
    """SQLite's own connection."""
    return cast(sqlite3.Connection, connection.connection.driver_connection)


class Capture:
    """The gear of an instance, and what it means for the writer. `gear` is None while the instance stands alone; it is set
    in the loop and looked at once for each group."""

    def __init__(self) -> None:
        self.gear: Leading | Following | None = None
        self.reseal: Reseal | None = None
        self._armed: sqlite3.Connection | None = None
        self._seen = 0
        self.held = 0
        """While this is not 0, only work of the replica itself is done."""
        self._now_us: Callable[[], int] = lambda: 0

    def use(self, reseal: Reseal | None, now_us: Callable[[], int]) -> None:
        """From now on secrets in entries are sealed anew by this."""
        self.reseal, self._now_us = reseal, now_us

    def begin(self, raw: sqlite3.Connection) -> Leading | Following | None:
        """The gear that the next group is written in. Before its transaction."""
        gear = self.gear
        if gear is None:
            if self._armed is raw:
                _disarm(raw)
                self._armed = None
            return None
        if self._armed is not raw:
            _arm(raw)
            self._armed = raw
        self.again()
        if isinstance(gear, Leading) and not gear.carrier.may_write():
            return Following()
        return gear

    def again(self) -> None:
        """Nothing of the group is done (any more)."""
        self._seen = 0

    def after_job(self, gear: Leading | Following, connection: Connection, job: Job) -> None:
        """After each piece of work, in its savepoint: NotPrimary when it changed what this instance may not."""
        newest = raw_of(connection).execute("SELECT max(n) FROM temp.touched").fetchone()[0] or 0
        if newest > self._seen:
            if isinstance(gear, Following):
                raise gear.refusal()
            self._seen, job.shares = newest, True

    def before_commit(self, gear: Leading | Following, connection: Connection, group: list[Job]) -> Entry | None:
        """The entry of what the group changed, now in the log; its work is done when that is committed. Fenced when this
        instance is not that primary any more; Oversize when it is more than an entry takes."""
        if isinstance(gear, Following):
            return None
        raw, entry = raw_of(connection), None
        if touched := _touched(raw):
            self._require(gear, raw)
            assert self.reseal is not None
            tables = [images.now_of(raw, table, keys, self.reseal) for table, keys in touched]
            tables += [msgspec.msgpack.decode(row[0], type=Images) for row in raw.execute(_BROUGHT)]
            entry = Entry(epoch=gear.epoch, index=control.last(raw).index + 1, kind=ROWS, payload=images.encode(tables))
            control.add(raw, [entry], self._now_us())
            control.moved(raw, entry.index)
            raw.execute("DELETE FROM temp.touched")
            raw.execute("DELETE FROM temp.brought")
        upto = control.last(raw).index if entry is None else entry.index
        for job in group:
            if job.shares or not job.local:
                job.settled = partial(gear.carrier.committed, upto)
        return entry

    def _require(self, gear: Leading, raw: sqlite3.Connection) -> None:
        epoch = raw.execute("SELECT epoch FROM control").fetchone()
        if epoch is None or epoch[0] != gear.epoch or self.gear is not gear or not gear.carrier.may_write():
            raise Fenced


def _touched(raw: sqlite3.Connection) -> list[tuple[SharedTable, list[Key]]]:
    found: dict[str, list[Key]] = {}
    for name, *key in raw.execute("SELECT DISTINCT name, a, b, c FROM temp.touched"):
        found.setdefault(name, []).append(tuple(key))
    tables = shared_tables()
    return [(tables[name], [key[: len(tables[name].key)] for key in keys]) for name, keys in found.items()]


def _arm(raw: sqlite3.Connection) -> None:
    raw.execute(
        "CREATE TEMP TABLE IF NOT EXISTS touched (n INTEGER PRIMARY KEY, name TEXT NOT NULL, a ANY, b ANY, c ANY) STRICT"
    )
    raw.execute("CREATE TEMP TABLE IF NOT EXISTS brought (n INTEGER PRIMARY KEY, images BLOB NOT NULL) STRICT")
    for table in shared_tables().values():
        for statement in _triggers(table):
            raw.execute(statement)


def _disarm(raw: sqlite3.Connection) -> None:
    for (name,) in raw.execute("SELECT name FROM temp.sqlite_schema WHERE type = 'trigger'").fetchall():
        raw.execute(f"DROP TRIGGER temp.{name}")
    raw.execute("DROP TABLE IF EXISTS temp.touched")
    raw.execute("DROP TABLE IF EXISTS temp.brought")


def _triggers(table: SharedTable) -> list[str]:
    def note(side: str) -> str:
        marks = [f"{side}.{column}" for column in table.key] + ["NULL"] * (3 - len(table.key))
        return f"INSERT INTO touched (name, a, b, c) VALUES ('{table.name}', {', '.join(marks)});"

    def trigger(verb: str, of: str, sides: tuple[str, ...]) -> str:
        when = f" WHEN {' OR '.join(table.where(side + '.') for side in sides)}" if table.how.rows else ""
        return (
            f"CREATE TEMP TRIGGER IF NOT EXISTS touch_{table.name}_{verb} AFTER {verb}{of} ON main.{table.name}{when} BEGIN "
            f"{' '.join(note(side) for side in sides)} END"
        )

    columns = f" OF {', '.join(table.columns)}"
    return [
        trigger("INSERT", "", ("NEW",)),
        trigger("DELETE", "", ("OLD",)),
        trigger("UPDATE", columns, ("OLD", "NEW")),
    ]
