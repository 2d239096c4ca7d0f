"""Maintenance windows in words: how often they come, what they cover, when exactly."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from zoneinfo import ZoneInfo

from markupsafe import Markup

from tocsin.core.maintenance import Window
from tocsin.core.scope import Scope
from tocsin.pipeline.watchlist import Watched
from tocsin.web.pages import words, zones

DAYS = {"MO": "Monday", "TU": "Tuesday", "WE": "Wednesday", "TH": "Thursday", "FR": "Friday", "SA": "Saturday",
        "SU": "Sunday"}  # fmt: skip
NUMBERS = {"1": "first", "2": "second", "3": "third", "4": "fourth", "-1": "last"}
_ENDS = re.compile(r";UNTIL=(\d{4})(\d\d)(\d\d)(T\d{6}Z?)?$")
_MONTHLY = re.compile(r"FREQ=MONTHLY;BYDAY=(1|2|3|4|-1)(MO|TU|WE|TH|FR|SA|SU)")
_WEEKLY = re.compile(r"FREQ=WEEKLY;BYDAY=((?:MO|TU|WE|TH|FR|SA|SU)(?:,(?:MO|TU|WE|TH|FR|SA|SU))*)")


def parts(rrule: str | None) -> tuple[str, tuple[str, ...], str, str]:
    """(how: once, daily, weekly, monthly_day, monthly_weekday or own; weekdays; the rule where it is its own; the last
    day as 2026-12-31) of a rule."""
    if rrule is None:
        return "once", (), "", ""
    text = rrule.strip().upper().removeprefix("RRULE:")
    ends = _ENDS.search(text)
    rule, last = (text[: ends.start()], "-".join(ends.groups()[:3])) if ends and not ends[4] else (text, "")
    if rule == "FREQ=DAILY":
        return "daily", (), "", last
    if weekly := _WEEKLY.fullmatch(rule):
        return "weekly", tuple(weekly[1].split(",")), "", last
    if rule == "FREQ=MONTHLY":
        return "monthly_day", (), "", last
    if _MONTHLY.fullmatch(rule):
        return "monthly_weekday", (), "", last
    return "own", (), rrule, ""


def often(window: Window) -> str:
    """How often it comes: "once", "every Monday and Friday", "every month on the first Saturday"."""
    how, days, rule, last = parts(window.rrule)
    first = window.starts_at.astimezone(ZoneInfo(window.time_zone))
    until = f", until {datetime.fromisoformat(last):%-d %b %Y}" if last else ""
    match how:
        case "once":
            return "once"
        case "daily":
            return "every day" + until
        case "weekly":
            return f"every {words.listed([DAYS[day] for day in days])}" + until
        case "monthly_day":
            return f"every month on day {first.day}" + until
        case "monthly_weekday":
            number, day = re.findall(r"BYDAY=(-?\d)(\w\w)", (window.rrule or "").upper())[0]
            return f"every month on the {NUMBERS[number]} {DAYS[day]}" + until
        case _:
            return rule


def covers(scope: Scope, watched: Sequence[Watched]) -> str:
    """What is in a scope: "everything", "Shop and Mail", "tag db; 12 monitors"."""
    if scope.everything:
        return "everything"
    names = {w.monitor.id: w.monitor.name for w in watched}
    known = [names[id] for id in scope.monitors if id in names]
    said = [f"tag {tag}" for tag in scope.tags]
    if known:
        said.append(words.listed(known) if len(known) <= 3 else words.count(len(known), "monitor"))
    return "; ".join(said) or "nothing that is still there"


@dataclass(frozen=True, slots=True)
class When:
    """A stretch of time in words, and by the reader's clock where that differs."""

    text: str
    own: Markup = field(default_factory=Markup)


def when(begin: datetime, end: datetime, time_zone: str) -> When:
    """When it is, by the wall clock of the zone and by the reader's."""
    return When(span(begin, end, time_zone), zones.own(time_zone, begin, end))


def span(begin: datetime, end: datetime, time_zone: str) -> str:
    """ "Sat 5 Dec 2026, 02:00 to 04:00 CET", by the wall clock of the zone."""
    zone = ZoneInfo(time_zone)
    low, high = begin.astimezone(zone), end.astimezone(zone)
    to = f"{high:%H:%M}" if low.date() == high.date() else f"{high:%a %-d %b, %H:%M}"
    names = f"{low:%Z}" if f"{low:%Z}" == f"{high:%Z}" else f"{low:%Z}/{high:%Z}"
    return f"{low:%a %-d %b %Y, %H:%M} to {to} {names}"
