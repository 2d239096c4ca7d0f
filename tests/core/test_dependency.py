"""What holds an opening back for the sake of what a monitor depends on, and until when."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from builders import at
from tocsin.core.dependency import Held, Seen, circle, held_by, is_down
from tocsin.core.monitor import tidy, without


def a(id: str, value: Any = "up", since: float = 0, answered: float | None = 0, **more: Any) -> Seen:
    answered_at = None if answered is None else at(answered)
    return Seen(id=id, name=id.title(), value=value, since=at(since), answered_at=answered_at, **more)


def held(child: Seen, *others: Seen, now: float) -> Held | None:
    known = {seen.id: seen for seen in (child, *others)}
    return held_by(child, known.get, at(now))


def why(child: Seen, *others: Seen, now: float) -> str:
    found = held(child, *others, now=now)
    return "" if found is None else found.hush.why


SHOP = a("shop", "down", since=100, answered=95, groups=(("router",),))


def test_nothing_is_held_without_parents() -> None:
    assert held(a("shop", "down", since=100), now=100) is None


def test_an_opening_waits_for_the_parents_next_result_and_no_longer_than_that_is_overdue() -> None:
    router = a("router", answered=60, interval_s=30, timeout_s=5)
    found = held(SHOP, router, now=100)
    assert found is not None
    assert (found.hush.kind, found.hush.why, found.hush.until, found.ask) == (
        "dependency", "waits for what “Router” says", at(135), ("router",),
    )  # fmt: skip
    assert held(SHOP, router, now=135) is None
    assert held(SHOP, a("router", answered=101, interval_s=30, timeout_s=5), now=102) is None


def test_it_waits_at_most_two_minutes() -> None:
    found = held(SHOP, a("router", answered=60, interval_s=3600), now=100)
    assert found is not None
    assert found.hush.until == at(220)


def test_a_parent_that_seems_to_fail_is_waited_for_longer() -> None:
    router = a("router", answered=105, suspect=True, interval_s=10, timeout_s=5)
    assert why(SHOP, router, now=150) == "waits for what “Router” says"
    assert held(SHOP, router, now=220) is None


def test_it_is_held_while_the_parent_is_down_however_long() -> None:
    found = held(SHOP, a("router", "down", since=110), now=99_999)
    assert found is not None
    assert (found.hush.why, found.hush.until, found.ask) == ("“Router” is down", None, ())


@pytest.mark.parametrize("value", ["up", "degraded", "partial", "unknown"])
def test_only_down_is_down(value: str) -> None:
    assert held(SHOP, a("router", value, since=0, answered=101), now=300) is None


def test_a_group_is_down_only_when_all_of_it_is() -> None:
    shop = a("shop", "down", since=100, answered=95, groups=(("one", "two"),))
    one = a("one", "down", since=90)
    assert why(shop, one, a("two", "down", since=105), now=200) == "“One” and “Two” are down"
    assert held(shop, one, a("two", answered=101), now=200) is None
    assert why(shop, one, a("two", answered=50), now=110) == "waits for what “Two” says"


def test_nobody_of_a_group_is_waited_for_once_one_of_it_is_well() -> None:
    shop = a("shop", "down", since=100, answered=95, groups=(("one", "two"),))
    assert held(shop, a("one", answered=50), a("two", answered=101), now=110) is None


def test_one_group_that_is_down_is_enough() -> None:
    shop = a("shop", "down", since=100, answered=95, groups=(("one", "two"), ("power",)))
    assert why(shop, a("one"), a("two"), a("power", "down"), now=101) == "“Power” is down"


def test_nobody_looks_at_a_paused_parent_so_it_is_as_what_it_depends_on() -> None:
    router = a("router", "down", paused=True)
    assert held(SHOP, router, now=101) is None
    router = a("router", "up", paused=True, groups=(("power",),))
    assert why(SHOP, router, a("power", "down"), now=101) == "“Router” is down"
    assert why(SHOP, router, a("power", answered=90), now=101) == "waits for what “Power” says"
    assert held(SHOP, router, a("power", answered=101), now=101) is None


def test_an_unknown_parent_is_as_what_it_depends_on() -> None:
    router = a("router", "unknown", groups=(("power",),))
    assert why(SHOP, router, a("power", "down"), now=101) == "“Router” is down"
    assert held(SHOP, router, a("power", answered=101), now=300) is None


def test_a_grandparent_alone_holds_nothing_while_the_parent_is_well() -> None:
    router = a("router", answered=101, groups=(("power",),))
    assert held(SHOP, router, a("power", "down"), now=102) is None


def test_when_the_parent_is_back_the_child_is_looked_at_once_more() -> None:
    router = a("router", since=500, answered=500)
    found = held(SHOP, router, now=500)
    assert found is not None
    assert (found.hush.until, found.ask) == (at(570), ("shop",))
    assert "“Router” is just back" in found.hush.why
    again = a("shop", "down", since=100, answered=502, groups=(("router",),))
    assert held(again, router, now=503) is None
    assert held(SHOP, router, now=570) is None


def test_a_monitor_that_is_well_waits_for_nobody() -> None:
    assert held(a("shop", "up", since=100, groups=(("router",),)), a("router", answered=0), now=101) is None


def test_a_parent_that_is_gone_holds_nothing() -> None:
    assert held(SHOP, now=101) is None


IDS = ["a", "b", "c", "d"]
SEEN = st.builds(
    lambda value, since, answered, paused, suspect, groups: a(
        "x", value, since, answered, paused=paused, suspect=suspect, groups=tuple(groups)
    ),
    st.sampled_from(["up", "degraded", "partial", "down", "unknown", None]), st.integers(0, 300),
    st.none() | st.integers(0, 400), st.booleans(), st.booleans(),
    st.lists(st.lists(st.sampled_from([*IDS, "gone"]), max_size=3).map(tuple), max_size=2),
)  # fmt: skip


@given(st.lists(SEEN, min_size=4, max_size=4), st.integers(0, 1000))
def test_what_is_held_names_an_end_or_a_parent_that_is_down(family: list[Seen], now: int) -> None:
    """Whatever depends on whatever, also in circles: an answer comes, and no waiting is without end."""
    known = {id: replace(seen, id=id) for id, seen in zip(IDS, family, strict=True)}
    for child in known.values():
        found = held_by(child, known.get, at(now))
        if found is None:
            continue
        if found.hush.until is None:
            assert any(group and all(is_down(id, known.get, frozenset((child.id,))) for id in group)
                       for group in child.groups)  # fmt: skip
        else:
            assert at(now) < found.hush.until
            assert child.since is not None
            latest = max([child.since, *(s.since for s in known.values() if s.since is not None)])
            assert found.hush.until <= latest + timedelta(seconds=120)
            assert set(found.ask) <= set(known)


def test_a_circle_is_named_by_its_way() -> None:
    parents = {"a": ["b"], "b": ["c", "d"], "c": [], "d": ["e"]}.get
    assert circle("e", ["a"], lambda id: parents(id) or []) == ["e", "a", "b", "d", "e"]
    assert circle("a", ["a"], lambda id: []) == ["a", "a"]
    assert circle("z", ["a"], lambda id: parents(id) or []) == []


def test_parents_are_kept_tidy() -> None:
    assert tidy(("a", ("b", "b"), "a", ("c", "d"), ("c", "d"))) == ("a", "b", ("c", "d"))
    assert without(("a", ("b", "c"), ("a",)), "b") == ("a", "c")
    assert without(("a", ("a", "c")), "a") == ("c",)
