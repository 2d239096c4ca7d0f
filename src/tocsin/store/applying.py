"""Entries of the control log, on their way into this instance's tables, and what else goes when shared rows go: what is
this instance's own hangs on them too, but no foreign key is looked at meanwhile."""

from __future__ import annotations

import sqlite3
from typing import NamedTuple

from msgspec import Struct

from tocsin.errors import Conflict
from tocsin.store import control, history, images
from tocsin.store.capture import raw_of
from tocsin.store.control import ROWS, Entry
from tocsin.store.images import Images, Key, Reseal
from tocsin.store.monitors import forget_results
from tocsin.store.session import Session
from tocsin.store.shared import shared_tables

SLICE_BYTES = 2 << 20
"""So much of the log is applied in one transaction, about."""
OF_MONITORS = (
    "results", "results_tail", "evidence", "latest", "states", "ticks", "rollups_minute", "rollups_hour", "rollups_day",
    "transport",
)  # fmt: skip
ORPHANS = (
    "DELETE FROM sessions WHERE NOT EXISTS (SELECT 1 FROM memberships m WHERE m.workspace_id = sessions.workspace_id AND "
    "m.user_id = sessions.user_id)"
)


class Applied(Struct, frozen=True, kw_only=True):
    """The tables are at entry `index` now. `changed`: which rows came, changed or went, by table, as they are named outside
    the store (store.shared: (workspace_id, id) of monitors, incidents, rules …). `others`: applied entries of other kinds
    than the store's own, in order."""

    index: int
    changed: dict[str, set[Key]]
    others: tuple[Entry, ...] = ()


class _Monitor(NamedTuple):
    key: int
    id: str
    workspace: int


def apply_some(s: Session, upto: int, reseal: Reseal) -> Applied:
    """Bring entries up to this one, as many as make a good transaction, into the tables: each exactly once. Conflict when
    the tables are torn, or the log does not have the next."""
    raw = raw_of(s.connection)
    found = control.state(raw)
    if found is None or found.torn:
        raise Conflict(
            "the tables of this instance have what others do not: expected a snapshot before further entries"
        )
    entries = control.read(raw, found.applied, upto, SLICE_BYTES)
    if not entries and found.applied < upto:
        raise Conflict(f"expected entry {found.applied + 1} in the control log, which ends at {found.last.index}")
    changed: dict[str, set[Key]] = {}
    for entry in entries:
        if entry.kind == ROWS:
            _apply(s, entry, reseal, changed)
    index = entries[-1].index if entries else found.applied
    control.moved(raw, index)
    return Applied(index=index, changed=changed, others=tuple(e for e in entries if e.kind != ROWS))


def _apply(s: Session, entry: Entry, reseal: Reseal, changed: dict[str, set[Key]]) -> None:
    raw = raw_of(s.connection)
    tables, brought = history.aside(images.decode(entry.payload).tables)
    for key in (row[0] for i in tables if i.table == "monitors" for row in i.rows):
        if raw.execute("SELECT 1 FROM monitors_gone WHERE monitor = ?", (key,)).fetchone():
            wipe(s, key)  # its number was given here to one that nobody else heard of, and went
    monitors = [m for i in tables if i.table == "monitors" for m in _monitors(raw, i)]
    for one in tables:
        names = changed.setdefault(one.table, set())
        names |= _names(raw, one)
        images.put(raw, one, reseal)
        names |= _names(raw, one)
    history.put(s, brought)
    for monitor in monitors:
        if raw.execute("SELECT 1 FROM monitors WHERE key = ?", (monitor.key,)).fetchone() is None:
            forget_results(s, monitor.id, monitor.key, monitor.workspace)
    if any(one.table == "memberships" and one.gone for one in tables):
        raw.execute(ORPHANS)


def wipe(s: Session, monitor: int) -> None:
    """Delete at once all that was seen of a monitor, whose number is another one's now."""
    raw, tail = raw_of(s.connection), s.memory.tail
    for table in (*OF_MONITORS, "monitors_gone"):
        raw.execute(f"DELETE FROM {table} WHERE monitor = ?", (monitor,))
    dropped = tail.drop(monitor)
    s.undo.append(lambda: tail.put_back(monitor, dropped))


def _monitors(raw: sqlite3.Connection, gone: Images) -> list[_Monitor]:
    sql = "SELECT m.key, m.id, w.key FROM monitors m JOIN workspaces w ON w.id = m.workspace_id WHERE m.key = ?"
    return [_Monitor(*row) for key in gone.gone for row in raw.execute(sql, key)]


def _names(raw: sqlite3.Connection, one: Images) -> set[Key]:
    table = shared_tables()[one.table]
    if table.named == table.key:
        return {*one.gone, *(row[: len(table.key)] for row in one.rows)}
    where = " AND ".join(f"{column} = ?" for column in table.key)
    sql = f"SELECT {', '.join(table.named)} FROM {table.name} WHERE {where}"
    keys = [*one.gone, *(row[: len(table.key)] for row in one.rows)]
    return {tuple(row) for key in keys for row in raw.execute(sql, key)}
