"""From results to a vote and from votes to a verdict, against tables written down a second time."""

from __future__ import annotations

import itertools
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import START, a_monitor, at
from tocsin.core.consensus import (
    LocationState,
    Seat,
    Verdict,
    VerdictValue,
    counted_out,
    decide,
    fold,
    needed,
    recompute,
    set_right,
)
from tocsin.core.monitor import Quorum
from tocsin.core.result import CheckError

FRESH_S = 130.0
REFUSED = CheckError("connection_refused", "connection refused", "connect")
SLOW = CheckError("assertion", "812 ms where less than 800 ms was expected")


# One location's state


def folded(letters: str, start: LocationState | None = None, **config: Any) -> LocationState:
    """The state after results u, s (degraded), d, i (invalid), one a minute."""
    monitor = a_monitor(**config)
    state = start or LocationState(location="local")
    begin = 0.0 if state.at is None else (state.at - START).total_seconds() + 60
    words: dict[str, tuple[Any, CheckError | None]] = {
        "u": ("up", None),
        "s": ("degraded", SLOW),
        "d": ("down", REFUSED),
        "i": ("invalid", CheckError("unknown", "the event loop lagged")),
    }
    for number, letter in enumerate(letters):
        status, error = words[letter]
        state = fold(state, monitor, status, at(begin + 60 * number), 0, error)
    return state


@pytest.mark.parametrize(
    ("known_s", "result_s", "so"),
    [
        (3600, 0, True),
        (3600, -20, True),  # it was under way for a while
        (3600, 25, True),
        (3600, -40, False),  # late: it says nothing of the clock
        (3600, 3590, False),  # the clock of who judges is behind, and the result is late
        (20, 0, False),
        (-5, -10, False),
    ],
)
def test_a_clock_that_was_ahead_is_seen_to_be_set_right(known_s: float, result_s: float, *, so: bool) -> None:
    assert set_right(at(known_s), at(result_s), START) is so
    assert not set_right(None, at(result_s), START)


def test_a_vote_that_is_dated_ahead_grows_old_from_when_it_was_heard() -> None:
    state = LocationState(location="local", vote="up", at=at(3600), heard=at(0))
    seats = [Seat(location="local", state=state)]
    first, later = (decide(seats, "majority", FRESH_S, None, at(s)) for s in (10, FRESH_S + 1))
    assert (first.value, first.votes[0].age_s) == ("up", 10.0)
    assert (later.value, later.votes[0].fresh) == ("unknown", False)


@pytest.mark.parametrize(
    ("letters", "config", "vote", "suspect"),
    [
        ("", {}, None, False),
        ("u", {}, "up", False),
        ("d", {}, None, True),
        ("dd", {}, "down", False),
        ("d", {"failure_threshold": 1}, "down", False),
        ("ud", {}, "up", True),
        ("udu", {}, "up", False),
        ("udud", {}, "up", True),
        ("udd", {}, "down", False),
        ("udid", {}, "down", False),
        ("uddu", {}, "up", False),
        ("uddu", {"recovery_threshold": 2}, "down", False),
        ("udduu", {"recovery_threshold": 2}, "up", False),
        ("uddudu", {"recovery_threshold": 2}, "down", False),
        ("us", {}, "up", True),
        ("uss", {}, "degraded", False),
        ("usus", {}, "up", True),
        ("us", {"degraded_threshold": 1}, "degraded", False),
        ("ussu", {}, "up", False),
        ("ussu", {"recovery_threshold": 2}, "degraded", False),
        ("ussus", {"recovery_threshold": 2}, "degraded", False),
        ("ussuu", {"recovery_threshold": 2}, "up", False),
        ("ussd", {}, "degraded", True),
        ("ussdd", {}, "down", False),
        ("dds", {}, "degraded", False),
        ("dds", {"recovery_threshold": 2}, "down", False),
        ("ddsu", {"recovery_threshold": 2}, "up", False),
        ("ddsuss", {"recovery_threshold": 3}, "degraded", False),
        ("dsd", {}, None, True),
        ("s", {}, None, True),
        ("ss", {}, "degraded", False),
        ("su", {"recovery_threshold": 2}, "up", False),
    ],
)
def test_a_location_votes_when_its_threshold_is_reached(
    letters: str, config: dict[str, Any], vote: str | None, suspect: bool
) -> None:
    state = folded(letters, **config)
    assert (state.vote, state.suspect) == (vote, suspect)


def test_the_vote_knows_its_reason_and_when_it_began() -> None:
    state = folded("uudd")
    assert (state.reason, state.since, state.downs) == (REFUSED, at(180), 2)
    again = folded("dd", state)
    assert (again.since, again.at) == (at(180), at(300))
    assert folded("u", again).reason is None


