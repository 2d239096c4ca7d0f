"""What a primary keeps in memory while its office lasts: who heard it, who stored what, who waits for an answer."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf

from tocsin.core import lease
from tocsin.core.control_log import Entry, Log, header, stored_by
from tocsin.core.lease import Terms
from tocsin.core.membership import Membership
from tocsin.core.peer import Append

MOST_ENTRIES, MOST_BYTES = 500, 4_000_000
"""Entries that one message carries at most, and bytes in them; the first one goes whatever its size."""


@dataclass(slots=True)
class Drain:
    """A hand-over under way: to whom, since and until when, asked for under this id."""

    id: str
    to: str
    since: float
    until: float


@dataclass(slots=True)
class Office:
    """One epoch of one primary. `begun_at`: the index of the entry that begins it; `entered`: that entry is committed.
    `stamps`: the newest of our clock stamps that each other member acknowledged; `stored`: up to which index it has the
    log; `following`: what it is sent next; `waiting`: who asked for the entry at an index."""

    epoch: int
    won_at: float
    begun_at: int
    beat_at: float
    entered: bool = False
    stamps: dict[str, float] = field(default_factory=dict[str, float])
    stored: dict[str, int] = field(default_factory=dict[str, int])
    following: dict[str, int] = field(default_factory=dict[str, int])
    waiting: dict[int, str] = field(default_factory=dict[int, str])
    drain: Drain | None = None

    def heard(self, sender: str, stamp: float, stored: int | None) -> None:
        """Count an answer of a member, with the disk that it is a member with."""
        self.stamps[sender] = max(stamp, self.stamps.get(sender, stamp))
        if stored is not None:
            self.stored[sender] = max(stored, self.stored.get(sender, 0))

    def caught_up(self, drain: Drain, log: Log) -> bool:
        """Whether who takes over has the whole log, and was heard since it was to take over."""
        heard = self.stamps.get(drain.to, -inf) >= drain.since
        return heard and self.stored.get(drain.to, -1) >= log.last.index

    def ready(self, who: str, log: Log, now: float, terms: Terms) -> bool:
        """Whether this member was heard just now and has the log as it is, but for what was sent this moment."""
        heard = now - self.stamps.get(who, -inf) < terms.lease_s / 2
        return heard and self.stored.get(who, 0) >= log.last.index - MOST_ENTRIES

    def lease(self, me: str, members: Membership, now: float, terms: Terms) -> float | None:
        """When the lease ends, by what was heard so far; None while no majority was heard."""
        return lease.lease_end(self.stamps, me, members.voters(), now, terms)

    def ends_at(self, me: str, members: Membership, now: float, terms: Terms) -> float:
        """When it is over if nothing more is heard; who was just elected has one lease's time to be heard at all."""
        end = self.lease(me, members, now, terms)
        return self.won_at + terms.lease_s if end is None and not self.entered else end or now

    def stored_by_majority(self, me: str, members: Membership, log: Log) -> int:
        """The index up to which a majority of the voters has the log, this instance among them."""
        voters = members.voters()
        matches = [log.last.index if v == me else self.stored.get(v, 0) for v in voters]
        return stored_by(matches, lease.majority(len(voters)))

    def message(self, to: str, log: Log, commit: int, now: float, members: Membership, *, again: bool) -> Append:
        """What `to` is told next. `again`: begin at what it is known to have, in case something was lost."""
        first = self.following.get(to, log.last.index + 1)
        if again and to in self.stored:
            first = min(first, self.stored[to] + 1)
        prev = log.position(first - 1)
        if prev is None:
            return Append(epoch=self.epoch, stamp=now, prev=log.base, commit=commit, snapshot=True)
        entries = _bounded(log.slice(first, first + MOST_ENTRIES - 1))
        self.following[to] = first + len(entries)
        member = members.member(to)
        if member is not None and member.kind == "witness":
            entries = tuple(header(e) for e in entries)
        return Append(epoch=self.epoch, stamp=now, prev=prev, commit=commit, entries=entries)


def _bounded(entries: tuple[Entry, ...]) -> tuple[Entry, ...]:
    """As many of them, from the first on, as one message carries."""
    size = 0
    for count, entry in enumerate(entries):
        size += len(entry.payload)
        if size > MOST_BYTES and count:
            return entries[:count]
    return entries
