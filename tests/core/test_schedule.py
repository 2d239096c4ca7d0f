"""Slots: one in each interval, spread evenly, exact on their boundaries."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from tocsin.core.schedule import next_slot, retry_at, slot_at_or_before

ids = st.text("0123456789abcdefghjkmnpqrstvwxyz", min_size=1, max_size=20)
intervals = st.sampled_from([1, 5, 10, 20, 30, 60, 300, 3600, 86_400])
times = st.datetimes(datetime(1990, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))


@given(ids, intervals, times)
def test_every_interval_holds_exactly_one_slot(monitor: str, interval_s: int, now: datetime) -> None:
    before, after = slot_at_or_before(monitor, interval_s, now), next_slot(monitor, interval_s, now)
    assert before <= now < after
    assert after - before == timedelta(seconds=interval_s)


@given(ids, intervals, times)
def test_a_slot_is_its_own_latest_slot_to_the_microsecond(monitor: str, interval_s: int, now: datetime) -> None:
    slot = slot_at_or_before(monitor, interval_s, now)
    tick = timedelta(microseconds=1)
    assert slot_at_or_before(monitor, interval_s, slot) == slot
    assert slot_at_or_before(monitor, interval_s, slot - tick) == slot - timedelta(seconds=interval_s)
    assert next_slot(monitor, interval_s, slot - tick) == slot
    assert next_slot(monitor, interval_s, slot) == slot + timedelta(seconds=interval_s)


@given(ids, intervals)
def test_the_place_in_the_interval_is_the_same_for_ever(monitor: str, interval_s: int) -> None:
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    offsets = {
        (slot_at_or_before(monitor, interval_s, epoch + timedelta(days=days)) - epoch) % timedelta(seconds=interval_s)
        for days in (1, 400, 20_000)
    }
    assert len(offsets) == 1


def test_a_thousand_monitors_spread_evenly_over_a_minute() -> None:
    in_second, a_minute = [0] * 60, datetime(2026, 1, 1, tzinfo=UTC)
    for number in range(6000):
        in_second[slot_at_or_before(f"monitor-{number}", 60, a_minute).second] += 1
    assert min(in_second) > 60
    assert max(in_second) < 150


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
