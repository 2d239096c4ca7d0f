"""What was seen before a server joined: its results and figures, brought into this instance's own tables, each load once.

It travels with the control log (`capture` puts what was brought into the entry of its load), so every instance that follows
has it when the joined monitors begin to run. And results that are here already under another number of their monitor.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from tocsin.store.images import Images
from tocsin.store.memory import Newest
from tocsin.store.shared import HISTORY

if TYPE_CHECKING:
    from tocsin.store.session import Session

_MARK = "brought:"
_BRING = "INSERT INTO brought (images) VALUES (?)"
NUMBERED = ("results", "evidence", "latest", "states", "ticks", "rollups_minute", "rollups_hour", "rollups_day")


def bring(s: Session, adoption: str, number: int, tables: Sequence[Images]) -> None:
    """At the primary: keep what one load of a server that joins holds, and put it into the entry of the log."""
    which = Images("history", HISTORY["history"].columns, ((adoption, number),))
    put(s, [which, *tables])
    for one in (which, *tables):
        s.run(_BRING, msgspec.msgpack.encode(one))


def put(s: Session, tables: Sequence[Images]) -> None:
    """Keep what one load holds, unless that was done here before."""
    which = next((one for one in tables if one.table == "history"), None)
    if which is None:
        return
    adoption, number = which.rows[0]
    mark = s.notes.get(_MARK + adoption)
    if mark is not None and mark >= number:
        return
    for one in tables:
        if one.table == "history":
            continue
        if HISTORY[one.table].merged:
            s.rollups.add(one.table, one.columns, one.rows)
        else:
            key = ", ".join(HISTORY[one.table].columns[: HISTORY[one.table].key])
            marks = ", ".join("?" for _ in one.columns)
            sql = f"INSERT INTO {one.table} ({', '.join(one.columns)}) VALUES ({marks}) ON CONFLICT ({key}) DO NOTHING"
            s.many(sql, one.rows)
        if one.table == "latest":
            _remember(s, one)
    s.notes.set(_MARK + adoption, number)
    s.memory.rolled = {}


def _remember(s: Session, latest: Images) -> None:
    """The newest result of these monitors and locations is known, where none was."""
    newest = s.memory.newest
    for row in latest.rows:
        named = dict(zip(latest.columns, row, strict=True))
        spot = named["monitor"], named["location"]
        if spot not in newest:
            newest[spot] = Newest(named["at"], named["attempt"])
            s.undo.append(lambda spot=spot: newest.pop(spot, None))


def renumber(s: Session, moved: dict[int, tuple[int, int]]) -> None:
    """Let what was seen of monitors bear the number, and their workspace's, that they have now (by the one they had).
    Nothing of it is in the tail any more."""
    memory, pairs = s.memory, list(moved.items())
    for table in NUMBERED:
        s.many(f"UPDATE {table} SET monitor = ? WHERE monitor = ?", [(-old, old) for old, _ in pairs])
    for table in NUMBERED:
        sql = f"UPDATE {table} SET monitor = ?, workspace = ? WHERE monitor = ?"
        s.many(sql, [(key, workspace, -old) for old, (key, workspace) in pairs])
    s.many("UPDATE transport SET monitor = ? WHERE monitor = ?", [(-old, old) for old, _ in pairs])
    s.many("UPDATE transport SET monitor = ? WHERE monitor = ?", [(key, -old) for old, (key, _) in pairs])
    before, dropped = memory.newest, [(old, memory.tail.drop(old)) for old in moved]

    def restore() -> None:
        memory.newest = before
        for old, rows in dropped:
            memory.tail.put_back(old, rows)

    s.undo.append(restore)
    memory.newest = {
        (moved[spot[0]][0] if spot[0] in moved else spot[0], spot[1]): known for spot, known in before.items()
    }
    memory.rolled = {}


def aside(tables: Sequence[Images]) -> tuple[list[Images], list[Images]]:
    """Shared rows, and what a load brought of its server's own."""
    shared: list[Any] = [one for one in tables if one.table not in HISTORY]
    return shared, [one for one in tables if one.table in HISTORY]
