"""Maintenance windows: which lasts, until when, and what comes next."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from builders import START, a_monitor, at, records
from tocsin.core.maintenance import Agenda, Window, changes_at, ends_at, hush_of, in_maintenance, occurrences, stands
from tocsin.core.scope import Scope

HOUR = 3600


def a_window(**more: Any) -> Window:
    return replace(records()["maintenance_windows"], **({"scope": Scope(everything=True), "duration_s": HOUR} | more))


def test_a_window_lasts_from_its_start_to_its_end() -> None:
    window = a_window()
    assert [ends_at(window, at(s)) for s in (-1, 0, HOUR - 1, HOUR)] == [None, at(HOUR), at(HOUR), None]
    assert occurrences(window, at(-1), 5) == [(START, at(HOUR))]
    assert occurrences(window, at(0), 5) == []


def test_only_what_is_in_its_scope_is_held_back() -> None:
    windows = [a_window(name="Shop", scope=Scope(tags=("shop",)))]
    shop, other = a_monitor(tags=("shop", "x")), a_monitor()
    hush = hush_of(windows, shop, START)
    assert hush is not None
    assert (hush.kind, hush.why, hush.until) == ("maintenance", "maintenance “Shop”", at(HOUR))
    assert hush_of(windows, other, START) is None
    assert hush_of([replace(windows[0], enabled=False)], shop, START) is None
    assert changes_at(windows, other, START) is None


def test_of_several_the_one_that_lasts_longest_is_named() -> None:
    windows = [a_window(name="Short"), a_window(name="Long", duration_s=2 * HOUR, silence=True)]
    hush = hush_of(windows, a_monitor(), at(60))
    assert hush is not None
    assert (hush.kind, hush.why) == ("silence", "silence “Long”")


def test_a_silence_is_no_maintenance_for_the_uptime() -> None:
    assert in_maintenance([a_window()], a_monitor(), at(1))
    assert not in_maintenance([a_window(silence=True)], a_monitor(), at(1))


def test_a_start_that_the_clock_leaps_over_is_later_and_one_it_passes_twice_is_the_first() -> None:
    window = a_window(starts_at=datetime(2026, 3, 28, 1, 30, tzinfo=UTC), rrule="FREQ=DAILY", time_zone="Europe/Berlin")
    spring = [f"{begin:%d %H:%M}" for begin, _ in occurrences(window, datetime(2026, 3, 27, tzinfo=UTC), 3)]
    assert spring == ["28 01:30", "29 01:30", "30 00:30"]
    autumn = [f"{begin:%d %H:%M}" for begin, _ in occurrences(window, datetime(2026, 10, 24, tzinfo=UTC), 3)]
    assert autumn == ["24 00:30", "25 00:30", "26 01:30"]


def test_occurrences_that_overlap_end_with_the_last_one() -> None:
    window = a_window(rrule="FREQ=DAILY", duration_s=30 * HOUR)
    assert ends_at(window, at(25 * HOUR)) == at(54 * HOUR)
    assert ends_at(window, at(20 * HOUR)) == at(30 * HOUR)


@given(
    st.sampled_from(["FREQ=DAILY", "FREQ=WEEKLY;BYDAY=SU,MO", "FREQ=MONTHLY;BYDAY=-1SU", "FREQ=DAILY;COUNT=40"]),
    st.sampled_from(["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "UTC"]),
    st.integers(1, 40 * HOUR),
    st.integers(0, 400 * 86_400),
)
def test_what_lasts_is_what_an_occurrence_says_and_changes_are_its_edges(
    rrule: str, zone: str, duration_s: int, later_s: int
) -> None:
    window = a_window(rrule=rrule, time_zone=zone, duration_s=duration_s)
    now = at(later_s)
    listed = occurrences(window, START - timedelta(seconds=1), 500)
    assert listed == sorted(listed)
    lasting = [end for begin, end in listed if begin <= now < end]
    assert ends_at(window, now) == max(lasting, default=None)
    edges = [edge for pair in listed for edge in pair if edge > now]
    change = changes_at([window], a_monitor(), now)
    if lasting or any(begin > now for begin, _ in listed):
        assert change in edges
        assert change is not None
        assert all(
            (ends_at(window, moment) is None) == (not lasting) for moment in (now, change - timedelta(seconds=1))
        )


@given(
    st.sampled_from([None, "FREQ=DAILY", "FREQ=WEEKLY;BYDAY=SA,SU", "FREQ=DAILY;COUNT=2"]),
    st.integers(60, 200_000),
    st.lists(st.integers(-400_000, 400_000), min_size=1, max_size=20),
)
def test_an_agenda_says_what_the_window_says(rrule: str | None, lasts: int, seconds: list[int]) -> None:
    """Also where occurrences overlap, and when the clock is set back."""
    window, agenda = a_window(rrule=rrule, duration_s=lasts, time_zone="Europe/Berlin"), Agenda()
    for moment in map(at, seconds):
        assert agenda(window, moment) == stands(window, moment)
