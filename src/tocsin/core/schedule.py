"""When a monitor is due: hash slots, so that a thousand monitors spread over their interval. All locations of one look
in the same slot, so that what they saw can be held against each other."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta

from tocsin.core.result import from_micros, micros

_SECOND = 1_000_000
_JITTER = 0.1


def slot_at_or_before(monitor_id: str, interval_s: int, now: datetime) -> datetime:
    """The latest slot that is not after `now` (slots lie at offset + n × interval since 1970)."""
    at = micros(now)
    return from_micros(at - (at - _offset_us(monitor_id, interval_s)) % (interval_s * _SECOND))


def next_slot(monitor_id: str, interval_s: int, now: datetime) -> datetime:
    """The first slot after `now`."""
    return slot_at_or_before(monitor_id, interval_s, now) + timedelta(seconds=interval_s)


def retry_at(attempt: int, finished: datetime, retry_interval_s: float, monitor_id: str) -> datetime:
    """When the check is repeated after a failure (attempt counts from 0), with jitter that is a hash of the id.

    The jitter takes up to a tenth off, so that many monitors failing together do not come back together, and none waits
    longer than was asked for.
    """
    share = _hash(f"{monitor_id}\nretry\n{attempt}") / 2**64
    return finished + timedelta(seconds=retry_interval_s * (1 - _JITTER * share))


def _offset_us(monitor_id: str, interval_s: int) -> int:
    """Where in its interval this monitor's slot lies: the same for ever, spread evenly."""
    return _hash(monitor_id) % (interval_s * _SECOND)


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest())
