"""How long office lasts: a primary's lease, a voter's promise, and what fits into what is left of a lease.

Times are seconds of one machine's own clock that also counts suspend (CLOCK_BOOTTIME), never wall time; none of them is
ever compared with another machine's. A lease and the promises behind it hold while clocks run within 1 % of true time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

WORST_RATES = 1.01 / 0.99
"""By so much a voter's fast clock and a primary's slow one can differ, each within 1 %."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """The times that all instances of a cluster share. `beat_s`: how often a primary is heard; `lease_s`: how long its
    office lasts after a majority heard it; `promise_factor`: a voter keeps its promise for that many leases;
    `stagger_s` and `jitter_s`: how far apart candidates stand; `send_s` and `least_send_s`: the most and the least time
    that one message to a channel gets; `drain_s`: how long a primary may refuse writes while it hands its office over."""

    beat_s: float = 5.0
    lease_s: float = 15.0
    promise_factor: float = 1.03
    stagger_s: float = 2.0
    jitter_s: float = 1.0
    send_s: float = 8.0
    least_send_s: float = 1.0
    drain_s: float = 10.0

    def __post_init__(self) -> None:
        if self.promise_factor < WORST_RATES:
            raise ValueError(f"promise_factor must be at least {WORST_RATES:.4f}, not {self.promise_factor}")
        if not 0 < self.beat_s <= self.lease_s / 3:
            raise ValueError(f"beat_s must be above 0 and at most a third of lease_s, not {self.beat_s}")
        if self.send_s >= self.lease_s - self.beat_s:  # no lease would ever outlast a message: nobody could be admitted
            raise ValueError(f"send_s must be less than lease_s without beat_s, not {self.send_s}")

    @property
    def promise_s(self) -> float:
        """For how long a voter that heard the primary helps nobody else into office."""
        return self.promise_factor * self.lease_s


def lease_end(stamps: Mapping[str, float], me: str, voters: Iterable[str], now: float, terms: Terms) -> float | None:
    """When the office of primary `me` ends: the stamp that a majority of the registered voters acknowledged, itself
    included, and a lease from there; None while no majority acknowledged any. `stamps`: the newest of each other voter."""
    heard = [now if voter == me else stamps.get(voter) for voter in voters]
    enough = majority(len(heard))
    newest = sorted((stamp for stamp in heard if stamp is not None), reverse=True)
    return newest[enough - 1] + terms.lease_s if len(newest) >= enough else None


def majority(registered: int) -> int:
    """How many of so many registered voters decide; how many of them can be reached does not matter."""
    return registered // 2 + 1


def holds(end: float | None, now: float) -> bool:
    """Whether a lease with this end still lasts."""
    return end is not None and now < end


def outlasts(end: float | None, now: float, terms: Terms) -> bool:
    """Whether a lease with this end, counted of other voters than before, lasts as long as any message on its way may."""
    return holds(end, now + terms.send_s)


def promise_end(heard_at: float, terms: Terms) -> float:
    """Until when a voter that acknowledged a primary then helps nobody else into office."""
    return heard_at + terms.promise_s


def restart_end(started_at: float, terms: Terms) -> float:
    """Until when a voter that started then helps nobody into office: it may have forgotten a promise."""
    return started_at + terms.promise_s


def send_budget(end: float | None, now: float, terms: Terms) -> float:
    """The seconds that a message to a channel may take if it begins now: none outlives the lease. 0: do not begin."""
    if end is None or end - now < terms.least_send_s:
        return 0.0
    return min(terms.send_s, end - now)


def stand_wait(rank: int, who: str, epoch: int, terms: Terms) -> float:
    """How long after its promise ended a voter stands for office: those first in order first."""
    return rank * terms.stagger_s + jitter(who, epoch) * terms.jitter_s


def again_wait(who: str, epoch: int, attempt: int, terms: Terms) -> float:
    """How long a candidate waits for answers, and then until it asks again."""
    return terms.stagger_s * (1 + jitter(who, epoch, attempt))


def jitter(*what: object) -> float:
    """A share of [0, 1) that depends on nothing but what is named."""
    text = "\n".join(str(part) for part in what)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest()) / 2**64
