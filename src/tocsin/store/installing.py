"""A snapshot on its way into this instance's tables, in one transaction in which no foreign key is looked at.

What is this instance's own stays. Its results name monitors and locations by numbers that only a primary gives out: where
this instance gave out numbers itself that no longer hold, what bears them goes or gets its new number.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from tocsin.store import control, history, images, snapshot
from tocsin.store.applying import OF_MONITORS, ORPHANS, wipe
from tocsin.store.capture import raw_of
from tocsin.store.control import Position
from tocsin.store.images import Images, Key, Reseal
from tocsin.store.memory import Newest, Place
from tocsin.store.monitors import forget_results
from tocsin.store.moving import move_now
from tocsin.store.packing import pack_more, unpack_more
from tocsin.store.session import Session
from tocsin.store.shared import shared_tables
from tocsin.store.snapshot import Head
from tocsin.store.ticks import relocated

_HomeRows = dict[str, dict[Key, Key]]


def install(s: Session, path: Path, reseal: Reseal) -> Position:
    """Make the shared tables what the snapshot says: the entry it was taken at. Conflict when they are further already."""
    raw = raw_of(s.connection)
    parts = snapshot.read(path)
    head = next(parts)
    assert isinstance(head, Head)
    control.rebase(raw, head.position, head.membership)
    monitors, locations, home = _monitors(raw), _locations(raw), _home(raw)
    for table in shared_tables().values():
        raw.execute(f"DELETE FROM {table.name} WHERE {table.where()}")
    for part in parts:
        if isinstance(part, Images):
            images.fill(raw, part, reseal)
    _restore_home(raw, home)
    _count_on(raw, head.counters)
    raw.execute(ORPHANS)
    _keep_monitors(s, monitors, _monitors(raw), head.counters.get("monitors", 0))
    moved = _move_locations(raw, locations, _locations(raw))
    _remember(s, moved)
    return head.position


def _monitors(raw: sqlite3.Connection) -> dict[int, tuple[str, int]]:
    sql = "SELECT m.key, m.id, w.key FROM monitors m JOIN workspaces w ON w.id = m.workspace_id"
    return {key: (id, workspace) for key, id, workspace in raw.execute(sql)}


def _locations(raw: sqlite3.Connection) -> dict[int, str]:
    return dict(raw.execute("SELECT key, name FROM locations").fetchall())


def _home(raw: sqlite3.Connection) -> _HomeRows:
    """What this instance keeps in columns of its own of shared rows."""
    found: _HomeRows = {}
    for table in shared_tables().values():
        if not table.how.at_home:
            continue
        some = " OR ".join(f"{column} IS NOT NULL" for column in table.how.at_home)
        columns, width = ", ".join((*table.key, *table.how.at_home)), len(table.key)
        rows = raw.execute(f"SELECT {columns} FROM {table.name} WHERE {some}")
        found[table.name] = {row[:width]: row[width:] for row in rows}
    return found


def _restore_home(raw: sqlite3.Connection, home: _HomeRows) -> None:
    for name, rows in home.items():
        table = shared_tables()[name]
        sets = ", ".join(f"{column} = ?" for column in table.how.at_home)
        where = " AND ".join(f"{column} = ?" for column in table.key)
        raw.executemany(f"UPDATE {name} SET {sets} WHERE {where}", [(*own, *key) for key, own in rows.items()])


def _count_on(raw: sqlite3.Connection, counters: dict[str, int]) -> None:
    """Numbers that were given out anywhere are never given again here."""
    for name, seq in counters.items():
        if raw.execute("UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = ?", (seq, name)).rowcount == 0:
            raw.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", (name, seq))


def _keep_monitors(s: Session, before: dict[int, tuple[str, int]], now: dict[int, tuple[str, int]], last: int) -> None:
    """What was seen of monitors that have another number now gets that (they came with a server that joined). Of those
    that are not there it goes: later, in slices, or at once where their number is another one's or may become so, for the
    cluster has given out none beyond `last`."""
    numbers = {id: (key, workspace) for key, (id, workspace) in now.items()}
    moved = {key: numbers[id] for key, (id, _) in before.items() if id in numbers}
    moved = {key: new for key, new in moved.items() if new != (key, before[key][1])}
    move_now(s, list(moved))
    _drop_monitors(s, {key: one for key, one in before.items() if key not in moved}, now, last)
    history.renumber(s, moved)


def _drop_monitors(s: Session, before: dict[int, tuple[str, int]], now: dict[int, tuple[str, int]], last: int) -> None:
    raw = raw_of(s.connection)
    going = {row[0]: row[1] for row in raw.execute("SELECT monitor, workspace FROM monitors_gone")}
    for key in sorted(before.keys() | going.keys()):
        id, workspace = before.get(key, ("", going.get(key, 0)))
        if key in now and now[key][0] == id:
            continue
        if key in before:
            forget_results(s, id, key, workspace)
        if key in now or key > last:
            wipe(s, key)


def _move_locations(raw: sqlite3.Connection, before: dict[int, str], now: dict[int, str]) -> dict[int, int | None]:
    """The new numbers (None: there is none) of locations whose number does not hold any more."""
    keys = {name: key for key, name in now.items()}
    moved = {key: keys.get(name) for key, name in before.items() if now.get(key) != name}
    for table in [one for one in OF_MONITORS if one != "ticks"] if moved else ():
        for key in moved:
            raw.execute(f"UPDATE {table} SET location = ? WHERE location = ?", (-key, key))
        for key, new in moved.items():
            if new is None:
                raw.execute(f"DELETE FROM {table} WHERE location = ?", (-key,))
            else:
                raw.execute(f"UPDATE {table} SET location = ? WHERE location = ?", (new, -key))
    if moved:
        for table in ("results", "results_tail"):
            _move_seats(raw, table, moved)
        _move_looks(raw, moved)
    return moved


def _move_looks(raw: sqlite3.Connection, moved: dict[int, int | None]) -> None:
    """Ticks name the locations of their looks by number, in what is packed."""
    for monitor, at, looks in raw.execute("SELECT monitor, at, looks FROM ticks").fetchall():
        now = relocated(looks, moved)
        if now != looks:
            raw.execute("UPDATE ticks SET looks = ? WHERE monitor = ? AND at = ?", (now, monitor, at))


def _move_seats(raw: sqlite3.Connection, table: str, moved: dict[int, int | None]) -> None:
    """Results that stood in for a lost location name it by its number, in what is packed."""
    key = "monitor, at, location, attempt"
    rows = raw.execute(f"SELECT more, {key} FROM {table} WHERE substr(more, 1, 1) >= x'80'").fetchall()
    for packed, *spot in rows:
        lag, (*numbers, seat) = unpack_more(packed)
        if seat in moved:
            new = pack_more(lag, (*numbers, moved[seat]))
            raw.execute(f"UPDATE {table} SET more = ? WHERE ({key}) = (?, ?, ?, ?)", (new, *spot))


def _remember(s: Session, moved: dict[int, int | None]) -> None:
    """Memory holds what the tables hold now."""
    memory = s.memory
    before = memory.places, memory.locations, memory.newest

    def restore() -> None:
        memory.places, memory.locations, memory.newest = before

    s.undo.append(restore)
    memory.locations, memory.places = {}, {
        id: Place(key, workspace_key, workspace)
        for id, key, workspace_key, workspace in s.rows(
            "SELECT m.id, m.key, w.key, w.id FROM monitors m JOIN workspaces w ON w.id = m.workspace_id"
        )
    }  # fmt: skip
    newest: dict[tuple[int, int], Newest] = {}
    for (monitor, location), known in memory.newest.items():
        new = moved.get(location, location)
        if new is not None:
            newest[monitor, new] = known
    memory.newest = newest
