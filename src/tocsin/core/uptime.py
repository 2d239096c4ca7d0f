"""Uptime from verdict intervals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from heapq import heappop, heappush
from itertools import pairwise
from typing import Any, NamedTuple

from msgspec import Struct

from tocsin.core.consensus import VerdictValue
from tocsin.core.result import micros


class Interval(Struct, frozen=True, kw_only=True):
    """One verdict from `start` to `end` (None: until now, as far as its votes are fresh: `fresh_until`)."""

    value: VerdictValue
    start: datetime
    end: datetime | None
    fresh_until: datetime | None = None
    maintenance: bool = False


class Uptime(Struct, frozen=True, kw_only=True):
    """A share of time. `uptime` 0..1 or None when nothing is known; `coverage` 0..1; worst ≤ uptime ≤ best."""

    uptime: float | None
    coverage: float
    worst: float
    best: float
    up_s: float
    down_s: float
    unknown_s: float


_WORST_FIRST: tuple[VerdictValue, ...] = ("down", "partial", "degraded", "up", "unknown")


def uptime(intervals: Sequence[Interval], start: datetime, end: datetime, *, partial_is_up: bool = True) -> Uptime:
    """The uptime from `start` to `end`. Time in no interval, unknown and maintenance is covered by nobody.

    The order of the intervals does not matter. Where they overlap, maintenance wins, then the one that began last, then
    the worst. Past `fresh_until` an interval covers nothing, nor does an older one under it.
    """
    total = max(0, micros(end) - micros(start))
    up = down = 0
    for stretch in judged(intervals, start, end, partial_is_up=partial_is_up):
        if stretch.down:
            down += stretch.high - stretch.low
        else:
            up += stretch.high - stretch.low
    known = up + down
    return Uptime(
        uptime=up / known if known else None,
        coverage=known / total if total else 0.0,
        worst=up / total if total else 0.0,
        best=(total - down) / total if total else 1.0,
        up_s=up / 1e6,
        down_s=down / 1e6,
        unknown_s=(total - known) / 1e6,
    )


class Stretch(NamedTuple):
    """A stretch of known time, in µs since 1970, and the interval that governs it."""

    low: int
    high: int
    down: bool
    interval: Interval


def judged(
    intervals: Sequence[Interval], start: datetime, end: datetime, *, partial_is_up: bool = True
) -> Iterator[Stretch]:
    """What is known of the time from `start` to `end`, in order: each stretch was up or down, as `uptime` counts it."""
    for low, high, interval in _governed(intervals, micros(start), micros(end)):
        if interval.fresh_until is not None:
            high = min(high, micros(interval.fresh_until))
        if high <= low or interval.maintenance or interval.value == "unknown":
            continue
        down = interval.value == "down" or (interval.value == "partial" and not partial_is_up)
        yield Stretch(low, high, down, interval)


def _governed(intervals: Sequence[Interval], first: int, last: int) -> Iterator[tuple[int, int, Interval]]:
    """The stretches of [first, last) that some interval governs, each with the one that does (in µs since 1970)."""
    spans: list[tuple[int, int, tuple[bool, int, int, int], Interval]] = []
    for interval in intervals:
        begin, stop = micros(interval.start), last if interval.end is None else micros(interval.end)
        if max(begin, first) < min(stop, last):
            fresh = last if interval.fresh_until is None else micros(interval.fresh_until)
            rank = (not interval.maintenance, -begin, _WORST_FIRST.index(interval.value), fresh)
            spans.append((max(begin, first), min(stop, last), rank, interval))
    spans.sort(key=_begin_and_rank)
    edges = sorted({edge for span in spans for edge in span[:2]})
    active: list[tuple[tuple[bool, int, int, int], int, int, Interval]] = []
    upcoming = 0
    for low, high in pairwise(edges):
        while upcoming < len(spans) and spans[upcoming][0] <= low:
            _, stop, rank, interval = spans[upcoming]
            heappush(active, (rank, stop, upcoming, interval))
            upcoming += 1
        while active and active[0][1] <= low:
            heappop(active)
        if active:
            yield low, high, active[0][3]


def _begin_and_rank(span: tuple[int, int, tuple[bool, int, int, int], Interval]) -> tuple[Any, ...]:
    return span[:3]
