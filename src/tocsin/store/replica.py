"""An instance of a cluster, as far as its database goes: its log, what it takes from others, what it gives them.

The carrier (it talks to the other instances) and the rules of who leads are elsewhere. They say what the log is to hold
and what of it is settled; here is seen to it that log and tables agree, whenever the process ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection

from tocsin.clock import Clock
from tocsin.core.result import micros
from tocsin.errors import Conflict
from tocsin.store import applying, carrying, control, drafts, images, installing, snapshot, transport
from tocsin.store.applying import Applied
from tocsin.store.capture import Carrier, Following, Leading, raw_of
from tocsin.store.carrying import Portion
from tocsin.store.control import Entry, Position, Save, State
from tocsin.store.drafts import Draft
from tocsin.store.images import Key, Reseal
from tocsin.store.jobs import Undo, is_outage
from tocsin.store.memory import Memory
from tocsin.store.sealing import Seal
from tocsin.store.session import Session
from tocsin.store.snapshot import Snapshot
from tocsin.store.sqlite import SQLiteDatabase

__all__ = ["Applied", "Carrier", "Draft", "Entry", "Portion", "Position", "Replica", "Save", "Snapshot", "State"]

T = TypeVar("T")
KEEP_BYTES = 64 << 20
KEEP_TIME = timedelta(hours=24)
"""Entries that some member does not have yet are kept so long, and so much of them; then it takes a snapshot."""
_KEY = "control/key"


class Replica:
    """Made by the store. It stands alone until `found` or `enrol`, and follows nobody after each start."""

    def __init__(self, database: SQLiteDatabase, memory: Memory, seal: Seal, clock: Clock, folder: Path) -> None:
        self._database, self._memory, self._seal, self._clock, self._folder = database, memory, seal, clock, folder
        self._inwards: Reseal | None = None

    # Membership -----------------------------------------------------------------------------------------------------
    @property
    def gear(self) -> Leading | Following | None:
        """How it works now; None: it stands alone."""
        return self._database.capture.gear

    async def state(self) -> State | None:
        """What is remembered over a restart, or None: it stands alone."""
        return await self._database.read(lambda connection: control.state(raw_of(connection)))

    async def resume(self) -> None:
        """After a start: follow nobody, if it belongs to a cluster."""
        for left in self._folder.glob("*.snapshot"):
            left.unlink()
        found = await self.state()
        if found is not None:
            await self.own(lambda s: transport.begin(s, None))
            self._use(self._seal.open_bytes(found.cluster_key, _KEY))

    async def found(self, standing: bytes) -> bytes:
        """Become the first instance of a cluster: its key, for those who join. Its tables are the cluster's at entry 0."""
        key = os.urandom(32)
        await self._begin(standing, key, torn=False)
        return key

    async def enrol(self, standing: bytes, cluster_key: bytes) -> None:
        """Become a further instance: nothing is applied before a snapshot is installed, which replaces all that is
        shared."""
        await self._begin(standing, cluster_key, torn=True)

    async def _begin(self, standing: bytes, key: bytes, *, torn: bool) -> None:
        sealed = self._seal.close_bytes(key, _KEY)
        await self._write(lambda raw_connection: control.begin(raw_of(raw_connection), standing, sealed, torn=torn))
        self._use(key)

    async def leave(self) -> None:
        """Stand alone again, with the tables as they are. Only with nobody left to follow or lead."""
        await self.own(transport.finish)
        await self._write(lambda connection: control.end(raw_of(connection)))
        self._shift(None)
        self._database.appended = lambda entry: None

    async def cluster_key(self) -> bytes:
        """The key that secrets travel under: for a member that joins, over a connection that nobody reads along."""
        found = await self.state()
        if found is None:
            raise Conflict("this instance does not belong to a cluster")
        return self._seal.open_bytes(found.cluster_key, _KEY)

    def _use(self, key: bytes) -> None:
        cluster = Seal(key)
        self._inwards = images.resealing(cluster, self._seal)
        self._database.capture.use(images.resealing(self._seal, cluster), lambda: micros(self._clock.now()))
        self._shift(Following())

    # Leading and following ------------------------------------------------------------------------------------------
    async def lead(self, epoch: int, carrier: Carrier) -> None:
        """Write from now on, as the primary of this epoch. Conflict when the tables are not at the end of the log, or a
        higher epoch is known."""

        def work(connection: Connection) -> None:
            found = control.state(raw_of(connection))
            if found is None or found.torn or found.applied != found.last.index:
                at = None if found is None or found.torn else found.applied
                raise Conflict(f"expected tables at the end of the control log, found them at entry {at}")
            if found.epoch > epoch:
                raise Conflict(f"expected epoch {found.epoch} or later, found {epoch}")
            control.enter(raw_of(connection), epoch)

        await self._write(work)
        self._database.appended = carrier.appended
        self._shift(Leading(epoch, carrier))

    async def follow(self, primary: str | None = None, retry_after_s: float = 5.0) -> None:
        """Write nothing shared from now on; say this URL to whoever wants to. When it returns, whatever was being written
        is in the log, and told to the carrier, or refused."""
        if self.gear is None:
            raise Conflict("this instance stands alone")
        self._shift(Following(primary, retry_after_s))
        try:
            await self._write(lambda connection: None)
        except Exception as error:
            if not is_outage(error):
                raise

    def _shift(self, gear: Leading | Following | None) -> None:
        self._database.capture.gear, self._memory.following = gear, isinstance(gear, Following)

    @contextlib.asynccontextmanager
    async def hold(self) -> AsyncGenerator[None]:
        """While this lasts a primary's own work puts nothing into the log (it waits), and the carrier was told of all that
        is in it: so the carrier can put in an entry of its own, by `save`."""
        capture = self._database.capture
        capture.held += 1
        try:
            await self._write(lambda connection: None)
            yield
        finally:
            capture.held -= 1
            self._database.stir()

    # The log --------------------------------------------------------------------------------------------------------
    async def save(self, what: Save) -> bool:
        """Bring this to the disk, all or none of it; it is there when this returns. Twice is the same as once: so an entry
        that this primary wrote itself is no work. An epoch higher than a primary's own ends its writing.

        Whether the cut took away entries that are in the tables already: those are torn then, and need a snapshot; what
        the entries were to change is kept as a draft. Conflict when it does not fit the log."""
        return await self._write(lambda connection: self._save(connection, what))

    def _save(self, connection: Connection, what: Save) -> bool:
        raw, now = raw_of(connection), self._clock.now()
        found = control.state(raw)
        if found is None:
            raise Conflict("this instance does not belong to a cluster")
        if what.cut is not None and not found.torn and found.base.index < what.cut <= found.applied:
            drafts.keep(self._drafts, control.read(raw, what.cut - 1, found.applied, 1 << 62), now)
        return control.save(raw, what, micros(now))

    async def entries(self, after: int, most_bytes: int = 1 << 20, upto: int | None = None) -> list[Entry]:
        """Entries after an index, as many as fit into so many bytes, at least one if there is one. Conflict when the next
        is no longer in the log: whoever needs it takes a snapshot."""
        return await self._database.read(lambda c: control.read(raw_of(c), after, upto, most_bytes))

    async def monitors_after(self, after: int) -> set[str]:
        """The ids of the monitors that entries after an index change. Conflict when the next is no longer in the log."""
        found: set[str] = set()
        while some := await self.entries(after):
            for entry in some:
                if entry.kind == control.ROWS:
                    found |= images.monitors_of(entry.payload)
            after = some[-1].index
        return found

    async def position(self, index: int) -> Position | None:
        """The epoch that an index is of here, or None when the log does not have it (any more, or yet)."""
        return await self._database.read(lambda connection: control.position(raw_of(connection), index))

    async def spare(self, held_by_all: int) -> Position | None:
        """Where the log may begin anew (`Save.base`), or None when nothing is to be gained: what all members have and the
        tables too, and what is too old or too much to keep."""
        since = micros(self._clock.now() - KEEP_TIME)

        def work(connection: Connection) -> Position | None:
            raw = raw_of(connection)
            edge = control.position(raw, control.spare(raw, held_by_all, keep_bytes=KEEP_BYTES, since_us=since))
            found = control.state(raw)
            return None if found is None or edge == found.base else edge

        return await self._database.read(work)

    # The tables -----------------------------------------------------------------------------------------------------
    async def apply(self, upto: int) -> Applied:
        """Bring settled entries up to this one into the tables, in order, each exactly once: what changed. Conflict when
        the tables are torn, or the log does not go so far."""
        changed: dict[str, set[Key]] = {}
        others: list[Entry] = []
        while True:
            some = await self._bring(lambda s: applying.apply_some(s, upto, self._reseal()))
            for table, names in some.changed.items():
                changed.setdefault(table, set()).update(names)
            others += some.others
            if some.index >= upto:
                return Applied(index=some.index, changed=changed, others=tuple(others))

    async def snapshot(self, membership_at: Callable[[int], bytes]) -> Snapshot:
        """The shared tables in a file, which the caller deletes. `membership_at` gives the membership in force at an entry.
        At a primary it returns when what is in it is settled
        (NotPrimary: that cannot be known any more). Conflict when the tables are torn."""
        gear, reseal = self.gear, self._database.capture.reseal
        if gear is None or reseal is None:
            raise Conflict("this instance does not belong to a cluster")
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"{os.urandom(8).hex()}.snapshot"
        try:
            made = await self._database.read(lambda c: snapshot.write(raw_of(c), path, membership_at, reseal))
            if isinstance(gear, Leading):
                await gear.carrier.committed(made.position.index)
        except BaseException:
            with contextlib.suppress(OSError):
                path.unlink()
            raise
        return made

    async def install(self, path: Path, also: Save | None = None) -> Position:
        """Make the shared tables what the snapshot in this file says: the entry it was taken at, after which the log goes
        on. `also` comes to the disk with it. Invalid when it is not whole, SettingsError when it is of a newer program,
        Conflict when the tables are further already."""
        await asyncio.to_thread(snapshot.check, path)

        def work(s: Session) -> Position:
            place = installing.install(s, path, self._reseal())
            if also is not None:
                control.save(raw_of(s.connection), also, micros(self._clock.now()))
            return place

        return await self._bring(work)

    async def rebase(self, place: Position, membership: bytes) -> None:
        """For a witness, which has no tables: the log begins after this place. Conflict when it is further already."""

        def work(connection: Connection) -> None:
            control.rebase(raw_of(connection), place, membership)
            control.tear(raw_of(connection))

        await self._write(work)

    def drafts(self) -> list[Draft]:
        """What was written here and no majority took, the latest first."""
        return drafts.kept(self._drafts)

    @property
    def _drafts(self) -> Path:
        return self._folder / "rejected"

    @property
    def transport(self) -> Transport:
        """Results on their way to and from other instances."""
        return Transport(self)

    def _reseal(self) -> Reseal:
        if self._inwards is None:
            raise Conflict("this instance does not belong to a cluster")
        return self._inwards

    # Work -----------------------------------------------------------------------------------------------------------
    async def _write(self, work: Callable[[Connection], T]) -> T:
        return await self._database.bring(lambda connection, undo: work(connection), unbound=False)

    def now(self) -> datetime:
        """What time it is."""
        return self._clock.now()

    async def own(self, work: Callable[[Session], T]) -> T:
        """What work on what is this instance's own gives, once that is committed here."""
        now = self._clock.now()

        def on(connection: Connection, undo: Undo) -> T:
            return work(Session(connection, self._memory, self._seal, None, "tocsin", now, undo=undo))

        return await self._database.write(on, local=True)

    async def read(self, work: Callable[[Session], T]) -> T:
        """What work that only reads gives."""
        now = self._clock.now()
        return await self._database.read(lambda c: work(Session(c, self._memory, self._seal, None, "tocsin", now)))

    async def _bring(self, work: Callable[[Session], T]) -> T:
        now = self._clock.now()

        def on(connection: Connection, undo: Undo) -> T:
            return work(Session(connection, self._memory, self._seal, None, "tocsin", now, undo=undo))

        return await self._database.bring(on)


