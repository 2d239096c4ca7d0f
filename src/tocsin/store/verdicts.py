"""Verdicts as intervals of time, each with the evidence it was decided on."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

import msgspec

from tocsin import telemetry
from tocsin.core.consensus import AHEAD, Verdict, VerdictValue
from tocsin.core.result import from_micros, micros
from tocsin.core.uptime import Interval
from tocsin.store.batch import VerdictChange

if TYPE_CHECKING:
    from tocsin.store.session import Session

log = telemetry.logger("tocsin.store")

MOST_AHEAD = timedelta(days=1)
_MARK = '"maintenance":true'
_INTERVAL = (
    "v.value, v.at, v.ended, CASE WHEN v.ended IS NULL THEN v.data END, "
    f"CASE WHEN v.data LIKE '%{_MARK}%' THEN 1 ELSE 0 END"
)
"""The mark stands in the evidence as it is written; within its texts the quotes would be escaped."""
_FIRST = "coalesce((SELECT max(x.at) FROM verdicts x WHERE x.monitor = {} AND x.at <= ?), 0)"
"""Intervals follow each other: the one a moment lies in began last before it."""


class Verdicts:
    """What was agreed on, from when to when."""

    def __init__(self, session: Session) -> None:
        self._s = session

    def save(self, changes: Sequence[VerdictChange]) -> None:
        """Begin these verdicts: each ends the interval it falls into. Saving one twice is the same as once."""
        s = self._s
        for change in changes:
            place = s.places.find(change.monitor_id)
            if place is None or place.workspace_id != change.workspace_id:
                continue
            at = micros(change.verdict.at)
            if abs(change.verdict.at - s.now) <= AHEAD:
                self._forget_ahead(place.monitor)
            later = s.row("SELECT min(at) FROM verdicts WHERE monitor = ? AND at > ?", place.monitor, at)
            s.run(
                "UPDATE verdicts SET ended = ? WHERE monitor = ? AND at < ? AND (ended IS NULL OR ended > ?)",
                at, place.monitor, at, at,
            )  # fmt: skip
            s.run(
                "INSERT INTO verdicts (monitor, at, workspace, ended, value, data) VALUES (?, ?, ?, ?, ?, ?) "
                "ON CONFLICT (monitor, at) DO UPDATE SET value = excluded.value, data = excluded.data",
                place.monitor, at, place.workspace, None if later is None else later[0], change.verdict.value,
                msgspec.json.encode(change.verdict).decode(),
            )  # fmt: skip

    def _forget_ahead(self, monitor: int) -> None:
        """What is decided now comes after everything that was decided before, so what is dated later was dated by a clock
        that was ahead (or ours is behind): it would stand for the present verdict until then. More than a day is no
        clock to judge by."""
        now = self._s.now
        gone = self._s.run(
            "DELETE FROM verdicts WHERE monitor = ? AND at > ? AND at <= ?",
            monitor, micros(now + AHEAD), micros(now + MOST_AHEAD),
        )  # fmt: skip
        if gone:
            log.warning("verdicts.dated_ahead", monitor=monitor, forgotten=gone)

    def open_all(self) -> dict[str, Verdict]:
        """The present verdict of every monitor that has one."""
        where, values = self._s.mine("m.workspace_id")
        rows = self._s.rows(
            f"SELECT m.id, v.data FROM verdicts v JOIN monitors m ON m.key = v.monitor WHERE v.ended IS NULL AND "
            f"{where}",
            *values,
        )
        return {row[0]: _verdict(row[1]) for row in rows}

    def history(self, monitor_id: str, limit: int = 100) -> list[Verdict]:
        """The monitor's verdicts, newest first."""
        place = self._s.places.of(monitor_id)
        rows = self._s.rows(
            "SELECT data FROM verdicts WHERE monitor = ? AND workspace = ? ORDER BY at DESC LIMIT ?",
            place.monitor, place.workspace, limit,
        )  # fmt: skip
        return [_verdict(row[0]) for row in rows]

    def at(self, monitor_id: str, moment: datetime) -> tuple[Verdict, datetime | None] | None:
        """(the verdict that held at that moment, when it ended), or None when there was none."""
        place = self._s.places.of(monitor_id)
        row = self._s.row(
            "SELECT data, ended FROM verdicts WHERE monitor = ? AND workspace = ? AND at <= ? ORDER BY at DESC LIMIT 1",
            place.monitor, place.workspace, micros(moment),
        )  # fmt: skip
        if row is None or (row[1] is not None and row[1] <= micros(moment)):
            return None
        return _verdict(row[0]), None if row[1] is None else from_micros(row[1])

    def between(self, monitor_id: str, start: datetime, end: datetime, limit: int = 20_000) -> list[Verdict]:
        """The verdicts that held at some time of start..end, oldest first (of more than `limit` the last ones)."""
        place = self._s.places.of(monitor_id)
        rows = self._s.rows(
            f"SELECT data FROM verdicts WHERE monitor = ? AND workspace = ? AND at >= {_FIRST.format('?')} AND at < ? "
            "AND (ended IS NULL OR ended > ?) ORDER BY at DESC LIMIT ?",
            place.monitor, place.workspace, place.monitor, micros(start), micros(end), micros(start), limit,
        )  # fmt: skip
        return [_verdict(row[0]) for row in reversed(rows)]

    def intervals(self, monitor_id: str, start: datetime, end: datetime) -> list[Interval]:
        """The intervals that touch start..end, oldest first. The one that lasts is fresh as far as its votes are:
        until its newest result is older than the verdict lets a vote be."""
        place = self._s.places.of(monitor_id)
        rows = self._s.all(
            f"SELECT {_INTERVAL} FROM verdicts v WHERE v.monitor = ? AND v.workspace = ? AND v.at >= {_FIRST.format('?')} "
            "AND v.at < ? AND (v.ended IS NULL OR v.ended > ?) ORDER BY v.at",
            place.monitor, place.workspace, place.monitor, micros(start), micros(end), micros(start),
        )  # fmt: skip
        newest = self._s.results.newest_at(place.monitor) if rows and rows[-1][2] is None else None
        return [_interval(row, newest) for row in rows]

    def intervals_of(self, monitor_ids: Sequence[str], start: datetime, end: datetime) -> dict[str, list[Interval]]:
        """`intervals` of many monitors at once."""
        s = self._s
        places = {place.monitor: id for id in monitor_ids if (place := s.places.find(id)) is not None}
        found: dict[str, list[Interval]] = {id: [] for id in places.values()}
        newest: dict[int, int] = {}
        for (monitor, _), known in tuple(s.memory.newest.items()):
            newest[monitor] = max(known.at, newest.get(monitor, known.at))
        among, given = s.among("m.key", list(places))
        for row in s.all(
            f"SELECT {_INTERVAL}, m.key FROM monitors m JOIN verdicts v ON v.monitor = m.key "
            f"AND v.at >= {_FIRST.format('m.key')} AND v.at < ? WHERE {among} AND (v.ended IS NULL OR v.ended > ?) "
            "ORDER BY m.key, v.at",
            micros(start), micros(end), given, micros(start),
        ):  # fmt: skip
            at = newest.get(row[5])
            found[places[row[5]]].append(_interval(row, None if at is None else from_micros(at)))
        return found

    def reasons(self, monitor_ids: Sequence[str], start: datetime, end: datetime) -> dict[str, dict[datetime, str]]:
        """Why they were down or partial between start and end, by monitor and by when that began."""
        s = self._s
        places = {place.monitor: id for id in monitor_ids if (place := s.places.find(id)) is not None}
        found: dict[str, dict[datetime, str]] = {id: {} for id in places.values()}
        among, given = s.among("v.monitor", list(places))
        for monitor, at, data in s.all(
            f"SELECT v.monitor, v.at, v.data FROM verdicts v WHERE {among} AND v.value IN ('down', 'partial') "
            "AND v.at < ? AND (v.ended IS NULL OR v.ended > ?) ORDER BY v.monitor, v.at",
            given, micros(end), micros(start),
        ):  # fmt: skip
            verdict = _verdict(data)
            reason = verdict.reason if verdict.error is None else verdict.error.message
            found[places[monitor]][from_micros(at)] = reason
        return found

    def expire(self, before: datetime) -> int:
        """How many intervals that ended before then were forgotten."""
        where, values = self._s.mine_by_number()
        return self._s.run(f"DELETE FROM verdicts WHERE ended < ? AND {where}", micros(before), *values)


def _interval(row: tuple[Any, ...], newest: datetime | None) -> Interval:
    value, began, maintenance = cast(VerdictValue, row[0]), from_micros(row[1]), bool(row[4])
    if row[2] is not None:
        return Interval(value=value, start=began, end=from_micros(row[2]), maintenance=maintenance)
    seen = began if newest is None else max(began, newest)
    fresh_until = seen + timedelta(seconds=_verdict(row[3]).fresh_s)
    return Interval(value=value, start=began, end=None, fresh_until=fresh_until, maintenance=maintenance)


def _verdict(data: str) -> Verdict:
    return msgspec.json.decode(data, type=Verdict)
