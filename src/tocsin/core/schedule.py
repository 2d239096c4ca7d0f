"""When a monitor is due: hash slots, so that a thousand monitors spread over their interval."""

from __future__ import annotations

from datetime import datetime


def offset_s(monitor_id: str, location: str, interval_s: int) -> float:
    """Where in its interval this monitor's slot lies: 0 ≤ offset < interval_s, the same for ever, spread evenly."""
    raise NotImplementedError


def slot_at_or_before(monitor_id: str, location: str, interval_s: int, now: datetime) -> datetime:
    """The latest slot that is not after `now` (slots lie at offset + n × interval since 1970)."""
    raise NotImplementedError


def next_slot(monitor_id: str, location: str, interval_s: int, now: datetime) -> datetime:
    """The first slot after `now`."""
    raise NotImplementedError


def retry_at(attempt: int, finished: datetime, retry_interval_s: float, monitor_id: str) -> datetime:
    """When the check is repeated after a failure (attempt counts from 0), with jitter that is a hash of the id."""
    raise NotImplementedError
