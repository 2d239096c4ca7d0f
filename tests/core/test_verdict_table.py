"""The verdict over n locations against a table that reads like the specification: every room of up to five locations, every
quorum, whatever was said before. Then what must hold for all of them, and over histories of time."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import START, a_monitor, a_verdict, at
from tocsin.core.consensus import (
    LocationState,
    Seat,
    Verdict,
    VerdictValue,
    decide,
    fold,
    lost,
    recompute,
)
from tocsin.core.monitor import Quorum
from tocsin.core.result import CheckError

FRESH_S = 130.0
KINDS = ("up", "degraded", "down", "quarantined", "silent")
BEFORE: tuple[VerdictValue | None, ...] = (None, "up", "degraded", "partial", "down", "unknown")


@dataclass(frozen=True)
class Room:
    """n assigned, k needed, d down, u up or degraded, `slow` of them degraded; what the verdict was, and whether the
    locations have had the time to answer."""

    n: int
    k: int
    d: int
    u: int
    slow: int
    before: VerdictValue | None
    settled: bool

    @property
    def heard(self) -> bool:
        return self.d + self.u >= min(self.n, 2)


TABLE: dict[str, tuple[Callable[[Room], bool], Callable[[Room], str]]] = {
    "too few are heard":      (lambda r: not r.heard and r.settled,              lambda r: "unknown"),
    "too few as yet":         (lambda r: not r.heard and not r.settled,          lambda r: r.before or "unknown"),
    "a quorum says down":     (lambda r: r.heard and r.d >= r.k,                 lambda r: "down"),
    "some say down":          (lambda r: r.heard and 0 < r.d < r.k and (r.settled or r.before != "down" or r.n - r.u < r.k),
                               lambda r: "partial"),
    "some still say down":    (lambda r: r.heard and 0 < r.d < r.k and not r.settled and r.before == "down"
                               and r.n - r.u >= r.k, lambda r: "down"),
    "down is ruled out":      (lambda r: r.heard and r.d == 0 and r.n - r.u < r.k,
                               lambda r: "degraded" if r.slow > r.u / 2 else "up"),
    "down cannot be ruled out": (lambda r: r.heard and r.d == 0 and r.n - r.u >= r.k,
                               lambda r: r.before if r.before in ("up", "degraded") or (r.before and not r.settled)
                               else "unknown"),
}  # fmt: skip
QUORUMS: dict[str, Callable[[int], int]] = {
    "majority": lambda n: {1: 1, 2: 2, 3: 2, 4: 3, 5: 3}[n],
    "any": lambda n: 1,
    "all": lambda n: n,
}


def the_verdict(room: Room) -> str:
    """What the table says; exactly one of its rows applies."""
    rows = [name for name, (applies, _) in TABLE.items() if applies(room)]
    assert len(rows) == 1, (room, rows)
    return TABLE[rows[0]][1](room)


def a_seat(number: int, kind: str, domain: str | None = None) -> Seat:
    name = f"l{number}"
    vote: Any = {"up": "up", "degraded": "degraded"}.get(kind, "down")
    reason = CheckError("timeout", "no answer within 10 s") if vote == "down" else None
    state = LocationState(location=name, vote=vote, at=at(-30), reason=reason)
    if kind == "silent":
        silence = (None, msgspec.structs.replace(state, at=at(-FRESH_S)), msgspec.structs.replace(state, vote=None))
        return Seat(location=name, state=silence[number % 3], failure_domain=domain)
    return Seat(location=name, state=state, quarantined=kind == "quarantined", failure_domain=domain)


def rooms(most: int = 5) -> Iterator[tuple[tuple[str, ...], Quorum, int]]:
    """Every room: (the kinds of its locations, its quorum, how many that is)."""
    for n in range(1, most + 1):
        asked: list[tuple[Any, int]] = [(word, meant(n)) for word, meant in QUORUMS.items()]
        asked += [(k, k) for k in range(1, n + 1)]
        for kinds in itertools.combinations_with_replacement(KINDS, n):
            for quorum, k in asked:
                yield kinds, quorum, k


def test_every_room_is_judged_as_the_table_says() -> None:
    seen: Counter[str] = Counter()
    for kinds, quorum, k in rooms():
        seats, count = [a_seat(i, kind) for i, kind in enumerate(kinds)], Counter(kinds)
        for before, settled in itertools.product(BEFORE, (True, False)):
            previous = None if before is None else a_verdict(before, at=at(-600))
            found = decide(seats, quorum, FRESH_S, previous, START, settled=settled)
            room = Room(
                len(kinds), k, count["down"], count["up"] + count["degraded"], count["degraded"], before, settled
            )
            assert found.value == the_verdict(room), (kinds, quorum, before, settled)
            assert (found.n, found.k, found.d, found.u) == (room.n, room.k, room.d, room.u)
            assert found.pending == (found.value == "unknown" and before is None)
            assert recompute(found) == found.value
            seen[found.value] += 1
    assert set(seen) == {"up", "degraded", "partial", "down", "unknown"}
    assert sum(seen.values()) > 20_000


def test_what_must_hold_in_every_room() -> None:
    """One more down never makes it better, one survivor never decides alone, an even split is partial, and who is in
    quarantine decides no more than who is silent."""
    badness = {"up": 0, "degraded": 0, "partial": 1, "down": 2}
    for kinds, quorum, _ in rooms():
        found = decide([a_seat(i, kind) for i, kind in enumerate(kinds)], quorum, FRESH_S, None, START)
        count = Counter(kinds)
        silent = [a_seat(i, "silent" if kind == "quarantined" else kind) for i, kind in enumerate(kinds)]
        assert decide(silent, quorum, FRESH_S, None, START).value == found.value
        if len(kinds) >= 2 and found.f == 1:
            assert found.value == "unknown"
        if quorum == "majority" and count["down"] * 2 == len(kinds):
            assert found.value in ("partial", "unknown")
        for better in {"up", "degraded", "silent", "quarantined"} & count.keys():
            worse = list(kinds)
            worse[worse.index(better)] = "down"
            then = decide([a_seat(i, kind) for i, kind in enumerate(worse)], quorum, FRESH_S, None, START).value
            assert found.value == "unknown" or badness[then] >= badness[found.value], (kinds, worse, quorum)


def test_with_a_domain_each_it_is_as_without() -> None:
    for kinds, quorum, _ in rooms(4):
        plain = decide([a_seat(i, kind) for i, kind in enumerate(kinds)], quorum, FRESH_S, None, START)
        named = decide([a_seat(i, kind, f"d{i}") for i, kind in enumerate(kinds)], quorum, FRESH_S, None, START)
        assert (named.value, named.n, named.k, named.d, named.u) == (plain.value, plain.n, plain.k, plain.d, plain.u)


def test_a_whole_domain_counts_once() -> None:
    """Two of a provider's locations beside two others: three voters."""
    for one, two, three, four in itertools.product(("up", "down"), repeat=4):
        seats = [a_seat(0, one, "x"), a_seat(1, two, "x"), a_seat(2, three), a_seat(3, four)]
        domain = {("up", "up"): "up", ("down", "down"): "down"}.get((one, two), "none")
        votes = Counter([domain, three, four])
        expected = "down" if votes["down"] >= 2 else "partial" if votes["down"] else "up"
        assert decide(seats, "majority", FRESH_S, None, START).value == expected