@dataclass(frozen=True, slots=True)
class Transport:
    """Results between instances; see store.transport. Made by its Replica."""

    _replica: Replica

    async def number_as(self, source: str) -> None:
        """Number this instance's own results as of this source from now on (also after a start)."""
        await self._replica.own(lambda s: transport.begin(s, source))

    async def ends(self) -> dict[str, int]:
        """Up to which number everything of each source is here (or was, and grew old): the cumulative receipt."""
        return await self._replica.read(transport.ends)

    async def islands(self) -> dict[str, list[transport.Range]]:
        """Which numbers are here behind a gap, by source, in ranges."""
        return await self._replica.read(transport.islands)

    async def read(self, source: str, after: int, upto: int | None = None, limit: int = 500) -> Portion:
        """What is here of a source after a number, at most so many results; `upto` None: up to the first gap."""
        return await self._replica.read(lambda s: carrying.portion(s, source, after, upto, limit))

    async def take_in(self, portion: Portion) -> int:
        """Keep what another instance has, without judging it: up to which number everything of its source is here now.
        Nothing is kept while this instance's tables are behind the sender's: it may not know the monitors yet."""
        return await self._replica.own(lambda s: carrying.take_in(s, portion))

    async def keep(self, portion: Portion) -> int:
        """The same at a primary, which had them judged before: what of them is not in the database for any reason comes
        there now, so that no number counts whose result is not here."""
        return await self._replica.own(lambda s: carrying.keep(s, portion))

    async def expire(self) -> int:
        """How many numbers were forgotten because they are a day old: call it once an hour."""
        gone, before = 0, self._replica.now() - transport.KEPT
        while some := await self._replica.own(lambda s: transport.expire(s, before)):
            gone += some
        return gone