def test_a_down_vote_keeps_its_reason_while_it_recovers() -> None:
    assert folded("ddu", recovery_threshold=2).reason == REFUSED
    assert folded("dds", recovery_threshold=2).reason == REFUSED


@given(st.text("usd", max_size=12), st.integers(-3, 0), st.integers(0, 2), st.sampled_from(["up", "degraded", "down"]))
def test_a_result_that_is_not_newer_changes_nothing(letters: str, minutes: int, attempt: int, status: Any) -> None:
    monitor = a_monitor()
    state = folded("u" + letters)
    assert state.at is not None
    state = fold(state, monitor, "down", state.at, 1, REFUSED)
    assert state.at is not None
    older = minutes < 0 or attempt <= 1
    after = fold(state, monitor, status, state.at + timedelta(minutes=minutes), attempt, REFUSED)
    assert (after is state) is older


@given(st.text("usd", max_size=15), st.integers(1, 4), st.integers(1, 4), st.integers(1, 4))
def test_invalid_results_are_as_if_they_had_never_been(
    letters: str, failure: int, degraded: int, recovery: int
) -> None:
    config = {"failure_threshold": failure, "degraded_threshold": degraded, "recovery_threshold": recovery}
    plain = state = LocationState(location="local")
    monitor = a_monitor(**config)
    words: dict[str, Any] = {"u": "up", "s": "degraded", "d": "down"}
    for number, letter in enumerate(letters):
        plain = fold(plain, monitor, words[letter], at(number * 60), 0, None)
        state = fold(state, monitor, "invalid", at(number * 60 - 1), 0, REFUSED)
        state = fold(state, monitor, words[letter], at(number * 60), 0, None)
    assert state == plain


@given(st.text("usd", max_size=15), st.integers(1, 4), st.integers(1, 4))
def test_a_vote_is_down_exactly_from_enough_downs_to_enough_answers(letters: str, failure: int, recovery: int) -> None:
    """A slow reading of the rule: walk the letters, remember whether it is down."""
    down, row = False, ""
    for letter in letters:
        row = (row if (letter == "d") == (row[-1:] == "d") else "") + letter
        if letter == "d" and len(row) >= failure:
            down = True
        elif letter != "d" and len(row) >= recovery:
            down = False
    state = folded(letters, failure_threshold=failure, recovery_threshold=recovery)
    assert (state.vote == "down") is down


# The verdict

SILENT = ("nothing", "stale", "none", "quarantined")


def a_seat(name: str, kind: str, *, now_s: float = 0.0, **more: Any) -> Seat:
    """A seat that votes up, degraded or down, or is silent in one of four ways."""
    place = LocationState(location=name)
    when = at(now_s - 30)
    match kind:
        case "nothing":
            return Seat(location=name, **more)
        case "stale":
            state = LocationState(location=name, vote="down", at=at(now_s - FRESH_S), reason=REFUSED)
        case "none":
            state = msgspec.structs.replace(place, at=when, status="down", suspect=True)
        case "quarantined":
            return Seat(location=name, state=LocationState(location=name, vote="down", at=when), quarantined=True)
        case "down":
            state = LocationState(location=name, vote="down", at=when, reason=REFUSED)
        case "degraded":
            state = LocationState(location=name, vote="degraded", at=when, reason=SLOW)
        case _:
            state = LocationState(location=name, vote="up", at=when)
    return Seat(location=name, state=state, **more)


def a_previous(value: VerdictValue, *, pending: bool = False) -> Verdict:
    return Verdict(
        value=value, pending=pending, at=at(-60), since=at(-600), n=3, k=2, f=3, d=0, u=3, min_fresh=2,
        quorum="majority", fresh_s=FRESH_S, votes=(), reason="it was so", error=REFUSED if value == "down" else None,
    )  # fmt: skip


def the_table(n: int, k: int, d: int, u: int, degraded: int, before: str | None, settled: bool) -> str:
    """The rule once more, case by case as the specification's table has it, without looking at the code."""
    enough = d + u >= (2 if n >= 2 else 1)
    if not enough and settled:
        return "unknown"
    if not enough:
        return before or "unknown"
    if d >= k:
        return "down"
    if d == 0 and n - u < k:
        return "degraded" if degraded > u - degraded else "up"
    if d in range(1, k):
        return "down" if before == "down" and not settled and n - u >= k else "partial"
    if before in ("up", "degraded"):
        return before
    return before if before and not settled else "unknown"


