"""On-call schedules: who has to answer at a moment."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Struct

from tocsin.core.marks import Help, Length, Name, Range


class Rotation(Struct, frozen=True, kw_only=True):
    """People who take turns. A turn lasts `every` days or weeks and changes at `starts_at`'s wall-clock time."""

    name: Annotated[str, Length(0, 200)] = ""
    people: Annotated[tuple[str, ...], Length(1, 100), Help("ids of members, in their order")]
    starts_at: datetime
    unit: Literal["hour", "day", "week"] = "week"
    every: Annotated[int, Range(1, 52), Help("so many of them each turn")] = 1
    days: Annotated[tuple[Annotated[int, Range(0, 6)], ...], Help("weekdays it covers, 0 is Monday; none: all")] = ()
    from_time: Annotated[str, Help("HH:MM it covers from; left out: the whole day")] | None = None
    until_time: Annotated[str, Help("HH:MM it covers until (the next day when it is not later)")] | None = None


class Override(Struct, frozen=True, kw_only=True):
    """Somebody else for a while."""

    person: str
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
