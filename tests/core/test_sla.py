"""What was kept of a promise, against counting by hand."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import given

from builders import at
from core.test_uptime import an_interval, intervals_lists, the_second
from tocsin.core.sla import kept, line_of, total_of
from tocsin.core.uptime import Interval, Uptime


def test_outages_are_what_counts_as_down_with_the_reason_it_began_with() -> None:
    intervals = [
        an_interval("down", -50, 10), an_interval("up", 10, 100), an_interval("down", 100, 130),
        an_interval("down", 130, 160), an_interval("down", 160, 170, maintenance=True), an_interval("partial", 170, 180),
        an_interval("down", 180, 260),
    ]  # fmt: skip
    reasons = {at(-50): "cut off", at(100): "refused", at(130): "timed out", at(180): "tls"}
    spans = [(at(-50), at(10)), (at(100), at(180)), (at(180), None), (at(400), None), (at(-90), at(0))]
    line = line_of("m", "Shop", intervals, spans, (at(0), at(200)), reasons=reasons)
    told = [(o.start, o.end, o.reason, o.before, o.after) for o in line.outages]
    assert told == [
        (at(0), at(10), "cut off", True, False),
        (at(100), at(160), "refused", False, False),
        (at(180), at(200), "tls", False, True),
    ]
    assert (line.incidents, line.longest_s) == (3, 80)
    assert (line.share.up_s, line.share.down_s, line.share.unknown_s) == (100, 90, 10)
    with_partial = line_of("m", "x", intervals, [], (at(0), at(200)), reasons=reasons, partial_is_up=False)
    assert [(o.start, o.end) for o in with_partial.outages][-1] == (at(170), at(200))


def test_a_gap_in_which_nobody_looked_does_not_split_an_outage_of_one_incident() -> None:
    intervals = [
        an_interval("down", 10, 40), an_interval("unknown", 40, 60), an_interval("down", 60, 90), an_interval("up", 90, 120),
        an_interval("down", 120, 130), an_interval("down", 150, 160), an_interval("down", 160, 170, maintenance=True),
        an_interval("down", 170, 180),
    ]  # fmt: skip
    spans = [(at(10), at(90)), (at(120), at(180))]

    def told(*some: tuple[datetime, datetime]) -> list[tuple[datetime, datetime, float]]:
        line = line_of("m", "Shop", intervals, some, (at(0), at(200)), reasons={})
        assert sum(o.lasted_s for o in line.outages) == line.share.down_s == 90
        return [(o.start, o.end, o.lasted_s) for o in line.outages]

    assert told(*spans) == [(at(10), at(90), 60), (at(120), at(160), 20), (at(170), at(180), 10)]
    assert len(told()) == 5, "without an incident over the gap nobody can say that it was the same trouble"
    assert len(told((at(10), at(40)), (at(60), at(90)))) == 5


@given(intervals_lists)
def test_outages_are_the_seconds_that_count_as_down(intervals: list[Interval]) -> None:
    line = line_of("m", "x", intervals, [], (at(0), at(30)), reasons={})
    down = {n for n in range(30) if the_second(intervals, n, True) == "down"}
    told = {n for n in range(30) for o in line.outages if o.start <= at(n) < o.end}
    assert told == down
    assert sum(o.lasted_s for o in line.outages) == line.share.down_s
    ends = [edge for o in line.outages for edge in (o.start, o.end)]
    assert ends == sorted(set(ends))


def a_share(up: float, down: float, unknown: float = 0) -> Uptime:
    return line_of(
        "m", "x",
        [an_interval("up", 0, up), an_interval("down", up, up + down)], [], (at(0), at(up + down + unknown)), reasons={},
    ).share  # fmt: skip


@pytest.mark.parametrize(
    ("share", "target", "met", "budget_s", "left_s"),
    [
        (a_share(999, 1), 99.9, True, 1.0, 0.0),
        (a_share(998, 2), 99.9, False, 1.0, -1.0),
        (a_share(1000, 0), 100, True, 0, 0),
        (a_share(999, 1, 1000), 99.9, True, 1.0, 0.0),  # what is not known is not spent
        (a_share(0, 0, 100), 99.9, None, 0, 0),
        (a_share(0, 10), 0, True, 10, 0),
    ],
)
def test_the_budget_is_of_the_time_that_is_known(
    share: Uptime, target: float, met: bool | None, budget_s: float, left_s: float
) -> None:
    found = kept(share, target)
    assert (found.met, found.budget_s, found.left_s) == (met, budget_s, left_s)


def test_all_together_is_as_one_after_the_other() -> None:
    end = timedelta(seconds=100)
    one = line_of("a", "a", [an_interval("up", 0, 100)], [(at(5), at(9))], (at(0), at(0) + end), reasons={})
    two = line_of("b", "b", [an_interval("down", 0, 50)], [(at(0), at(50))], (at(0), at(0) + end), reasons={})
    total = total_of([one, two])
    assert (total.share.uptime, total.share.coverage, total.share.worst, total.share.best) == (
        100 / 150,
        0.75,
        0.5,
        0.75,
    )
    assert (total.incidents, total.longest_s) == (2, 50)
    assert total_of([]).share == Uptime(uptime=None, coverage=0, worst=0, best=1, up_s=0, down_s=0, unknown_s=0)
