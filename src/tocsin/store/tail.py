"""Which rows of the tail belong to which monitor: the tail has no index, so that it is cheap to write, and is read by
these row numbers."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from tocsin.store.packing import Packed
    from tocsin.store.session import Session

_INT_MAX = 2**31 - 1
_MARK = "tail_moved"
_FEW = 20
"""Of so many monitors the tail is read by their row numbers, of more in one sweep."""
_LINGER = timedelta(seconds=30)
"""Rows that moved are looked for this much longer: a reader that began before the move still finds them."""


@dataclass(slots=True)
class Rows:
    """A monitor's rows in the order they came, 21 bytes each: number, slot (µs), total (10 µs, -1 when there is none or
    nothing was answered), status."""

    numbers: array[int] = field(default_factory=lambda: array("q"))
    at: array[int] = field(default_factory=lambda: array("q"))
    total: array[int] = field(default_factory=lambda: array("i"))
    status: bytearray = field(default_factory=bytearray)

    def since(self, index: int) -> Rows:
        """The rows from this one on."""
        return Rows(self.numbers[index:], self.at[index:], self.total[index:], self.status[index:])


def _rows() -> dict[int, Rows]:
    return {}


@dataclass(slots=True)
class Tail:
    """The tail's rows by monitor. Numbers are never given twice, so one too many (taken back, moved) finds nothing and
    does no harm; one too few would hide a result. Only the writer changes it, readers look from their threads."""

    rows: dict[int, Rows] = field(default_factory=_rows)
    moved: dict[int, int] = field(default_factory=dict[int, int])
    """How many of a monitor's rows, from the first, have left the tail."""
    next: int = 1
    count: int = 0
    """How many rows wait to be moved."""
    since: datetime | None = None
    """When the first of those came."""
    last_move: datetime | None = None

    def add(self, row: Packed, now: datetime) -> int:
        """The number of a new row."""
        number = self.next
        self.remember(number, row[0], row[1], row[5], row[6], now)
        return number

    def remember(self, number: int, monitor: int, at: int, flags: int, total: int | None, now: datetime) -> None:
        """Take in a row that has its number."""
        known = self.rows.get(monitor)
        if known is None:
            known = self.rows[monitor] = Rows()
        known.at.append(at)
        known.total.append(-1 if total is None or flags & 3 > 1 else min(total, _INT_MAX))
        known.status.append(flags & 3)
        known.numbers.append(number)
        self.next = max(self.next, number + 1)
        self.count += 1
        if self.since is None:
            self.since = now

    def take_back(self, monitors: list[int]) -> None:
        """The last row of each of these, in the order they were added, did not come to pass."""
        for monitor in monitors:
            known = self.rows.get(monitor)
            if known is not None and known.numbers:
                for column in (known.numbers, known.at, known.total, known.status):
                    column.pop()
        self.count -= len(monitors)

    def of(self, monitor: int) -> list[int]:
        """The numbers of a monitor's rows (some may have moved)."""
        known = self.rows.get(monitor)
        return [] if known is None else known.numbers.tolist()

    def waiting(self, monitor: int, before: int, limit: int) -> list[int]:
        """The first numbers of a monitor's rows under `before` that have not moved, at most so many."""
        known, first = self.rows.get(monitor), self.moved.get(monitor, 0)
        return [] if known is None else [n for n in known.numbers[first : first + limit] if n < before]

    def move(self, monitor: int, count: int) -> None:
        """So many of a monitor's first waiting rows have moved (a negative count: have not)."""
        self.moved[monitor] = self.moved.get(monitor, 0) + count
        self.count -= count

    def drop(self, monitor: int) -> tuple[Rows | None, int]:
        """Forget a monitor's rows: what `put_back` needs."""
        known, moved = self.rows.pop(monitor, None), self.moved.pop(monitor, 0)
        self.count -= 0 if known is None else len(known.numbers) - moved
        return known, moved

    def put_back(self, monitor: int, dropped: tuple[Rows | None, int]) -> None:
        """Undo `drop`."""
        known, moved = dropped
        if known is not None:
            self.rows[monitor] = known
            self.moved[monitor] = moved
            self.count += len(known.numbers) - moved

    def trim(self, now: datetime) -> None:
        """Forget the numbers of rows that moved long ago."""
        if self.last_move is not None and now - self.last_move < _LINGER:
            return
        for monitor, count in self.moved.items():
            left = self.rows[monitor].since(count)
            if left.numbers:
                self.rows[monitor] = left
            else:
                del self.rows[monitor]
        self.moved.clear()


