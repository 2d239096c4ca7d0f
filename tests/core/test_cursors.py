"""Which results are held: ranges, cumulative acknowledgements, what is missing."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tocsin.core.contact import silent_at
from tocsin.core.cursors import Cursors, Origin, numbers, to_offer
from tocsin.core.intents import Intent, in_doubt, to_send

A, B = Origin("a", "a1"), Origin("b", "b1")


@given(st.lists(st.integers(1, 40)), st.lists(st.integers(1, 40)))
def test_what_is_missing_is_the_difference(here: list[int], there: list[int]) -> None:
    mine, theirs = Cursors(), Cursors()
    fresh = [mine.add(A, seq) for seq in here]
    for seq in there:
        theirs.add(A, seq)
    assert sum(fresh) == len(set(here))
    missing = mine.missing(theirs.offer())
    assert set(numbers(missing.get(A, ()))) == set(there) - set(here)
    held = set(here)
    assert mine.upto(A) == next(n for n in range(42) if n + 1 not in held)
    assert mine.newest(A) == max(here, default=0)
    assert set(numbers(to_offer(mine).get(A, ()))) == held


def test_what_grew_old_is_neither_missing_nor_offered() -> None:
    held = Cursors({A: [(1, 10)], B: [(3, 4)]})
    held.forget(A, 6)
    assert (held.upto(A), held.offer()[A]) == (10, ((6, 10),))
    assert held.upto(B) == 0
    held.forget(B, 5)
    assert (held.upto(B), B in held.offer()) == (4, False)
    held.add(B, 5)
    assert held.upto(B) == 5


def an_intent(number: int, channel: str = "mail", index: int = 1) -> Intent:
    return Intent(key=f"{channel}{number}", channel=channel, subject="m", number=number, index=index, epoch=3)


def test_of_one_subject_a_channel_is_told_in_order_and_only_what_is_committed() -> None:
    intents = [an_intent(2, index=5), an_intent(1, index=4), an_intent(2, "chat", index=5)]
    assert [i.key for i in to_send(intents, 5, [])] == ["mail1", "chat2"]
    assert [i.key for i in to_send(intents, 4, [])] == ["mail1"]
    assert [i.key for i in to_send(intents, 5, [("mail", "m")])] == ["chat2"]
    assert (in_doubt(intents[0], 3), in_doubt(intents[0], 4)) == (False, True)


def test_who_takes_over_gives_everybody_one_whole_timeout() -> None:
    assert silent_at(100.0, 0.0, 75.0) == 175.0
    assert silent_at(100.0, 160.0, 75.0) == 235.0
    assert silent_at(None, 10.0, 75.0) == 85.0
