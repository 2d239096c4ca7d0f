"""Flapping: whether a subject opens and is resolved too often to tell each time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

SLOTS = 20
HIGH = 0.5
"""A share of the last 20 intervals with a change in them: from here on it is unstable."""
LOW = 0.25
"""Under this share it is calm again."""


def flip_rate(flips: Sequence[datetime], interval_s: float, now: datetime) -> float:
    """How unstable it is, 0..1: the share of the last 20 intervals in which it opened or was resolved, the newest
    weighing 1.2 and the oldest 0.8."""
    ages = {int((now - flip).total_seconds() // interval_s) for flip in flips}
    return sum(1.2 - 0.4 * age / (SLOTS - 1) for age in ages if 0 <= age < SLOTS) / SLOTS


def with_flip(flips: tuple[datetime, ...], interval_s: float, now: datetime) -> tuple[datetime, ...]:
    """The flips that still count, and this one; the last is kept however old it is."""
    recent = tuple(flip for flip in flips if (now - flip).total_seconds() < SLOTS * interval_s)
    return (*(recent[1 - 2 * SLOTS :] or flips[-1:]), now)


def changes_at(flips: Sequence[datetime], interval_s: float, now: datetime) -> list[datetime]:
    """When time alone changes the rate."""
    slot = timedelta(seconds=interval_s)
    return [flip + ((now - flip) // slot + 1) * slot for flip in flips if now - flip < SLOTS * slot]
