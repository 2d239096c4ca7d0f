"""Check results: a tail without indexes that takes them in, and a sorted table they are moved to every few minutes.

A result is one packed row (store.packing). Its evidence is kept beside it when it failed or when its location's status
changed; each location's latest is kept whole in memory and written with the move.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from tocsin.core.consensus import AHEAD, set_right
from tocsin.core.result import CheckError, CheckResult, Numbered, Status, from_micros, micros
from tocsin.core.ticks import Look
from tocsin.store.cursor import read_cursor, write_cursor
from tocsin.store.letters import letters
from tocsin.store.memory import Newest
from tocsin.store.packing import (
    COLUMNS,
    Packed,
    StoredResult,
    error_of,
    evidence_of,
    pack,
    result_json,
    seat_of,
    status_of,
)
from tocsin.store.stored import whole
from tocsin.store.tail import not_moved, tail_rows, tails
from tocsin.store.transport import Spot, number

if TYPE_CHECKING:
    from tocsin.store.session import Session

__all__ = ["Results", "StoredResult", "result_json"]

_INSERT = f"INSERT INTO results_tail (n, {COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
_EVIDENCE = (
    "INSERT INTO evidence (monitor, at, location, attempt, workspace, data) VALUES (?, ?, ?, ?, ?, ?) "
    "ON CONFLICT (monitor, at, location, attempt) DO NOTHING"
)
_NEWEST = "SELECT at, location, attempt, flags FROM results WHERE monitor = ? ORDER BY at DESC LIMIT ?"
_BITS = {"up": 0, "degraded": 1, "down": 2, "invalid": 3}


class Results:
    """The results of a workspace's monitors."""

    def __init__(self, session: Session) -> None:
        self._s = session

    # Taking in ------------------------------------------------------------------------------------------------------
    def add(self, results: Sequence[CheckResult]) -> list[CheckResult]:
        """The ones that were not known yet, now kept. Known ones and those of monitors that are gone drop out."""
        fresh: list[CheckResult] = []
        rows: list[Packed] = []
        proof: list[tuple[int, int, int, int, int, bytes]] = []
        late: list[tuple[CheckResult, Packed]] = []
        carried: list[tuple[Numbered, Spot]] = []
        places, newest = self._s.places, self._s.memory.newest
        for result in results:
            place = places.find(result.monitor_id)
            if place is None or place.workspace_id != result.workspace_id:
                continue
            location = places.location(result.location)
            at = micros(result.scheduled_at)
            seat = None if result.substitute_for is None else places.location(result.substitute_for)
            row = pack(result, at, place.monitor, location, place.workspace, seat)
            if result.numbered is not None:
                carried.append((result.numbered, row[:4]))
            spot = place.monitor, location
            known = newest.get(spot)
            if known is not None and (at < known.at or (at == known.at and result.attempt <= known.attempt)):
                late.append((result, row))
                continue
            self._remember(spot, known, Newest(at, result.attempt, result.status, result, False))
            self._s.memory.set_right.pop(spot, None)
            rows.append(row)
            fresh.append(result)
            if _telling(result, None if known is None else known.status or result.status):
                proof.append((*row[:5], evidence_of(result)))
        for result, row in self._unknown(late, rows):
            rows.append(row)
            fresh.append(result)
            self._see_set_right(result, row)
            if _telling(result, result.status):
                proof.append((*row[:5], evidence_of(result)))
        self._append(rows)
        self._s.many(_EVIDENCE, proof)
        if self._s.memory.numbering is not None or carried:
            number(self._s, [row[:4] for one, row in zip(fresh, rows, strict=True) if one.numbered is None], carried)
        return fresh

    def _append(self, rows: Sequence[Packed]) -> None:
        """Put the rows into the tail. Their numbers are kept in memory, for it has no other index."""
        tail, now = self._s.memory.tail, self._s.now
        came = [row[0] for row in rows]
        touched = self._s.memory.touched
        for key, at in ((row[0], row[1]) for row in rows):
            span = touched.get(key)
            if span is None or not span[0] <= at <= span[1]:
                touched[key] = (at, at) if span is None else (min(span[0], at), max(span[1], at))
        self._s.undo.append(lambda: tail.take_back(came))
        self._s.many(_INSERT, [(tail.add(row, now), *row) for row in rows])

    def _remember(self, spot: tuple[int, int], before: Newest | None, now: Newest) -> None:
        newest = self._s.memory.newest
        newest[spot] = now
        if before is None:
            self._s.undo.append(lambda: newest.pop(spot, None))
        else:
            self._s.undo.append(lambda: newest.__setitem__(spot, before))

    def _see_set_right(self, result: CheckResult, row: Packed) -> None:
        """Remember that this came last, though what came before it is dated later."""
        known = None if result.status == "invalid" else self._s.memory.newest.get((row[0], row[2]))
        if known is not None and set_right(from_micros(known.at), result.scheduled_at, self._s.now):
            self._s.memory.set_right[row[0], row[2]] = row[1], row[3]

    def _unknown(
        self, late: Sequence[tuple[CheckResult, Packed]], rows: Sequence[Packed]
    ) -> Iterable[tuple[CheckResult, Packed]]:
        """Those of the late results that are neither among `rows`, nor in the tail, nor in the main table."""
        if not late:
            return ()
        s, tail = self._s, {row[:4] for row in rows}
        monitors = sorted({row[0] for _, row in late})
        for monitor in monitors:
            tail.update((r[0], r[1], r[2], r[3]) for r in tail_rows(self._s, monitor, "monitor, at, location, attempt"))
        found: list[tuple[CheckResult, Packed]] = []
        for result, row in late:
            key = row[:4]
            if key in tail or s.row(
                "SELECT 1 FROM results WHERE monitor = ? AND at = ? AND location = ? AND attempt = ?", *key
            ):
                continue
            tail.add(key)
            found.append((result, row))
        return found

    # Reading --------------------------------------------------------------------------------------------------------
    def page(
        self, monitor_id: str, start: datetime | None = None, end: datetime | None = None, location: str | None = None,
        status: Status | None = None, limit: int = 100, cursor: str | None = None,
    ) -> tuple[list[StoredResult], str | None]:  # fmt: skip
        """Results of start ≤ slot < end, newest first, and the cursor of the next page."""
        s, place = self._s, self._s.places.of(monitor_id)
        where, values = "monitor = ? AND workspace = ?", [place.monitor, place.workspace]
        if start is not None:
            where, values = f"{where} AND at >= ?", [*values, micros(start)]
        if end is not None:
            where, values = f"{where} AND at < ?", [*values, micros(end)]
        if location is not None:
            key = s.places.known_location(location)
            if key is None:
                return [], None
            where, values = f"{where} AND location = ?", [*values, key]
        if status is not None:
            where, values = f"{where} AND flags & 3 = ?", [*values, _BITS[status]]
        if cursor is not None:
            at, spot, attempt = read_cursor(cursor, int, int, int)
            where += " AND at <= ? AND (at < ? OR location < ? OR (location = ? AND attempt < ?))"
            values += [at, at, spot, spot, attempt]
        rows = self._both(where, values, limit + 1)
        last = rows[limit - 1] if len(rows) > limit else None
        return whole(s, list(rows[:limit])), None if last is None else write_cursor(last[1], last[2], last[3])

    def statuses(
        self, monitor_id: str, start: datetime, end: datetime, limit: int
    ) -> list[tuple[datetime, str, int, Status, CheckError | None]]:
        """(slot, location, attempt, status, error) of start ≤ slot < end, oldest first; of more than `limit` the last
        ones. An error whose evidence is gone has its kind for a message."""
        s, place = self._s, self._s.places.of(monitor_id)
        where, values = "monitor = ? AND workspace = ? AND at >= ? AND at < ?", [
            place.monitor, place.workspace, micros(start), micros(end)
        ]  # fmt: skip
        rows = self._both(where, values, limit)
        names = s.places.location_names()
        proofs = s.rows(
            "SELECT at, location, attempt, data FROM evidence WHERE monitor = ? AND at >= ? AND at < ?",
            place.monitor, micros(start), micros(end),
        )  # fmt: skip
        kept = {(p[0], p[1], p[2]): p[3] for p in proofs}
        return [
            (from_micros(row[1]), names[row[2]], row[3], status_of(row[5]), error_of(row[5], kept.get(row[1:4])))
            for row in sorted(rows, key=lambda row: (row[1], row[3], row[2]))
            if row[2] in names
        ]

    def looks(self, monitor_id: str, start: datetime, end: datetime, limit: int) -> list[Look]:
        """What each result of start ≤ slot < end says in short, newest first, at most `limit`."""
        s, place = self._s, self._s.places.of(monitor_id)
        where, values = "monitor = ? AND workspace = ? AND at >= ? AND at < ?", [
            place.monitor, place.workspace, micros(start), micros(end)
        ]  # fmt: skip
        names, found = s.places.location_names(), list[Look]()
        for row in self._both(where, values, limit):
            location, seat = names.get(row[2], ""), seat_of(row[7])
            found.append(
                Look(
                    at=from_micros(row[1]), attempt=row[3], location=location,
                    seat=location if seat is None else names.get(seat, location), status=status_of(row[5]),
                    total_ms=None if row[6] is None else row[6] / 100,
                )
            )  # fmt: skip
        return found

    def latest(self, monitor_id: str) -> list[StoredResult]:
        """The newest result of each location, by location's name, with everything that was seen. Where its clock was set
        right, that is what came last."""
        s, place = self._s, self._s.places.of(monitor_id)
        rows: list[Packed] = []
        for spot in self._spots(place.monitor):
            ahead = (place.monitor, spot) in s.memory.set_right
            until = micros(s.now + AHEAD) if ahead else 2**62
            where = "monitor = ? AND workspace = ? AND location = ? AND at <= ?"
            rows += self._both(where, [place.monitor, place.workspace, spot, until], 1)
        kept = {
            (row[0], row[1], row[2], row[3]): row[4]
            for row in s.rows(
                "SELECT monitor, at, location, attempt, data FROM latest WHERE monitor = ?", place.monitor
            )
            if row[4]
        }
        for row in rows:
            known = s.memory.newest.get((row[0], row[2]))
            if known is not None and known.result is not None and (known.at, known.attempt) == (row[1], row[3]):
                kept[row[:4]] = evidence_of(known.result)
        return sorted(whole(s, rows, kept), key=lambda r: r.location)

    def recent(self, monitor_ids: Sequence[str], n: int = 90) -> dict[str, str]:
        """The last `n` slots of each monitor as letters, oldest first: u up, s degraded, p some locations down, d down,
        `.` not judged. Of several attempts the last counts. Cheap for a thousand monitors at once."""
        s = self._s
        keys = {place.monitor: id for id in monitor_ids if (place := s.places.find(id)) is not None}
        tail = tails(s, list(keys), "at, location, attempt, flags")
        places = Counter(monitor for monitor, _ in tuple(s.memory.newest))
        found: dict[str, str] = {}
        waiting = [(monitor, max(1, places[monitor]) * n + 1) for monitor in keys]
        for more in (4, 4, 0):
            again: list[tuple[int, int]] = []
            for (monitor, limit), main in zip(waiting, s.each(_NEWEST, waiting), strict=True):
                if more and len(main) == limit and len({row[0] for row in main}) <= n:
                    again.append((monitor, more * limit))
                else:
                    found[keys[monitor]] = letters([*main, *tail.get(monitor, ())], n)
            waiting = again
        return found

    def newest(self) -> list[tuple[str, str, datetime, int]]:
        """(monitor's id, location, slot, attempt) of the newest result of every monitor and location that could be
        judged; one that could not (invalid) says nothing. From memory, but for those."""
        s = self._s
        where, values = s.mine()
        ids = {row[0]: row[1] for row in s.rows(f"SELECT key, id FROM monitors WHERE {where}", *values)}
        names = s.places.location_names()
        spots = {spot: (known.at, known.attempt) for spot, known in tuple(s.memory.newest.items()) if spot[0] in ids}
        for spot in self._unjudged() & spots.keys():
            valid = self._newest_valid(*spot)
            if valid is None:
                del spots[spot]
            else:
                spots[spot] = valid
        return [
            (ids[monitor], names[location], from_micros(at), attempt)
            for (monitor, location), (at, attempt) in spots.items()
            if location in names
        ]

    def _unjudged(self) -> set[tuple[int, int]]:
        """The monitors and locations whose newest result may be invalid."""
        s = self._s
        rows = s.rows(
            "SELECT r.monitor, r.location FROM latest l JOIN results r ON r.monitor = l.monitor AND r.at = l.at "
            "AND r.location = l.location AND r.attempt = l.attempt WHERE r.flags & 3 = 3"
        )
        waits, marked = not_moved(s)
        tail = s.rows(f"SELECT DISTINCT monitor, location FROM results_tail WHERE flags & 3 = 3 AND {waits}", *marked)
        return {(row[0], row[1]) for row in (*rows, *tail)}

    def came_last(
        self, spots: Mapping[tuple[str, str], timedelta], until: datetime
    ) -> dict[tuple[str, str], tuple[datetime, int]]:
        """Of monitors and locations whose newest result is dated later than `until`: (slot, attempt) of the one that came
        last, where the clock there was set right meanwhile. What came before this start is taken for such a one by its
        date alone, when it is not older than that."""
        s, found = self._s, dict[tuple[str, str], tuple[datetime, int]]()
        for (id, name), fresh in spots.items():
            spot = s.places.of(id).monitor, s.places.known_location(name) or 0
            last, known = s.memory.set_right.get(spot), s.memory.newest.get(spot)
            if last is None and known is not None and known.result is None:
                last = self._newest_valid(*spot, micros(until))
                last = None if last is None or last[0] < micros(s.now - fresh) else last
            if last is not None:
                found[id, name] = from_micros(last[0]), last[1]
        return found

    def _newest_valid(self, monitor: int, location: int, until: int = 2**62) -> tuple[int, int] | None:
        """(slot in µs, attempt) of its newest result until then that could be judged, among the latest few hundred."""
        rows = self._s.rows(
            "SELECT at, attempt FROM (SELECT at, attempt, location, flags FROM results WHERE monitor = ? AND at <= ? "
            "ORDER BY at DESC "
            "LIMIT 500) AS newest WHERE location = ? AND flags & 3 <> 3 ORDER BY at DESC, attempt DESC LIMIT 1",
            monitor, until, location,
        )  # fmt: skip
        tail = tail_rows(
            self._s, monitor, "at, max(attempt)", "location = ? AND at <= ? AND flags & 3 <> 3 GROUP BY at",
            [location, until],
        )  # fmt: skip
        return max(((row[0], row[1]) for row in (*rows, *tail)), default=None)

    def newest_at(self, monitor: int) -> datetime | None:
        """The slot of the newest result of a monitor (by its integer key)."""
        row = self._s.row("SELECT max(at) FROM results WHERE monitor = ?", monitor)
        known = [r[0] for r in (row, *tail_rows(self._s, monitor, "max(at)")) if r is not None and r[0] is not None]
        return from_micros(max(known)) if known else None

    def _spots(self, monitor: int) -> list[int]:
        rows = self._s.rows("SELECT location FROM latest WHERE monitor = ?", monitor)
        return sorted({row[0] for row in (*rows, *tail_rows(self._s, monitor, "DISTINCT location"))})

    def _both(self, where: str, values: Sequence[int], limit: int) -> list[Packed]:
        """Rows of the main table and of the tail, newest first. The first of `values` is the monitor."""
        order = "ORDER BY at DESC, location DESC, attempt DESC LIMIT ?"
        main = self._s.rows(f"SELECT {COLUMNS} FROM results WHERE {where} {order}", *values, limit)
        tail = tail_rows(self._s, values[0], COLUMNS, f"{where} {order}", (*values, limit))
        rows = [_packed(r) for r in (*main, *tail)]
        rows.sort(key=lambda r: (r[1], r[2], r[3]), reverse=True)
        return rows[:limit]

    # Leaving --------------------------------------------------------------------------------------------------------
    def expire(self, before: datetime, limit: int = 5000) -> int:
        """How many results older than this went, at most about `limit` at once: call again until it gives 0. Results of
        deleted monitors go too."""
        s, at = self._s, micros(before)
        where, values = s.mine()
        gone = 0
        for (monitor,) in s.rows(f"SELECT key FROM monitors WHERE {where} ORDER BY key", *values):
            gone += self._clear(monitor, at, limit - gone)
            if gone >= limit:
                return gone
        return gone + (self._clear_gone(limit - gone) if s.workspace_id is None else 0)

    def _clear(self, monitor: int, before: int, limit: int) -> int:
        gone = 0
        for table in ("evidence", "results"):
            edge = self._s.row(
                f"SELECT max(at) FROM (SELECT at FROM {table} WHERE monitor = ? AND at < ? ORDER BY at LIMIT ?) AS "
                "first_rows",
                monitor, before, limit,
            )  # fmt: skip
            if edge is not None and edge[0] is not None:
                gone += self._s.run(f"DELETE FROM {table} WHERE monitor = ? AND at <= ?", monitor, edge[0])
        return gone

    def _clear_tail(self, monitor: int) -> None:
        tail = self._s.memory.tail
        among, given = self._s.among("n", tail.of(monitor))
        self._s.run(f"DELETE FROM results_tail WHERE {among}", given)
        dropped = tail.drop(monitor)
        self._s.undo.append(lambda: tail.put_back(monitor, dropped))

    def _clear_gone(self, limit: int) -> int:
        s, gone = self._s, 0
        for (monitor,) in s.rows("SELECT monitor FROM monitors_gone ORDER BY monitor"):
            self._clear_tail(monitor)
            gone += (cleared := self._clear(monitor, 2**62, limit - gone))
            if cleared == 0:
                s.run("DELETE FROM latest WHERE monitor = ?", monitor)
                s.run("DELETE FROM monitors_gone WHERE monitor = ?", monitor)
            if gone >= limit:
                break
        return gone


def _telling(result: CheckResult, before: str | None) -> bool:
    """Whether a result's evidence is kept: it failed, or its location's status changed."""
    return result.status in ("down", "degraded") or result.status != before


def _packed(r: Any) -> Packed:
    return (r[0], r[1], r[2], r[3], r[4], r[5], r[6], r[7])
