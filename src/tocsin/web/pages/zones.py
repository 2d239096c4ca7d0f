"""Moments on the clocks of a named time zone, and beside them on the reader's own clock where that differs.

A browser without scripts shows the second one in UTC; with them it is the reader's own (clocks.js).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from markupsafe import Markup

from tocsin.core.result import iso


def wall(at: datetime, zone: str) -> str:
    """ "Mon 2 Mar, 08:00 CET", by the clocks of the zone."""
    return f"{at.astimezone(ZoneInfo(zone)):%a %-d %b, %H:%M %Z}"


def own(zone: str, *moments: datetime) -> Markup:
    """The same moments by the reader's clock, hidden where that says the same as the zone's."""
    there = [at.astimezone(ZoneInfo(zone)) for at in moments]
    times = Markup(" to ").join(
        Markup('<time datetime="{}" data-t="own" data-wall="{}">{}</time>').format(
            iso(at), f"{at:%Y-%m-%dT%H:%M}", f"{at.astimezone(UTC):%a %-d %b, %H:%M} UTC"
        )
        for at in there
    )
    same = all(at.utcoffset() == timedelta(0) for at in there)
    return Markup('<small class="muted own"{}>{}</small>').format(Markup(" hidden") if same else "", times)


def both(at: datetime, zone: str) -> Markup:
    """A moment in the zone, named, and by the reader's clock where that differs."""
    return Markup("{} {}").format(wall(at, zone), own(zone, at))
