"""The SLA report as a page that prints well, and as files."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Literal

from msgspec import Struct
from msgspec.structs import replace

from tocsin.core.sla import Line, kept
from tocsin.errors import Invalid, NotFound, Problem, StoreUnavailable
from tocsin.web.api import reports
from tocsin.web.call import Call, Reply, Route
from tocsin.web.pages import form, view, words

OUTAGES = 500
"""So many are listed on the page; the file has all."""


class Asked(Struct, frozen=True, kw_only=True):
    """What was filled in, as it was: the days from `since` to `until` (both within), in `zone`. `which`: the monitors of
    the form's choice; left out, those that are named and those with one of the tags, all when there is neither."""

    since: str = ""
    until: str = ""
    zone: str = "UTC"
    which: Literal["", "all", "tags", "monitors"] = ""
    tag: str = ""
    monitor: tuple[str, ...] = ()
    target: str = "99.9"


class AskedFile(Asked, frozen=True, kw_only=True):
    """The same as a file."""

    format: Literal["json", "csv"] = "csv"
    part: Literal["summary", "outages"] = "summary"


@dataclass(frozen=True, slots=True)
class Row:
    """One monitor as the page shows it. `st` and `word`: how it stands against the target."""

    line: Line
    uptime: str
    bounds: str
    known: str
    st: str
    word: str
    left: str


async def show(call: Call) -> Reply:
    """The page: the form, and the report of what was asked for, or of last month."""
    asked = _filled(call.query or Asked(), call.now)
    found, errors = None, dict[str, str]()
    try:
        found = await reports.report(call.parts, call.who, _wanted(asked), call.now)
    except Invalid as error:
        errors = {_FIELDS.get(name, name): said for name, said in view.problems(error).items()}
    except NotFound as error:
        errors = {"monitor": words.sentence(error)}
    except StoreUnavailable:
        errors = {"": "The database does not answer just now. Checks and alerts go on."}
    watched = call.parts.corridor.watchlist.of(call.who.workspace_id)
    return view.page(
        call,
        "reports.html",
        status=422 if errors else 200,
        section="reports",
        asked=asked,
        errors=errors,
        query=_query(asked),
        tags=sorted({tag for w in watched for tag in w.monitor.tags}),
        which=asked.which or ("monitors" if asked.monitor else "tags" if asked.tag else "all"),
        monitors=sorted(
            ((w.monitor.id, w.monitor.name, w.monitor.id in asked.monitor) for w in watched),
            key=lambda m: (not m[2], m[1].casefold()),
        ),
        r=found,
        rows=[] if found is None else [_row(found, line) for line in found.lines],
        total=None if found is None else _row(found, found.total),
        outages=[] if found is None else [(line, one) for line in found.lines for one in line.outages],
        most=OUTAGES,
        at=_at,
    )


async def file(call: Call) -> Reply:
    """The same as a file to keep."""
    asked: AskedFile = call.query or AskedFile()
    found = await reports.report(call.parts, call.who, _wanted(_filled(asked, call.now)), call.now)
    return reports.reply(found, asked.format, asked.part)


_FIELDS = {"from": "since", "to": "until"}


def _filled(asked: Any, now: datetime) -> Any:
    """What was left out: last month. Of the monitors only what the form's choice means."""
    named = tuple(id for text in asked.monitor for id in text.split(",") if id)
    asked = replace(
        asked, monitor=named if asked.which in ("", "monitors") else (),
        tag=asked.tag if asked.which in ("", "tags") else "",
    )  # fmt: skip
    if asked.since or asked.until:
        return asked
    last = now.date().replace(day=1) - timedelta(days=1)
    return replace(asked, since=last.replace(day=1).isoformat(), until=last.isoformat())


def _wanted(asked: Asked) -> reports.Wanted:
    zone = reports.checked_zone(asked.zone.strip() or "UTC")
    first, last = _day("since", asked.since), _day("until", asked.until)
    start = datetime.combine(first, time(), zone).astimezone(UTC)
    end = datetime.combine(last + timedelta(days=1), time(), zone).astimezone(UTC)
    if asked.which == "monitors" and not asked.monitor:
        raise Invalid(Problem("monitor", "at least one monitor", "nothing"))
    if asked.which == "tags" and not asked.tag.strip():
        raise Invalid(Problem("tag", "at least one tag", "nothing"))
    target = form.number(asked.target.strip()) if asked.target.strip() else None
    if target is not None and (not isinstance(target, (int, float)) or not 0 <= target <= 100):
        raise Invalid(Problem("target", "a percentage such as 99.9", asked.target[:40]))
    return reports.Wanted(
        from_=start, to=end, tag=asked.tag, monitor=",".join(asked.monitor), target=target, zone=zone.key,
    )  # fmt: skip


def _day(name: str, text: str) -> date:
    """That day; raises Invalid when it is none."""
    try:
        day = datetime.strptime(text.strip(), "%Y-%m-%d").replace(tzinfo=UTC).date()
    except ValueError:
        day = date.min
    if not 1971 <= day.year <= 9000:
        raise Invalid(Problem(name, "a day such as 2026-03-01", text[:40]))
    return day


def _query(asked: Asked) -> str:
    """The same question as a query: short, so that it can be kept and passed on."""
    pairs = [(name, getattr(asked, name)) for name in ("since", "until", "zone", "tag", "target")]
    pairs.append(("monitor", ",".join(asked.monitor)))
    return "&".join(f"{name}={view.query(value)}" for name, value in pairs if value)


def _row(r: reports.Report, line: Line) -> Row:
    share = line.share
    against = None if r.target is None else kept(share, r.target)
    st, word, left = "nodata", "No data", ""
    if against is not None and against.met is not None:
        st, word = ("ok", "Met") if against.met else ("down", "Missed")
        left = words.span(against.left_s) if against.left_s >= 0 else f"{words.span(-against.left_s)} over"
    whole = share.coverage >= 0.9999
    bounds = "" if whole else f"{reports.percent(share.worst)} to {reports.percent(share.best)}"
    return Row(line, reports.percent(share.uptime), bounds, words.percent(share.coverage), st, word, left)


def _at(r: reports.Report, moment: datetime) -> str:
    """A moment in the report's zone: the report is the same for every reader."""
    return r.local(moment).strftime("%-d %b %Y, %H:%M:%S")


ROUTES = [
    Route(
        method="GET", path="/reports", run=show, permission="read", kind="page", query=Asked, tag="pages",
        summary="SLA report",
    ),
    Route(
        method="GET", path="/reports/file", run=file, permission="read", kind="page", query=AskedFile,
        tag="pages", summary="SLA report as a file",
    ),
]  # fmt: skip
