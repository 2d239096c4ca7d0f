"""The SLA report: uptime, outages and error budget of monitors over a stretch of time, as JSON or CSV.

Of a stretch that is over, the same question has the same answer, byte for byte: nothing of the moment of asking is in it.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from msgspec import Struct, field

from tocsin.core.access import Principal
from tocsin.core.plain import found
from tocsin.core.result import iso
from tocsin.core.rhythm import is_zone
from tocsin.core.scope import Scope
from tocsin.core.shape import Help, Length, Range
from tocsin.core.sla import Line, Outage, kept, line_of, total_of
from tocsin.errors import Invalid, NotFound, Problem
from tocsin.pipeline.judgement import OLD_S
from tocsin.store import Scoped, Session
from tocsin.web.api.preferences import partial_is_up
from tocsin.web.call import Call, Reply, Route
from tocsin.web.parts import Parts

LONGEST = timedelta(days=5 * 366)
MOST_MONITORS, MOST_INTERVALS, MOST_OUTAGES = 1000, 500_000, 1000
AT_ONCE = 50


class Wanted(Struct, frozen=True, kw_only=True):
    """Which report."""

    from_: Annotated[datetime, Help("from then on")] = field(name="from")
    to: Annotated[datetime, Help("before then")]
    monitor: Annotated[str | None, Length(0, 8000), Help("ids with commas between; no monitor and no tag: all")] = None
    tag: Annotated[str | None, Length(0, 2000), Help("tags with commas between: monitors with one of them")] = None
    target: Annotated[int | float | None, Range(0, 100), Help("what was promised, in percent: 99.9")] = None
    zone: Annotated[str, Length(1, 64), Help("the time zone that times are written in, such as Europe/Berlin")] = "UTC"
    format: Literal["json", "csv"] = "json"
    part: Annotated[Literal["summary", "outages"], Help("of CSV: a row for each monitor, or for each outage")] = (
        "summary"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What was found. `final`: the stretch is over and so are results that came late. `start`, `end` in its zone."""

    start: datetime
    end: datetime
    zone: str
    final: bool
    partial_is_down: bool
    target: float | None
    lines: list[Line]
    total: Line

    def at(self, moment: datetime) -> str:
        """A moment in the report's zone, with its offset."""
        return self.local(moment).isoformat(timespec="milliseconds")

    def local(self, moment: datetime) -> datetime:
        """A moment on the clocks of the report's zone."""
        return moment.astimezone(ZoneInfo(self.zone))


def checked_zone(name: str) -> ZoneInfo:
    """That time zone; raises Invalid when there is none of that name."""
    if not is_zone(name):
        raise Invalid(Problem("zone", "a time zone such as Europe/Berlin", found(name)))
    return ZoneInfo(name)


async def report(parts: Parts, who: Principal, wanted: Wanted, now: datetime) -> Report:
    """The report; raises Invalid when it is too much to ask, NotFound for a monitor of somebody else."""
    checked_zone(wanted.zone)
    start, end = wanted.from_, wanted.to
    if not timedelta(0) < end - start <= LONGEST:
        raise Invalid(Problem("from", "a time before to, at most five years", iso(start) or ""))
    if start >= now:
        raise Invalid(Problem("from", "a time that has passed", iso(start) or ""))
    names = _chosen(parts, who, wanted)
    as_up = partial_is_up(parts, who.workspace_id)
    stretch = start, min(end, now)
    lines = await _read(parts.store.of(who.workspace_id), names, stretch, partial_is_up=as_up)
    return Report(
        start=start, end=stretch[1], zone=wanted.zone, final=now >= end + timedelta(seconds=OLD_S),
        partial_is_down=not as_up, target=wanted.target, lines=lines, total=total_of(lines),
    )  # fmt: skip


async def _read(
    store: Scoped, names: list[tuple[str, str]], stretch: tuple[datetime, datetime], *, partial_is_up: bool
) -> list[Line]:
    """The lines of these monitors, a few read at a time: nobody else is kept waiting."""
    lines: list[Line] = []
    left = MOST_INTERVALS
    for n in range(0, len(names), AT_ONCE):
        work = partial(_lines, some=names[n : n + AT_ONCE], stretch=stretch, partial_is_up=partial_is_up, most=left)
        made, count = await store.read(work)
        lines += made
        left -= count
    return lines


def _chosen(parts: Parts, who: Principal, wanted: Wanted) -> list[tuple[str, str]]:
    """(id, name) of the monitors asked for, by name."""
    ids, tags = _words(wanted.monitor), _words(wanted.tag)
    scope = Scope(monitors=tuple(ids), tags=tuple(tags), everything=not ids and not tags)
    watched = parts.corridor.watchlist.of(who.workspace_id)
    unknown = set(ids) - {w.monitor.id for w in watched}
    if unknown:
        raise NotFound(f"there is no monitor {min(unknown)[:64]}")
    chosen = [(w.monitor.id, w.monitor.name) for w in watched if scope.covers(w.monitor)]
    if len(chosen) > MOST_MONITORS:
        raise Invalid(Problem("tag", f"at most {MOST_MONITORS} monitors in one report", str(len(chosen))))
    return sorted(chosen, key=lambda pair: (pair[1].casefold(), pair[1], pair[0]))


def _words(text: str | None) -> list[str]:
    return [word.strip() for word in (text or "").split(",") if word.strip()]


