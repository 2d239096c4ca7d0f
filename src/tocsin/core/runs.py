"""Runs of a job between its calls: which have begun, which last too long, and what the job said meanwhile."""

from __future__ import annotations

from datetime import datetime, timedelta

from msgspec import Struct
from msgspec.structs import replace

MOST_RUNS = 50
MOST_LINES = 20


class Run(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A run that has begun and not ended. `rid` tells it from others, "" is the one without. `first`: its earliest start
    that was followed by no end (`began` is the latest: a job that crashes and begins again gains no time by it).
    `told`: that it lasts too long has been said."""

    rid: str = ""
    began: datetime
    first: datetime
    told: bool = False


class Line(Struct, frozen=True, kw_only=True):
    """What a job said while it ran."""

    at: datetime
    text: str


class Doing(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a job is doing, as far as it told: its open runs, and what it logged since its last result."""

    runs: tuple[Run, ...] = ()
    lines: tuple[Line, ...] = ()

    def run(self, rid: str) -> Run | None:
        """The open run of that id."""
        return next((r for r in self.runs if r.rid == rid), None)


IDLE = Doing()


def started(doing: Doing, rid: str, now: datetime) -> Doing:
    """With a run that begins now; of very many the oldest are forgotten."""
    before = doing.run(rid)
    first = now if before is None or before.told else before.first
    others = tuple(r for r in doing.runs if r.rid != rid)
    return replace(doing, runs=(*others, Run(rid=rid, began=now, first=first))[-MOST_RUNS:])


def said(doing: Doing, text: str, now: datetime) -> Doing:
    """With a line that the job logged now; of very many the oldest are forgotten."""
    return replace(doing, lines=(*doing.lines, Line(at=now, text=text))[-MOST_LINES:])


def ended(doing: Doing, rid: str) -> Doing:
    """Without the run that ends; an end that names none ends them all. What was logged goes with it."""
    return Doing(runs=tuple(r for r in doing.runs if rid and r.rid != rid))


def told(doing: Doing, run: Run | None) -> Doing:
    """With the note that it was said how long this run lasts, and without what was logged until then."""
    return Doing(runs=tuple(replace(r, told=True) if r == run else r for r in doing.runs))


def overdue_at(doing: Doing, limit_s: float) -> tuple[datetime, Run] | None:
    """When the first of the runs will have lasted too long, and which; None when none is watched (`limit_s` 0)."""
    watched = [(r.began + timedelta(seconds=limit_s), r) for r in doing.runs if limit_s and not r.told]
    return min(watched, key=lambda pair: pair[0], default=None)


def busy_until(doing: Doing, limit_s: float) -> datetime | None:
    """Until when a job that has begun need not call: it may run so long. None when no run is watched."""
    return min((r.first + timedelta(seconds=limit_s) for r in doing.runs if limit_s and not r.told), default=None)
