"""Uptime from verdict intervals, against a reference that walks second by second."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import at
from tocsin.core.consensus import VerdictValue
from tocsin.core.uptime import Interval, Uptime, uptime

VALUES: tuple[VerdictValue, ...] = ("up", "degraded", "partial", "down", "unknown")


def an_interval(value: VerdictValue, start: float, end: float | None, **more: Any) -> Interval:
    fresh = more.pop("fresh", None)
    return Interval(
        value=value,
        start=at(start),
        end=None if end is None else at(end),
        fresh_until=None if fresh is None else at(fresh),
        **more,
    )


def the_second(intervals: Sequence[Interval], second: int, partial_is_up: bool) -> str:
    """Who governs this second and what it counts as: read off the rules, one after the other."""
    here = [i for i in intervals if i.start <= at(second) and (i.end is None or at(second) < i.end)]
    if not here or any(i.maintenance for i in here):
        return "nobody"
    latest = [i for i in here if i.start == max(i.start for i in here)]
    for value in ("down", "partial", "degraded", "up", "unknown"):
        these = [i for i in latest if i.value == value]
        if these:
            stale = any(i.fresh_until is not None and at(second) >= i.fresh_until for i in these)
            if stale or value == "unknown":
                return "nobody"
            return "down" if value == "down" or (value == "partial" and not partial_is_up) else "up"
    raise AssertionError


seconds = st.integers(-5, 40)
intervals_lists = st.lists(
    st.builds(
        lambda value, start, length, fresh, maintenance: an_interval(
            value,
            start,
            None if length is None else start + length,
            fresh=None if fresh is None else start + fresh,
            maintenance=maintenance,
        ),
        st.sampled_from(VALUES),
        seconds,
        st.one_of(st.none(), st.integers(0, 20)),
        st.one_of(st.none(), st.integers(-2, 20)),
        st.sampled_from([False, False, False, True]),
    ),
    max_size=7,
)


@given(intervals_lists, st.integers(-10, 40), st.integers(0, 30), st.booleans())
def test_it_is_what_walking_each_second_counts(
    intervals: list[Interval], start: int, length: int, partial_is_up: bool
) -> None:
    found = uptime(intervals, at(start), at(start + length), partial_is_up=partial_is_up)
    counted = [the_second(intervals, second, partial_is_up) for second in range(start, start + length)]
    assert (found.up_s, found.down_s, found.unknown_s) == (
        counted.count("up"),
        counted.count("down"),
        counted.count("nobody"),
    )


@given(intervals_lists, st.booleans(), st.randoms(use_true_random=False))
def test_the_order_of_arrival_does_not_matter(intervals: list[Interval], partial_is_up: bool, chance: Any) -> None:
    shuffled = list(intervals)
    chance.shuffle(shuffled)
    one = uptime(intervals, at(0), at(30), partial_is_up=partial_is_up)
    assert uptime(shuffled, at(0), at(30), partial_is_up=partial_is_up) == one


@given(intervals_lists, st.floats(0, 30), st.floats(0, 30))
def test_the_figure_lies_between_its_bounds(intervals: list[Interval], start: float, length: float) -> None:
    found = uptime(intervals, at(start), at(start + length))
    assert 0 <= found.worst <= found.best <= 1
    assert 0 <= found.coverage <= 1
    if found.uptime is not None:
        assert found.worst <= found.uptime <= found.best
    if found.coverage == 1:
        assert found.worst == found.uptime == found.best


@given(intervals_lists, st.integers(0, 30), st.integers(0, 30))
def test_two_halves_make_the_whole(intervals: list[Interval], one: int, other: int) -> None:
    whole = uptime(intervals, at(0), at(one + other))
    left, right = uptime(intervals, at(0), at(one)), uptime(intervals, at(one), at(one + other))
    assert left.up_s + right.up_s == whole.up_s
    assert left.down_s + right.down_s == whole.down_s


def test_partial_is_up_unless_the_workspace_says_otherwise() -> None:
    intervals = [an_interval("partial", 0, 60), an_interval("up", 60, 120)]
    assert uptime(intervals, at(0), at(120)).uptime == 1.0
    assert uptime(intervals, at(0), at(120), partial_is_up=False).uptime == 0.5


def test_what_nobody_covered_shows_as_bounds() -> None:
    found = uptime([an_interval("up", 0, 60), an_interval("down", 60, 80)], at(0), at(100))
    assert found == Uptime(uptime=0.75, coverage=0.8, worst=0.6, best=0.8, up_s=60.0, down_s=20.0, unknown_s=20.0)


def test_a_verdict_counts_only_while_its_votes_are_fresh() -> None:
    assert uptime([an_interval("up", 0, None, fresh=130)], at(0), at(1000)).up_s == 130
    assert uptime([an_interval("up", 0, None)], at(0), at(1000)).up_s == 1000


@pytest.mark.parametrize("length", [0, -60])
def test_no_time_has_no_uptime(length: float) -> None:
    found = uptime([an_interval("up", -100, None)], at(0), at(length))
    assert (found.uptime, found.coverage, found.worst, found.best) == (None, 0.0, 0.0, 1.0)


def test_a_year_of_minutes_is_counted_quickly() -> None:
    intervals = [an_interval(VALUES[n % 4], n * 600, n * 600 + 600) for n in range(20_000)]
    assert uptime(intervals, at(0), at(20_000 * 600)).uptime == 0.75
