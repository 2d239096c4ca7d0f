"""What the locations of a monitor agreed on, tick by tick."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from msgspec import Struct, field

from tocsin.core.access import Principal
from tocsin.core.result import from_micros, iso, micros
from tocsin.core.shape import Help, Length, Range
from tocsin.core.ticks import Consensus, Tick, ticks
from tocsin.pipeline.watched import Watched
from tocsin.store import Scoped
from tocsin.store.cursor import read_cursor, write_cursor
from tocsin.web.api.monitors import watched
from tocsin.web.api.results import stretch
from tocsin.web.call import Call, Reply, Route
from tocsin.web.parts import Parts

SPARE = 3
"""Beside its regular look and its repeats, so many more of a location may belong to a tick on average."""


class TickSpan(Struct, frozen=True, kw_only=True):
    """Which ticks."""

    window: Annotated[str | None, Length(0, 8), Help("1h, 24h, 7d …; 24h when nothing is said")] = None
    from_: datetime | None = field(default=None, name="from")
    to: datetime | None = None
    limit: Annotated[int, Range(1, 1000)] = 100
    cursor: Annotated[str | None, Length(0, 1000)] = None


class TickResult(Struct, frozen=True, kw_only=True):
    """What one location saw. `stand_in`: who looked in its place."""

    location: str
    stand_in: str | None
    status: str
    total_ms: float | None
    at: str
    attempt: int


class TickOut(Struct, frozen=True, kw_only=True):
    """One tick: how many locations looked, how many saw it well, how quick they were answered, what they agree on."""

    at: str
    total: int
    successful: int
    avg_ms: float | None
    min_ms: float | None
    max_ms: float | None
    consensus: Consensus
    results: list[TickResult]


class TickList(Struct, frozen=True, kw_only=True):
    """A page of ticks, newest first; `next_cursor` leads to the next, null at the end."""

    items: list[TickOut]
    next_cursor: str | None


async def page(
    parts: Parts, who: Principal, monitor_id: str, start: datetime, end: datetime, limit: int
) -> tuple[list[Tick], bool]:
    """(the newest ticks that began in start..end, whether there are more)."""
    w, store = watched(parts, who, monitor_id), parts.store.of(who.workspace_id)
    kept = await store.read(lambda s: s.ticks.read(monitor_id, start, end, limit + 1))
    newest, oldest = (kept[0].at, kept[-1].at) if kept else (end, end)
    made: list[Tick] = []
    for first, last, stored in ((newest, end, kept), (start, oldest, [])):  # what is not kept is made
        if len(made) <= limit and first < last:
            some, whole = await _made(store, w, max(first, start), last, limit)
            made += some
            if not whole:
                return made[:limit], True
        made += [tick for tick in stored if not made or tick.at < made[-1].at]
    return made[:limit], len(made) > limit


async def _made(store: Scoped, w: Watched, start: datetime, end: datetime, limit: int) -> tuple[list[Tick], bool]:
    """The newest ticks that results of start ≤ slot < end make; whether those are all."""
    most = (limit + 1) * max(1, len(w.assigned)) * (w.monitor.retries + SPARE)
    looks = await store.read(lambda s: s.results.looks(w.monitor.id, start, end, most))
    made = ticks(w.monitor, looks)
    if len(looks) == most and len(made) > 1:
        made.pop()  # some of it may be missing
        return made, False
    return made, True


def tick_json(tick: Tick) -> dict[str, Any]:
    """A tick as JSON data."""
    return {
        "at": iso(tick.at), "total": tick.total, "successful": tick.successful, "avg_ms": tick.avg_ms,
        "min_ms": tick.min_ms, "max_ms": tick.max_ms, "consensus": tick.consensus,
        "results": [
            {
                "location": look.seat, "stand_in": look.location if look.location != look.seat else None,
                "status": look.status, "total_ms": look.total_ms, "at": iso(look.at), "attempt": look.attempt,
            }
            for look in tick.looks
        ],
    }  # fmt: skip


async def _index(call: Call) -> Reply:
    wanted: TickSpan = call.query
    start, end = stretch(wanted.window, wanted.from_, wanted.to, call.now)
    if wanted.cursor is not None:
        end = from_micros(max(0, min(micros(end), read_cursor(wanted.cursor, int)[0])))
    made, more = await page(call.parts, call.who, call.path["id"], start, end, wanted.limit)
    cursor = write_cursor(micros(made[-1].at)) if more and made else None
    return Reply(data={"items": [tick_json(tick) for tick in made], "next_cursor": cursor})


ROUTES = [
    Route(
        method="GET", path="/api/v1/monitors/{id}/consensus", run=_index, permission="read", query=TickSpan,
        answer=TickList, tag="results", summary="What its locations agreed on, tick by tick",
    ),
]  # fmt: skip
