"""History is filled where nothing was known, and nowhere else: against walking minute by minute."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from builders import a_verdict, at
from tocsin.core.consensus import Verdict
from tocsin.core.uptime import Interval
from tocsin.pipeline.backfill import _where_unknown

VALUES: Any = st.sampled_from(["up", "down", "unknown"])
moments = st.lists(st.integers(0, 20), min_size=1, max_size=6, unique=True).map(sorted)


def value_at(rows: list[tuple[int, str]], minute: int) -> str:
    return next((value for begin, value in reversed(rows) if begin <= minute), "none")


@given(moments, st.data(), moments, st.integers(18, 24))
def test_what_was_known_stays_and_the_rest_is_filled(starts: list[int], data: Any, live: list[int], now: int) -> None:
    decided = [(start, data.draw(VALUES)) for start in starts]
    known = [(start, data.draw(VALUES)) for start in live]
    intervals = [
        Interval(value=value, start=at(begin), end=at(end) if end is not None else None)  # type: ignore[arg-type]
        for (begin, value), end in zip(known, [*live[1:], None], strict=True)
    ]
    verdicts: list[Verdict] = [a_verdict(value, at=at(begin)) for begin, value in decided]
    filled = _where_unknown(verdicts, intervals, at(now))
    for minute in range(now):
        told = [v.value for v, end in filled if v.at <= at(minute) < end]
        was = value_at(known, minute)
        expected = [] if was in ("up", "down") else [value_at(decided, minute)]
        assert told == [value for value in expected if value != "none"], minute
    assert all(one[1] <= two[0].at for one, two in pairwise(filled))
    assert all(v.at <= at(now) for v, _ in filled)
