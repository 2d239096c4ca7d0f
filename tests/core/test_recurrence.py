"""Recurrences: what is refused, and what happens when."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.core.recurrence import check_rrule, starts_of
from tocsin.errors import Invalid

FIRST = datetime(2026, 3, 1, 2, 30)


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ("", "a recurrence such as"),
        ("every day", "a recurrence such as"),
        ("FREQ=DAILY;FREQ=DAILY", "a recurrence such as"),
        ("FREQ=SECONDLY", "DAILY, WEEKLY, MONTHLY or YEARLY"),
        ("FREQ=HOURLY", "DAILY, WEEKLY, MONTHLY or YEARLY"),
        ("INTERVAL=2", "no FREQ"),
        ("FREQ=DAILY;BYHOUR=3", "found BYHOUR"),
        ("FREQ=DAILY;INTERVAL=0", "found INTERVAL=0"),
        ("FREQ=DAILY;COUNT=3;UNTIL=20270101", "COUNT or UNTIL"),
        ("FREQ=WEEKLY;BYDAY=1SA", "weekdays without a number"),
        ("FREQ=WEEKLY;BYSETPOS=1", "BYSETPOS with FREQ=MONTHLY or YEARLY"),
        ("FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30", "a rule that happens at all"),
        ("FREQ=MONTHLY;BYDAY=MO;BYSETPOS=10", "a rule that happens at all"),
        ("FREQ=YEARLY;INTERVAL=4;BYMONTH=2;BYMONTHDAY=29", "a rule that happens at all"),
        ("FREQ=DAILY;" + "BYMONTH=1," * 200, "a recurrence such as"),
    ],
)
def test_a_rule_we_cannot_follow_is_refused_in_words(rule: str, says: str) -> None:
    with pytest.raises(Invalid, match=says):
        check_rrule(rule, FIRST)


@pytest.mark.parametrize(
    ("rule", "days"),
    [
        ("FREQ=DAILY", ["03-01", "03-02", "03-03"]),
        ("RRULE:FREQ=WEEKLY;BYDAY=SA", ["03-07", "03-14", "03-21"]),
        ("freq=weekly;interval=2", ["03-01", "03-15", "03-29"]),
        ("FREQ=MONTHLY;BYDAY=-1FR", ["03-27", "04-24", "05-29"]),
        ("FREQ=MONTHLY;BYMONTHDAY=31", ["03-31", "05-31", "07-31"]),
        ("FREQ=YEARLY;BYMONTH=12;BYMONTHDAY=24", ["12-24", "12-24", "12-24"]),
        ("FREQ=DAILY;COUNT=2", ["03-01", "03-02"]),
        ("FREQ=DAILY;UNTIL=20260302", ["03-01", "03-02"]),
        ("FREQ=DAILY;UNTIL=20260302T000000Z", ["03-01"]),
    ],
)
def test_a_rule_happens_when_it_says(rule: str, days: list[str]) -> None:
    check_rrule(rule, FIRST)
    found = starts_of(rule, FIRST, "Europe/Berlin").following(FIRST - timedelta(days=1), 3)
    assert [f"{start:%m-%d}" for start in found] == days


@given(st.text(alphabet="FREQ=DAILYWKMOTHUNCSBPS;,0123456789-", max_size=60))
def test_any_text_is_refused_or_happens(rule: str) -> None:
    try:
        check_rrule(rule, FIRST)
    except Invalid:
        return
    assert starts_of(rule, FIRST, "UTC").following(FIRST - timedelta(days=1), 1)


ZONES = ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "America/Santiago", "UTC"]


@given(st.sampled_from(ZONES), st.integers(0, 23), st.sampled_from([0, 15, 30, 45]), st.integers(0, 700))
def test_a_daily_start_keeps_its_wall_clock_time_over_the_edges_of_summer_time(
    name: str, hour: int, minute: int, day: int
) -> None:
    zone = ZoneInfo(name)
    first = datetime(2026, 1, 1, hour, minute)
    (start,) = starts_of("FREQ=DAILY", first, name).following(first + timedelta(days=day) - timedelta(seconds=1), 1)
    assert (start.hour, start.minute) == (hour, minute)
    moment = start.replace(tzinfo=zone).astimezone(UTC)
    shown = moment.astimezone(zone)
    leaps = (shown.hour, shown.minute) != (hour, minute)
    assert not leaps or start.replace(tzinfo=zone).utcoffset() != shown.utcoffset()
