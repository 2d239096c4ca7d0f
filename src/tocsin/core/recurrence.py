"""Recurrence rules (RFC 5545), the part of them that makes sense for windows of time: by day, week, month or year."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from calendar import monthrange
from collections.abc import Iterator
from datetime import datetime, time
from functools import lru_cache
from zoneinfo import ZoneInfo

from dateutil.rrule import rrulestr

from tocsin.errors import Invalid, Problem

SAYS = "a recurrence such as FREQ=WEEKLY;BYDAY=SA (RFC 5545; daily, weekly, monthly or yearly)"
_LONGEST = 500
_DAYS = r"[+-]?[1-5]?(MO|TU|WE|TH|FR|SA|SU)"
_PARTS = {
    "FREQ": r"DAILY|WEEKLY|MONTHLY|YEARLY",
    "INTERVAL": r"[1-9][0-9]{0,2}",
    "COUNT": r"[1-9][0-9]{0,3}",
    "UNTIL": r"[0-9]{8}(T[0-9]{6}Z?)?",
    "BYDAY": rf"{_DAYS}(,{_DAYS}){{0,20}}",
    "BYMONTHDAY": r"-?([1-9]|[12][0-9]|3[01])(,-?([1-9]|[12][0-9]|3[01])){0,61}",
    "BYMONTH": r"([1-9]|1[0-2])(,([1-9]|1[0-2])){0,11}",
    "BYSETPOS": r"-?[1-9][0-9]{0,2}(,-?[1-9][0-9]{0,2}){0,20}",
    "WKST": r"MO|TU|WE|TH|FR|SA|SU",
}
_FAR = 9600
"""The calendar is the same again after every 400 years, weekdays too. There the search for a first occurrence ends with
the last year that a date can have, not after thousands."""


class Starts:
    """When a recurrence begins, as wall-clock times, worked out as far as they were asked for."""

    def __init__(self, coming: Iterator[datetime]) -> None:
        self._coming, self._known, self._ended = coming, list[datetime](), False

    def between(self, low: datetime, high: datetime) -> list[datetime]:
        """Those from `low` to `high`, both included."""
        self._reach(high)
        return self._known[bisect_left(self._known, low) : bisect_right(self._known, high)]

    def following(self, after: datetime, count: int) -> list[datetime]:
        """The next `count` after a moment, or fewer when there are no more."""
        self._reach(after)
        place = bisect_right(self._known, after)
        while len(self._known) < place + count and self._next() is not None:
            pass
        return self._known[place : place + count]

    def _reach(self, moment: datetime) -> None:
        while not self._known or self._known[-1] <= moment:
            if self._next() is None:
                return

    def _next(self) -> datetime | None:
        start = None if self._ended else next(self._coming, None)
        if start is None:
            self._ended = True
        else:
            self._known.append(start)
        return start


@lru_cache(maxsize=1024)
def starts_of(rrule: str, first: datetime, time_zone: str) -> Starts:
    """The starts of a rule that `check_rrule` let pass, from `first` (wall-clock) on."""
    return Starts(iter(_rule(rrule, first, time_zone)))


def check_rrule(rrule: str, first: datetime, where: str = "rrule") -> None:
    """Raise Invalid unless it is a rule we can follow, and one that happens at all."""
    parts = _parts(rrule, where)
    found = [Problem(where, f"{name}={_said(name)}", f"{name}={value[:60]}") for name, value in parts.items()
             if not re.fullmatch(_PARTS.get(name, r"(?!)"), value)]  # fmt: skip
    if "FREQ" not in parts:
        found.append(Problem(where, SAYS, "no FREQ"))
    if "COUNT" in parts and "UNTIL" in parts:
        found.append(Problem(where, "COUNT or UNTIL", "both"))
    if parts.get("FREQ") in ("DAILY", "WEEKLY"):
        found += [Problem(where, f"{name} with FREQ=MONTHLY or YEARLY", f"FREQ={parts['FREQ']}")
                  for name in ("BYSETPOS",) if name in parts]  # fmt: skip
        found += [Problem(where, "weekdays without a number (it counts within a month or year)", parts["BYDAY"][:60])
                  for _ in range(1) if re.search(r"[0-9]", parts.get("BYDAY", ""))]  # fmt: skip
    if found:
        raise Invalid(*found)
    if not _happens(parts, first):
        raise Invalid(Problem(where, "a rule that happens at all", rrule[:80]))


def _said(name: str) -> str:
    return {"FREQ": "DAILY, WEEKLY, MONTHLY or YEARLY"}.get(name, "a value that RFC 5545 allows for days and longer")


def _parts(rrule: str, where: str) -> dict[str, str]:
    text = rrule.strip().upper().removeprefix("RRULE:")
    pairs = [part.partition("=") for part in text.split(";") if part]
    parts = {name: value for name, _, value in pairs}
    if not pairs or len(rrule) > _LONGEST or len(parts) < len(pairs) or not all(eq for _, eq, _ in pairs):
        raise Invalid(Problem(where, SAYS, rrule[:80] or "nothing"))
    unknown = [name for name in parts if name not in _PARTS]
    if unknown:
        raise Invalid(Problem(where, "parts " + ", ".join(_PARTS), unknown[0][:40]))
    return parts


def _happens(parts: dict[str, str], first: datetime) -> bool:
    """Whether there is a first occurrence, end aside. Days that no month has are seen without a search."""
    months = [int(month) for month in parts.get("BYMONTH", "").split(",") if month] or list(range(1, 13))
    days = [abs(int(day)) for day in parts.get("BYMONTHDAY", "").split(",") if day]
    if days and min(days) > max(monthrange(2028, month)[1] for month in months):
        return False
    endless = ";".join(f"{name}={value}" for name, value in parts.items() if name not in ("COUNT", "UNTIL"))
    far = first.replace(year=first.year % 400 + _FAR)
    return next(iter(rrulestr(endless, dtstart=far)), None) is not None


def _rule(rrule: str, first: datetime, time_zone: str) -> Iterator[datetime]:
    parts = _parts(rrule, "rrule")
    until = parts.pop("UNTIL", None)
    text = ";".join(f"{name}={value}" for name, value in parts.items())
    end = None if until is None else _until(until, time_zone)
    for start in rrulestr(text, dtstart=first):
        if end is not None and start > end:
            return
        yield start


def _until(text: str, time_zone: str) -> datetime:
    """The last wall-clock time a start may have; a day alone is included whole."""
    if "T" not in text:
        return datetime.combine(datetime.strptime(text, "%Y%m%d"), time.max)  # noqa: DTZ007 (a wall clock)
    moment = datetime.strptime(text.removesuffix("Z"), "%Y%m%dT%H%M%S")  # noqa: DTZ007 (a wall clock)
    if not text.endswith("Z"):
        return moment
    return moment.replace(tzinfo=ZoneInfo("UTC")).astimezone(ZoneInfo(time_zone)).replace(tzinfo=None)
