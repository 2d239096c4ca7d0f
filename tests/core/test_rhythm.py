"""When a job has to call: rhythms, cron expressions, and the two nights a year when clocks are changed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import START, at
from tocsin.core.rhythm import Rhythm, due_at, explained, following_at, is_zone, wrong_with

BERLIN, NEW_YORK = "Europe/Berlin", "America/New_York"


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


# In 2026 Berlin springs forward on 29 March at 01:00 UTC (02:00 is 03:00) and falls back on 25 October at 01:00 UTC
# (03:00 is 02:00); New York on 8 March at 07:00 UTC and on 1 November at 06:00 UTC.
@pytest.mark.parametrize(
    ("schedule", "zone", "last", "following"),
    [
        ("30 2 * * *", "UTC", "2026-03-28 02:30:05", "2026-03-29 02:30:00"),
        ("30 2 * * *", BERLIN, "2026-01-10 01:30:05", "2026-01-11 01:30:00"),
        # the gap: 02:30 does not come, the job runs when it would have been over, and the next day at its time
        ("30 2 * * *", BERLIN, "2026-03-28 01:30:05", "2026-03-29 01:00:00"),
        ("30 2 * * *", BERLIN, "2026-03-29 01:00:05", "2026-03-30 00:30:00"),
        ("30 2 * * *", NEW_YORK, "2026-03-07 07:30:05", "2026-03-08 07:00:00"),
        ("30 2 * * *", NEW_YORK, "2026-03-08 07:00:05", "2026-03-09 06:30:00"),
        # before and after the gap
        ("30 1 * * *", BERLIN, "2026-03-28 00:30:05", "2026-03-29 00:30:00"),
        ("0 4 * * *", BERLIN, "2026-03-28 03:00:05", "2026-03-29 02:00:00"),
        # the overlap: 02:30 comes twice, the job runs the first time only
        ("30 2 * * *", BERLIN, "2026-10-24 00:30:05", "2026-10-25 00:30:00"),
        ("30 2 * * *", BERLIN, "2026-10-25 00:30:05", "2026-10-26 01:30:00"),
        ("30 2 * * *", BERLIN, "2026-10-25 01:10:00", "2026-10-26 01:30:00"),  # called at 02:10, the second one
        ("30 2 * * *", BERLIN, "2026-10-25 01:30:05", "2026-10-26 01:30:00"),
        ("0-59 2 * * *", BERLIN, "2026-10-25 01:10:00", "2026-10-26 01:00:00"),
        ("30 1 * * *", NEW_YORK, "2026-10-31 05:30:05", "2026-11-01 05:30:00"),
        ("30 1 * * *", NEW_YORK, "2026-11-01 05:30:05", "2026-11-02 06:30:00"),
        # by the real time, whatever the clock shows
        ("*/30 * * * *", BERLIN, "2026-03-29 00:45:00", "2026-03-29 01:00:00"),
        ("*/30 * * * *", BERLIN, "2026-10-25 00:45:00", "2026-10-25 01:00:00"),
        ("*/30 * * * *", BERLIN, "2026-10-25 01:15:00", "2026-10-25 01:30:00"),
        ("15 * * * *", NEW_YORK, "2026-03-08 06:20:00", "2026-03-08 07:15:00"),
        ("15 * * * *", NEW_YORK, "2026-11-01 05:20:00", "2026-11-01 06:15:00"),
        # days
        ("0 9 * * 1-5", BERLIN, "2026-03-27 08:00:05", "2026-03-30 07:00:00"),
        ("0 0 L * *", "UTC", "2026-02-01 00:00:00", "2026-02-28 00:00:00"),
        ("0 0 29 2 *", "UTC", "2026-03-01 00:00:00", "2028-02-29 00:00:00"),
        ("0 12 * * *", "Asia/Kathmandu", "2026-03-01 00:00:00", "2026-03-01 06:15:00"),
        # called at the very moment: the next one is the next one
        ("0 * * * *", "UTC", "2026-03-01 10:00:00", "2026-03-01 11:00:00"),
        ("0 * * * *", "UTC", "2026-03-01 09:59:59.999", "2026-03-01 10:00:00"),
    ],
)  # fmt: skip
def test_what_follows_a_call(schedule: str, zone: str, last: str, following: str) -> None:
    assert following_at(schedule, zone, utc(last)) == utc(following)


def test_grace_is_added_to_either_rhythm() -> None:
    assert due_at(Rhythm(period_s=60, grace_s=10), START) == at(70)
    assert due_at(Rhythm(schedule="0 13 * * *", grace_s=10), START) == at(3610)


@given(
    st.sampled_from(["30 2 * * *", "*/20 * * * *", "5 0-3 * * *", "0,30 2 * * 0", "15 * * * *"]),
    st.sampled_from([BERLIN, NEW_YORK, "UTC", "Australia/Lord_Howe", "America/Santiago", "Africa/Cairo"]),
    st.integers(0, 366 * 24 * 60),
)
def test_what_follows_is_later(schedule: str, zone: str, minutes: int) -> None:
    last = utc("2026-01-01 00:00:30") + timedelta(minutes=minutes)
    following = following_at(schedule, zone, last)
    assert last < following <= last + timedelta(days=8)
    assert following.tzinfo is UTC


@pytest.mark.parametrize(
    ("schedule", "says"),
    [
        ("", "five cron fields"), ("* * * *", "five cron fields"), ("* * * * * *", "five cron fields"),
        ("@daily", "five cron fields"), ("60 * * * *", "wrong minute"), ("* 24 * * *", "wrong hour"),
        ("* * 0 * *", "wrong day of month"), ("0 0 31 2 *", "wrong day of month"), ("* * * 13 *", "wrong month"),
        ("* * * * 8", "wrong day of week"), ("*/0 * * * *", "wrong minute"), ("a * * * *", "wrong minute"),
        ("5-1 * * * *", "wrong minute"), ("٣ * * * *", "five cron fields"), ("* * * * 1#6", "wrong day of week"),
    ],
)  # fmt: skip
def test_expressions_that_are_refused(schedule: str, says: str) -> None:
    assert says in (wrong_with(schedule) or "")


@given(st.text("0123456789*/-,L#W SUNMO", max_size=30))
def test_any_expression_is_refused_or_has_words_and_a_following_time(schedule: str) -> None:
    if wrong_with(schedule) is None:
        assert explained(schedule)
        assert following_at(schedule, BERLIN, START) > START


def test_words() -> None:
    assert explained("30 2 * * 1-5") == "at 02:30 on Monday through Friday"
    assert explained("*/5 * * * *") == "every fifth minute of every hour"


@pytest.mark.parametrize("name", ["UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires", "Etc/GMT+5"])
def test_zones(name: str) -> None:
    assert is_zone(name)


@pytest.mark.parametrize("name", ["", "Mars/Olympus", "Europe", "../UTC", "/etc/passwd", "Europe/Berlin\0", "CEST"])
def test_what_is_no_zone(name: str) -> None:
    assert not is_zone(name)
