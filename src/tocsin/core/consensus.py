"""From results to a location's vote, and from votes to a verdict."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Sequence
from datetime import datetime, timedelta
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from tocsin.core.monitor import Monitor, Quorum
from tocsin.core.result import CheckError, Status
from tocsin.core.runs import Doing
from tocsin.core.tally import Tally, kept_sentence, sentence

VoteValue = Literal["up", "degraded", "down"]
VerdictValue = Literal["up", "degraded", "partial", "down", "unknown"]

AHEAD = timedelta(seconds=30)
"""By so much the clocks of two places may differ and nobody need care."""


class LocationState(Struct, frozen=True, kw_only=True):
    """What one location says of one monitor, folded over its results.

    `vote` is None until the first threshold is reached. `at` is the scheduled time of the latest valid result folded
    in, `attempt` its attempt; older ones do not change the state. `since`: when the present vote began. `reason`: of
    the latest failing or degraded result, None while it is up. `suspect`: a failure was seen but not enough of them.
    `doing`: what the job of a push monitor told of its runs. `stand_in`: who looked in its place, while it is lost.
    `heard`: when that latest result was seen (else came), by the clock of who judges, if it is dated otherwise; else None.
    """

    location: str
    vote: VoteValue | None = None
    suspect: bool = False
    downs: int = 0
    degradeds: int = 0
    ups: int = 0
    at: datetime | None = None
    attempt: int = 0
    status: Status | None = None
    since: datetime | None = None
    reason: CheckError | None = None
    doing: Doing | None = None
    stand_in: str | None = None
    heard: datetime | None = None

    @property
    def ages_from(self) -> datetime | None:
        """From when its age is counted."""
        return self.heard or self.at


class Seat(Struct, frozen=True, kw_only=True):
    """One assigned location at the vote."""

    location: str
    state: LocationState | None = None
    quarantined: bool = False
    failure_domain: str | None = None


class Vote(Struct, frozen=True, kw_only=True):
    """A seat as it was counted: stored as evidence, enough to recompute the verdict. `stand_in`: who voted in it."""

    location: str
    vote: VoteValue | None
    at: datetime | None
    age_s: float | None
    fresh: bool
    quarantined: bool = False
    failure_domain: str | None = None
    reason: CheckError | None = None
    stand_in: str | None = None


class Verdict(Struct, frozen=True, kw_only=True):
    """What the locations agree on, with its evidence. `pending`: unknown because nothing was ever judged.

    n assigned, k the quorum, f fresh, d down, u up or degraded (of n voters, or of n failure domains).
    `reason` is one sentence: why this value. `maintenance`: a maintenance window covers the monitor. `error` is the
    failure most of the votes against it name: the down ones of down and partial, the degraded ones of degraded; None
    when it is neither.
    """

    value: VerdictValue
    pending: bool = False
    at: datetime
    since: datetime
    n: int
    k: int
    f: int
    d: int
    u: int
    min_fresh: int
    quorum: Quorum
    fresh_s: float
    votes: tuple[Vote, ...]
    reason: str
    error: CheckError | None = None
    maintenance: bool = False


def fold(
    state: LocationState,
    monitor: Monitor,
    status: Status,
    at: datetime,
    attempt: int,
    error: CheckError | None,
    stand_in: str | None = None,
) -> LocationState:
    """The location's state after one more result. `invalid` changes nothing; neither does a result not newer than
    (state.at, state.attempt).

    A degraded result is an answer: it ends a row of downs, and counts towards the end of a down vote as an up does. Where
    somebody else looks than before (`stand_in`), rows begin anew; the vote stays until the new one has made up its mind.
    """
    if status == "invalid" or (state.at is not None and (at, attempt) <= (state.at, state.attempt)):
        return state
    if stand_in != state.stand_in:
        state = replace(state, downs=0, degradeds=0, ups=0)
    downs = state.downs + 1 if status == "down" else 0
    degradeds = state.degradeds + 1 if status == "degraded" else 0
    answers = status == "up" or (status == "degraded" and state.vote in (None, "down"))
    ups = state.ups + 1 if answers else 0
    vote = state.vote
    if status == "down" and downs >= monitor.failure_threshold:
        vote = "down"
    elif status == "up" and ups >= monitor.recovery_threshold:
        vote = "up"
    elif status == "degraded":
        waited = ups >= monitor.recovery_threshold if vote == "down" else degradeds >= monitor.degraded_threshold
        if waited:
            vote, ups = "degraded", 0
    better = vote in (None, "up") or (vote == "degraded" and status == "down")
    return LocationState(
        location=state.location,
        vote=vote,
        suspect=status != "up" and better,
        downs=downs,
        degradeds=degradeds,
        ups=ups,
        at=at,
        attempt=attempt,
        status=status,
        since=state.since if vote == state.vote else at,
        reason=_reason_of(state, status, vote, error),
        doing=state.doing,
        stand_in=stand_in,
    )


def set_right(known: datetime | None, at: datetime, now: datetime) -> bool:
    """Whether a result that is dated about now shows that the clock which dated the known one was ahead of time and has
    been set right: nothing would be newer than that one for as long as it was ahead. A clock of ours that is behind is
    another thing: then all that comes is dated later than now."""
    return known is not None and known - now > AHEAD >= abs(at - now)


def decide(
    seats: Sequence[Seat],
    quorum: Quorum,
    fresh_s: float,
    previous: Verdict | None,
    now: datetime,
    *,
    settled: bool = True,
    heard: Container[str] | None = None,
) -> Verdict:
    """The verdict over the assigned locations. `settled` is False for 2 × interval + timeout after a start, resume or
    change of primary: then too few fresh votes keep the previous value, down stays while those without a fresh vote
    could still make it so, and only votes of locations that were `heard` since change anything (None: all were): what
    was known before may be older than what was judged from."""
    verdict = _decided(seats, quorum, fresh_s, previous, now, settled=settled)
    if settled or heard is None or previous is None or verdict.value == previous.value:
        return verdict
    spoke = [seat if seat.location in heard else replace(seat, state=None) for seat in seats]
    return _decided(spoke, quorum, fresh_s, previous, now, settled=False)


def _decided(
    seats: Sequence[Seat], quorum: Quorum, fresh_s: float, previous: Verdict | None, now: datetime, *, settled: bool
) -> Verdict:
    votes = tuple(_vote(seat, fresh_s, now) for seat in sorted(seats, key=_location))
    tally = count(votes, quorum)
    before = None if previous is None else previous.value
    value = _value(tally, before, settled=settled)
    pending = value == "unknown" and (previous is None or previous.pending)
    kept = value != _value(tally, None, settled=True)
    same = previous is not None and value == before and pending == previous.pending
    return Verdict(
        value=value,
        pending=pending,
        at=now,
        since=previous.since if previous is not None and same else now,
        n=tally.n,
        k=tally.k,
        f=tally.f,
        d=tally.d,
        u=tally.u,
        min_fresh=tally.min_fresh,
        quorum=quorum,
        fresh_s=fresh_s,
        votes=votes,
        reason=kept_sentence(tally, value) if kept else sentence(tally, value, pending=pending),
        error=previous.error if previous is not None and kept else _most_named(votes, value),
    )


def recompute(verdict: Verdict) -> VerdictValue:
    """The value again from the stored evidence alone: what `explain` shows and checks. Where the rule lets an earlier
    value stand, the verdict's own is taken for the earlier one."""
    votes = tuple(_again(vote, verdict.fresh_s) for vote in verdict.votes)
    return _value(count(votes, verdict.quorum), verdict.value, settled=False)


