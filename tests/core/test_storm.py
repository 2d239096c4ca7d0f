"""How much a channel is told at once: a few by themselves, many in one, never more than 20 a minute."""

from __future__ import annotations

from collections import deque
from datetime import datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from builders import START, at
from tocsin.core.storm import (
    AT_ONCE,
    BURST,
    EVERY,
    FULL,
    GATHER,
    MOST_A_MINUTE,
    SPELL,
    Decision,
    Pace,
    Waiting,
    decide,
)


def waiting(count: int, **more: Any) -> Waiting:
    fields: dict[str, Any] = {"openings": count, "oldest": START if count else None}
    return Waiting(count=count, **(fields | more))


def test_the_first_messages_go_at_once() -> None:
    for count in range(1, BURST + 1):
        assert decide(waiting(count), Pace(), START) == Decision(single=min(count, AT_ONCE))
    assert decide(waiting(3), Pace(busy=AT_ONCE - 1), START) == Decision(single=1)
    assert decide(waiting(3), Pace(busy=AT_ONCE), START) == Decision()


def test_more_openings_than_five_in_half_a_minute_are_gathered_after_a_moment() -> None:
    ready = START + GATHER
    assert decide(waiting(BURST + 1), Pace(), START) == Decision(at=ready)
    assert decide(waiting(BURST + 1), Pace(), ready) == Decision(gather=True)
    assert decide(waiting(1), Pace(openings=BURST), ready) == Decision(gather=True)
    assert decide(waiting(1), Pace(openings=BURST - 1), ready) == Decision(single=1)


def test_what_came_of_them_is_gathered_with_them_while_the_storm_lasts() -> None:
    over = waiting(3, openings=0)
    assert decide(over, Pace(openings=BURST + 1), at(60)) == Decision(gather=True)
    assert decide(over, Pace(openings=0), at(60)) == Decision(single=3)


def test_more_ends_than_five_in_half_a_minute_are_gathered_a_little_later() -> None:
    over = waiting(1, openings=0, ends=1)
    assert decide(over, Pace(ends=BURST - 1), START) == Decision(single=1)
    assert decide(over, Pace(ends=BURST), START) == Decision(at=START + EVERY)
    assert decide(over, Pace(ends=BURST), START + EVERY) == Decision(gather=True)
    assert decide(waiting(2, openings=1, ends=1), Pace(ends=BURST), START + GATHER) == Decision(gather=True)
    assert decide(waiting(BURST + 1, openings=0, ends=BURST + 1), Pace(), START) == Decision(at=START + EVERY)


def test_ends_that_are_written_into_the_messages_of_their_openings_do_not_ring_and_are_not_gathered() -> None:
    over = waiting(BURST + 1, openings=0, ends=BURST + 1)
    assert decide(over, Pace(edits=True), START) == Decision(single=AT_ONCE)
    assert decide(over, Pace(edits=True, ends=BURST), START + EVERY) == Decision(gather=True)


def test_the_next_digest_follows_after_a_pause_or_when_it_is_full() -> None:
    pace = Pace(openings=BURST + 1, digest_at=START)
    assert decide(waiting(50), pace, at(3)) == Decision(at=START + EVERY)
    assert decide(waiting(50), pace, START + EVERY) == Decision(gather=True)
    assert decide(waiting(FULL), pace, at(3)) == Decision(gather=True)
    set_back = Pace(openings=BURST + 1, digest_at=at(3600))
    assert decide(waiting(50), set_back, at(3)) == Decision(gather=True), "the clock was set back"


def test_one_digest_at_a_time() -> None:
    pace = Pace(openings=BURST + 1)
    assert decide(waiting(50, digest="held"), pace, at(60)) == Decision()
    assert decide(waiting(50, digest="due"), pace, at(60)) == Decision(digest=True)
    assert decide(waiting(2, digest="held"), Pace(), at(60)) == Decision(single=2)


def test_many_messages_of_any_kind_are_gathered_so_that_an_opening_finds_room() -> None:
    left = tuple(at(n) for n in range(8))
    assert decide(waiting(3, openings=0), Pace(left=left), at(20)) == Decision(gather=True)
    assert decide(waiting(1, openings=1), Pace(left=left), at(20)) == Decision(single=1)


def test_never_more_than_twenty_a_minute() -> None:
    left = tuple(at(n) for n in range(MOST_A_MINUTE))
    assert decide(waiting(1), Pace(left=left), at(30)) == Decision(at=at(60))
    assert decide(waiting(1), Pace(left=left), at(60)) == Decision(single=1)
    assert decide(waiting(1, digest="due"), Pace(left=left), at(30)) == Decision(at=at(60))


def test_who_gathers_by_himself_gets_every_message_at_the_same_pace() -> None:
    assert decide(waiting(500), Pace(), at(9), groups=True) == Decision(single=AT_ONCE)
    left = tuple(at(n / 10) for n in range(MOST_A_MINUTE - 1))
    assert decide(waiting(500), Pace(left=left), at(9), groups=True) == Decision(single=1)
    assert decide(waiting(500), Pace(left=(*left, at(8))), at(9), groups=True) == Decision(at=at(60))


def test_a_channel_rests_when_it_asks_for_it() -> None:
    assert decide(waiting(1), Pace(rests_until=at(90)), at(30)) == Decision(at=at(90))
    assert decide(waiting(1), Pace(rests_until=at(90)), at(90)) == Decision(single=1)


def test_a_canary_goes_by_itself_and_waits_for_the_end_of_a_storm() -> None:
    assert decide(Waiting(alone=1), Pace(), START) == Decision(single=1)
    assert decide(Waiting(alone=1), Pace(openings=BURST + 1), START) == Decision()
    assert decide(waiting(9, alone=1), Pace(), at(9)) == Decision(gather=True)


@given(arrivals=st.lists(st.tuples(st.floats(0, 300), st.integers(1, 400)), max_size=30), groups=st.booleans())
def test_whatever_comes_the_limits_hold_and_everything_is_told(arrivals: list[tuple[float, int]], groups: bool) -> None:
    """A channel that takes each message at once, run through second by second."""
    coming = deque(sorted(arrivals))
    if groups:
        coming = deque((moment, min(count, 5)) for moment, count in coming)
    waits: deque[datetime] = deque()
    left: list[datetime] = []
    opened: list[datetime] = []
    digest_at: datetime | None = None
    now = START
    for second in range(2000):
        now = at(second)
        while coming and coming[0][0] <= second:
            waits.extend([now] * coming.popleft()[1])
        while True:
            first = list(waits)[: 2 * MOST_A_MINUTE]
            facts = Waiting(count=min(len(waits), FULL), openings=len(first), oldest=first[0] if first else None)
            spell = sum(now - SPELL < moment <= now for moment in opened)
            decision = decide(facts, Pace(left=tuple(left), openings=spell, digest_at=digest_at), now, groups=groups)
            if decision.gather:
                opened += [now] * len(waits)
                waits.clear()
                digest_at = now
                left.append(now)
            elif decision.single:
                for _ in range(decision.single):
                    waits.popleft()
                    opened.append(now)
                    left.append(now)
            else:
                break
        if not (coming or waits):
            break
    assert not waits
    assert not coming
    assert now <= at(300 + (60 if not groups else 600))
    for moment in left:
        assert sum(moment - timedelta(seconds=60) < other <= moment for other in left) <= MOST_A_MINUTE