PLACES = ("a", "b", "c")
histories = st.lists(
    st.tuples(
        st.sampled_from(PLACES), st.sampled_from(["up", "up", "down", "degraded", "invalid"]), st.integers(0, 90)
    ),
    min_size=1,
    max_size=40,
)


@given(histories, st.sampled_from(["majority", "any", "all", 2]), st.integers(0, 300), st.integers(0, 2))
def test_every_verdict_of_a_history_is_the_same_again_from_what_was_stored(
    history: list[tuple[str, Any, int]], quorum: Any, settles_s: int, quarantined: int
) -> None:
    monitor = a_monitor(interval_s=60, timeout_s=10)
    states: dict[str, LocationState] = {}
    verdict: Verdict | None = None
    now_s = 0.0
    for place, status, wait in history:
        now_s += wait
        before = states.get(place, LocationState(location=place))
        states[place] = fold(before, monitor, status, at(now_s), 0, None)
        seats = [Seat(location=p, state=states.get(p), quarantined=i < quarantined) for i, p in enumerate(PLACES)]
        verdict = decide(seats, quorum, monitor.fresh_s(), verdict, at(now_s), settled=now_s >= settles_s)
        stored = msgspec.json.decode(msgspec.json.encode(verdict), type=Verdict)
        assert stored == verdict
        assert recompute(stored) == verdict.value
        assert decide(seats, quorum, monitor.fresh_s(), verdict, at(now_s)).value == verdict.value or now_s < settles_s
        faded = lost(stored, at(now_s) + timedelta(seconds=monitor.fresh_s()), "Nobody looked")
        assert (faded.value, recompute(faded), faded.f) == ("unknown", "unknown", 0)


@pytest.mark.parametrize(("at_s", "fresh"), [(-31, 0), (-30, 3), (99, 3), (100, 0)])
def test_votes_at_another_moment_are_those_given_until_then_at_their_age_then(at_s: float, fresh: int) -> None:
    verdict = decide([a_seat(i, "up") for i in range(3)], "majority", FRESH_S, None, START)
    then = lost(verdict, at(at_s), "Nobody looked")
    assert sum(vote.fresh for vote in then.votes) == then.f == fresh
    assert all(vote.age_s is None or vote.age_s >= 0 for vote in then.votes)
