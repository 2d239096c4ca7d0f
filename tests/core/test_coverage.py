"""Monitors that are not seen any more: told once, all together."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from builders import START, a_monitor, a_verdict, at
from tocsin.core.coverage import Sight, coverage

GRACE = 130
"""2 × interval + timeout of a monitor that says nothing of them."""


def sight(value: Any = "up", since: float = 0, *, name: str = "Shop", settled: datetime = START, **more: Any) -> Sight:
    monitor = {k: more.pop(k) for k in ("paused", "type") if k in more}
    verdict = a_verdict(value, at=at(since), **more) if value else None
    return Sight(monitor=a_monitor(name=name, **monitor), verdict=verdict, settled_at=settled)


def test_a_monitor_is_lost_after_two_intervals_and_its_timeout() -> None:
    lost = sight("unknown")
    assert coverage([lost], at(GRACE - 1)).standing == "open"
    found = coverage([lost, sight("up")], at(GRACE))
    assert (found.standing, found.severity) == ("trouble", "warning")
    assert found.reason == "one monitor is not seen by enough locations: Shop"


def test_all_are_named_in_one_finding_and_it_is_over_when_all_are_seen() -> None:
    many = [sight("unknown", name=f"M{n}") for n in range(8)]
    found = coverage(many, at(GRACE))
    assert found.reason == "8 monitors are not seen by enough locations: M0, M1, M2, M3, M4 and 3 more"
    assert coverage([*many[:1], sight("up")], at(GRACE)).standing == "trouble"
    assert coverage([sight("down"), sight("partial"), sight("degraded")], at(GRACE)).standing == "over"


def test_the_first_waits_a_minute_for_those_that_are_about_to_be_lost() -> None:
    both = [sight("unknown", name="A"), sight("unknown", 30, name="B")]
    assert coverage(both, at(GRACE)).standing == "open"
    assert coverage(both, at(GRACE + 29)).standing == "open"
    assert coverage(both, at(GRACE + 30)).reason == "2 monitors are not seen by enough locations: A and B"
    late = [sight("unknown", name="A"), sight("unknown", 90, name="B")]
    assert coverage(late, at(GRACE + 59)).standing == "open"
    assert coverage(late, at(GRACE + 60)).standing == "trouble"


def test_what_was_never_seen_is_paused_pushes_or_settles_is_not_lost() -> None:
    assert coverage([sight(None), sight("unknown", pending=True)], at(999)).standing == "over"
    assert coverage([sight("unknown", paused=True)], at(999)).standing == "over"
    assert coverage([sight("unknown", type="push")], at(999)).standing == "open"
    assert coverage([sight("unknown", maintenance=True)], at(999)).standing == "open"
    assert coverage([sight("unknown", settled=at(1000))], at(999)).standing == "open"
    assert coverage([sight("unknown", settled=at(1000))], at(1000)).standing == "trouble"


@given(st.permutations([sight("unknown", name=n) for n in "abcdefg"]))
def test_the_order_of_the_monitors_does_not_matter(some: list[Sight]) -> None:
    assert coverage(some, at(GRACE)).reason.endswith("a, b, c, d, e and 2 more")
