"""What was promised and what was kept: uptime, outages and what is left of the error budget over a stretch of time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from fractions import Fraction

from msgspec import Struct
from msgspec.structs import replace

from tocsin.core.result import from_micros, micros
from tocsin.core.uptime import Interval, Uptime, judged, uptime


class Outage(Struct, frozen=True, kw_only=True):
    """Time that counts as down, without a gap, or with gaps in which nobody looked while its incident went on: of those
    nothing counts (`unknown_us`). `before`, `after`: it began before the stretch, or went on after it."""

    start: datetime
    end: datetime
    reason: str
    unknown_us: int = 0
    before: bool = False
    after: bool = False

    @property
    def lasted_s(self) -> float:
        return (micros(self.end) - micros(self.start) - self.unknown_us) / 1e6


class Line(Struct, frozen=True, kw_only=True):
    """One monitor over the stretch, or all of them together. `longest_s`: the longest of its incidents, as far as it lies
    within."""

    id: str
    name: str
    share: Uptime
    incidents: int
    longest_s: float
    outages: tuple[Outage, ...] = ()


class Kept(Struct, frozen=True, kw_only=True):
    """A line against a target: `met` is None when nothing is known. `budget_s` may be down of the time that is known,
    `left_s` is what was not used of it (below zero: overdrawn)."""

    met: bool | None
    budget_s: float
    left_s: float


def line_of(
    id: str,
    name: str,
    intervals: Sequence[Interval],
    incidents: Sequence[tuple[datetime, datetime | None]],
    stretch: tuple[datetime, datetime],
    *,
    reasons: Mapping[datetime, str],
    partial_is_up: bool = True,
) -> Line:
    """One monitor's line. `incidents`: (opened, resolved or None) of those that touch the stretch; `reasons` of verdicts,
    by when they began."""
    start, end = stretch
    lasted = [
        (min(resolved or end, end) - max(opened, start)).total_seconds()
        for opened, resolved in incidents
        if opened < end and (resolved is None or resolved > start)
    ]
    return Line(
        id=id,
        name=name,
        share=uptime(intervals, start, end, partial_is_up=partial_is_up),
        incidents=len(lasted),
        longest_s=max(lasted, default=0.0),
        outages=_outages(intervals, incidents, stretch, reasons, partial_is_up=partial_is_up),
    )


def total_of(lines: Sequence[Line]) -> Line:
    """All of them together: every monitor's time counts alike."""
    up, down, unknown = (sum(getattr(line.share, part) for line in lines) for part in ("up_s", "down_s", "unknown_s"))
    known, all_of_it = up + down, up + down + unknown
    share = Uptime(
        uptime=up / known if known else None,
        coverage=known / all_of_it if all_of_it else 0.0,
        worst=up / all_of_it if all_of_it else 0.0,
        best=(up + unknown) / all_of_it if all_of_it else 1.0,
        up_s=up,
        down_s=down,
        unknown_s=unknown,
    )
    return Line(
        id="",
        name="All",
        share=share,
        incidents=sum(line.incidents for line in lines),
        longest_s=max((line.longest_s for line in lines), default=0.0),
    )


def kept(share: Uptime, target: float) -> Kept:
    """How a line stands against a target in percent."""
    down_us = round(share.down_s * 1e6)
    budget_us = (round(share.up_s * 1e6) + down_us) * (100 - Fraction(str(target))) / 100
    met = None if share.uptime is None else down_us <= budget_us
    return Kept(met=met, budget_s=round(float(budget_us) / 1e6, 3), left_s=round(float(budget_us - down_us) / 1e6, 3))


def _outages(
    intervals: Sequence[Interval],
    incidents: Sequence[tuple[datetime, datetime | None]],
    stretch: tuple[datetime, datetime],
    reasons: Mapping[datetime, str],
    *,
    partial_is_up: bool,
) -> tuple[Outage, ...]:
    """Stretches of down that follow each other are one; its reason is that of the first. So are those between which only
    nobody looked (a restart), while an incident went on."""
    start, end = stretch
    quiet = [(i.start, i.end or end) for i in intervals if i.maintenance]
    found: list[Outage] = []
    was_down = False

    def one_trouble(ended: datetime, began: datetime) -> bool:
        covered = any(opened <= ended and (until is None or until >= began) for opened, until in incidents)
        return covered and not any(low < began and high > ended for low, high in quiet)

    for low, high, down, interval in judged(intervals, start, end, partial_is_up=partial_is_up):
        if not down:
            was_down = False
            continue
        began, ended = from_micros(low), from_micros(high)
        after = ended == end and (interval.end is None or interval.end > end)
        if found and (found[-1].end == began or (was_down and one_trouble(found[-1].end, began))):
            gap_us = low - micros(found[-1].end)
            found[-1] = replace(found[-1], end=ended, after=after, unknown_us=found[-1].unknown_us + gap_us)
            continue
        was_down = True
        before = interval.start < start and began == start
        found.append(Outage(start=began, end=ended, reason=reasons.get(interval.start, ""), before=before, after=after))
    return tuple(found)