def lost(verdict: Verdict, at: datetime, reason: str) -> Verdict:
    """What became of a verdict when its votes were that old at `at` and no others had come: unknown, with the ages they
    had then. A vote given later was not there yet."""
    votes = tuple(_then(vote, verdict.fresh_s, at) for vote in verdict.votes)
    tally = count(votes, verdict.quorum)
    return replace(
        verdict, value="unknown", pending=False, maintenance=False, at=at, since=at, f=tally.f, d=tally.d, u=tally.u,
        votes=votes, reason=reason, error=None,
    )  # fmt: skip


def count(votes: Sequence[Vote], quorum: Quorum) -> Tally:
    """The votes counted by location, or by failure domain once any location names one: a domain is down when all its
    fresh votes are, up when none is, and else has no vote."""
    by_domain = any(vote.failure_domain for vote in votes)
    voters: dict[tuple[bool, str], list[Vote]] = {}
    for vote in votes:
        domain = vote.failure_domain
        fresh = voters.setdefault((True, domain) if domain else (False, vote.location), [])
        if vote.fresh and not vote.quarantined:
            fresh.append(vote)
    d = u = degraded = 0
    for fresh in voters.values():
        downs = sum(vote.vote == "down" for vote in fresh)
        if fresh and downs == len(fresh):
            d += 1
        elif fresh and downs == 0:
            u += 1
            degraded += 2 * sum(vote.vote == "degraded" for vote in fresh) > len(fresh)
    n = len(voters)
    noun = "failure domain" if by_domain else "location"
    return Tally(noun=noun, n=n, k=needed(quorum, n), min_fresh=2 if n >= 2 else 1, d=d, u=u, degraded=degraded)