ROOMS = [
    (n, k, d, degraded, up, n - d - degraded - up)
    for n in range(1, 6)
    for k in range(1, n + 1)
    for d in range(n + 1)
    for degraded in range(n - d + 1)
    for up in range(n - d - degraded + 1)
]
BEFORE: tuple[VerdictValue | None, ...] = (None, "up", "degraded", "partial", "down", "unknown")


def test_every_room_of_up_to_five_locations_votes_as_the_table_says() -> None:
    seen = 0
    for n, k, d, degraded, up, silent in ROOMS:
        for way, before, settled in itertools.product(SILENT if silent else ("",), BEFORE, (True, False)):
            kinds = ["down"] * d + ["degraded"] * degraded + ["up"] * up + [way] * silent
            seats = [a_seat(f"l{i}", kind) for i, kind in enumerate(kinds)]
            previous = None if before is None else a_previous(before)
            verdict = decide(seats, k, FRESH_S, previous, START, settled=settled)
            expected = the_table(n, k, d, up + degraded, degraded, before, settled)
            assert verdict.value == expected, (n, k, d, degraded, up, way, before, settled)
            assert (verdict.n, verdict.k, verdict.d, verdict.u, verdict.f) == (
                n,
                k,
                d,
                up + degraded,
                d + up + degraded,
            )
            assert recompute(verdict) == verdict.value
            seen += 1
    assert seen > 9000


rooms = st.lists(st.sampled_from(["up", "up", "degraded", "down", "down", *SILENT]), min_size=1, max_size=7)
quorums: st.SearchStrategy[Quorum] = st.one_of(st.sampled_from(["majority", "any", "all"]), st.integers(1, 7))
befores = st.sampled_from([None, *map(a_previous, ("up", "degraded", "partial", "down", "unknown"))])
domains = st.lists(st.sampled_from([None, "aws", "gcp", "home"]), min_size=7, max_size=7)


def seated(kinds: list[str], named: list[str | None]) -> list[Seat]:
    return [a_seat(f"l{i}", kind, failure_domain=named[i]) if kind != "quarantined" else a_seat(f"l{i}", kind)
            for i, kind in enumerate(kinds)]  # fmt: skip


def test_what_was_known_before_changes_nothing_until_the_locations_are_heard_again() -> None:
    """Who comes to judge knows less than who judged until now: old ups beside a stored down, old downs beside an up."""
    kinds = {"a": "up", "b": "up", "c": "up"}

    def judged(before: VerdictValue, heard: str, settled: bool = False, **but: str) -> str:
        seats = [a_seat(name, kind) for name, kind in (kinds | but).items()]
        return decide(seats, 2, FRESH_S, a_previous(before), START, settled=settled, heard=heard).value

    assert judged("down", "") == "down"
    assert judged("down", "a") == "down"
    assert judged("down", "ab") == "up"
    assert judged("down", "", settled=True) == "up"
    assert judged("up", "", a="down", b="down") == "up"
    assert judged("up", "a", a="down", b="down") == "up"
    assert judged("up", "ab", a="down", b="down") == "down"
    assert judged("up", "ac", a="down", b="down") == "partial"
    kept = decide(
        [a_seat(name, "up") for name in "abc"], 2, FRESH_S, a_previous("down"), START, settled=False, heard="a"
    )
    assert kept.reason.startswith("Stays down for now: ")
    assert recompute(kept) == "down"


@given(rooms, domains, quorums, befores, st.booleans(), st.randoms(use_true_random=False))
def test_the_order_of_the_seats_does_not_matter(
    kinds: list[str], named: list[str | None], quorum: Quorum, before: Verdict | None, settled: bool, chance: Any
) -> None:
    seats = seated(kinds, named)
    one = decide(seats, quorum, FRESH_S, before, START, settled=settled)
    chance.shuffle(seats)
    assert decide(seats, quorum, FRESH_S, before, START, settled=settled) == one


@given(rooms, domains, quorums, befores)
def test_one_survivor_of_several_never_decides_alone(
    kinds: list[str], named: list[str | None], quorum: Quorum, before: Verdict | None
) -> None:
    seats = seated(kinds, named)
    verdict = decide(seats, quorum, FRESH_S, before, START)
    if verdict.n >= 2 and verdict.f == 1:
        assert verdict.value == "unknown"


@given(rooms, domains, quorums, befores, st.booleans())
def test_a_verdict_can_be_recomputed_from_what_is_stored_of_it(
    kinds: list[str], named: list[str | None], quorum: Quorum, before: Verdict | None, settled: bool
) -> None:
    verdict = decide(seated(kinds, named), quorum, FRESH_S, before, START, settled=settled)
    stored = msgspec.json.decode(msgspec.json.encode(verdict), type=Verdict)
    assert stored == verdict
    assert recompute(stored) == verdict.value


