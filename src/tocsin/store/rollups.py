"""Rollups of results over minutes (kept 48 h), hours and days, and the figures read from them.

A result is rolled up in the transaction that moves it out of the tail, once; what is still in the tail is added when
reading. Adding is the same in any order, so late results count like any other. `sum`, `low` and `high` (10 µs) and the
sketch are of results that were answered (up and degraded).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from tocsin.core import sketch
from tocsin.core.result import micros
from tocsin.store.packing import pack_buckets, unpack_buckets
from tocsin.store.tail import tail_counts, tail_rows

if TYPE_CHECKING:
    from tocsin.store.session import Session

MINUTE, HOUR, DAY = 60, 3600, 86_400
_TABLES = {MINUTE: "rollups_minute", HOUR: "rollups_hour", DAY: "rollups_day"}
MINUTES_KEPT = timedelta(hours=48)
_COLUMNS = "count, up, degraded, down, invalid, answered, sum, low, high, sketch"
_RAW = "at, location, flags, total"
_UPSERT = (
    "INSERT INTO {} (monitor, location, at, workspace, count, up, degraded, down, invalid, answered, sum, low, high, "
    "sketch) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (monitor, location, at) DO UPDATE SET "
    "count = excluded.count, up = excluded.up, degraded = excluded.degraded, down = excluded.down, invalid = "
    "excluded.invalid, answered = excluded.answered, sum = excluded.sum, low = excluded.low, high = excluded.high, "
    "sketch = excluded.sketch"
)


class Point(Struct, frozen=True, kw_only=True):
    """The results of one step of time; times in ms, None when nothing was answered."""

    at: datetime
    count: int
    up: int
    degraded: int
    down: int
    invalid: int
    avg_ms: float | None
    min_ms: float | None
    max_ms: float | None
    p50: float | None
    p95: float | None
    p99: float | None


class LatencyStats(Struct, frozen=True, kw_only=True):
    """The results of a stretch of time in one line."""

    count: int
    up: int
    degraded: int
    down: int
    invalid: int
    avg_ms: float | None
    min_ms: float | None
    max_ms: float | None
    p50: float | None
    p95: float | None
    p99: float | None


@dataclass(slots=True)
class Sum:
    """Results added up. `counts`: by status, in the order of core.result.STATUSES."""

    counts: list[int] = field(default_factory=lambda: [0, 0, 0, 0])
    total: int = 0
    low: int | None = None
    high: int | None = None
    buckets: dict[int, int] = field(default_factory=dict[int, int])

    def add(self, flags: int, total: int | None) -> None:
        """Count one result (its packed flags, its time in 10 µs)."""
        status = flags & 3
        self.counts[status] += 1
        if total is not None and status < 2:
            self.total += total
            if self.low is None or total < self.low:
                self.low = total
            if self.high is None or total > self.high:
                self.high = total
            sketch.add(self.buckets, total / 100)

    def merge(self, other: Sum) -> None:
        """Add all that another one counted."""
        self.counts = [a + b for a, b in zip(self.counts, other.counts, strict=True)]
        self.total += other.total
        self.low = other.low if self.low is None else self.low if other.low is None else min(self.low, other.low)
        self.high = other.high if self.high is None else self.high if other.high is None else max(self.high, other.high)
        sketch.merge(self.buckets, other.buckets)

    def values(self) -> tuple[Any, ...]:
        """As a rollup row stores it (_COLUMNS)."""
        return (
            sum(self.counts),
            *self.counts,
            sum(self.buckets.values()),
            self.total,
            self.low,
            self.high,
            pack_buckets(self.buckets),
        )

    def figures(self) -> dict[str, Any]:
        """The fields of Point and LatencyStats but `at`."""
        answered = sum(self.buckets.values())
        up, degraded, down, invalid = self.counts
        return {
            "count": sum(self.counts), "up": up, "degraded": degraded, "down": down, "invalid": invalid,
            "avg_ms": round(self.total / answered / 100, 3) if answered else None,
            "min_ms": None if self.low is None else self.low / 100,
            "max_ms": None if self.high is None else self.high / 100,
            "p50": self._quantile(0.5), "p95": self._quantile(0.95), "p99": self._quantile(0.99),
        }  # fmt: skip

    def _quantile(self, q: float) -> float | None:
        value = sketch.quantile(self.buckets, q)
        if value is None or self.low is None or self.high is None:
            return None
        return round(min(max(value, self.low / 100), self.high / 100), 3)


def _stored(row: Sequence[Any]) -> Sum:
    """The sum in a rollup row's _COLUMNS."""
    return Sum([row[1], row[2], row[3], row[4]], row[6], row[7], row[8], unpack_buckets(row[9]))


