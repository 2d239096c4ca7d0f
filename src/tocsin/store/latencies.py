"""Latency sketches of windows, of many monitors at once: what rules on response times look at."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from tocsin.core import sketch
from tocsin.core.result import micros
from tocsin.store.packing import add_buckets
from tocsin.store.rollups import DAY, HOUR, MINUTE, MINUTES_KEPT, table_of
from tocsin.store.tail import tail_totals

if TYPE_CHECKING:
    from tocsin.store.session import Session

Buckets = dict[int, int]
Span = tuple[datetime, datetime]


class Latencies:
    """The times of what was answered."""

    def __init__(self, session: Session) -> None:
        self._s = session

    def sketches(self, monitor_ids: Sequence[str], spans: Sequence[Span]) -> list[dict[str, Buckets]]:
        """For each span (start ≤ slot < end) the sketch of each monitor's answers, all locations together: to the
        minute at its ends within the last 48 hours, else to the hour. A monitor without answers has an empty one."""
        s = self._s
        places = {place.monitor: id for id in monitor_ids if (place := s.places.find(id)) is not None}
        found: list[dict[int, Buckets]] = []
        for start, end in spans:
            sums: dict[int, Buckets] = {monitor: {} for monitor in places}
            for level, first, last in self._levels(start, end):
                self._rolled(sums, level, first, last)
            found.append(sums)
        for monitor, at, totals in tail_totals(s, places):
            for (start, end), sums in zip(spans, found, strict=True):
                _add(sums[monitor], at, totals, micros(start), micros(end))
        return [{places[monitor]: buckets for monitor, buckets in sums.items()} for sums in found]

    def steps(self, monitor_id: str, start: datetime, end: datetime, step_s: int) -> dict[int, Buckets]:
        """The sketch of each step (of whole minutes, at multiples of it since 1970) by its first second; hours where
        minutes are gone, each in the step it begins in. Steps without answers are left out."""
        s, place = self._s, self._s.places.of(monitor_id)
        level = HOUR if step_s % HOUR == 0 else MINUTE
        edge = -(-int((s.now - MINUTES_KEPT).timestamp()) // HOUR) * HOUR
        first, last = int(start.timestamp()) // level * level, int(-(-end.timestamp() // 1))
        parts = [(HOUR, first // HOUR * HOUR, last)] if level == HOUR else [
            (HOUR, first // HOUR * HOUR, min(edge, last)), (MINUTE, max(edge, first), last)
        ]  # fmt: skip
        found: dict[int, Buckets] = {}
        spots, names = s.among("location", list(s.places.location_names()))
        for one, low, high in parts:
            for at, packed in s.all(
                f"SELECT at, sketch FROM {table_of(one)} WHERE monitor = ? AND workspace = ? AND {spots} AND at >= ? "
                "AND at < ?",
                place.monitor, place.workspace, names, low, high,
            ) if low < high else ():  # fmt: skip
                add_buckets(found.setdefault(at // step_s * step_s, {}), packed)
        low, high = micros(start), micros(end)
        for _, at, totals in tail_totals(s, (place.monitor,)):
            for slot, total in zip(at, totals, strict=False):
                if total >= 0 and low <= slot < high:
                    sketch.add(found.setdefault(slot // 1_000_000 // step_s * step_s, {}), total / 100)
        return found

    def _rolled(self, sums: Mapping[int, Buckets], level: int, first: int, last: int) -> None:
        s = self._s
        among, given = s.among("monitor", list(sums))
        spots, names = s.among("location", list(s.places.location_names()))
        for monitor, packed in s.all(
            f"SELECT monitor, sketch FROM {table_of(level)} WHERE {among} AND {spots} AND at >= ? AND at < ?",
            given, names, first, last,
        ):  # fmt: skip
            add_buckets(sums[monitor], packed)

    def _levels(self, start: datetime, end: datetime) -> Iterator[tuple[int, int, int]]:
        """(rollups, from, to) in seconds: minutes to the next whole hour and from the last one, hours to whole days,
        days between; no finer than what is kept."""
        minutes_from = -(-int((self._s.now - MINUTES_KEPT).timestamp()) // HOUR) * HOUR
        low, high = int(start.timestamp()), int(-(-end.timestamp() // 1))
        if low < minutes_from:
            low = low // HOUR * HOUR
            if high <= minutes_from:
                high = -(-high // HOUR) * HOUR
        low = low // MINUTE * MINUTE
        for level in (DAY, HOUR):
            first, last = -(-low // level) * level, high // level * level
            if first < last:
                yield level, first, last
                yield from _around(low, first, last, high, level)
                return
        yield from _minutes(low, high)


def _around(low: int, first: int, last: int, high: int, level: int) -> Iterator[tuple[int, int, int]]:
    """What is left on both sides of a stretch of whole days (hours): whole hours, then minutes."""
    for a, b in ((low, first), (last, high)):
        hour_first, hour_last = -(-a // HOUR) * HOUR, b // HOUR * HOUR
        if level == DAY and hour_first < hour_last:
            yield HOUR, hour_first, hour_last
            yield from _minutes(a, hour_first)
            yield from _minutes(hour_last, b)
        else:
            yield from _minutes(a, b)


def _minutes(low: int, high: int) -> Iterator[tuple[int, int, int]]:
    if low < high:
        yield MINUTE, low, high


def _add(buckets: Buckets, at: array[int], totals: array[int], start: int, end: int) -> None:
    for slot, total in zip(at, totals, strict=False):
        if total >= 0 and start <= slot < end:
            sketch.add(buckets, total / 100)
