"""The control log: what the primary decided and a majority stored, in one order (membership, configuration, transitions,
intents to notify and their outcomes; no check results)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct
from msgspec.structs import replace

from tocsin.core.membership import Membership

BEGIN, MEMBERS = "begin", "membership"
"""Kinds of entries of the protocol itself: an epoch begins, the membership changes."""


class Position(Struct, frozen=True, order=True, array_like=True):
    """A place in the log. Of two logs the one whose last position is greater is the newer one."""

    epoch: int
    index: int


START = Position(0, 0)
"""The position before the first entry."""


class Entry(Struct, frozen=True, kw_only=True):
    """One entry. `payload` is the carrier's; `membership` is set in entries of kind MEMBERS only."""

    epoch: int
    index: int
    kind: str
    payload: bytes = b""
    membership: Membership | None = None

    @property
    def position(self) -> Position:
        return Position(self.epoch, self.index)


class Log:
    """The entries an instance holds behind the position `base`, up to which they are in its tables only. `membership` is the
    newest one in it, committed or not: majorities are taken from that; `changed_at` is its index."""

    def __init__(self, base: Position, membership: Membership, entries: Sequence[Entry] = ()) -> None:
        self.base, self.base_membership = base, membership
        self.membership, self.changed_at = membership, base.index
        self._entries: list[Entry] = []
        self.last: Position = base
        self.append(entries)

    def append(self, entries: Iterable[Entry]) -> None:
        """Put these behind the last entry."""
        for entry in entries:
            if entry.index != self.last.index + 1:
                raise ValueError(f"entry {self.last.index + 1} was expected at the end of the log, not {entry.index}")
            self._entries.append(entry)
            self.last = entry.position
            if entry.membership is not None:
                self.membership, self.changed_at = entry.membership, entry.index

    def epoch_at(self, index: int) -> int | None:
        """The epoch of the entry at this index; None when it is not held."""
        if index == self.base.index:
            return self.base.epoch
        place = index - self.base.index - 1
        return self._entries[place].epoch if 0 <= place < len(self._entries) else None

    def position(self, index: int) -> Position | None:
        """The position at this index; None when it is not held."""
        epoch = self.epoch_at(index)
        return None if epoch is None else Position(epoch, index)

    def slice(self, first: int, last: int) -> tuple[Entry, ...]:
        """The entries from index `first` to `last`, both included, as far as they are held."""
        low = max(first - self.base.index - 1, 0)
        return tuple(self._entries[low : max(last - self.base.index, 0)])

    def membership_at(self, index: int) -> Membership:
        """The membership in force at this index."""
        before = self.slice(self.base.index + 1, index)
        return next((e.membership for e in reversed(before) if e.membership is not None), self.base_membership)

    def cut(self, index: int) -> tuple[Entry, ...]:
        """Take away the entries from this index on; they are handed back."""
        place = max(index - self.base.index - 1, 0)
        gone = tuple(self._entries[place:])
        del self._entries[place:]
        self.last = self._entries[-1].position if self._entries else self.base
        if gone and self.changed_at >= gone[0].index:
            newest = next((e for e in reversed(self._entries) if e.membership is not None), None)
            self.membership = newest.membership if newest and newest.membership else self.base_membership
            self.changed_at = newest.index if newest else self.base.index
        return gone

    def compact(self, index: int) -> None:
        """Keep only what is behind this index; the tables hold what is before."""
        base = self.position(index)
        if base is None:
            raise ValueError(f"there is no entry {index} between {self.base.index} and {self.last.index}")
        self.base_membership = self.membership_at(index)
        del self._entries[: index - self.base.index]
        self.base = base

    def replace(self, base: Position, membership: Membership) -> None:
        """Begin at a snapshot of the tables; entries behind it stay if they follow from it."""
        follow = self.slice(base.index + 1, self.last.index) if self.epoch_at(base.index) == base.epoch else ()
        self.base, self.base_membership = base, membership
        self.membership, self.changed_at, self.last = membership, base.index, base
        self._entries = []
        self.append(follow)


def not_older(theirs: Position, mine: Position) -> bool:
    """Whether a log that ends there holds all that one which ends here may have committed."""
    return theirs >= mine


def conflict(log: Log, entries: Sequence[Entry]) -> int | None:
    """The first index at which the log holds another entry than these: from there on it has to be cut. None: nowhere."""
    for entry in entries:
        held = log.epoch_at(entry.index)
        if held is not None and held != entry.epoch and entry.index > log.base.index:
            return entry.index
    return None


def stored_by(matches: Iterable[int], votes: int) -> int:
    """The index up to which at least `votes` of these instances have stored the log; 0 when too few are known."""
    newest = sorted(matches, reverse=True)
    return newest[votes - 1] if len(newest) >= votes else 0


def committed(log: Log, stored: int, epoch: int, commit: int) -> int:
    """The new commit index when a majority stored the log up to there. Only an entry of the primary's own epoch is committed
    by being counted; those before it are committed with it."""
    return stored if stored > commit and log.epoch_at(stored) == epoch else commit


def told_at_once(entries: Sequence[Entry]) -> bool:
    """Whether new entries go to the others now and not with the next beat: all do. An outcome that waits is a message that
    is told twice when its primary dies meanwhile."""
    return bool(entries)


def header(entry: Entry) -> Entry:
    """The entry as a witness keeps it: without what it says."""
    return replace(entry, payload=b"") if entry.payload else entry
