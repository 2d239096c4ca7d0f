"""Maintenance windows and silences: when openings are held back. Measuring goes on."""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct

from tocsin.core.marks import Name
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
