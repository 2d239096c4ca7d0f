"""Maintenance windows and silences: when openings are held back. Measuring goes on."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from msgspec import Struct

from tocsin.core.finding import Hush
from tocsin.core.marks import Name
from tocsin.core.monitor import Monitor
from tocsin.core.scope import Scope


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


def hush_of(windows: Sequence[Window], monitor: Monitor, now: datetime) -> Hush | None:
    """What holds messages of a monitor back now: of several windows the one that lasts longest."""
    lasting = [
        (end, window)
        for window in windows
        if window.enabled and window.scope.covers(monitor) and (end := ends_at(window, now)) is not None
    ]
    if not lasting:
        return None
    end, window = max(lasting, key=lambda pair: pair[0])
    kind = "silence" if window.silence else "maintenance"
    return Hush(kind=kind, why=f"{kind} “{window.name}”", until=end)


def ends_at(window: Window, now: datetime) -> datetime | None:
    """When the occurrence that lasts now ends, None while there is none."""
    end = window.starts_at + timedelta(seconds=window.duration_s)
    return end if window.starts_at <= now < end else None
