"""What all locations of a monitor saw at one tick, held together: how many looked, how quick the answers were, and what they
agree on. Made from the results, which are stored once."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Literal

from msgspec import Struct

from tocsin.core.consensus import needed
from tocsin.core.monitor import Monitor
from tocsin.core.result import Status
from tocsin.core.schedule import slot_at_or_before

Consensus = Literal["UP", "DOWN", "PARTIAL", "UNKNOWN"]


class Look(Struct, frozen=True, kw_only=True):
    """One result of one location. `seat`: whose vote it is; another one than `location` where that stood in."""

    at: datetime
    attempt: int
    location: str
    seat: str
    status: Status
    total_ms: float | None


class Tick(Struct, frozen=True, kw_only=True):
    """All that was seen at one tick, the last of each location. Times are of the answers that were well, None without."""

    at: datetime
    total: int
    successful: int
    avg_ms: float | None
    min_ms: float | None
    max_ms: float | None
    consensus: Consensus
    looks: tuple[Look, ...]


def ticks(monitor: Monitor, looks: Iterable[Look]) -> list[Tick]:
    """The ticks that these results make, newest first. What was looked at between two slots, again or because somebody
    asked, belongs to the slot before."""
    by: dict[datetime, dict[str, Look]] = {}
    for look in looks:
        slot = slot_at_or_before(monitor.id, monitor.interval_s, look.at)
        seats = by.setdefault(slot, {})
        known = seats.get(look.seat)
        if known is None or (known.at, known.attempt) < (look.at, look.attempt):
            seats[look.seat] = look
    return [_tick(monitor, at, list(by[at].values())) for at in sorted(by, reverse=True)]


def _tick(monitor: Monitor, at: datetime, looks: list[Look]) -> Tick:
    well = [look for look in looks if look.status in ("up", "degraded")]
    times = [look.total_ms for look in well if look.total_ms is not None]
    return Tick(
        at=at,
        total=len(looks),
        successful=len(well),
        avg_ms=round(sum(times) / len(times), 2) if times else None,
        min_ms=min(times, default=None),
        max_ms=max(times, default=None),
        consensus=_agreed(monitor, len(looks), len(well), sum(look.status == "down" for look in looks)),
        looks=tuple(sorted(looks, key=lambda look: look.seat)),
    )


def _agreed(monitor: Monitor, total: int, up: int, down: int) -> Consensus:
    """What so many of `total` say: by the monitor's quorum, without thresholds and without what they said before."""
    if up + down < (2 if total >= 2 else 1):
        return "UNKNOWN"
    if down >= needed(monitor.quorum, total):
        return "DOWN"
    return "PARTIAL" if down else "UP"
