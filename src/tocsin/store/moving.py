"""The move: results leave the tail, sorted, for the main table, are rolled up, and each location's latest is written
down."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tocsin.store.memory import Newest
from tocsin.store.packing import COLUMNS, evidence_of

if TYPE_CHECKING:
    from tocsin.store.session import Session

_ROLLED = "monitor, location, at, workspace, flags, total"
_PUT = (
    f"INSERT INTO results ({COLUMNS}) SELECT {COLUMNS} FROM {{}} WHERE monitor <= ? "
    "ORDER BY monitor, at, location, attempt"
)
_NEW = f"ON CONFLICT (monitor, at, location, attempt) DO NOTHING RETURNING {_ROLLED}"


def move(s: Session, limit: int) -> int:
    """How many results left the tail: about `limit` of them, by monitor; 0 when it is empty. One transaction: a result
    is in the tail or in the main table and the rollups, never both, never neither."""
    last = _last_monitor(s, limit)
    if last is None:
        return 0
    if s.postgres:
        gone = f"(DELETE FROM results_tail WHERE monitor <= ? RETURNING {COLUMNS})"
        rows = s.rows(f"WITH gone AS {gone} {_PUT.format('gone')} {_NEW}", last, last)
    else:
        rows = s.rows(f"{_PUT.format('results_tail')} {_NEW}", last)
        s.run("DELETE FROM results_tail WHERE monitor <= ?", last)
    s.rollups.roll(rows)
    write_latest(s, last)
    return max(1, len(rows))


def _last_monitor(s: Session, limit: int) -> int | None:
    seen, last = 0, None
    for monitor, count in s.rows("SELECT monitor, count(*) FROM results_tail GROUP BY monitor ORDER BY monitor"):
        last = int(monitor)
        seen += count
        if seen >= limit:
            break
    return last


def write_latest(s: Session, last: int) -> None:
    """Write down the newest result of every location of monitors up to `last` that was not written yet."""
    rows: list[tuple[int, int, int, int, int, bytes]] = []
    for (monitor, location), newest in s.memory.newest.items():
        if monitor <= last and not newest.kept and newest.result is not None:
            place = s.places.find(newest.result.monitor_id)
            if place is not None and place.monitor == monitor:
                rows.append((monitor, location, place.workspace, newest.at, newest.attempt, evidence_of(newest.result)))
                newest.kept = True
                s.undo.append(lambda newest=newest: setattr(newest, "kept", False))
    s.many(
        "INSERT INTO latest (monitor, location, workspace, at, attempt, data) VALUES (?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (monitor, location) DO UPDATE SET at = excluded.at, attempt = excluded.attempt, data = "
        "excluded.data",
        rows,
    )


def remember_newest(s: Session) -> None:
    """After a start: what is the newest result of each monitor and location, from what was written down and the
    tail."""
    newest = s.memory.newest
    for table in ("latest", "results_tail"):
        for monitor, location, at, attempt in s.rows(f"SELECT monitor, location, at, attempt FROM {table}"):
            known = newest.get((monitor, location))
            if known is None or (known.at, known.attempt) < (at, attempt):
                newest[monitor, location] = Newest(at, attempt)
