"""Slots: one in each interval, spread evenly, exact on their boundaries."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from tocsin.core.schedule import next_slot, offset_s, retry_at, slot_at_or_before

ids = st.text("0123456789abcdefghjkmnpqrstvwxyz", min_size=1, max_size=20)
places = st.sampled_from(["local", "us-east", "europe", "ap-south"])
intervals = st.sampled_from([1, 5, 10, 20, 30, 60, 300, 3600, 86_400])
times = st.datetimes(datetime(1990, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))


@given(ids, places, intervals, times)
def test_every_interval_holds_exactly_one_slot(monitor: str, place: str, interval_s: int, now: datetime) -> None:
    before, after = slot_at_or_before(monitor, place, interval_s, now), next_slot(monitor, place, interval_s, now)
    assert before <= now < after
    assert after - before == timedelta(seconds=interval_s)


@given(ids, places, intervals, times)
def test_a_slot_is_its_own_latest_slot_to_the_microsecond(
    monitor: str, place: str, interval_s: int, now: datetime
) -> None:
    slot = slot_at_or_before(monitor, place, interval_s, now)
    tick = timedelta(microseconds=1)
    assert slot_at_or_before(monitor, place, interval_s, slot) == slot
    assert slot_at_or_before(monitor, place, interval_s, slot - tick) == slot - timedelta(seconds=interval_s)
    assert next_slot(monitor, place, interval_s, slot - tick) == slot
    assert next_slot(monitor, place, interval_s, slot) == slot + timedelta(seconds=interval_s)


@given(ids, places, intervals)
def test_the_offset_lies_in_the_interval_and_names_the_slots(monitor: str, place: str, interval_s: int) -> None:
    offset = offset_s(monitor, place, interval_s)
    assert 0 <= offset < interval_s
    first = slot_at_or_before(monitor, place, interval_s, datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=1))
    assert abs((first - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() % interval_s - offset) < 1e-5 or offset == 0.0


def test_a_thousand_monitors_spread_evenly_over_a_minute() -> None:
    in_second = [0] * 60
    for number in range(6000):
        in_second[int(offset_s(f"monitor-{number}", "local", 60))] += 1
    assert min(in_second) > 60
    assert max(in_second) < 150


def test_the_locations_of_one_monitor_do_not_look_at_the_same_moment() -> None:
    assert len({offset_s("shop", place, 60) for place in ("us-east", "europe", "ap-south")}) == 3


@given(ids, st.integers(0, 5), st.floats(0.5, 300), times)
def test_a_retry_comes_after_nine_to_ten_tenths_of_its_wait(
    monitor: str, attempt: int, wait: float, now: datetime
) -> None:
    waited = (retry_at(attempt, now, wait, monitor) - now).total_seconds()
    assert wait * 0.9 - 1e-6 <= waited <= wait + 1e-6
    assert retry_at(attempt, now, wait, monitor) - now == timedelta(seconds=waited)


def test_retries_of_many_monitors_do_not_come_together() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert len({retry_at(0, now, 15, f"monitor-{n}") for n in range(100)}) == 100
