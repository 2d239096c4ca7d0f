"""The move: results leave the tail, sorted, for the main table, are rolled up, and each location's latest is written
down. It goes in slices, each a short transaction of its own, so that other writes get through in between.

A slice takes some monitors' rows, which lie scattered over the whole tail: to delete them there and then would write
most of its pages in every slice. So a slice only notes how far it came (the mark, a note read by whoever reads the
tail), and the rows are deleted, page after page, when all have moved.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tocsin.store.memory import Newest, Place
from tocsin.store.packing import COLUMNS, evidence_of
from tocsin.store.tail import mark_moved, not_moved

if TYPE_CHECKING:
    from tocsin.store.session import Session

SLICE_S = 0.02
"""How long a slice holds the writer, about, before its commit."""
_FIRST, _LEAST, _MOST = 200, 50, 5000
_DELETED_AT_ONCE = 5000
_ALL = 2**62
_ROLLED = "monitor, location, at, workspace, flags, total"
_PUT = (
    f"INSERT INTO results ({COLUMNS}) SELECT {COLUMNS} FROM results_tail WHERE {{}} ORDER BY monitor, at, location, "
    f"attempt ON CONFLICT (monitor, at, location, attempt) DO NOTHING RETURNING {_ROLLED}"
)
_READ_AT_ONCE = 20_000


@dataclass(slots=True)
class Run:
    """One move of what is in the tail now, monitor by monitor. `slice` is run in transactions until it gives None; what
    comes meanwhile waits for the next run."""

    most: int = _MOST
    before: int = 0
    left: list[int] | None = None
    size: int = _FIRST

    def slice(self, s: Session) -> int | None:
        """How many results left the tail (0: some that had left were deleted), None when there is nothing more to do. By
        the mark, a result is in the
        tail or in the main table and the rollups, never both, never neither."""
        began = time.perf_counter()
        tail = s.memory.tail
        if self.left is None:
            tail.trim(s.now)
            self.before, self.left = tail.next, sorted(tail.rows, reverse=True)
            tail.since = None
        taken = self._take(s)
        numbers = [number for _, some in taken for number in some]
        if not numbers:
            return self._delete(s)
        for monitor, some in taken:
            tail.move(monitor, len(some))
            s.undo.append(lambda monitor=monitor, count=len(some): tail.move(monitor, -count))
        tail.last_move = s.now
        mark_moved(s, self.before, taken[-1][0], numbers[-1])
        _move(s, numbers)
        took = time.perf_counter() - began
        self.size = max(_LEAST, min(self.most, self.size * 2, int(self.size * SLICE_S / max(took, 0.0005))))
        return len(numbers)

    def _delete(self, s: Session) -> int | None:
        """Delete some of what moved, from the front."""
        mark_moved(s, self.before, _ALL, 0)
        edge = s.row(
            "SELECT max(n) FROM (SELECT n FROM results_tail WHERE n < ? ORDER BY n LIMIT ?) AS first_rows",
            self.before, _DELETED_AT_ONCE,
        )  # fmt: skip
        if edge is None or edge[0] is None:
            return None
        s.run("DELETE FROM results_tail WHERE n <= ?", edge[0])
        return 0

    def _take(self, s: Session) -> list[tuple[int, list[int]]]:
        """The rows of the next slice. Monitors that have no more are left out from then on."""
        tail, room = s.memory.tail, min(self.size, self.most)
        taken: list[tuple[int, list[int]]] = []
        assert self.left is not None
        for monitor in reversed(self.left):
            some = tail.waiting(monitor, self.before, room)
            if some:
                taken.append((monitor, some))
                room -= len(some)
            if room <= 0:
                break
        while self.left and (not taken or self.left[-1] < taken[0][0]):
            self.left.pop()
        return taken


def move_now(s: Session, monitors: Sequence[int]) -> None:
    """Let what these monitors have in the tail leave it here and now, whatever run is on its way. Their places in memory
    are for the caller to drop."""
    among, given = s.among("monitor", monitors)
    waits, marked = not_moved(s)
    numbers = [int(row[0]) for row in s.rows(f"SELECT n FROM results_tail WHERE {among} AND {waits}", given, *marked)]
    for first in range(0, len(numbers), _MOST):
        _move(s, numbers[first : first + _MOST])
    s.run(f"DELETE FROM results_tail WHERE {among}", given)


def _move(s: Session, numbers: list[int]) -> None:
    among, given = s.among("n", numbers)
    rows = s.rows(_PUT.format(among), given)
    s.rollups.roll(rows)
    _write_latest(s, {(row[0], row[1]): row[3] for row in rows})


def _write_latest(s: Session, spots: dict[tuple[int, int], int]) -> None:
    """Write down the newest result of these monitors and locations (with their workspaces), where that was not done
    yet. What was taken in before a crash is not in memory any more and comes without its evidence."""
    rows: list[tuple[int, int, int, int, int, bytes]] = []
    for (monitor, location), workspace in sorted(spots.items()):
        newest = s.memory.newest.get((monitor, location))
        if newest is None or newest.kept:
            continue
        data = b"" if newest.result is None else evidence_of(newest.result)
        rows.append((monitor, location, workspace, newest.at, newest.attempt, data))
        newest.kept = True
        s.undo.append(lambda newest=newest: setattr(newest, "kept", False))
    s.many(
        "INSERT INTO latest (monitor, location, workspace, at, attempt, data) VALUES (?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (monitor, location) DO UPDATE SET at = excluded.at, attempt = excluded.attempt, data = "
        "excluded.data",
        rows,
    )


def remember(s: Session) -> None:
    """After a start: what is the newest result of each monitor and location, from what was written down and the tail,
    where the tail's rows are, and every monitor's keys."""
    memory, after = s.memory, 0
    for id, *keys in s.rows(
        "SELECT m.id, m.key, w.key, w.id FROM monitors m JOIN workspaces w ON w.id = m.workspace_id"
    ):
        memory.places[id] = Place(*keys)
    for monitor, location, at, attempt in s.rows("SELECT monitor, location, at, attempt FROM latest"):
        memory.newest[monitor, location] = Newest(at, attempt)
    waits, marked = not_moved(s)
    memory.tail.next = max(1, int(marked[0]))  # a number under the mark would never be seen
    while rows := s.rows(
        "SELECT n, monitor, location, at, attempt, flags, total FROM results_tail "
        f"WHERE n > ? AND {waits} ORDER BY n LIMIT ?",
        after, *marked, _READ_AT_ONCE,
    ):  # fmt: skip
        for n, monitor, location, at, attempt, flags, total in rows:
            memory.tail.remember(n, monitor, at, flags, total, s.now)
            known = memory.newest.get((monitor, location))
            if known is None or (known.at, known.attempt) < (at, attempt):
                memory.newest[monitor, location] = Newest(at, attempt, kept=False)
        after = rows[-1][0]
