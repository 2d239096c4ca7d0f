"""Values gathered into steps, packed and unpacked."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.core.buckets import (
    SPANS,
    STEPS,
    Bucket,
    by_span,
    coarser,
    even_step,
    gather,
    merged,
    packed,
    step_for,
    unpacked,
)
from tocsin.core.forecast import full_in_s

KEEPS = {10: 2 * 86_400, 60: 14 * 86_400, 3600: 730 * 86_400, 86_400: 3650 * 86_400}
POINTS = st.lists(st.tuples(st.integers(0, 10**6), st.floats(-1e15, 1e15)), max_size=60).map(
    lambda points: sorted(points, key=lambda p: p[0])
)


@given(POINTS, st.sampled_from(STEPS))
def test_what_is_packed_is_unpacked(points: list[tuple[int, float]], step: int) -> None:
    for begin, some in by_span(gather(points, step), step).items():
        assert begin % SPANS[step] == 0
        assert unpacked(packed(some, begin, step), begin, step) == some


@given(POINTS)
def test_longer_steps_are_made_of_shorter_ones(points: list[tuple[int, float]]) -> None:
    fine = gather(points, 10)
    for step in (60, 3600, 86_400):
        direct, made = gather(points, step), coarser(fine, step)
        assert {at: (b.n, b.low, b.high, b.last) for at, b in direct.items()} == {
            at: (b.n, b.low, b.high, b.last) for at, b in made.items()
        }


def test_what_comes_later_is_added() -> None:
    first, more = gather([(0, 1.0), (3, 5.0)], 10), gather([(7, 3.0), (12, 9.0)], 10)
    assert merged(first, more) == {0: Bucket(3, 1.0, 5.0, 9.0, 3.0), 10: Bucket(1, 9.0, 9.0, 9.0, 9.0)}


@pytest.mark.parametrize(
    ("span_s", "age_s", "asked", "wanted"),
    [
        (3600, 3600, None, (10, 10)), (6 * 3600, 6 * 3600, None, (60, 60)), (7 * 86_400, 7 * 86_400, None, (3600, 3600)),
        (3600, 3 * 86_400, None, (60, 60)), (3600, 30 * 86_400, None, (3600, 3600)),
        (365 * 86_400, 365 * 86_400, None, (86_400, 86_400)),
        (3600, 3600, 300, (60, 300)), (3600, 3600, 35, (10, 30)), (3600, 30 * 86_400, 60, (3600, 3600)),
    ],
)  # fmt: skip
def test_the_step_fits_the_stretch(span_s: int, age_s: int, asked: int | None, wanted: tuple[int, int]) -> None:
    assert step_for(span_s, age_s, KEEPS, asked) == wanted


def test_a_disk_that_fills_evenly_is_full_when_the_line_says() -> None:
    points = [(float(60 * n), 70 + n / 60) for n in range(360)]
    assert full_in_s(points) == pytest.approx((100 - points[-1][1]) * 3600, rel=0.01)
    spoilt = [(at, 5.0 if n % 50 == 7 else value) for n, (at, value) in enumerate(points)]
    assert full_in_s(spoilt) == pytest.approx((100 - points[-1][1]) * 3600, rel=0.05)


def test_what_is_even_or_falls_is_never_full() -> None:
    assert full_in_s([(60.0 * n, 70.0) for n in range(100)]) is None
    assert full_in_s([(60.0 * n, 90.0 - n / 10) for n in range(100)]) is None
    assert full_in_s([(0.0, 1.0), (1.0, 2.0)]) is None
    assert full_in_s([(60.0 * n, 100.0) for n in range(100)]) == 0.0


def test_a_few_minutes_tell_nothing_of_days_to_come() -> None:
    assert full_in_s([(60.0 * n, 70 + n / 10) for n in range(8)]) is None
    assert full_in_s([(60.0 * n, 70 + n / 10) for n in range(59)]) is None
    assert full_in_s([(60.0 * n, 70 + n / 10) for n in range(61)]) == pytest.approx(240 * 60)
    assert full_in_s([(60.0 * n, 70 + n / 100) for n in range(61)]) is None  # two days from an hour
    assert full_in_s([(60.0 * n, 70 + n / 100) for n in range(361)]) == pytest.approx(2640 * 60)


@pytest.mark.parametrize(
    ("every", "step"), [(5, 10), (10, 10), (15, 20), (25, 30), (30, 30), (60, 60), (90, 120), (3600, 10)]
)
def test_a_step_in_which_what_is_looked_at_so_often_has_no_gaps(every: int, step: int) -> None:
    looks = gather([(at, 1.0) for at in range(7, 7 + 40 * every, every) if not 500 < at < 700], 10)
    assert even_step([looks], 10) == step
    assert even_step([], 10) == 10
    if step > 10:
        begins = sorted(coarser(looks, step))
        missing = [at for at in range(begins[0], begins[-1], step) if at not in begins and not 440 < at < 700]
        assert missing == []
