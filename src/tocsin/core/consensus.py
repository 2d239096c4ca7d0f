"""From results to a location's vote, and from votes to a verdict (VERDICT.md sections 2 and 3 of the design)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from msgspec import Struct

from tocsin.core.monitor import Monitor, Quorum
from tocsin.core.result import CheckError, Status

VoteValue = Literal["up", "degraded", "down"]
VerdictValue = Literal["up", "degraded", "partial", "down", "unknown"]


class LocationState(Struct, frozen=True, kw_only=True):
    """What one location says of one monitor, folded over its results.

    `vote` is None until the first threshold is reached. `at` is the scheduled time of the latest valid result folded in,
    `attempt` its attempt; older ones do not change the state. `since`: when the present vote began. `reason`: of the
    latest failing or degraded result, None while it is up. `suspect`: a failure was seen but not enough of them.
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


class Seat(Struct, frozen=True, kw_only=True):
    """One assigned location at the vote."""

    location: str
    state: LocationState | None = None
    quarantined: bool = False
    failure_domain: str | None = None


class Vote(Struct, frozen=True, kw_only=True):
    """A seat as it was counted: stored as evidence, enough to recompute the verdict."""

    location: str
    vote: VoteValue | None
    at: datetime | None
    age_s: float | None
    fresh: bool
    quarantined: bool = False
    failure_domain: str | None = None
    reason: CheckError | None = None


class Verdict(Struct, frozen=True, kw_only=True):
    """What the locations agree on, with its evidence. `pending`: unknown because nothing was ever judged.

    n assigned, k the quorum, f fresh, d down, u up or degraded (of n voters, or of n failure domains).
    `reason` is one sentence: why this value. `error` is the failure most down votes name (None when not failing).
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


def fold(
    state: LocationState, monitor: Monitor, status: Status, at: datetime, attempt: int, error: CheckError | None
) -> LocationState:
    """The location's state after one more result (section 2). `invalid` changes nothing; neither does a result not newer
    than (state.at, state.attempt)."""
    raise NotImplementedError


def decide(
    seats: Sequence[Seat], quorum: Quorum, fresh_s: float, previous: Verdict | None, now: datetime, *, settled: bool = True
) -> Verdict:
    """The verdict over the assigned locations (section 3). `settled` is False for 2 × interval + timeout after a start,
    resume or change of primary: then too few fresh votes keep the previous value."""
    raise NotImplementedError


def recompute(verdict: Verdict) -> VerdictValue:
    """The value again from the stored evidence alone: what `explain` shows and checks."""
    raise NotImplementedError
