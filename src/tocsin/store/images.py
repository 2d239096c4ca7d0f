"""Rows on their way from one instance to another: whole, as they are now, with their secrets sealed to the cluster's key."""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from tocsin.errors import Invalid, Problem, SettingsError
from tocsin.store.sealing import Seal
from tocsin.store.shared import HISTORY, SharedTable, shared_tables
from tocsin.store.version import HEAD

_PLAIN, _PACKED, _SHORT, _LARGEST = b"m", b"z", 512, 256 << 20
MOST_PAYLOAD = 16 << 20
"""An entry travels in one message, as text that is a third longer, within the seconds that a message has."""
Key = tuple[Any, ...]
Reseal = Callable[[bytes, str], bytes]


class Oversize(Invalid):
    """A change that is too large for an entry of the log."""

    def __init__(self, found: int, most: int) -> None:
        wants = f"a change of at most {most / 1e6:.0f} MB at once, as it goes to the other instances"
        super().__init__(Problem("", wants, f"one of {found / 1e6:.1f} MB: make it in smaller parts"))


class Images(Struct, frozen=True, array_like=True):
    """Rows of one table: those that are there, and the keys of those that are gone. A key is the first columns."""

    table: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...] = ()
    gone: tuple[Key, ...] = ()


class Changed(Struct, frozen=True, array_like=True):
    """What an entry of the log changed: `head` is the version of the tables it was made from."""

    head: str
    tables: tuple[Images, ...]


def encode(tables: Sequence[Images]) -> bytes:
    """The payload of an entry: compressed, unless it is short. Oversize when no other instance would take it."""
    whole = msgspec.msgpack.encode(Changed(HEAD, tuple(tables)))
    if len(whole) > _LARGEST:
        raise Oversize(len(whole), _LARGEST)
    payload = squeezed(whole)
    if len(payload) > MOST_PAYLOAD:
        raise Oversize(len(payload), MOST_PAYLOAD)
    return payload


def decode(payload: bytes) -> Changed:
    """What an entry changed. Invalid when it is none, SettingsError when it names tables or columns that this program does
    not know."""
    try:
        changed = msgspec.msgpack.decode(unsqueezed(payload), type=Changed)
    except (msgspec.MsgspecError, UnicodeDecodeError, ValueError) as error:
        raise Invalid(Problem("entry", "rows of tables", str(error))) from error
    for images in changed.tables:
        require_fit(images, changed.head)
    return changed


_OF_MONITOR = {"monitors": "id", "monitor_channels": "monitor_id", "monitor_parents": "monitor_id"}


def monitors_of(payload: bytes) -> set[str]:
    """The ids of the monitors whose configuration an entry changes, apart from those that went with it."""
    found: set[str] = set()
    for one in decode(payload).tables:
        if (column := _OF_MONITOR.get(one.table)) is not None:
            at = one.columns.index(column)
            found |= {row[at] for row in one.rows}
            found |= {key[at] for key in one.gone if at < len(key) and one.table != "monitors"}
    return found


def squeezed(data: bytes) -> bytes:
    """The same compressed, unless it is short."""
    return _PLAIN + data if len(data) < _SHORT else _PACKED + zlib.compress(data, 1)


def unsqueezed(payload: bytes) -> bytes:
    """What `squeezed` was given. ValueError when that was not it."""
    kind, data = payload[:1], payload[1:]
    if kind == _PLAIN:
        return data
    if kind != _PACKED:
        raise ValueError(f"a payload of another kind, {kind!r}")
    unpacking = zlib.decompressobj()
    try:
        found = unpacking.decompress(data, _LARGEST)
    except zlib.error as error:
        raise ValueError(str(error)) from error
    if not unpacking.eof:
        raise ValueError(f"more than {_LARGEST} bytes, or no end")
    return found