def tail_rows(
    s: Session, monitor: int, columns: str, where: str = "1 = 1", values: Sequence[Any] = ()
) -> Sequence[tuple[Any, ...]]:
    """Rows of a monitor that have not moved. Ask for those that have moved first: that fixes the moment of the read, and
    what moves after it is still found here."""
    numbers = s.memory.tail.of(monitor)
    if not numbers:
        return ()
    among, given = s.among("n", numbers)
    waits, marked = not_moved(s)
    return s.rows(f"SELECT {columns} FROM results_tail WHERE {among} AND {waits} AND {where}", given, *marked, *values)


def tails(s: Session, monitors: Sequence[int], columns: str) -> dict[int, list[tuple[Any, ...]]]:
    """`tail_rows` of each of these monitors; of many in one sweep."""
    s.row("SELECT 1 FROM results LIMIT 1")  # fixes the moment of the read
    if len(monitors) <= _FEW:
        return {m: [tuple(row) for row in tail_rows(s, m, columns)] for m in monitors}
    found: dict[int, list[tuple[Any, ...]]] = {}
    waits, marked = not_moved(s)
    for row in s.all(f"SELECT monitor, {columns} FROM results_tail WHERE {waits}", *marked):
        found.setdefault(row[0], []).append(tuple(row[1:]))
    return found


class Seen(NamedTuple):
    """Counts of results: up or degraded, judged (also down), answered with a time, and their times' sum in 10 µs."""

    good: int = 0
    judged: int = 0
    answered: int = 0
    total: int = 0

    def plus(self, other: Seen) -> Seen:
        """Both added up."""
        return Seen(
            self.good + other.good, self.judged + other.judged, self.answered + other.answered, self.total + other.total
        )


def tail_counts(s: Session, monitors: Iterable[int], since: Sequence[int]) -> Iterator[tuple[int, list[Seen]]]:
    """(monitor, its counts since each of these slots in µs) of what has not moved, from memory: a result that is being
    stored now may be among them. Ask for what has moved first, as for `tail_rows`."""
    for monitor, rows in _unmoved(s, monitors):
        at, status, total = rows.at, bytes(rows.status), rows.total
        yield monitor, [_counts(at, status, total, start) for start in since]


def tail_totals(s: Session, monitors: Iterable[int]) -> Iterator[tuple[int, array[int], array[int]]]:
    """(monitor, slots in µs, times in 10 µs or -1) of what has not moved, as `tail_counts` has it."""
    for monitor, rows in _unmoved(s, monitors):
        yield monitor, rows.at, rows.total


def _unmoved(s: Session, monitors: Iterable[int]) -> Iterator[tuple[int, Rows]]:
    before, last, number = tail_mark(s)
    for monitor in monitors:
        known = s.memory.tail.rows.get(monitor)
        if known is None or not known.numbers:
            continue
        upto = before - 1 if monitor < last else min(number, before - 1) if monitor == last else -1
        yield monitor, known.since(bisect_right(known.numbers, upto))


def _counts(at: array[int], status: bytes, total: array[int], start: int) -> Seen:
    if at and min(at) < start:
        kept = [i for i, slot in enumerate(at) if slot >= start]
        status, total = bytes(status[i] for i in kept), array("i", [total[i] for i in kept])
    good, unanswered = status.count(0) + status.count(1), total.count(-1)
    return Seen(good, good + status.count(2), len(total) - unanswered, sum(total) + unanswered)


def not_moved(s: Session) -> tuple[str, tuple[int, int, int, int]]:
    """The condition that a row of the tail has not moved, and its parameters."""
    before, monitor, number = tail_mark(s)
    return "NOT (n < ? AND (monitor < ? OR (monitor = ? AND n <= ?)))", (before, monitor, monitor, number)


def mark_moved(s: Session, before: int, monitor: int, number: int) -> None:
    """Of the tail's rows numbered under `before`, those of monitors under this one have moved, and of this one's those
    up to `number`."""
    s.notes.set(_MARK, [before, monitor, number])


def tail_mark(s: Session) -> tuple[int, int, int]:
    """How far the move of the tail is: it changes with every slice."""
    mark = s.notes.get(_MARK)
    return (0, 0, 0) if mark is None else (int(mark[0]), int(mark[1]), int(mark[2]))