def needed(quorum: Quorum, n: int) -> int:
    """How many of n assigned voters must say down. A number over n (locations were taken away) means all of them."""
    if quorum == "majority":
        return n // 2 + 1
    if quorum == "any":
        return 1
    return max(1, n if quorum == "all" else min(quorum, n))


def counted_out(verdict: Verdict) -> bool:
    """Whether down can no longer reach quorum, on enough fresh votes."""
    return verdict.f >= verdict.min_fresh and verdict.u >= verdict.n - verdict.k + 1


def _value(tally: Tally, before: VerdictValue | None, *, settled: bool) -> VerdictValue:
    if tally.f < tally.min_fresh:
        return before if before is not None and not settled else "unknown"
    if tally.d >= tally.k:
        return "down"
    if tally.d > 0:
        may_still = not settled and before == "down" and tally.d + (tally.n - tally.f) >= tally.k
        return "down" if may_still else "partial"
    if tally.u >= tally.needed_up:
        return "degraded" if 2 * tally.degraded > tally.u else "up"
    if before in ("up", "degraded") or (before is not None and not settled):
        return before
    return "unknown"


def _location(seat: Seat) -> str:
    return seat.location


def _vote(seat: Seat, fresh_s: float, now: datetime) -> Vote:
    state = seat.state
    if state is None:
        return Vote(
            location=seat.location,
            vote=None,
            at=None,
            age_s=None,
            fresh=False,
            quarantined=seat.quarantined,
            failure_domain=seat.failure_domain,
        )
    age_s = None if state.ages_from is None else max(0.0, (now - state.ages_from).total_seconds())
    return Vote(
        location=seat.location,
        vote=state.vote,
        at=state.at,
        age_s=age_s,
        fresh=state.vote is not None and age_s is not None and age_s < fresh_s,
        quarantined=seat.quarantined,
        failure_domain=seat.failure_domain,
        reason=state.reason,
        stand_in=state.stand_in,
    )


def _then(vote: Vote, fresh_s: float, at: datetime) -> Vote:
    """The vote as it stood at another moment."""
    if vote.at is None or vote.at > at:
        return replace(vote, vote=None, at=None, age_s=None, fresh=False, reason=None)
    return _again(replace(vote, age_s=(at - vote.at).total_seconds()), fresh_s)


def _again(vote: Vote, fresh_s: float) -> Vote:
    return replace(vote, fresh=vote.vote is not None and vote.age_s is not None and vote.age_s < fresh_s)


def _reason_of(
    state: LocationState, status: Status, vote: VoteValue | None, error: CheckError | None
) -> CheckError | None:
    """A vote keeps its own reason while better results are not yet enough to end it."""
    if status == "down" or (status == "degraded" and vote != "down"):
        return error
    return state.reason if vote in ("down", "degraded") else None


def _most_named(votes: Sequence[Vote], value: VerdictValue) -> CheckError | None:
    """The failure most of the votes that make the verdict name; of equally many the first by type and message."""
    if value not in ("down", "partial", "degraded"):
        return None
    asked = "degraded" if value == "degraded" else "down"
    named = [
        vote.reason
        for vote in votes
        if vote.fresh and not vote.quarantined and vote.vote == asked and vote.reason is not None
    ]
    if not named:
        return None
    types, errors = Counter(error.type for error in named), Counter(named)
    return min(errors, key=lambda e: (-types[e.type], -errors[e], e.type, e.message, e.phase or ""))
