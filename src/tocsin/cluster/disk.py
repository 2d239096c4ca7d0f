"""What the node of this instance has on disk, as the store keeps it."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from tocsin.core.control_log import MEMBERS, Entry, Position
from tocsin.core.membership import Member, Membership
from tocsin.core.turn import Disk, Me, Write
from tocsin.errors import Conflict, Invalid, Problem
from tocsin.store.control import Entry as StoredEntry
from tocsin.store.control import Position as StoredPosition
from tocsin.store.replica import Replica, Save

_EVERYTHING = 1 << 62


class Standing(Struct, frozen=True, kw_only=True):
    """What an instance is and promised. `first`: the membership it began its cluster with; None where it joined one."""

    id: str
    incarnation: str
    witness: bool = False
    voted_for: str | None = None
    first: Membership | None = None


async def found(replica: Replica, me: Member) -> bytes:
    """Begin a cluster with this instance alone: the cluster's key."""
    first = Membership(version=1, members=(me,))
    return await replica.found(_encoded(Standing(id=me.id, incarnation=me.incarnation, first=first)))


async def enrol(replica: Replica, me: Me, cluster_key: bytes) -> None:
    """Become a further instance of a cluster, which knows nothing of it yet."""
    await replica.enrol(_encoded(Standing(id=me.id, incarnation=me.incarnation, witness=me.witness)), cluster_key)


async def read(replica: Replica) -> tuple[Me, Disk, bool]:
    """Who this instance is, what it has on disk, and whether its tables wait for a snapshot. Conflict when it stands
    alone."""
    state = await replica.state()
    if state is None:
        raise Conflict("this instance does not belong to a cluster")
    known = msgspec.msgpack.decode(state.standing, type=Standing)
    entries = await replica.entries(state.base.index, _EVERYTHING)
    # what is in the tables of a former primary is not all committed: how far that goes, the next primary tells
    membership = membership_of(state.membership) if state.membership else known.first or Membership()
    disk = Disk(
        epoch=state.epoch, voted_for=known.voted_for, base=Position(state.base.epoch, state.base.index),
        membership=membership, entries=tuple(map(entry_of, entries)),
    )  # fmt: skip
    return Me(id=known.id, incarnation=known.incarnation, witness=known.witness), disk, state.torn


async def write(replica: Replica, write: Write) -> bool:
    """Bring this to the disk, all or none of it; whether it tore the tables."""
    state = await replica.state()
    if state is None:
        raise Conflict("this instance does not belong to a cluster")
    known = msgspec.msgpack.decode(state.standing, type=Standing)
    return await replica.save(save_of(msgspec.structs.replace(known, voted_for=write.voted_for), write))


def save_of(standing: Standing, write: Write) -> Save:
    """What the rules want on disk, as the store takes it."""
    return Save(
        standing=_encoded(standing), epoch=write.epoch, cut=write.cut,
        base=None if write.base is None else StoredPosition(write.base.epoch, write.base.index),
        membership=None if write.membership is None else membership_bytes(write.membership),
        entries=tuple(map(stored, write.entries)),
    )  # fmt: skip


def entry_of(entry: StoredEntry) -> Entry:
    """The store's entry as the rules see it."""
    if entry.kind == MEMBERS:
        membership = membership_of(entry.payload)
        return Entry(epoch=entry.epoch, index=entry.index, kind=entry.kind, membership=membership)
    return Entry(epoch=entry.epoch, index=entry.index, kind=entry.kind, payload=entry.payload)


def stored(entry: Entry) -> StoredEntry:
    """An entry as the store keeps it."""
    if (entry.kind == MEMBERS) != (entry.membership is not None):
        raise Invalid(Problem("entries", f"a membership in entries of kind {MEMBERS!r} only", entry.kind))
    payload = entry.payload if entry.membership is None else membership_bytes(entry.membership)
    return StoredEntry(epoch=entry.epoch, index=entry.index, kind=entry.kind, payload=payload)


def membership_bytes(membership: Membership) -> bytes:
    """A membership as the store keeps it."""
    return msgspec.msgpack.encode(membership)


def membership_of(data: bytes) -> Membership:
    """The membership again. Invalid when it is none."""
    try:
        return msgspec.msgpack.decode(data, type=Membership)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid(Problem("", "a membership as the store keeps it", str(error))) from None


def _encoded(standing: Standing) -> bytes:
    return msgspec.msgpack.encode(standing)
