"""The latency sketch: percentiles within 2 %, merging is adding, the stored form is small and exact."""

from __future__ import annotations

from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.core import sketch

latencies = st.floats(0.0, 1e7, allow_nan=False)
sketches = st.dictionaries(st.integers(0, 2000), st.integers(1, 10**9), max_size=60)


def filled(values: list[float]) -> dict[int, int]:
    buckets: dict[int, int] = {}
    for value in values:
        sketch.add(buckets, value)
    return buckets


@given(st.lists(latencies, min_size=1, max_size=200), st.floats(0, 1))
def test_a_quantile_is_within_two_percent_of_the_value_of_its_rank(values: list[float], q: float) -> None:
    exact = sorted(values)[max(0, ceil(q * len(values) - 1e-9) - 1)]
    found = sketch.quantile(filled(values), q)
    assert found is not None
    assert abs(found - exact) <= max(0.02 * exact, 0.0101)


@given(st.lists(latencies, max_size=60))
def test_several_quantiles_at_once_are_the_single_ones(values: list[float]) -> None:
    shares = (0.0, 0.5, 0.95, 0.99, 1.0)
    buckets = filled(values)
    assert sketch.quantiles(buckets, shares) == [sketch.quantile(buckets, q) for q in shares]


@given(st.lists(latencies, max_size=60), st.lists(latencies, max_size=60))
def test_merging_is_the_same_as_having_counted_all_in_one(left: list[float], right: list[float]) -> None:
    one, other = filled(left), filled(right)
    sketch.merge(one, other)
    assert one == filled(left + right)


@pytest.mark.parametrize(
    ("values", "p50", "p95", "p99"),
    [
        ([7.0], 7.0, 7.0, 7.0),
        ([12.0, 1.6, 2.2], 2.2, 12.0, 12.0),
        ([1.0, 100.0], 1.0, 100.0, 100.0),
        ([float(n) for n in range(1, 21)], 10.0, 19.0, 20.0),
        ([float(n) for n in range(1, 101)], 50.0, 95.0, 99.0),
    ],
)
def test_of_few_values_the_nearest_rank_is_told(values: list[float], p50: float, p95: float, p99: float) -> None:
    assert sketch.quantiles(filled(values), (0.5, 0.95, 0.99)) == pytest.approx([p50, p95, p99], rel=0.02)


@given(latencies)
def test_add_counts_in_the_bucket_of_the_value(value: float) -> None:
    assert filled([value]) == {sketch.bucket(value): 1}


def test_nothing_has_no_quantile_and_the_smallest_answer_nought() -> None:
    assert sketch.quantile({}, 0.5) is None
    assert sketch.quantile({0: 3}, 0.99) == 0.0
    assert sketch.bucket(-1.0) == 0


@pytest.mark.parametrize("value", [0.01, 0.0104, 1.0, 999.9, 12345.6])
def test_the_buckets_lie_where_they_say(value: float) -> None:
    index = sketch.bucket(value)
    assert 0.01 * 1.04 ** (index - 1) <= value * (1 + 1e-12)
    assert value < 0.01 * 1.04**index * (1 + 1e-12)
