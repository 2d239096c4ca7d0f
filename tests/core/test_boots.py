"""Which of two processes with one identity is listened to."""

from __future__ import annotations

from tocsin.core.boots import Boots


def test_a_restart_is_no_twin() -> None:
    boots = Boots(10, 60)
    assert not boots.is_twin("b", "1", 0)
    assert not boots.is_twin("b", "2", 5)
    assert not boots.is_twin("b", "1", 6)  # said before it ended
    assert not boots.is_twin("b", "2", 30)


def test_of_two_that_speak_in_turn_the_first_counts() -> None:
    boots = Boots(10, 60)
    boots.is_twin("b", "1", 0)
    assert not boots.is_twin("b", "2", 5)  # nobody can know yet
    assert not boots.is_twin("b", "1", 16)
    assert boots.is_twin("b", "2", 17)
    assert not boots.is_twin("b", "1", 20)
    assert boots.is_twin("b", "2", 21)
    assert not boots.is_twin("c", "2", 21)


def test_the_one_that_is_left_counts_again() -> None:
    boots = Boots(10, 60)
    boots.is_twin("b", "1", 0)
    boots.is_twin("b", "2", 5)
    boots.is_twin("b", "1", 16)
    assert boots.is_twin("b", "2", 70)
    assert not boots.is_twin("b", "2", 77)
    boots.forget("b")
    assert not boots.is_twin("b", "1", 78)


def test_many_restarts_are_not_remembered_for_ever() -> None:
    boots = Boots(10, 60)
    assert not any(boots.is_twin("b", str(n), n * 20) for n in range(1000))