def _lines(
    s: Session, some: list[tuple[str, str]], stretch: tuple[datetime, datetime], *, partial_is_up: bool, most: int
) -> tuple[list[Line], int]:
    """(lines, how many intervals they were made of)."""
    ids = [id for id, _ in some]
    intervals = s.verdicts.intervals_of(ids, *stretch)
    count = sum(map(len, intervals.values()))
    if count > most:
        raise Invalid(Problem("from", "a shorter stretch, or fewer monitors: there is too much to add up", "too much"))
    spans, reasons = s.incidents.spans(ids, *stretch), s.verdicts.reasons(ids, *stretch)
    lines = [
        line_of(
            id, name, intervals.get(id, []), spans.get(id, []), stretch,
            reasons=reasons.get(id, {}), partial_is_up=partial_is_up,
        )
        for id, name in some
    ]  # fmt: skip
    return lines, count


def report_json(r: Report) -> dict[str, Any]:
    """The report as JSON data."""
    return {
        "from": r.at(r.start), "to": r.at(r.end), "zone": r.zone, "final": r.final,
        "partial_is_down": r.partial_is_down, "target": r.target,
        "monitors": [
            {"id": line.id, "name": line.name} | _line_json(r, line)
            | {
                "outages": [_outage_json(r, one) for one in line.outages[:MOST_OUTAGES]],
                "outages_left": max(0, len(line.outages) - MOST_OUTAGES),
            }
            for line in r.lines
        ],
        "total": {"monitors": len(r.lines)} | _line_json(r, r.total),
    }  # fmt: skip


def _line_json(r: Report, line: Line) -> dict[str, Any]:
    share = line.share
    against = None if r.target is None else kept(share, r.target)
    return {
        "uptime": None if share.uptime is None else round(share.uptime, 9), "coverage": round(share.coverage, 9),
        "worst": round(share.worst, 9), "best": round(share.best, 9), "up_s": round(share.up_s, 3),
        "down_s": round(share.down_s, 3), "unknown_s": round(share.unknown_s, 3), "incidents": line.incidents,
        "longest_incident_s": round(line.longest_s, 3), "met": None if against is None else against.met,
        "budget_s": None if against is None else against.budget_s,
        "budget_left_s": None if against is None else against.left_s,
    }  # fmt: skip


def _outage_json(r: Report, one: Outage) -> dict[str, Any]:
    return {
        "from": r.at(one.start), "to": r.at(one.end), "seconds": round(one.lasted_s, 3), "reason": one.reason,
        "began_before": one.before, "went_on": one.after,
    }  # fmt: skip


_COLUMNS = (
    "monitor", "id", "from", "to", "uptime_percent", "coverage_percent", "worst_percent", "best_percent", "up_seconds",
    "down_seconds", "unknown_seconds", "incidents", "longest_incident_seconds", "outages", "target_percent", "met",
    "budget_seconds", "budget_left_seconds", "final",
)  # fmt: skip


def report_csv(r: Report) -> str:
    """A row for each monitor and one for all (RFC 4180)."""
    rows: list[list[Any]] = []
    for line in (*r.lines, r.total):
        share, data = line.share, _line_json(r, line)
        outages = sum(len(one.outages) for one in r.lines) if line is r.total else len(line.outages)
        rows.append(
            [
                line.name, line.id, r.at(r.start), r.at(r.end),
                *(percent(part) for part in (share.uptime, share.coverage, share.worst, share.best)),
                data["up_s"], data["down_s"], data["unknown_s"], line.incidents, data["longest_incident_s"], outages,
                r.target, data["met"], data["budget_s"], data["budget_left_s"], r.final,
            ]
        )  # fmt: skip
    return _csv(_COLUMNS, rows)


def outages_csv(r: Report) -> str:
    """A row for each outage."""
    columns = ("monitor", "id", "from", "to", "seconds", "reason", "began_before", "went_on")
    rows = [[line.name, line.id, *_outage_json(r, one).values()] for line in r.lines for one in line.outages]
    return _csv(columns, rows)


def percent(share: float | None) -> str:
    """A share as 99.9953: never rounded up, so that what was missed does not look kept."""
    if share is None:
        return ""
    whole = round(share * 1e12) // 1_000_000
    return f"{whole // 10_000}.{whole % 10_000:04}"


def _csv(columns: tuple[str, ...], rows: list[list[Any]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(columns)
    writer.writerows([[_cell(value) for value in row] for row in rows])
    return out.getvalue()


def _cell(value: Any) -> str:
    """Text that a spreadsheet does not take for a formula."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (int, float)):
        return f"{value:.3f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
    text = str(value)
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r", "\n") else text


def reply(r: Report, format: str, part: str) -> Reply:
    """The report as a file of that format."""
    if format == "json":
        return Reply(data=report_json(r))
    text = report_csv(r) if part == "summary" else outages_csv(r)
    name = f"sla-{part}-{r.at(r.start)[:10]}-{r.at(r.end)[:10]}.csv"
    headers = {"content-disposition": f'attachment; filename="{name}"'}
    return Reply(content=text.encode(), media_type="text/csv; charset=utf-8", headers=headers)


async def _show(call: Call) -> Reply:
    wanted: Wanted = call.query
    return reply(await report(call.parts, call.who, wanted, call.now), wanted.format, wanted.part)


ROUTES = [
    Route(
        method="GET", path="/api/v1/reports/sla", run=_show, permission="read", query=Wanted, tag="reports",
        summary="Uptime, outages and error budget over a stretch of time",
    ),
]  # fmt: skip
