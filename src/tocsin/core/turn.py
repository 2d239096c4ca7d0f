"""What comes in to a `core.failover.Node` (events), and what its carrier does for it (effects).

The carrier runs one loop: it hands in one event, then does every effect in order, each ended before the next begins, and
only then hands in the next event. So nothing is said that is not on disk. A `Write` that fails ends the instance: it
starts again from what is on disk.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from tocsin.core.control_log import START, Entry, Position
from tocsin.core.membership import Change, Membership
from tocsin.core.peer import Message

Role = Literal["follower", "candidate", "elect", "primary"]
Reason = Literal["not_primary", "handing_over", "in_doubt", "one_at_a_time", "not_possible"]


class Me(Struct, frozen=True, kw_only=True):
    """This instance: its id, the incarnation of its disk, and whether it is a witness."""

    id: str
    incarnation: str
    witness: bool = False


class Disk(Struct, frozen=True, kw_only=True):
    """What is on disk: `entries` behind `base`, up to which the tables hold everything; `membership` is the one in force at
    `base`. `applied`: up to which entry the tables were brought meanwhile."""

    epoch: int = 0
    voted_for: str | None = None
    base: Position = START
    membership: Membership = Membership()
    entries: tuple[Entry, ...] = ()
    applied: int = 0


# Events


class Ticked(Struct, frozen=True, kw_only=True):
    """Nothing but time has passed; due at `Node.wakes_at()`."""


class Received(Struct, frozen=True, kw_only=True):
    """A message came, a question or an answer. Who it comes from was proved by the carrier."""

    sender: str
    message: Message


class Proposal(Struct, frozen=True, kw_only=True):
    """Something to be put into the control log; `id` comes back with what became of it. `closing`: it ends what was begun
    (the outcome of a notification), and is taken even while the office is handed over."""

    id: str
    kind: str
    payload: bytes
    closing: bool = False


class Proposed(Struct, frozen=True, kw_only=True):
    """These shall be put into the control log, in this order, all or none."""

    proposals: tuple[Proposal, ...]


class ChangeAsked(Struct, frozen=True, kw_only=True):
    """The membership shall change by this step."""

    id: str
    change: Change


class PromoteAsked(Struct, frozen=True, kw_only=True):
    """This primary shall hand its office to instance `to`, or to the next in order."""

    id: str
    to: str | None = None


class Forced(Struct, frozen=True, kw_only=True):
    """This instance shall be primary, alone: somebody states that all the others are off. The epoch is `floor` if that is
    later: with the seconds of the wall clock, of two that were forced one after the other the later one is followed."""

    id: str
    floor: int = 0


class Compacted(Struct, frozen=True, kw_only=True):
    """The tables hold everything up to this index, and nobody should need the entries before it."""

    index: int


class SnapshotInstalled(Struct, frozen=True, kw_only=True):
    """The primary's tables were copied here. `position` and `membership` are theirs; they come with the same `Write`.
    Handed in with an older position than what is committed here it is a ValueError, unless the histories diverged."""

    position: Position
    membership: Membership


Event = Ticked | Received | Proposed | ChangeAsked | PromoteAsked | Forced | Compacted | SnapshotInstalled


# Effects


class Write(Struct, frozen=True, kw_only=True):
    """Bring this to disk, all or none of it, and force it there: the epoch and the vote, and in this order: entries from
    index `cut` on taken away, the base moved to `base` (with its membership) and the entries up to it taken away,
    `entries` put behind. None: it stays as it is."""

    epoch: int
    voted_for: str | None
    cut: int | None = None
    base: Position | None = None
    membership: Membership | None = None
    entries: tuple[Entry, ...] = ()


class Send(Struct, frozen=True, kw_only=True):
    """Say this to that instance; whether it arrives is not told, its answer is a `Received`."""

    to: str
    message: Message


class Became(Struct, frozen=True, kw_only=True):
    """The role, the epoch or the primary that is known here is another one now. "elect" may do nothing yet."""

    role: Role
    epoch: int
    primary: str | None
    why: str


class Committed(Struct, frozen=True, kw_only=True):
    """A majority has these: bring the tables up to date. After a restart some may come a second time."""

    entries: tuple[Entry, ...]


class Done(Struct, frozen=True, kw_only=True):
    """What was asked for under this id is committed at this position."""

    id: str
    position: Position


class Refused(Struct, frozen=True, kw_only=True):
    """What was asked for under this id is not done. "in_doubt": the next primary may yet commit it."""

    id: str
    reason: Reason
    why: str
    primary: str | None = None


class Truncated(Struct, frozen=True, kw_only=True):
    """These were taken out of the log: never committed, and never will be. Keep drafts among them for people to see."""

    entries: tuple[Entry, ...]


class HandedOver(Struct, frozen=True, kw_only=True):
    """The office was given up for that instance."""

    id: str
    to: str


class NeedsSnapshot(Struct, frozen=True, kw_only=True):
    """The log of that primary begins behind ours: copy its tables, up to at least `position`, then hand in
    `SnapshotInstalled`. `diverged`: what was committed here is not so there (somebody forced a promotion); the tables are
    replaced, not added to."""

    sender: str
    position: Position
    diverged: bool = False


Effect = Write | Send | Became | Committed | Done | Refused | Truncated | HandedOver | NeedsSnapshot


class Stale(Struct, frozen=True, kw_only=True):
    """A request carried an epoch that is over: the answer is 409 with these."""

    epoch: int
    primary: str | None