class Rollups:
    """Figures over time."""

    def __init__(self, session: Session) -> None:
        self._s = session

    # Writing --------------------------------------------------------------------------------------------------------
    def roll(self, rows: Iterable[Sequence[Any]]) -> None:
        """Add results that were just moved: (monitor, location, at µs, workspace, flags, total), in any order."""
        levels: dict[int, dict[tuple[int, int, int], Sum]] = {MINUTE: {}, HOUR: {}, DAY: {}}
        owner: dict[int, int] = {}
        minutes = levels[MINUTE]
        for monitor, location, at, workspace, flags, total in rows:
            key = monitor, location, at // 60_000_000 * 60
            one = minutes.get(key)
            if one is None:
                one = minutes[key] = Sum()
                owner[monitor] = workspace
            one.add(flags, total)
        for finer, level in ((MINUTE, HOUR), (HOUR, DAY)):
            coarse = levels[level]
            for (monitor, location, at), one in levels[finer].items():
                coarse.setdefault((monitor, location, at // level * level), Sum()).merge(one)
        oldest = int((self._s.now - MINUTES_KEPT).timestamp())
        levels[MINUTE] = {key: one for key, one in minutes.items() if key[2] >= oldest}
        for level, sums in levels.items():
            self._save(_TABLES[level], sums, owner)

    def _save(self, table: str, sums: dict[tuple[int, int, int], Sum], owner: dict[int, int]) -> None:
        spans: dict[tuple[int, int], list[int]] = {}
        for monitor, location, at in sums:
            span = spans.setdefault((monitor, location), [at, at])
            span[:] = min(span[0], at), max(span[1], at)
        for (monitor, location), (first, last) in spans.items():
            for row in self._s.rows(
                f"SELECT at, {_COLUMNS} FROM {table} WHERE monitor = ? AND location = ? AND at BETWEEN ? AND ?",
                monitor, location, first, last,
            ):  # fmt: skip
                known = sums.get((monitor, location, row[0]))
                if known is not None:
                    known.merge(_stored(row[1:]))
        self._s.many(
            _UPSERT.format(table),
            [(m, spot, at, owner[m], *sums[m, spot, at].values()) for m, spot, at in sorted(sums)],
        )

    def expire(self, minutes_before: datetime | None = None, hours_before: datetime | None = None) -> int:
        """How many rollups went: of minutes older than 48 h (or the given time), of hours older than the given time."""
        s, gone = self._s, 0
        edges = [(_TABLES[MINUTE], minutes_before or s.now - MINUTES_KEPT)]
        if hours_before is not None:
            edges.append((_TABLES[HOUR], hours_before))
        where, values = ("1 = 1", ()) if s.workspace_id is None else (
            "workspace = (SELECT key FROM workspaces WHERE id = ?)", (s.workspace_id,)
        )  # fmt: skip
        for table, before in edges:
            gone += s.run(f"DELETE FROM {table} WHERE at < ? AND {where}", int(before.timestamp()), *values)
        return gone

    # Reading --------------------------------------------------------------------------------------------------------
    def series(
        self, monitor_id: str, start: datetime, end: datetime, step_s: int, location: str | None = None
    ) -> list[Point]:
        """The figures of start ≤ t < end in steps that lie at multiples of `step_s` since 1970, oldest first; a step
        without results has no point. Where only coarser rollups are kept, a point stands at the step its hour or day
        begins in."""
        sums = self._sums(monitor_id, start, end, max(1, step_s), location)
        return [Point(at=datetime.fromtimestamp(at, UTC), **sums[at].figures()) for at in sorted(sums)]

    def stats(self, monitor_id: str, start: datetime, end: datetime, location: str | None = None) -> LatencyStats:
        """The figures of the whole stretch, to the hour (to the minute within the last 48 hours)."""
        whole = Sum()
        for one in self._sums(monitor_id, start, end, _span_step(start, end), location).values():
            whole.merge(one)
        return LatencyStats(**whole.figures())

    def uptimes(self, monitor_ids: Sequence[str], window_s: float | timedelta) -> dict[str, float | None]:
        """For lists: the share of checks up or degraded of those judged, 0..1, None when there were none. From days
        (from hours for windows up to two days), so to the day (hour)."""
        s = self._s
        seconds = window_s.total_seconds() if isinstance(window_s, timedelta) else window_s
        level = HOUR if seconds <= 2 * DAY else DAY
        first = int(s.now.timestamp() - seconds) // level * level
        places = {place.monitor: id for id in monitor_ids if (place := s.places.find(id)) is not None}
        counts: dict[int, list[int]] = {monitor: [0, 0] for monitor in places}
        for row in self._good_and_judged(_TABLES[level], list(places), first):
            counts[row[0]][0] += int(row[1])
            counts[row[0]][1] += int(row[2])
        for monitor, (seen,) in tail_counts(s, counts, [first * 1_000_000]):
            counts[monitor][0] += seen.good
            counts[monitor][1] += seen.judged
        return {id: counts[m][0] / counts[m][1] if counts[m][1] else None for m, id in places.items()}

    def _good_and_judged(self, table: str, monitors: Sequence[int], first: int) -> Iterable[Sequence[Any]]:
        for start in range(0, len(monitors), 500):
            some = monitors[start : start + 500]
            yield from self._s.rows(
                f"SELECT monitor, sum(up + degraded), sum(up + degraded + down) FROM {table} "
                f"WHERE monitor IN ({', '.join('?' for _ in some)}) AND at >= ? GROUP BY monitor",
                *some, first,
            )  # fmt: skip

    def _sums(self, monitor_id: str, start: datetime, end: datetime, step: int, location: str | None) -> dict[int, Sum]:
        s, place = self._s, self._s.places.of(monitor_id)
        spot = None if location is None else s.places.known_location(location)
        if location is not None and spot is None:
            return {}
        where, mine = "monitor = ? AND workspace = ?", [place.monitor, place.workspace]
        span, mine_then = "at >= ? AND at < ?", [*mine, micros(start), micros(end)]
        spots = [spot] if spot is not None else list(s.places.location_names())
        found: dict[int, Sum] = {}
        if step % MINUTE:
            self._add_raw(found, s.rows(f"SELECT {_RAW} FROM results WHERE {where} AND {span}", *mine_then), spot, step)
        else:
            for level, first, last in self._levels(start, end, step):
                for one_spot in spots:
                    for row in s.rows(
                        f"SELECT at, {_COLUMNS} FROM {_TABLES[level]} "
                        f"WHERE {where} AND location = ? AND at >= ? AND at < ? ORDER BY at",
                        *mine, one_spot, first, last,
                    ):  # fmt: skip
                        _merge_into(found, row[0] // step * step, _stored(row[1:]))
        self._add_raw(found, tail_rows(s, place.monitor, _RAW, f"{where} AND {span}", mine_then), spot, step)
        return found

    def _add_raw(self, found: dict[int, Sum], rows: Sequence[Any], spot: int | None, step: int) -> None:
        for row in rows:
            if spot is None or row[1] == spot:
                at = row[0] // 1_000_000 // step * step
                one = found.get(at)
                if one is None:
                    one = found[at] = Sum()
                one.add(row[2], row[3])

    def _levels(self, start: datetime, end: datetime, step: int) -> list[tuple[int, int, int]]:
        """Which rollups to read from when to when (seconds): the coarsest that fit the step, hours where minutes are
        gone."""
        first, last = int(start.timestamp()), int(-(-end.timestamp() // 1))
        level = DAY if step % DAY == 0 else HOUR if step % HOUR == 0 else MINUTE
        if level != MINUTE:
            return [(level, first // level * level, last)]
        edge = -(-int((self._s.now - MINUTES_KEPT).timestamp()) // HOUR) * HOUR
        spans = [(HOUR, first // HOUR * HOUR, min(edge, last)), (MINUTE, max(edge, first // MINUTE * MINUTE), last)]
        return [span for span in spans if span[1] < span[2]]


def _span_step(start: datetime, end: datetime) -> int:
    """The step that adds up a stretch: days when it is long."""
    seconds = (end - start).total_seconds()
    return MINUTE if seconds <= 6 * HOUR else HOUR if seconds <= 14 * DAY else DAY


def _merge_into(found: dict[int, Sum], at: int, one: Sum) -> None:
    known = found.get(at)
    if known is None:
        found[at] = one
    else:
        known.merge(one)
