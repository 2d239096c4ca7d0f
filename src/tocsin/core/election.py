"""Who gets a vote: each rule of an election as one small question."""

from __future__ import annotations

from typing import NamedTuple

from tocsin.core.control_log import Position, not_older


class Promise(NamedTuple):
    """What binds a voter: until when it helps nobody into office, and to the primary of which epoch (None: to whoever it
    may have forgotten in a restart)."""

    until: float
    epoch: int | None = None


class Asked(NamedTuple):
    """A question for a vote as a voter sees it. `released`: the epoch whose primary gave its office up for it."""

    epoch: int
    candidate: str
    last: Position
    released: int | None = None


class Voter(NamedTuple):
    """What a voter answers from. `leads`: it is primary and its lease lasts. `knows`: the candidate may stand by the voter's
    own membership."""

    epoch: int
    voted_for: str | None
    last: Position
    promise: Promise
    leads: bool
    knows: bool


def promise_over(promise: Promise, released: int | None, now: float) -> bool:
    """Whether a voter is free: its promise has run out, or the primary it was given to has released it."""
    return now >= promise.until or (released is not None and released == promise.epoch)


def voided(promise: Promise, released: int, now: float) -> Promise:
    """The promise, once the primary of that epoch has given its office up: nothing binds a voter to it any more."""
    return Promise(min(promise.until, now), promise.epoch) if promise.epoch == released else promise


def new_epoch(asked: int, mine: int) -> bool:
    """Whether a candidate asks for an epoch that this voter has not seen yet."""
    return asked > mine


def vote_is_free(asked: Asked, voter: Voter) -> bool:
    """Whether the voter has a vote for this candidate in that epoch: it gives one an epoch."""
    return asked.epoch > voter.epoch or voter.voted_for in (None, asked.candidate)


def belongs(asked: Asked, voter: Voter) -> bool:
    """Whether the candidate may stand: by the voter's membership, or by one that only the candidate's newer log holds."""
    return voter.knows or asked.last > voter.last


def why_not(asked: Asked, voter: Voter, now: float) -> str:
    """Why this voter would not help this candidate into office, "" if it would."""
    if voter.leads:
        return "this instance is primary"
    if not promise_over(voter.promise, asked.released, now):
        return "a primary was heard, or may have been before a restart"
    if not not_older(asked.last, voter.last):
        return "the candidate's log is older"
    return "" if belongs(asked, voter) else "the candidate is no voter"


def why_no_pre_vote(asked: Asked, voter: Voter, now: float) -> str:
    """Why this voter says no to a candidate that asks beforehand, "" if it says yes; neither changes anything."""
    if not new_epoch(asked.epoch, voter.epoch):
        return "the epoch is not new"
    return why_not(asked, voter, now)


def why_no_vote(asked: Asked, voter: Voter, now: float) -> str:
    """Why this voter does not vote for this candidate, "" if it does."""
    if asked.epoch < voter.epoch:
        return "the epoch is over"
    if not vote_is_free(asked, voter):
        return f"it voted for {voter.voted_for}"
    return why_not(asked, voter, now)


def asks_first(alone: bool) -> bool:
    """Whether a candidate asks before it begins an epoch, so that one that nobody follows disturbs nobody."""
    return not alone


def is_fresh(stamp: float, since: float) -> bool:
    """Whether a yes answers this attempt. One from before a pause says nothing of now: there may be a primary again."""
    return stamp == since


def in_office(begun_at: int, commit: int) -> bool:
    """Whether an elected primary may work: the entry that begins its epoch is committed, and all before it with it."""
    return commit >= begun_at


def is_stale(theirs: int, mine: int) -> bool:
    """Whether a request comes from an epoch that is over: it is refused, and its sender is no longer primary."""
    return theirs < mine


def steps_down(held: bool) -> bool:
    """Whether a primary gives up its office now; `held`: its lease still lasts."""
    return not held
