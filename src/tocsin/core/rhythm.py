"""When a job has to call next: every so often, or by a cron expression in a time zone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from msgspec import Struct

FIELDS = "five cron fields (minute, hour, day of month, month, day of week), such as 30 2 * * 1-5"


class Rhythm(Struct, frozen=True, kw_only=True):
    """How often a job calls. With `schedule`, a cron expression, `period_s` says nothing; `timezone` is an IANA name."""

    period_s: float = 3600
    grace_s: float = 300
    schedule: str | None = None
    timezone: str = "UTC"


def due_at(rhythm: Rhythm, last: datetime) -> datetime:
    """Until when the call after the one at `last` may come, grace included (UTC)."""
    if rhythm.schedule is None:
        following = last + timedelta(seconds=rhythm.period_s)
    else:
        following = following_at(rhythm.schedule, rhythm.timezone, last)
    return following + timedelta(seconds=rhythm.grace_s)


@lru_cache(maxsize=4096)
def following_at(schedule: str, timezone: str, last: datetime) -> datetime:
    """The first occurrence of a cron expression after `last` (UTC).

    As Debian's cron has it: a job at a fixed time that daylight saving leaves out runs right after the gap, one in the
    hour that comes twice runs the first time only; one with * as its minute or hour follows the real time."""
    from cronsim import CronSim

    occurrences = CronSim(schedule, last.astimezone(ZoneInfo(timezone)))
    following = next(occurrences).astimezone(UTC)
    while following <= last:  # called in the second pass of an hour that comes twice: those of the first are over
        following = next(occurrences).astimezone(UTC)
    return following


def wrong_with(schedule: str) -> str | None:
    """What was expected in the place of this cron expression; None when nothing is wrong with it."""
    from cronsim import CronSim, CronSimError

    if len(schedule.split()) != 5 or not schedule.isascii():
        return FIELDS
    try:
        next(CronSim(schedule, datetime(2000, 1, 1, tzinfo=UTC)))
    except CronSimError as error:
        return f"{FIELDS}: {str(error).replace('Bad', 'wrong').replace('-', ' ')}"
    except StopIteration:
        return "a cron expression that comes true some day"
    return None


def is_zone(name: str) -> bool:
    """Whether that is the IANA name of a time zone."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def explained(schedule: str) -> str:
    """A cron expression in words, fit to follow others: "at 02:30 on Monday through Friday"."""
    from cronsim import CronSim

    words = CronSim(schedule, datetime(2000, 1, 1, tzinfo=UTC)).explain()
    return words[:1].lower() + words[1:]