@given(rooms, quorums, befores)
def test_judging_again_changes_nothing(kinds: list[str], quorum: Quorum, before: Verdict | None) -> None:
    seats = seated(kinds, [None] * 7)
    one = decide(seats, quorum, FRESH_S, before, START)
    again = decide(seats, quorum, FRESH_S, one, START + timedelta(seconds=1))
    assert (again.value, again.pending, again.since) == (one.value, one.pending, one.since)


@given(rooms, quorums, befores)
def test_one_more_down_never_makes_it_better(kinds: list[str], quorum: Quorum, before: Verdict | None) -> None:
    """Turning an up vote into a down one moves towards down, never away from it."""
    badness = {"up": 0, "degraded": 0, "partial": 1, "down": 2}
    if "up" not in kinds:
        return
    worse = list(kinds)
    worse[worse.index("up")] = "down"
    one = decide(seated(kinds, [None] * 7), quorum, FRESH_S, before, START).value
    two = decide(seated(worse, [None] * 7), quorum, FRESH_S, before, START).value
    assert one == "unknown" or badness[two] >= badness[one]


def test_an_even_split_is_partial_and_flips_nothing() -> None:
    seats = [a_seat(f"l{i}", kind) for i, kind in enumerate(["down", "down", "up", "up"])]
    verdict = decide(seats, "majority", FRESH_S, a_previous("up"), START)
    assert (verdict.value, verdict.k, verdict.reason) == ("partial", 3, "2 of 4 locations say down; 3 are needed")


def test_locations_taken_away_do_not_leave_a_quorum_nobody_can_reach() -> None:
    assert needed(5, 3) == 3
    assert decide([a_seat("l0", "down"), a_seat("l1", "down")], 3, FRESH_S, None, START).value == "down"


def test_without_any_location_nothing_is_known() -> None:
    verdict = decide([], "majority", FRESH_S, None, START)
    assert (verdict.value, verdict.pending, verdict.reason) == ("unknown", True, "No location is assigned")
    assert recompute(verdict) == "unknown"


def test_unknown_is_pending_until_something_was_judged_and_lost_coverage_after() -> None:
    nothing = [a_seat("l0", "nothing"), a_seat("l1", "nothing"), a_seat("l2", "nothing")]
    first = decide(nothing, "majority", FRESH_S, None, START)
    assert (first.value, first.pending) == ("unknown", True)
    still = decide([a_seat("l0", "up"), *nothing[1:]], "majority", FRESH_S, first, at(10))
    assert (still.pending, still.since) == (True, START)
    assert still.reason == "1 of 3 locations has a fresh vote; 2 are needed"
    up = decide([a_seat("l0", "up"), a_seat("l1", "up"), nothing[2]], "majority", FRESH_S, still, at(20))
    assert (up.value, up.since, up.reason) == ("up", at(20), "2 of 3 locations say up; 1 has no fresh vote")
    lost = decide([a_seat("l0", "up"), *nothing[1:]], "majority", FRESH_S, up, at(30))
    assert (lost.value, lost.pending, lost.since) == ("unknown", False, at(30))
    assert lost.reason == "Coverage lost: 1 of 3 locations has a fresh vote; 2 are needed"


def test_after_a_start_the_stored_verdict_stands_until_votes_had_time_to_come() -> None:
    nothing = [a_seat("l0", "nothing"), a_seat("l1", "nothing"), a_seat("l2", "nothing")]
    kept = decide(nothing, "majority", FRESH_S, a_previous("down"), START, settled=False)
    assert (kept.value, kept.since, kept.error) == ("down", at(-600), REFUSED)
    assert kept.reason == "Stays down for now: none of 3 locations has a fresh vote; 2 are needed"
    assert decide(nothing, "majority", FRESH_S, kept, START, settled=True).value == "unknown"


@pytest.mark.parametrize(
    ("kinds", "reason"),
    [
        (["down"], "The only location says down"),
        (["up"], "The only location says up"),
        (["degraded"], "The only location says degraded"),
        (["down", "down", "down", "up"], "3 of 4 locations say down; 3 are needed"),
        (["down", "down"], "All 2 locations say down; 2 are needed"),
        (["down", "up", "up"], "1 of 3 locations says down; 2 are needed"),
        (["up", "up", "up"], "All 3 locations say up"),
        (["up", "degraded", "degraded"], "2 of 3 locations say degraded"),
    ],
)
def test_the_reason_is_one_exact_sentence(kinds: list[str], reason: str) -> None:
    seats = [a_seat(f"l{i}", kind) for i, kind in enumerate(kinds)]
    assert decide(seats, "majority", FRESH_S, None, START).reason == reason


