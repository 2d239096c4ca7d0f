"""Maintenance windows and silences: when openings are held back. Measuring goes on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from msgspec import Struct

from tocsin.core.finding import Hush
from tocsin.core.host import Host
from tocsin.core.marks import Name
from tocsin.core.monitor import Monitor
from tocsin.core.recurrence import Starts, starts_of
from tocsin.core.scope import Scope

_SHIFT = timedelta(hours=3)
"""More than a wall clock ever leaps."""


class Window(Struct, frozen=True, kw_only=True):
    """A stretch of time, once or again and again, in which openings of what is in its scope are held back.

    `starts_at` is the first start; with `rrule` (RFC 5545, without DTSTART) it comes again at the same wall-clock time
    of `time_zone` (an IANA name), each time for `duration_s`. A silence is a window without a recurrence that begins
    when it is made (`silence` True).
    """

    id: str
    workspace_id: str
    name: Name
    scope: Scope
    starts_at: datetime
    duration_s: int
    time_zone: str = "UTC"
    rrule: str | None = None
    silence: bool = False
    enabled: bool = True
    reason: str = ""
    created_by: str = ""
    created_at: datetime
    updated_at: datetime
    version: int = 1


Stands = tuple[datetime | None, datetime | None]
"""When what lasts now ends (None: nothing lasts), and when it begins next (None: never)."""


def stands(window: Window, now: datetime) -> Stands:
    """How a window stands at a moment."""
    coming = occurrences(window, now, 1)
    return ends_at(window, now), coming[0][0] if coming else None


class Agenda:
    """`stands` of windows that do not change, worked out once for each of their beginnings and ends."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[datetime, datetime | None, Stands]] = {}

    def __call__(self, window: Window, now: datetime) -> Stands:
        known = self._known.get(window.id)
        if known is None or now < known[0] or (known[1] is not None and now >= known[1]):
            found = stands(window, now)
            known = now, min((moment for moment in found if moment is not None), default=None), found
            self._known[window.id] = known
        return known[2]


def hush_of(
    windows: Sequence[Window],
    thing: Monitor | Host,
    now: datetime,
    agenda: Callable[[Window, datetime], Stands] = stands,
) -> Hush | None:
    """What holds messages of a monitor or host back now: of several windows the one that lasts longest."""
    lasting = [(end, window) for window in covering(windows, thing) if (end := agenda(window, now)[0]) is not None]
    if not lasting:
        return None
    end, window = max(lasting, key=lambda pair: pair[0])
    kind = "silence" if window.silence else "maintenance"
    named = f"{kind} “{window.name}”"
    return Hush(kind=kind, why=named, by=named, until=end)


def hushes_ahead(
    windows: Sequence[Window],
    host: Host,
    now: datetime,
    agenda: Callable[[Window, datetime], Stands] = stands,
) -> list[tuple[str, datetime, datetime | None]]:
    """(why, begin, end) of what holds openings of a host back now, and of each window's next time, soonest first. `end`
    None: nobody said when."""
    found: list[tuple[str, datetime, datetime | None]] = []
    if host.maintenance:
        found.append(("the host is in maintenance", now, None))
    for window in covering(windows, host):
        why = f"{'silence' if window.silence else 'maintenance'} “{window.name}”"
        end, coming = agenda(window, now)
        if end is not None:
            found.append((why, now, end))
        if coming is not None:
            found.append((why, coming, coming + timedelta(seconds=window.duration_s)))
    return sorted(found, key=lambda one: one[1])


def covering(windows: Sequence[Window], thing: Monitor | Host) -> list[Window]:
    """The windows that are switched on and about this monitor or host."""
    return [window for window in windows if window.enabled and window.scope.covers(thing)]


def in_maintenance(
    windows: Sequence[Window],
    thing: Monitor | Host,
    now: datetime,
    agenda: Callable[[Window, datetime], Stands] = stands,
) -> bool:
    """Whether a window that is no silence lasts now."""
    return any(agenda(window, now)[0] is not None for window in covering(windows, thing) if not window.silence)


def changes_at(
    windows: Sequence[Window],
    thing: Monitor | Host,
    now: datetime,
    agenda: Callable[[Window, datetime], Stands] = stands,
) -> datetime | None:
    """The next moment after `now` at which one of its windows begins or ends, None when none ever does."""
    moments = [moment for window in covering(windows, thing) for moment in agenda(window, now) if moment is not None]
    return min(moments, default=None)


def ends_at(window: Window, now: datetime) -> datetime | None:
    """When the occurrence that lasts now ends (of several the last), None while there is none."""
    lasts = timedelta(seconds=window.duration_s)
    if window.rrule is None:
        return window.starts_at + lasts if window.starts_at <= now < window.starts_at + lasts else None
    zone, starts = _starts(window)
    wall = now.astimezone(zone).replace(tzinfo=None)
    ends = [_moment(start, zone) + lasts for start in starts.between(wall - lasts - _SHIFT, wall + _SHIFT)]
    return max((end for end in ends if end - lasts <= now < end), default=None)


def occurrences(window: Window, after: datetime, count: int) -> list[tuple[datetime, datetime]]:
    """The next `count` (begin, end) that begin after that moment, UTC; fewer when there are no more."""
    lasts = timedelta(seconds=window.duration_s)
    if window.rrule is None:
        begin = window.starts_at.astimezone(UTC)
        return [(begin, begin + lasts)] if begin > after and count > 0 else []
    zone, starts = _starts(window)
    wall = after.astimezone(zone).replace(tzinfo=None)
    begins = sorted({_moment(start, zone) for start in starts.following(wall - _SHIFT, count + 2)})
    return [(begin, begin + lasts) for begin in begins if begin > after][:count]


def _starts(window: Window) -> tuple[ZoneInfo, Starts]:
    zone = ZoneInfo(window.time_zone)
    first = window.starts_at.astimezone(zone).replace(tzinfo=None)
    return zone, starts_of(window.rrule or "", first, window.time_zone)


def _moment(wall: datetime, zone: ZoneInfo) -> datetime:
    """That wall-clock time in UTC. One that the clock passes twice is the first of both; one that it leaps over is as
    much later as it leaps (RFC 5545, section 3.3.5)."""
    return wall.replace(tzinfo=zone).astimezone(UTC)
