"""The program without one of its rules, each by another small function in the place of the real one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from simulation.machine import Machine
from tocsin.core import contact, control_log, cursors, election, intents, lease, membership
from tocsin.core.control_log import Entry
from tocsin.core.election import Asked, Voter
from tocsin.core.failover import Node
from tocsin.core.membership import Membership
from tocsin.core.office import Office
from tocsin.core.seat import Seat
from tocsin.core.turn import Effect, Event, Send

WhyNot = Callable[[Asked, Voter, float], str]


@dataclass(frozen=True)
class Mutant:
    """A rule that is taken away: what stands in its place, as (owner, name, function)."""

    name: str
    patches: tuple[tuple[Any, str, Any], ...]

    @contextmanager
    def alive(self) -> Iterator[None]:
        """The rule is gone meanwhile."""
        with pytest.MonkeyPatch.context() as patch:
            for owner, name, instead in self.patches:
                assert hasattr(owner, name), f"{owner} has no {name} any more"
                patch.setattr(owner, name, instead)
            yield


def counts_any_disk(members: Membership, who: str, incarnation: str) -> bool:
    return members.member(who) is not None


def half(registered: int) -> int:
    return max(registered // 2, 1)


def reachable(real: Callable[..., float | None]) -> Callable[..., float | None]:
    """Whoever cannot be reached does not count: alone, one is the majority of one."""

    def lease_end(stamps: Any, me: str, voters: Any, now: float, terms: lease.Terms) -> float | None:
        there = [v for v in voters if v == me or now - stamps.get(v, now - 99) < terms.lease_s]
        return real(stamps, me, there, now, terms)

    return lease_end


def quite_alone(members: Membership, who: str, incarnation: str) -> Membership:
    return Membership(version=members.version + 1, members=tuple(m for m in members.members if m.id == who))


def outcomes_wait(entries: tuple[Entry, ...]) -> bool:
    return any(e.kind != "outcome" for e in entries)


def first_may_always(real: WhyNot) -> WhyNot:
    """The first in the failover order is helped into office whoever is primary."""

    def why_not(asked: Asked, voter: Voter, now: float) -> str:
        return "" if asked.candidate == "a" and asked.last >= voter.last else real(asked, voter, now)

    return why_not


def first_stands_at_once(real: Callable[..., float]) -> Callable[..., float]:
    def stand_wait(rank: int, who: str, epoch: int, terms: lease.Terms) -> float:
        return terms.beat_s / 2 - terms.promise_s if rank == 0 else real(rank, who, epoch, terms)

    return stand_wait


def any_budget(end: float | None, now: float, terms: lease.Terms) -> float:
    return 30.0 if end is not None and end > now else 0.0


def counted_anyhow(log: control_log.Log, stored: int, epoch: int, commit: int) -> int:
    return max(stored, commit)


def keeps_what_it_handed(real: Callable[[Seat, str], None]) -> Callable[[Seat, str], None]:
    def step_down(self: Seat, why: str) -> None:
        if not why.startswith("it handed"):
            real(self, why)

    return step_down


def in_any_order(open_intents: Any, commit: int, busy: Any) -> list[intents.Intent]:
    return [i for i in open_intents if i.index <= commit and (i.channel, i.subject) not in set(busy)][::-1]


def says_first(real: Callable[..., list[Effect]]) -> Callable[..., list[Effect]]:
    def step(self: Node, now: float, event: Event) -> list[Effect]:
        return sorted(real(self, now, event), key=lambda e: not isinstance(e, Send))

    return step


MUTANTS = {
    m.name: m
    for m in (
        Mutant("promise ignored", ((election, "promise_over", lambda promise, released, now: True),)),
        Mutant("promise shorter than the lease", ((lease, "promise_end", lambda at, terms: at + terms.lease_s / 2),)),
        Mutant("no wait after a restart", ((lease, "restart_end", lambda at, terms: at),)),
        Mutant("lease of a majority of the reachable", ((lease, "lease_end", reachable(lease.lease_end)),)),
        Mutant("half is enough", ((lease, "majority", half), (membership, "majority", half))),
        Mutant("wiped voter votes", ((membership, "counts", counts_any_disk),)),
        Mutant("no anti-entropy", ((cursors, "to_offer", lambda held: {}),)),
        Mutant("vote not forced to disk", ((Machine, "votes_forced", False),)),
        Mutant("answered before it is on disk", ((Node, "step", says_first(Node.step)),)),
        Mutant("a yes from before a pause counts", ((election, "is_fresh", lambda stamp, since: True),)),
        Mutant("two votes an epoch", ((election, "vote_is_free", lambda asked, voter: True),)),
        Mutant("older log elected", ((election, "not_older", lambda theirs, mine: True),)),
        Mutant("sent before the intent is committed", ((intents, "is_committed", lambda intent, commit: True),)),
        Mutant("no send budget", ((lease, "send_budget", any_budget),)),
        Mutant("outcome waits for the next beat", ((control_log, "told_at_once", outcomes_wait),)),
        Mutant("told in any order", ((intents, "to_send", in_any_order),)),
        Mutant(
            "no timeout for agents after a takeover",
            ((contact, "silent_at", lambda heard, since, s: (heard or 0.0) + s),),
        ),
        Mutant("no fence", ((election, "is_stale", lambda theirs, mine: False),)),
        Mutant("no pre-vote", ((election, "asks_first", lambda alone: False),)),
        Mutant("no step-down", ((election, "steps_down", lambda held: False),)),
        Mutant("uncommitted tail kept", ((control_log, "conflict", lambda log, entries: None),)),
        Mutant("committed by counting old entries", ((control_log, "committed", counted_anyhow),)),
        Mutant("office before its beginning is committed", ((election, "in_office", lambda begun_at, commit: True),)),
        Mutant(
            "preemption by order",
            (
                (election, "why_not", first_may_always(election.why_not)),
                (lease, "stand_wait", first_stands_at_once(lease.stand_wait)),
            ),
        ),
        Mutant(
            "membership two at a time", ((membership, "one_at_a_time", lambda changed_at, commit, in_office: True),)
        ),
        Mutant("a change may cost the lease", ((lease, "outlasts", lambda end, now, terms: True),)),
        Mutant("office kept after it was handed over", ((Seat, "step_down", keeps_what_it_handed(Seat.step_down)),)),
        Mutant("the others forgotten by a promotion by force", ((membership, "alone", quite_alone),)),
        Mutant("handed over to who has not everything", ((Office, "caught_up", lambda self, drain, log: True),)),
    )
}
