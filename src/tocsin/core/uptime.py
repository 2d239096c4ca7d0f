"""Uptime from verdict intervals (VERDICT.md section 8 of the design)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct

from tocsin.core.consensus import VerdictValue


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


def uptime(intervals: Sequence[Interval], start: datetime, end: datetime, *, partial_is_up: bool = True) -> Uptime:
    """The uptime from `start` to `end`. Time in no interval, unknown and maintenance is covered by nobody."""
    raise NotImplementedError