def test_the_error_is_the_one_most_down_votes_name() -> None:
    timeout = CheckError("timeout", "no answer within 10 s", "ttfb")
    seats = [a_seat("a", "down"), a_seat("b", "down"), a_seat("c", "down"), a_seat("d", "up")]
    slow = [
        msgspec.structs.replace(s, state=msgspec.structs.replace(s.state, reason=timeout)) for s in seats[:2] if s.state
    ]
    verdict = decide([*slow, *seats[2:]], "majority", FRESH_S, None, START)
    assert verdict.error == timeout
    assert decide([seats[3]], "majority", FRESH_S, None, START).error is None


# Failure domains, quarantine, ages


@pytest.mark.parametrize(
    ("votes", "value", "counts"),
    [
        # (location, domain, vote): three providers, the first with three locations
        ("a:x:down b:x:down c:x:down d:y:up e:z:up", "partial", (3, 2, 1, 2)),
        ("a:x:down b:x:down c:x:up d:y:up e:z:up", "up", (3, 2, 0, 2)),
        ("a:x:down b:x:down c:x:nothing d:y:down e:z:up", "down", (3, 2, 2, 1)),
        ("a:x:down b:x:up c:x:up d:y:down e:z:down", "down", (3, 2, 2, 0)),
        ("a:x:down b:x:up c:x:up d:y:down e:z:nothing", "unknown", (3, 2, 1, 0)),
        ("a:x:down b:x:down c::up d::up", "partial", (3, 2, 1, 2)),
        ("a:x:degraded b:x:degraded c::degraded d::up", "degraded", (3, 2, 0, 3)),
        ("a:x:down b:x:down", "down", (1, 1, 1, 0)),
    ],
)
def test_with_failure_domains_domains_vote(votes: str, value: str, counts: tuple[int, ...]) -> None:
    seats: list[Seat] = []
    for word in votes.split():
        name, domain, kind = word.split(":")
        seats.append(a_seat(name, kind, failure_domain=domain or None))
    verdict = decide(seats, "majority", FRESH_S, None, START)
    assert (verdict.value, (verdict.n, verdict.k, verdict.d, verdict.u)) == (value, counts)
    assert recompute(verdict) == value
    assert "failure domain" in verdict.reason


def test_who_is_quarantined_is_counted_but_not_heard() -> None:
    seats = [a_seat("a", "quarantined"), a_seat("b", "up"), a_seat("c", "up")]
    verdict = decide(seats, "majority", FRESH_S, None, START)
    assert (verdict.value, verdict.n, verdict.f) == ("up", 3, 2)
    assert [vote.quarantined for vote in verdict.votes] == [True, False, False]


def test_a_vote_is_fresh_until_it_is_as_old_as_allowed() -> None:
    state = LocationState(location="a", vote="up", at=START)
    seat = Seat(location="a", state=state)
    assert decide([seat], "majority", FRESH_S, None, at(129.999999)).value == "up"
    assert decide([seat], "majority", FRESH_S, None, at(130)).value == "unknown"
    assert decide([seat], "majority", FRESH_S, None, at(-1)).value == "up"


def test_the_vote_of_a_push_monitor_does_not_age() -> None:
    monitor = a_monitor(type="push", interval_s=60)
    seat = Seat(location="a", state=LocationState(location="a", vote="up", at=START))
    assert decide([seat], "majority", monitor.fresh_s(), None, at(86_400 * 3650)).value == "up"


def test_a_verdict_stands_as_long_as_enough_of_its_votes_are_fresh() -> None:
    def voting(name: str, seconds: float) -> Seat:
        return Seat(location=name, state=LocationState(location=name, vote="up", at=at(seconds)))

    seats = [voting("a", -100), voting("b", -60), voting("c", -10)]
    verdict = decide(seats, "majority", FRESH_S, None, START)
    assert decide(seats, "majority", FRESH_S, verdict, at(-60 + FRESH_S - 0.001)).value == "up"
    assert decide(seats, "majority", FRESH_S, verdict, at(-60 + FRESH_S)).value == "unknown"


@given(rooms, quorums)
def test_down_is_never_counted_out_while_it_is_the_verdict(kinds: list[str], quorum: Quorum) -> None:
    verdict = decide(seated(kinds, [None] * 7), quorum, FRESH_S, None, START)
    assert not (verdict.value in ("down", "unknown") and counted_out(verdict) and verdict.d >= verdict.k)
    if verdict.value in ("up", "degraded"):
        assert counted_out(verdict)
