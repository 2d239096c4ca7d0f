"""What a follower does with what a primary sends."""

from __future__ import annotations

from msgspec import Struct

from tocsin.core import control_log, election, lease
from tocsin.core.control_log import Entry, Log
from tocsin.core.election import Promise
from tocsin.core.peer import Append, Appended
from tocsin.core.seat import Seat
from tocsin.core.turn import NeedsSnapshot, SnapshotInstalled, Truncated


class Taken(Struct, frozen=True, kw_only=True):
    """What becomes of an `Append`: with `ok` the log is the primary's up to `index`, once it is `cut` from that index on and
    `fresh` is behind it; without, the primary should go on from `index`. `diverged`: what is committed here it has not."""

    ok: bool
    index: int
    cut: int | None = None
    fresh: tuple[Entry, ...] = ()
    diverged: bool = False


def take(log: Log, commit: int, append: Append) -> Taken:
    """How the log follows this message. What is committed here is never cut: a primary that would need it has another
    history, and its tables are needed instead."""
    prev, next_index = append.prev, log.last.index + 1
    if any(entry.index != index for index, entry in enumerate(append.entries, prev.index + 1)):
        return Taken(ok=False, index=next_index)
    if prev.index >= log.base.index and log.epoch_at(prev.index) != prev.epoch:
        diverged = prev.index <= commit
        return Taken(ok=False, index=next_index if diverged else min(prev.index, next_index), diverged=diverged)
    cut = control_log.conflict(log, append.entries)
    if cut is not None and cut <= commit:
        return Taken(ok=False, index=next_index, diverged=True)
    end = log.last.index if cut is None else cut - 1
    fresh = tuple(e for e in append.entries if e.index > end)
    return Taken(ok=True, index=prev.index + len(append.entries), cut=cut, fresh=fresh)


def follow(seat: Seat, sender: str, message: Append) -> None:
    """Refuse a primary whose epoch is over; follow any other, promise it a lease's time, and store what it sends."""
    if election.is_stale(message.epoch, seat.epoch):
        _answer(seat, sender, message, ok=False, index=seat.log.last.index + 1)
        return
    if message.epoch > seat.epoch:
        seat.enter(message.epoch, f"{sender} is primary of a later epoch")
        seat.write()
    if seat.office is not None:
        raise AssertionError(f"{sender} and {seat.me.id} are both primary of epoch {seat.epoch}")
    seat.standing, seat.attempts, seat.heard_at = None, 0, seat.now
    seat.promise = Promise(max(seat.promise.until, lease.promise_end(seat.now, seat.terms)), seat.epoch)
    seat.stand_at = seat.promise.until + seat.stand_wait()
    seat.become("follower", sender, "a primary was heard")
    _store(seat, sender, message)


def install(seat: Seat, event: SnapshotInstalled) -> None:
    """Begin at the tables that were copied here; what the log holds behind them stays. ValueError when they are older than
    what is committed here and not of this log: what this instance said it has must not go away."""
    follows = seat.log.epoch_at(event.position.index) == event.position.epoch and not seat.diverged
    if event.position.index < seat.commit and not (follows or seat.diverged):
        raise ValueError(f"the snapshot goes to {event.position.index}, but {seat.commit} entries are committed here")
    seat.diverged = False
    seat.log.replace(event.position, event.membership)
    seat.commit = max(seat.commit, event.position.index) if follows else event.position.index
    kept = seat.log.last.index > event.position.index
    seat.write(cut=None if kept else event.position.index + 1, base=True)


def _store(seat: Seat, sender: str, message: Append) -> None:
    """Bring the log where the primary's is, on disk, and then say so."""
    prev = message.prev
    if message.snapshot and prev.index > seat.commit and seat.log.epoch_at(prev.index) != prev.epoch:
        seat.out.append(NeedsSnapshot(sender=sender, position=prev))
        _answer(seat, sender, message, ok=False, index=seat.log.last.index + 1)
        return
    taken = take(seat.log, seat.commit, message)
    if taken.diverged:
        seat.diverged = True
        seat.out.append(NeedsSnapshot(sender=sender, position=prev, diverged=True))
    gone = () if taken.cut is None else seat.log.cut(taken.cut)
    fresh = tuple(map(control_log.header, taken.fresh)) if seat.me.witness else taken.fresh
    if fresh or gone:
        seat.log.append(fresh)
        seat.write(cut=taken.cut, entries=fresh)
    if gone:
        seat.out.append(Truncated(entries=gone))
    if taken.ok:
        seat.commit_to(min(message.commit, taken.index))
    _answer(seat, sender, message, ok=taken.ok, index=taken.index)


def _answer(seat: Seat, sender: str, message: Append, *, ok: bool, index: int) -> None:
    answer = Appended(
        epoch=seat.epoch, stamp=message.stamp, ok=ok, index=index, incarnation=seat.me.incarnation, primary=seat.primary
    )
    seat.say(sender, answer)
