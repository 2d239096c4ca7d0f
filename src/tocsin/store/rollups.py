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
from tocsin.store.packing import add_buckets, pack_buckets
from tocsin.store.tail import Seen, tail_counts, tail_mark, tail_rows

if TYPE_CHECKING:
    from tocsin.store.session import Session

MINUTE, HOUR, DAY = 60, 3600, 86_400
_TABLES = {MINUTE: "rollups_minute", HOUR: "rollups_hour", DAY: "rollups_day"}
MINUTES_KEPT = timedelta(hours=48)
_EVER = 2**40
_COLUMNS = "count, up, degraded, down, invalid, answered, sum, low, high, sketch"
_RAW = "at, location, flags, total"
_UPSERT = (
    "INSERT INTO {} (monitor, location, at, workspace, count, up, degraded, down, invalid, answered, sum, low, high, "
    "sketch) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (monitor, location, at) DO UPDATE SET "
    "count = excluded.count, up = excluded.up, degraded = excluded.degraded, down = excluded.down, invalid = "
    "excluded.invalid, answered = excluded.answered, sum = excluded.sum, low = excluded.low, high = excluded.high, "
    "sketch = excluded.sketch"
)


def table_of(level: int) -> str:
    """The table of the rollups of a minute, an hour or a day."""
    return _TABLES[level]


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

    def add_stored(self, row: Sequence[Any]) -> None:
        """Add a rollup row's _COLUMNS."""
        counts = self.counts
        counts[0] += row[1]
        counts[1] += row[2]
        counts[2] += row[3]
        counts[3] += row[4]
        self.total += row[6]
        low, high = row[7], row[8]
        if low is not None and (self.low is None or low < self.low):
            self.low = low
        if high is not None and (self.high is None or high > self.high):
            self.high = high
        add_buckets(self.buckets, row[9])

    def figures(self) -> dict[str, Any]:
        """The fields of Point and LatencyStats but `at`."""
        answered = sum(self.buckets.values())
        up, degraded, down, invalid = self.counts
        low, high = self.low or 0, self.high or 0
        p50, p95, p99 = (
            None if v is None else round(min(max(v, low / 100), high / 100), 3)
            for v in sketch.quantiles(self.buckets, (0.5, 0.95, 0.99))
        )
        return {
            "count": up + degraded + down + invalid, "up": up, "degraded": degraded, "down": down, "invalid": invalid,
            "avg_ms": round(self.total / answered / 100, 3) if answered else None,
            "min_ms": None if self.low is None else self.low / 100,
            "max_ms": None if self.high is None else self.high / 100,
            "p50": p50, "p95": p95, "p99": p99,
        }  # fmt: skip


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

    def add(self, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """Add rollups of another server to these: rows of a table, each with its key first."""
        sums: dict[tuple[int, int, int], Sum] = {}
        owner: dict[int, int] = {}
        for row in rows:
            given = dict(zip(columns, row, strict=True))
            owner[given["monitor"]] = given["workspace"]
            one = sums.setdefault((given["monitor"], given["location"], given["at"]), Sum())
            one.add_stored([given[name] for name in _COLUMNS.split(", ")])
        self._save(table, sums, owner)

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
                    known.add_stored(row[1:])
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
        where, values = s.mine_by_number()
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
        sums = self._sums(monitor_id, start, end, _span_step(start, end), location, whole=True)
        return LatencyStats(**sums.get(0, Sum()).figures())

    def uptimes(self, monitor_ids: Sequence[str], window_s: float | timedelta) -> dict[str, float | None]:
        """For lists: the share of checks up or degraded of those judged, 0..1, None when there were none. From days
        (from hours for windows up to two days), so to the day (hour)."""
        seconds = window_s.total_seconds() if isinstance(window_s, timedelta) else window_s
        level = HOUR if seconds <= 2 * DAY else DAY
        first = int(self._s.now.timestamp() - seconds) // level * level
        (found,) = self._seen(monitor_ids, [(first, [(level, first, _EVER)])])
        return {id: seen.good / seen.judged if seen.judged else None for id, seen in found.items()}

    def averages(self, monitor_ids: Sequence[str], windows_s: Sequence[int]) -> dict[str, list[float | None]]:
        """For lists: the mean time of what was answered in each window up to now, in ms, None when nothing was: to the
        minute for windows of up to six hours, else to the hour."""
        wanted: list[tuple[int, list[tuple[int, int, int]]]] = []
        for window in windows_s:
            level = MINUTE if window <= 6 * HOUR else HOUR
            first = int(self._s.now.timestamp() - window) // level * level
            day = -(-first // DAY) * DAY
            whole = [(level, first, _EVER)] if window <= 2 * DAY else [(level, first, day), (DAY, day, _EVER)]
            wanted.append((first, whole))
        found = self._seen(monitor_ids, wanted)
        return {
            id: [round(w[id].total / w[id].answered / 100, 3) if w[id].answered else None for w in found]
            for id in found[0]
        }

    def _seen(
        self, monitor_ids: Sequence[str], wanted: Sequence[tuple[int, Sequence[tuple[int, int, int]]]]
    ) -> list[dict[str, Seen]]:
        """The counts of each monitor, for each (first second, [(rollups, from, to)])."""
        s = self._s
        places = {place.monitor: id for id in monitor_ids if (place := s.places.find(id)) is not None}
        found: list[dict[int, Seen]] = []
        for _, spans in wanted:
            sums = dict.fromkeys(places, Seen())
            for span in spans:
                for monitor, seen in self._rolled(list(places), span).items():
                    sums[monitor] = sums[monitor].plus(seen)
            found.append(sums)
        for monitor, counts in tail_counts(s, places, [first * 1_000_000 for first, _ in wanted]):
            for sums, seen in zip(found, counts, strict=True):
                sums[monitor] = sums[monitor].plus(seen)
        return [{places[monitor]: seen for monitor, seen in sums.items()} for sums in found]

    def _rolled(self, monitors: Sequence[int], span: tuple[int, int, int]) -> dict[int, Seen]:
        """What is rolled up in a span, by monitor. Rollups change only when the tail moves: until then the sums that
        were read once hold good."""
        s, mark = self._s, tail_mark(self._s)
        kept = s.memory.rolled.get(span)
        known = kept[1] if kept is not None and kept[0] == mark else {}
        missing = [monitor for monitor in monitors if monitor not in known]
        if missing:
            level, first, last = span
            among, given = s.among("monitor", missing)
            spots, names = s.among("location", list(s.places.location_names()))
            fresh = dict.fromkeys(missing, Seen())
            for row in s.all(
                "SELECT monitor, sum(up + degraded), sum(up + degraded + down), sum(answered), sum(sum) "
                f"FROM {_TABLES[level]} WHERE {among} AND {spots} AND at >= ? AND at < ? GROUP BY monitor",
                given, names, first, last,
            ):  # fmt: skip
                fresh[row[0]] = Seen(int(row[1]), int(row[2]), int(row[3]), int(row[4]))
            known = {**known, **fresh}
            s.memory.keep_rolled(span, mark, known)
        return known if len(known) == len(monitors) else {monitor: known[monitor] for monitor in monitors}

    def _sums(
        self, monitor_id: str, start: datetime, end: datetime, step: int, location: str | None, *, whole: bool = False
    ) -> dict[int, Sum]:  # fmt: skip
        """The sums of each step by its first second; with `whole` all in one, at 0."""
        s, place = self._s, self._s.places.of(monitor_id)
        spot = None if location is None else s.places.known_location(location)
        if location is not None and spot is None:
            return {}
        where, mine = "monitor = ? AND workspace = ?", [place.monitor, place.workspace]
        span, mine_then = "at >= ? AND at < ?", [*mine, micros(start), micros(end)]
        spots = [spot] if spot is not None else list(s.places.location_names())
        found: dict[int, Sum] = {}
        if step % MINUTE:
            self._add_raw(
                found, s.rows(f"SELECT {_RAW} FROM results WHERE {where} AND {span}", *mine_then), spot, step, whole
            )
        else:
            for level, first, last in self._levels(start, end, step):
                for one_spot in spots:
                    for row in s.all(
                        f"SELECT at, {_COLUMNS} FROM {_TABLES[level]} "
                        f"WHERE {where} AND location = ? AND at >= ? AND at < ? ORDER BY at",
                        *mine, one_spot, first, last,
                    ):  # fmt: skip
                        at = 0 if whole else row[0] // step * step
                        one = found.get(at)
                        if one is None:
                            one = found[at] = Sum()
                        one.add_stored(row[1:])
        self._add_raw(found, tail_rows(s, place.monitor, _RAW, f"{where} AND {span}", mine_then), spot, step, whole)
        return found

    def _add_raw(
        self, found: dict[int, Sum], rows: Sequence[Any], spot: int | None, step: int, whole: bool
    ) -> None:  # fmt: skip
        for row in rows:
            if spot is None or row[1] == spot:
                at = 0 if whole else row[0] // 1_000_000 // step * step
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
