"""Which location is blind: against counting one by one, and step by step through its incident."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import at
from tocsin.core.advance import advance
from tocsin.core.quarantine import CALM_S, Ballot, Sight, finding_of, survey, terms_of


def room(text: str) -> list[Ballot]:
    """ "a+ b- c?+ d= e>": a says up, b down, c up in doubt, d up but has not looked since, e up and was the last to look."""
    looked = {"=": 0.0, ">": 2.0}
    return [
        Ballot(word[0], word[-1] == "-", at_s=looked.get(word[-1], 1.0), suspect="?" in word) for word in text.split()
    ]


@pytest.mark.parametrize(
    ("rooms", "silenced", "shared", "alone"),
    [
        (["a- b+ c+"] * 4, "", 4, 4),
        (["a- b+"] * 3, "", 3, 3),  # two places: the other one disagrees
        (["a- b- c+"] * 4, "", 4, 0),  # one of two others agrees: that is no disagreement
        (["a- b- c+ d+"] * 4, "", 4, 4),
        (["a- b-"] * 4, "", 4, 0),  # it is down, and all say so
        (["a-"] * 9, "", 0, 0),  # nobody to compare with
        (["a- b+", "a+ b+", "a+ b+"], "", 3, 1),
        (["a- b- c+"] * 4, "b", 4, 4),  # who is blind is no witness
        (["a- b- c+"] * 4, "a", 4, 0),
        (["a- b-"] * 4, "b", 0, 0),
        ([""], "", 0, 0),
        (["a- b= c= d="] * 4, "", 4, 0),  # the first to say so
        (["a- b+ c= d="] * 4, "", 4, 0),
        (["a- b> c> d>"] * 4, "", 4, 0),  # the last to see that it is over
        (["a- b?+ c?+ d+"] * 4, "", 4, 0),
        (["a- b+ c+ d="] * 4, "", 4, 4),
    ],
)
def test_what_a_says_beside_the_others(rooms: list[str], silenced: str, shared: int, alone: int) -> None:
    found = survey(map(room, rooms), frozenset(silenced.split())).get("a", Sight())
    assert (found.shared, found.alone) == (shared, alone)


ballots = st.dictionaries(
    st.sampled_from("abcde"), st.tuples(st.booleans(), st.integers(0, 2), st.integers(0, 2), st.booleans()), max_size=5
).map(lambda votes: [Ballot(place, *vote) for place, vote in votes.items()])


@given(st.lists(ballots, max_size=6), st.frozensets(st.sampled_from("abcde"), max_size=3))
def test_it_is_what_asking_each_about_each_other_gives(rooms: list[list[Ballot]], silenced: frozenset[str]) -> None:
    found = survey(rooms, silenced)
    for place in "abcde":
        shared = alone = 0
        for votes in rooms:
            mine = [vote for vote in votes if vote.location == place]
            others = [vote for vote in votes if vote.location != place and vote.location not in silenced]
            if mine and others:
                against = [v for v in others if not (v.down or v.suspect) and mine[0].since_s < v.at_s <= mine[0].at_s]
                shared += 1
                alone += mine[0].down and len(against) > len(others) - len(against)
        assert found.get(place, Sight()) == Sight(shared=shared, alone=alone)


@pytest.mark.parametrize(
    ("sight", "more", "standing"),
    [
        (Sight(shared=3, alone=2), {}, "trouble"),
        (Sight(shared=4, alone=2), {}, "open"),
        (Sight(shared=4, alone=1), {}, "over"),
        (Sight(shared=2, alone=2), {}, "open"),  # too few monitors to condemn a place
        (Sight(shared=2, alone=0), {}, "over"),
        (None, {}, "open"),
        (None, {"assigned": False}, "over"),
        (Sight(shared=9, alone=0), {"doubt": "no route"}, "trouble"),
        (Sight(shared=9, alone=9), {"assigned": False}, "over"),
    ],
)
def test_when_it_is_trouble(sight: Sight | None, more: dict[str, Any], standing: str) -> None:
    assert finding_of(sight, **({"assigned": True} | more)).standing == standing


def test_it_must_agree_for_a_while_before_it_is_heard_again() -> None:
    terms, incident = terms_of("ws", "eu"), None
    told: list[tuple[float, str]] = []
    for second, alone in [
        (0, 2),
        (10, 6),
        (20, 5),
        (30, 4),
        (40, 2),
        (50, 4),
        (60, 2),
        (90, 2),
        (119, 1),
        (120, 2),
        (180, 0),
    ]:
        step = advance(incident, terms, finding_of(Sight(shared=8, alone=alone), assigned=True), at(second), new_id="i")
        incident = step.incident
        told += [(second, transition.what) for transition in step.transitions]
    assert told == [(10, "opened"), (120, "resolved")]
    assert CALM_S == 60
