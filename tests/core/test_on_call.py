"""Who is on duty: turns, weekdays, hours, overrides, holes; over the edges of summer time, and against a slow reference."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from builders import records
from tocsin.core.on_call import OnCallSchedule, Override, Rotation, first_hole, on_duty, shifts

BERLIN = ZoneInfo("Europe/Berlin")
MONDAY = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def a_schedule(*rotations: Rotation, **more: Any) -> OnCallSchedule:
    return replace(records()["on_call_schedules"], rotations=rotations, **more)


def turns(*people: str, **more: Any) -> Rotation:
    return Rotation(**({"people": people, "starts_at": MONDAY} | more))


def test_people_take_turns_by_the_week() -> None:
    schedule = a_schedule(turns("ann", "bob", "cem"))
    weeks = [on_duty(schedule, MONDAY + n * 7 * DAY) for n in range(5)]
    assert weeks == ["ann", "bob", "cem", "ann", "bob"]
    assert on_duty(schedule, MONDAY + 7 * DAY - timedelta(microseconds=1)) == "ann"
    assert on_duty(schedule, MONDAY - timedelta(microseconds=1)) is None


def test_the_hand_over_stays_at_the_wall_clocks_time() -> None:
    """29 March 2026 has 23 hours in Berlin, 25 October 25."""
    start = datetime(2026, 3, 28, 9, 0, tzinfo=BERLIN).astimezone(UTC)
    schedule = a_schedule(turns("ann", "bob", starts_at=start, unit="day"), time_zone="Europe/Berlin")
    found = shifts(schedule, start, start + 3 * DAY)
    assert [(s.person, s.starts_at.astimezone(BERLIN).strftime("%d %H:%M")) for s in found] == [
        ("ann", "28 09:00"), ("bob", "29 09:00"), ("ann", "30 09:00"), ("bob", "31 09:00"),
    ]  # fmt: skip
    assert found[0].ends_at - found[0].starts_at == 23 * HOUR
    autumn = datetime(2026, 10, 24, 9, 0, tzinfo=BERLIN).astimezone(UTC)
    (first, *_) = shifts(schedule, autumn, autumn + 2 * DAY)
    assert first.ends_at - first.starts_at == 25 * HOUR


def test_turns_by_the_hour_are_true_hours() -> None:
    start = datetime(2026, 3, 28, 23, 0, tzinfo=UTC)
    schedule = a_schedule(turns("ann", "bob", starts_at=start, unit="hour", every=2), time_zone="Europe/Berlin")
    assert [on_duty(schedule, start + n * 2 * HOUR) for n in range(3)] == ["ann", "bob", "ann"]


def test_the_first_rotation_that_covers_the_moment_answers() -> None:
    office = turns("ann", days=(0, 1, 2, 3, 4), from_time="09:00", until_time="17:00")
    schedule = a_schedule(office, turns("bob", from_time="17:00", until_time="09:00"), time_zone="UTC")
    noon, night = MONDAY.replace(hour=12), MONDAY.replace(hour=23)
    assert (on_duty(schedule, noon), on_duty(schedule, night), on_duty(schedule, night + 6 * HOUR)) == (
        "ann", "bob", "bob",
    )  # fmt: skip
    saturday = noon + 5 * DAY
    assert on_duty(schedule, saturday) is None
    hole = first_hole(schedule, MONDAY.replace(hour=9), MONDAY + 14 * DAY)
    assert hole is not None
    assert (hole.starts_at, hole.ends_at - hole.starts_at) == (saturday.replace(hour=9), 8 * HOUR)
    assert first_hole(a_schedule(turns("ann")), MONDAY, MONDAY + 28 * DAY) is None


def test_the_override_that_was_made_last_wins() -> None:
    first = Override(person="cem", starts_at=MONDAY, ends_at=MONDAY + 4 * HOUR)
    later = Override(person="dora", starts_at=MONDAY + HOUR, ends_at=MONDAY + 2 * HOUR)
    schedule = a_schedule(turns("ann"), overrides=(first, later))
    found = shifts(schedule, MONDAY, MONDAY + 5 * HOUR)
    assert [(s.person, s.rotation) for s in found] == [
        ("cem", None), ("dora", None), ("cem", None), ("ann", 0),
    ]  # fmt: skip


def test_a_preview_is_bounded() -> None:
    rotation = turns("ann", "bob", unit="hour")
    found = shifts(a_schedule(rotation), MONDAY, MONDAY + 3650 * DAY)
    assert len(found) == 2000
    assert found[-1].ends_at == MONDAY + 2000 * HOUR


ZONES = st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata"])
CLOCK = st.none() | st.builds("{:02d}:{:02d}".format, st.integers(0, 23), st.sampled_from([0, 30]))
EDGES = (datetime(2026, 3, 8, tzinfo=UTC), datetime(2026, 3, 29, tzinfo=UTC), datetime(2026, 10, 25, tzinfo=UTC))
MOMENTS = st.builds(
    lambda edge, quarters: edge + timedelta(minutes=30 * quarters), st.sampled_from(EDGES), st.integers(-300, 300)
)
ROTATIONS = st.builds(
    Rotation,
    people=st.lists(st.sampled_from("abcd"), min_size=1, max_size=4).map(tuple),
    starts_at=MOMENTS,
    unit=st.sampled_from(["hour", "day", "week"]),
    every=st.integers(1, 3),
    days=st.lists(st.integers(0, 6), unique=True, max_size=3).map(tuple),
    from_time=CLOCK,
    until_time=CLOCK,
)
OVERRIDES = st.builds(
    lambda person, start, hours: Override(person=person, starts_at=start, ends_at=start + hours * HOUR),
    st.sampled_from("xyz"), MOMENTS, st.integers(1, 50),
)  # fmt: skip
SCHEDULES = st.builds(
    lambda rotations, overrides, zone: a_schedule(*rotations, overrides=tuple(overrides), time_zone=zone),
    st.lists(ROTATIONS, min_size=1, max_size=3), st.lists(OVERRIDES, max_size=3), ZONES,
)  # fmt: skip


def slowly(schedule: OnCallSchedule, now: datetime) -> str | None:
    """The answer by counting every turn from the first, and every day near the moment."""
    zone = ZoneInfo(schedule.time_zone)
    for override in schedule.overrides[::-1]:
        if override.starts_at <= now < override.ends_at:
            return override.person
    for rotation in schedule.rotations:
        if rotation.starts_at <= now and _covered(rotation, now, zone):
            return _whose(rotation, now, zone)
    return None


def _whose(rotation: Rotation, now: datetime, zone: ZoneInfo) -> str:
    turn, wall = 0, rotation.starts_at.astimezone(zone).replace(tzinfo=None)
    while True:
        if rotation.unit == "hour":
            begins = rotation.starts_at + (turn + 1) * rotation.every * HOUR
        else:
            days = (turn + 1) * rotation.every * (7 if rotation.unit == "week" else 1)
            begins = (wall + timedelta(days=days)).replace(tzinfo=zone).astimezone(UTC)
        if begins > now:
            return rotation.people[turn % len(rotation.people)]
        turn += 1


def _covered(rotation: Rotation, now: datetime, zone: ZoneInfo) -> bool:
    begins, ends = (text or "00:00" for text in (rotation.from_time, rotation.until_time))
    for back in range(-2, 3):
        day = now.astimezone(zone).date() + timedelta(days=back)
        if rotation.days and day.weekday() not in rotation.days:
            continue
        last = day if ends > begins else day + DAY
        low, high = (
            datetime.fromisoformat(f"{d}T{t}").replace(tzinfo=zone).astimezone(UTC)
            for d, t in ((day, begins), (last, ends))
        )
        if low <= now < high:
            return True
    return False


@given(SCHEDULES, MOMENTS)
def test_anybody_is_on_duty_who_a_slow_reference_says(schedule: OnCallSchedule, now: datetime) -> None:
    assert on_duty(schedule, now) == slowly(schedule, now)


@given(SCHEDULES, MOMENTS)
def test_the_shifts_say_of_every_moment_who_is_on_duty(schedule: OnCallSchedule, start: datetime) -> None:
    end = start + 4 * DAY
    found = shifts(schedule, start, end)
    assert (found[0].starts_at, found[-1].ends_at) == (start, end)
    assert all(a.ends_at == b.starts_at for a, b in pairwise(found))
    for shift in found:
        for moment in (shift.starts_at, (shift.starts_at + (shift.ends_at - shift.starts_at) / 2)):
            assert slowly(schedule, moment) == shift.person


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Kiritimati", "America/Los_Angeles"])
def test_weekdays_are_those_of_the_zone(zone: str) -> None:
    monday = turns("ann", days=(0,), starts_at=datetime(2026, 1, 1, tzinfo=UTC))
    (first, second, *_) = shifts(a_schedule(monday, time_zone=zone), MONDAY - 3 * DAY, MONDAY + 4 * DAY)
    assert (first.person, second.person) == (None, "ann")
    assert second.starts_at.astimezone(ZoneInfo(zone)).strftime("%a %H:%M") == "Mon 00:00"