def require_fit(images: Images, head: str) -> None:
    """Return when these can be rows of their table. SettingsError when it, or one of its columns, is none that this program
    knows, Invalid when a row is of another width."""
    name, columns = images.table, images.columns
    if name in HISTORY:
        table, known, width = HISTORY[name], HISTORY[name].columns, HISTORY[name].key
    else:
        table = shared_tables().get(name)
        known, width = (table.columns, len(table.key)) if table else ((), 0)
    unknown = sorted(set(columns) - set(known)) if table else [name]
    if table is None or unknown:
        raise SettingsError(
            f"the primary's tables (version {head}) have {', '.join(unknown)}, which this program (version {HEAD}) does not "
            "know: bring this instance to the primary's version of Tocsin"
        )
    whole = all(len(row) == len(columns) for row in images.rows) and all(len(key) == width for key in images.gone)
    if columns[:width] != known[:width] or len(set(columns)) < len(columns) or not whole:
        raise Invalid(Problem(f"rows of {name}", f"{len(columns)} values each, the key first", "something else"))


def resealing(own: Seal, other: Seal) -> Reseal:
    """What a value sealed by the first is when the second seals it."""
    return lambda sealed, about: other.close_bytes(own.open_bytes(sealed, about), about)


def sealed_anew(table: SharedTable, columns: Sequence[str], row: Sequence[Any], reseal: Reseal) -> tuple[Any, ...]:
    """The row with its sealed columns sealed for its reader."""
    if not table.how.sealed:
        return tuple(row)
    by_name = dict(zip(columns, row, strict=True))
    for column in table.how.sealed:
        if by_name.get(column) is not None:
            by_name[column] = reseal(by_name[column], table.about(column, by_name))
    return tuple(by_name.values())


def now_of(raw: sqlite3.Connection, table: SharedTable, keys: Iterable[Key], reseal: Reseal) -> Images:
    """The rows with these keys as they are in the database."""
    where = " AND ".join(f"{column} = ?" for column in table.key)
    sql = f"SELECT {', '.join(table.columns)} FROM {table.name} WHERE {where} AND {table.where()}"
    rows: list[tuple[Any, ...]] = []
    gone: list[Key] = []
    for key in keys:
        row = raw.execute(sql, key).fetchone()
        if row is None:
            gone.append(key)
        else:
            rows.append(sealed_anew(table, table.columns, row, reseal))
    return Images(table.name, table.columns, tuple(rows), tuple(gone))


def put(raw: sqlite3.Connection, images: Images, reseal: Reseal) -> None:
    """Make the rows what the images say. No foreign key may be checked meanwhile, and nothing cascade: what a cascade took
    at the primary is among the images. All rows go before one comes: values that are unique may have changed places."""
    table = shared_tables()[images.table]
    width, home = len(table.key), table.how.at_home
    where = " AND ".join(f"{column} = ?" for column in table.key)
    keys = [row[:width] for row in images.rows]
    kept: list[tuple[Any, ...]] = [() for _ in keys]
    if home:
        kept = [raw.execute(f"SELECT {', '.join(home)} FROM {table.name} WHERE {where}", key).fetchone() or
                (None,) * len(home) for key in keys]  # fmt: skip
    raw.executemany(f"DELETE FROM {table.name} WHERE {where}", [*images.gone, *keys])
    fill(raw, images, reseal, home, kept)


def fill(
    raw: sqlite3.Connection, images: Images, reseal: Reseal, more: tuple[str, ...] = (), values: Sequence[Key] = ()
) -> None:
    """Put the rows in, with the values of some more columns for each."""
    table, columns = shared_tables()[images.table], (*images.columns, *more)
    own = values or ((),) * len(images.rows)
    raw.executemany(
        f"INSERT INTO {table.name} ({', '.join(columns)}) VALUES ({', '.join('?' for _ in columns)})",
        [(*sealed_anew(table, images.columns, row, reseal), *mine) for row, mine in zip(images.rows, own, strict=True)],
    )
