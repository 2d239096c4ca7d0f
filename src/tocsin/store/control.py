"""The control log and what an instance promised the others, in its own tables. All of it on a raw SQLite connection: the
writer's, or a reader's.

`applied` is the last entry that is in the shared tables. At a primary that is always the log's last; when a follower of
today that was primary yesterday has to cut entries that are in its tables already, its tables are `torn` until it takes a
whole snapshot.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from msgspec import Struct

from tocsin.errors import Conflict

ROWS = "rows"
"""The kind of the entries that the store makes itself: their payload is store.images."""


class Position(Struct, frozen=True, order=True, array_like=True):
    """A place in the log. Index 0 is before the first entry."""

    epoch: int
    index: int


class Entry(Struct, frozen=True, kw_only=True):
    """An entry of the log."""

    epoch: int
    index: int
    kind: str
    payload: bytes

    @property
    def position(self) -> Position:
        return Position(self.epoch, self.index)


class State(Struct, frozen=True, kw_only=True):
    """What an instance of a cluster remembers over a restart. `standing` is what it promised (the carrier's own words),
    `base` is where its log begins: all before it is in the tables only, with the `membership` as it was there."""

    standing: bytes
    epoch: int
    cluster_key: bytes
    base: Position
    membership: bytes
    applied: int
    torn: bool
    last: Position


class Save(Struct, frozen=True, kw_only=True):
    """What has to be on the disk before anything is answered, all or none of it, in this order: what was promised
    (`standing`, the carrier's own words, and the epoch), entries from index `cut` on taken away, the log begun anew after
    `base` (with the `membership` as it is there), `entries` put at the end. None: it stays as it is."""

    standing: bytes
    epoch: int
    cut: int | None = None
    base: Position | None = None
    membership: bytes | None = None
    entries: tuple[Entry, ...] = ()


def state(raw: sqlite3.Connection) -> State | None:
    """What is remembered, or None at an instance that stands alone."""
    row = raw.execute(
        "SELECT standing, epoch, cluster_key, base_epoch, base, membership, applied, torn FROM control"
    ).fetchone()
    if row is None:
        return None
    return State(
        standing=row[0], epoch=row[1], cluster_key=row[2], base=Position(row[3], row[4]), membership=row[5],
        applied=row[6], torn=bool(row[7]), last=last(raw),
    )  # fmt: skip


def begin(raw: sqlite3.Connection, standing: bytes, sealed_key: bytes, *, torn: bool) -> None:
    """Become an instance of a cluster, with an empty log. Conflict when it is one already."""
    if raw.execute("SELECT 1 FROM control").fetchone():
        raise Conflict("this instance belongs to a cluster already")
    raw.execute(
        "INSERT INTO control (one, standing, epoch, cluster_key, base_epoch, base, membership, applied, torn) "
        "VALUES (1, ?, 0, ?, 0, 0, x'', 0, ?)",
        (standing, sealed_key, int(torn)),
    )


def end(raw: sqlite3.Connection) -> None:
    """Stand alone again: the tables stay, the log goes."""
    for table in ("control", "control_log", "transport", "transport_ends"):
        raw.execute(f"DELETE FROM {table}")


def last(raw: sqlite3.Connection) -> Position:
    """The end of the log."""
    row = raw.execute("SELECT epoch, n FROM control_log ORDER BY n DESC LIMIT 1").fetchone()
    row = row or raw.execute("SELECT base_epoch, base FROM control").fetchone()
    return Position(0, 0) if row is None else Position(*row)


def position(raw: sqlite3.Connection, index: int) -> Position | None:
    """The place of an index, or None when the log does not have it (any more, or yet)."""
    row = raw.execute("SELECT epoch, n FROM control_log WHERE n = ?", (index,)).fetchone()
    row = row or raw.execute("SELECT base_epoch, base FROM control WHERE base = ?", (index,)).fetchone()
    return None if row is None else Position(*row)


def save(raw: sqlite3.Connection, what: Save, at_us: int) -> bool:
    """Keep it; twice is the same as once. Whether the cut took away entries that are in the tables, which are torn now.
    Conflict when it does not fit what is there."""
    raw.execute("UPDATE control SET standing = ?, epoch = max(epoch, ?)", (what.standing, what.epoch))
    torn = what.cut is not None and cut(raw, what.cut)
    if what.base is not None:
        shorten(raw, what.base, what.membership)
    end = last(raw).index
    for entry in what.entries:
        if entry.index <= end and position(raw, entry.index) != entry.position:
            raise Conflict(
                f"expected entry {entry.index} of epoch {entry.epoch} to be new, found another one in its place"
            )
    add(raw, [entry for entry in what.entries if entry.index > end], at_us)
    return torn


def add(raw: sqlite3.Connection, entries: Sequence[Entry], at_us: int) -> None:
    """Put entries at the end of the log. Conflict when they do not follow it."""
    for n, entry in enumerate(entries, last(raw).index + 1):
        if entry.index != n:
            raise Conflict(f"expected entry {n} of the control log, found entry {entry.index}")
    raw.executemany(
        "INSERT INTO control_log (n, epoch, at, kind, payload) VALUES (?, ?, ?, ?, ?)",
        [(e.index, e.epoch, at_us, e.kind, e.payload) for e in entries],
    )
    if entries:
        raw.execute("UPDATE control SET epoch = max(epoch, ?)", (max(e.epoch for e in entries),))


def read(raw: sqlite3.Connection, after: int, upto: int | None, most_bytes: int) -> list[Entry]:
    """Entries after an index, as many as fit into so many bytes, at least one if there is one. Conflict when the first of
    them is no longer in the log: who needs it takes a snapshot."""
    base = raw.execute("SELECT base FROM control").fetchone()
    if base is not None and after < base[0]:
        raise Conflict(f"the control log begins after entry {base[0]}: expected to read after that, found {after}")
    found: list[Entry] = []
    cursor = raw.execute(
        "SELECT epoch, n, kind, payload FROM control_log WHERE n > ? AND n <= ? ORDER BY n",
        (after, 2**62 if upto is None else upto),
    )
    for epoch, n, kind, payload in cursor:
        most_bytes -= len(payload)
        if found and most_bytes < 0:
            break
        found.append(Entry(epoch=epoch, index=n, kind=kind, payload=payload))
    return found


def cut(raw: sqlite3.Connection, index: int) -> bool:
    """Take entries from this one on out of the log. Whether some of them are in the tables (which are torn now)."""
    found = state(raw)
    if found is None or index > found.last.index:
        return False
    if index <= found.base.index:
        raise Conflict(f"expected to cut the log after entry {found.base.index}, found entry {index}: it is settled")
    torn = raw.execute(
        "SELECT 1 FROM control_log WHERE n BETWEEN ? AND ? AND kind = ?", (index, found.applied, ROWS)
    ).fetchone()
    raw.execute("DELETE FROM control_log WHERE n >= ?", (index,))
    raw.execute("UPDATE control SET applied = min(applied, ?), torn = max(torn, ?)", (index - 1, int(torn is not None)))
    return torn is not None


def spare(raw: sqlite3.Connection, held_by_all: int, *, keep_bytes: int, since_us: int) -> int:
    """Up to which index the log can be shortened: what is in the tables and every member has, or is older than `since_us`,
    or does not fit into so many bytes with all that follows."""
    found = state(raw)
    if found is None or found.torn:
        return 0
    edge, room = min(held_by_all, found.applied), keep_bytes
    for n, at, size in raw.execute("SELECT n, at, length(payload) FROM control_log ORDER BY n DESC"):
        room -= size
        if n <= edge:
            break
        if room < 0 or at < since_us:
            return min(n, found.applied)
    return max(edge, found.base.index)


def shorten(raw: sqlite3.Connection, base: Position, membership: bytes | None) -> None:
    """Let the log begin after this place. Conflict when the tables are not there yet, or the log never was."""
    found = state(raw)
    assert found is not None
    if base.index <= found.base.index:
        return
    if position(raw, base.index) != base or (base.index > found.applied and not found.torn):
        raise Conflict(f"expected an entry up to {found.applied} of the control log to begin after, found {base}")
    raw.execute(
        "UPDATE control SET base_epoch = ?, base = ?, membership = ?",
        (base.epoch, base.index, found.membership if membership is None else membership),
    )
    raw.execute("DELETE FROM control_log WHERE n <= ?", (base.index,))


def enter(raw: sqlite3.Connection, epoch: int) -> None:
    """This epoch is known from now on."""
    raw.execute("UPDATE control SET epoch = max(epoch, ?)", (epoch,))


def moved(raw: sqlite3.Connection, applied: int) -> None:
    """The tables are at this entry now."""
    raw.execute("UPDATE control SET applied = ?", (applied,))


def tear(raw: sqlite3.Connection) -> None:
    """The tables are not those of the log."""
    raw.execute("UPDATE control SET torn = 1")


def rebase(raw: sqlite3.Connection, place: Position, membership: bytes) -> None:
    """The tables are those of a snapshot taken at this place: the log begins after it. What follows that very entry here
    stays, for others count on it; anything else is of another history. Conflict when the tables are further already."""
    found = state(raw)
    assert found is not None
    if place.index < found.base.index or (place.index < found.applied and not found.torn):
        raise Conflict(f"expected a snapshot of entry {found.applied} or later, found one of entry {place.index}")
    same = position(raw, place.index) == place
    raw.execute("DELETE FROM control_log WHERE n <= ? OR ?", (place.index, not same))
    raw.execute(
        "UPDATE control SET base_epoch = ?, base = ?, membership = ?, applied = ?, torn = 0, epoch = max(epoch, ?)",
        (place.epoch, place.index, membership, place.index, place.epoch),
    )
