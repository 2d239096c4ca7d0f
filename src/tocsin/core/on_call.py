"""On-call schedules: who has to answer at a moment."""

from __future__ import annotations

from collections.abc import Container, Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from msgspec import Struct
from msgspec.structs import replace

from tocsin.core.marks import Help, Length, Name, Pattern, Range

WallTime = Annotated[str, Pattern(r"([01][0-9]|2[0-3]):[0-5][0-9]", "a time of day such as 09:00")]
_DAY = timedelta(days=1)
_MOST_LOOKS = 2000
"""So many moments of change are looked at for one preview."""


class Rotation(Struct, frozen=True, kw_only=True):
    """People who take turns. A turn lasts `every` hours, days or weeks; of days and weeks it changes at the wall-clock
    time of `starts_at`, also over the edges of summer time. Before `starts_at` it covers nothing."""

    name: Annotated[str, Length(0, 200)] = ""
    people: Annotated[tuple[str, ...], Length(1, 100), Help("ids of members, in their order")]
    starts_at: datetime
    unit: Literal["hour", "day", "week"] = "week"
    every: Annotated[int, Range(1, 52), Help("so many of them each turn")] = 1
    days: Annotated[
        tuple[Annotated[int, Range(0, 6)], ...], Length(0, 7), Help("weekdays it covers, 0 is Monday; none: all")
    ] = ()
    from_time: Annotated[WallTime | None, Help("HH:MM it covers from; left out: midnight")] = None
    until_time: Annotated[WallTime | None, Help("HH:MM it covers until (of the next day when not later)")] = None


class Override(Struct, frozen=True, kw_only=True):
    """Somebody else for a while."""

    person: Annotated[str, Length(1, 64), Help("id of a member")]
    starts_at: datetime
    ends_at: datetime


class OnCallSchedule(Struct, frozen=True, kw_only=True):
    """Rotations (the first that covers a moment answers) and overrides (the latest made wins), in one time zone."""

    id: str
    workspace_id: str
    name: Name
    time_zone: str = "UTC"
    rotations: tuple[Rotation, ...]
    overrides: tuple[Override, ...] = ()
    created_at: datetime
    updated_at: datetime
    version: int = 1


class Shift(Struct, frozen=True, kw_only=True):
    """One stretch with the same answer. `person` None: nobody is on duty. `rotation`: the place of the rotation that
    says so, None for an override (or nobody)."""

    starts_at: datetime
    ends_at: datetime
    person: str | None
    rotation: int | None = None


def on_duty(schedule: OnCallSchedule, now: datetime) -> str | None:
    """The id of the member who has to answer now, None when nobody has to."""
    return _answer(schedule, now, ZoneInfo(schedule.time_zone))[0]


def shifts(schedule: OnCallSchedule, start: datetime, end: datetime) -> list[Shift]:
    """Who answers when, from `start` to `end` without a hole between them (where nobody does, a shift says so). Ends
    earlier when there are more than 2000 changes until then."""
    zone, found = ZoneInfo(schedule.time_zone), list[Shift]()
    here = start
    for _ in range(_MOST_LOOKS):
        if here >= end:
            break
        person, rotation = _answer(schedule, here, zone)
        until = min(end, _next_change(schedule, here, zone))
        last = found[-1] if found else None
        if last is not None and (last.person, last.rotation) == (person, rotation):
            found[-1] = replace(last, ends_at=until)
        else:
            found.append(Shift(starts_at=here, ends_at=until, person=person, rotation=rotation))
        here = until
    return found


def first_hole(
    schedule: OnCallSchedule, start: datetime, end: datetime, people: Container[str] | None = None
) -> Shift | None:
    """The first stretch from `start` to `end` in which nobody (of `people`, if given) is on duty, None when there is
    none."""
    ahead = shifts(schedule, start, end)
    return next((s for s in ahead if s.person is None or (people is not None and s.person not in people)), None)


def _answer(schedule: OnCallSchedule, now: datetime, zone: ZoneInfo) -> tuple[str | None, int | None]:
    for override in reversed(schedule.overrides):
        if override.starts_at <= now < override.ends_at:
            return override.person, None
    for n, rotation in enumerate(schedule.rotations):
        if now >= rotation.starts_at and any(begin <= now < end for begin, end in _windows(rotation, now, zone)):
            return rotation.people[_turn(rotation, now, zone) % len(rotation.people)], n
    return None, None


def _next_change(schedule: OnCallSchedule, now: datetime, zone: ZoneInfo) -> datetime:
    """A moment after `now` before which the answer stays the same."""
    moments = [_moment(datetime.combine(_local(now, zone).date() + 2 * _DAY, time.min), zone)]
    for override in schedule.overrides:
        moments += (override.starts_at, override.ends_at)
    for rotation in schedule.rotations:
        if now < rotation.starts_at:
            moments.append(rotation.starts_at)
            continue
        moments.append(_handover(rotation, _turn(rotation, now, zone) + 1, zone))
        for begin, end in _windows(rotation, now, zone):
            moments += (begin, end)
    return min(moment for moment in moments if moment > now)


def _turn(rotation: Rotation, now: datetime, zone: ZoneInfo) -> int:
    """Which turn it is, from 0; `now` is not before its start."""
    if rotation.unit == "hour":
        return (now - rotation.starts_at) // timedelta(hours=rotation.every)
    turn = (_local(now, zone) - _local(rotation.starts_at, zone)) // _length(rotation)
    while turn > 0 and _handover(rotation, turn, zone) > now:
        turn -= 1
    while _handover(rotation, turn + 1, zone) <= now:
        turn += 1
    return max(0, turn)


def _handover(rotation: Rotation, turn: int, zone: ZoneInfo) -> datetime:
    """When that turn begins."""
    if rotation.unit == "hour":
        return rotation.starts_at + turn * timedelta(hours=rotation.every)
    if turn == 0:
        return rotation.starts_at
    return _moment(_local(rotation.starts_at, zone) + turn * _length(rotation), zone)


def _length(rotation: Rotation) -> timedelta:
    return rotation.every * (7 * _DAY if rotation.unit == "week" else _DAY)


def _windows(rotation: Rotation, now: datetime, zone: ZoneInfo) -> Iterator[tuple[datetime, datetime]]:
    """The stretches it covers that begin on the day before, today or tomorrow."""
    today = _local(now, zone).date()
    begins, ends = _time(rotation.from_time), _time(rotation.until_time)
    for day in (today - _DAY, today, today + _DAY):
        if not rotation.days or day.weekday() in rotation.days:
            until: date = day if ends > begins else day + _DAY
            yield _moment(datetime.combine(day, begins), zone), _moment(datetime.combine(until, ends), zone)


def _time(text: str | None) -> time:
    return time.min if text is None else time.fromisoformat(text)


def _local(moment: datetime, zone: ZoneInfo) -> datetime:
    """The wall clock at that moment."""
    return moment.astimezone(zone).replace(tzinfo=None)


def _moment(wall: datetime, zone: ZoneInfo) -> datetime:
    """When the wall clock shows that: of two such moments the first; a time that is leapt over counts on from before."""
    return wall.replace(tzinfo=zone).astimezone(UTC)
