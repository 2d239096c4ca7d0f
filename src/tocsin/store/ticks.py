"""What the locations of a monitor agreed on, tick by tick, as it was found by the rule of that time. Times are kept in
10 µs, the looks packed; each instance of a cluster makes its own of the results, which all have."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

from tocsin.core.result import Status, from_micros, micros
from tocsin.core.ticks import Look, Tick

if TYPE_CHECKING:
    from tocsin.store.session import Session

_STATUSES: tuple[Status, ...] = ("up", "degraded", "down", "invalid")


_Packed = tuple[int, int, int, int, int, int | None]
"""A look: location and seat, status, attempt, µs after the tick began, total."""


class Ticks:
    """The ticks of monitors that several locations check."""

    def __init__(self, session: Session) -> None:
        self._s = session

    def touched(self, monitor_ids: Iterable[str]) -> dict[str, tuple[datetime, datetime]]:
        """Between which slots results of these monitors came since the last call; what came of others is forgotten."""
        memory = self._s.memory
        spans, memory.touched = memory.touched, {}
        found: dict[str, tuple[datetime, datetime]] = {}
        for id in monitor_ids:
            place = self._s.places.find(id)
            if place is not None and (span := spans.get(place.monitor)) is not None:
                found[id] = from_micros(span[0]), from_micros(span[1])
        return found

    def put(self, monitor_id: str, start: datetime, end: datetime, ticks: Sequence[Tick]) -> int:
        """Keep these as all there are of start ≤ tick < end: how many. None of a monitor that is gone."""
        s = self._s
        place = s.places.find(monitor_id)
        if place is None:
            return 0
        key, workspace = place.monitor, place.workspace
        s.run("DELETE FROM ticks WHERE monitor = ? AND at >= ? AND at < ?", key, micros(start), micros(end))
        s.many(
            "INSERT INTO ticks (monitor, at, workspace, total, successful, average, low, high, consensus, looks)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [(key, micros(t.at), workspace, t.total, t.successful, *self._figures(t), self._packed(t)) for t in ticks],
        )
        return len(ticks)

    def read(self, monitor_id: str, start: datetime, end: datetime, limit: int) -> list[Tick]:
        """Those of start ≤ tick < end, newest first, at most `limit`."""
        s, place = self._s, self._s.places.of(monitor_id)
        rows = s.rows(
            "SELECT at, total, successful, average, low, high, consensus, looks FROM ticks"
            " WHERE monitor = ? AND workspace = ? AND at >= ? AND at < ? ORDER BY at DESC LIMIT ?",
            place.monitor, place.workspace, micros(start), micros(end), limit,
        )  # fmt: skip
        names = s.places.location_names()
        return [_tick(row, names) for row in rows]

    def newest_at(self, monitor_id: str) -> datetime | None:
        """When its newest tick that is kept began."""
        place = self._s.places.of(monitor_id)
        row = self._s.row(
            "SELECT max(at) FROM ticks WHERE monitor = ? AND workspace = ?", place.monitor, place.workspace
        )
        return None if row is None or row[0] is None else from_micros(row[0])

    def expire(self, before: datetime, limit: int = 5000) -> int:
        """How many ticks older than that went, at most `limit` (the rest: call again)."""
        where, values = self._s.mine_by_number()
        old = self._s.rows(
            f"SELECT monitor, at FROM ticks WHERE at < ? AND {where} LIMIT ?", micros(before), *values, limit
        )
        self._s.many("DELETE FROM ticks WHERE monitor = ? AND at = ?", [(row[0], row[1]) for row in old])
        return len(old)

    def _figures(self, t: Tick) -> tuple[int | None, int | None, int | None, str]:
        average, low, high = (None if ms is None else round(ms * 100) for ms in (t.avg_ms, t.min_ms, t.max_ms))
        return average, low, high, t.consensus

    def _packed(self, t: Tick) -> bytes:
        location = self._s.places.location
        return msgspec.msgpack.encode(
            [
                (
                    location(look.location), location(look.seat), _STATUSES.index(look.status), look.attempt,
                    micros(look.at) - micros(t.at), None if look.total_ms is None else round(look.total_ms * 100),
                )
                for look in t.looks
                if look.location and look.seat
            ]
        )  # fmt: skip


def relocated(packed: bytes, moved: Mapping[int, int | None]) -> bytes:
    """The packed looks of a tick with the numbers that locations and seats have now; a look of a location that has none any
    more is left out."""
    looks = [
        (moved.get(look[0], look[0]), moved.get(look[1], look[1]), *look[2:])
        for look in msgspec.msgpack.decode(packed, type=list[_Packed])
    ]
    return msgspec.msgpack.encode([look for look in looks if look[0] and look[1]])


def _tick(row: Sequence[Any], names: dict[int, str]) -> Tick:
    at = row[0]
    looks = tuple(
        Look(
            at=from_micros(at + after), attempt=attempt, location=names.get(location, ""), seat=names.get(seat, ""),
            status=_STATUSES[status], total_ms=None if total is None else total / 100,
        )
        for location, seat, status, attempt, after, total in msgspec.msgpack.decode(row[7], type=list[_Packed])
    )  # fmt: skip
    average, low, high = (None if value is None else value / 100 for value in row[3:6])
    return Tick(
        at=from_micros(at), total=row[1], successful=row[2], avg_ms=average, min_ms=low, max_ms=high, consensus=row[6],
        looks=looks,
    )  # fmt: skip
