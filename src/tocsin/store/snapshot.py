"""All shared rows as they were at one entry of the control log, in a file: for whoever joins, is too far behind, or has
torn tables.

The file: a line that says what it is, then frames (length in four bytes, msgpack): the head, rows of each table, the foot.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sqlite3
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
from msgspec import Struct

from tocsin.errors import Conflict, Invalid, Problem
from tocsin.store import control, images
from tocsin.store.control import Position
from tocsin.store.images import Images, Reseal
from tocsin.store.shared import SharedTable, shared_tables
from tocsin.store.version import HEAD

_TITLE = b"tocsin snapshot 1\n"
_ROWS, _LARGEST = 200, 256 << 20


class Snapshot(Struct, frozen=True, kw_only=True):
    """A snapshot that lies in a file of `size` bytes."""

    position: Position
    membership: bytes
    path: str
    size: int


class Head(Struct, frozen=True, kw_only=True):
    """How a snapshot begins. `counters`: the last numbers that were given out of each table that never gives one twice."""

    head: str
    position: Position
    membership: bytes
    counters: dict[str, int]


class _Foot(Struct, frozen=True, kw_only=True):
    rows: int
    sum: bytes


def write(raw: sqlite3.Connection, path: Path, membership_at: Callable[[int], bytes], reseal: Reseal) -> Snapshot:
    """Write one of what this connection's transaction sees. Conflict when these tables are torn."""
    found = control.state(raw)
    if found is None or found.torn:
        raise Conflict("expected an instance whose tables are those of its cluster, found that they are not")
    place = control.position(raw, found.applied)
    assert place is not None
    tables = shared_tables()
    counters = {name: seq for name, seq in raw.execute("SELECT name, seq FROM sqlite_sequence") if name in tables}
    membership = membership_at(place.index)
    head = Head(head=HEAD, position=place, membership=membership, counters=counters)
    with path.open("wb") as file:
        os.fchmod(file.fileno(), 0o600)
        with writing(file, head) as put:
            for table in tables.values():
                for some in _chunks(raw, table, reseal):
                    put(some)
        size = file.tell()
    return Snapshot(position=place, membership=membership, path=str(path), size=size)


@contextlib.contextmanager
def writing(file: BinaryIO, head: Head) -> Generator[Callable[[Images], None]]:
    """What puts rows into a file that is a whole snapshot afterwards."""
    summed, total = hashlib.blake2b(digest_size=16), 0
    file.write(_TITLE)
    _frame(file, head, summed)

    def put(some: Images) -> None:
        nonlocal total
        total += len(some.rows)
        _frame(file, some, summed)

    yield put
    _frame(file, _Foot(rows=total, sum=summed.digest()), summed)


def _chunks(raw: sqlite3.Connection, table: SharedTable, reseal: Reseal) -> Iterator[Images]:
    cursor = raw.execute(f"SELECT {', '.join(table.columns)} FROM {table.name} WHERE {table.where()}")
    while rows := cursor.fetchmany(_ROWS):
        anew = tuple(images.sealed_anew(table, table.columns, row, reseal) for row in rows)
        yield Images(table.name, table.columns, anew)


def _frame(file: BinaryIO, value: Any, summed: Any) -> None:
    data = msgspec.msgpack.encode(value)
    summed.update(data)
    file.write(len(data).to_bytes(4, "big") + data)


def read(path: Path) -> Iterator[Head | Images]:
    """The head, then rows. Invalid when the file is not a whole snapshot: that shows at its end only, so read it once to
    check it. SettingsError when it is of tables that this program does not know."""
    with path.open("rb") as file:
        if file.read(len(_TITLE)) != _TITLE:
            raise _broken("a snapshot of Tocsin (version 1)", "something else")
        summed, total = hashlib.blake2b(digest_size=16), 0
        head = _decode(_take(file, summed), Head)
        yield head
        while True:
            before = summed.digest()
            data = _take(file, summed)
            if data[:1] == b"\x82":  # an object of two fields; rows are an array
                foot = _decode(data, _Foot)
                break
            some = _decode(data, Images)
            images.require_fit(some, head.head)
            total += len(some.rows)
            yield some
        if (foot.rows, foot.sum) != (total, before) or file.read(1):
            raise _broken(f"{foot.rows} rows as they were written", f"{total} rows, or others")


def _take(file: BinaryIO, summed: Any) -> bytes:
    head = file.read(4)
    size = int.from_bytes(head, "big")
    data = file.read(size) if len(head) == 4 and size <= _LARGEST else b""
    if not data or len(data) < size:
        raise _broken("a whole file", f"its end at byte {file.tell()}")
    summed.update(data)
    return data


def _decode(data: bytes, type_: Any) -> Any:
    try:
        return msgspec.msgpack.decode(data, type=type_)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise _broken(f"{type_.__name__.strip('_').lower()}", str(error)) from error


def _broken(expected: str, found: str) -> Invalid:
    return Invalid(Problem("snapshot", expected, found))


def check(path: Path) -> Head:
    """The head of a file that is whole. Invalid, SettingsError: see `read`."""
    parts = read(path)
    head = next(parts)
    assert isinstance(head, Head)
    for _ in parts:
        pass
    return head
