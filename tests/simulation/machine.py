"""One machine of the world: a clock of its own, a disk that keeps what was forced to it, and the carrier's loop, which does
the effects of the real node in order and may crash between any two."""

from __future__ import annotations

from dataclasses import dataclass, field

from simulation.desk import Desk, Tables
from simulation.results import Forwarder, Shelf
from simulation.world import World
from tocsin.core.control_log import START, Entry, Position
from tocsin.core.failover import Node
from tocsin.core.membership import Membership
from tocsin.core.peer import Message, TransferNow
from tocsin.core.turn import (
    Became,
    Committed,
    Disk,
    Done,
    Effect,
    Event,
    Forced,
    HandedOver,
    Me,
    NeedsSnapshot,
    Received,
    Refused,
    Send,
    SnapshotInstalled,
    Ticked,
    Truncated,
    Write,
)


@dataclass(kw_only=True)
class Drive:
    """What survives a crash: the control log, the tables it was applied to, and the results."""

    epoch: int = 0
    voted_for: str | None = None
    base: Position = START
    membership: Membership = field(default_factory=Membership)
    entries: list[Entry] = field(default_factory=list)
    applied: int = 0
    tables: Tables = field(default_factory=Tables)
    shelf: Shelf = field(default_factory=Shelf)

    def disk(self) -> Disk:
        return Disk(
            epoch=self.epoch, voted_for=self.voted_for, base=self.base, membership=self.membership,
            entries=tuple(self.entries), applied=self.applied,
        )  # fmt: skip

    def write(self, write: Write) -> None:
        self.epoch, self.voted_for = write.epoch, write.voted_for
        if write.cut is not None:
            self.entries = [e for e in self.entries if e.index < write.cut]
        if write.base is not None and write.membership is not None:
            self.base, self.membership = write.base, write.membership
            self.entries = [e for e in self.entries if e.index > write.base.index]
        self.entries.extend(write.entries)


@dataclass(kw_only=True)
class Habits:
    """How a machine fails by itself: a share of its writes end in a crash, before they reach the disk or just after; it is
    up again after at most `down_s`."""

    crash_share: float = 0.0
    down_s: float = 20.0


class Machine:
    """A machine that is up, paused, frozen or down. `votes_forced`: votes are forced to disk before they are answered."""

    votes_forced = True

    def __init__(self, world: World, who: str, members: Membership, *, rate: float = 1.0, kind: str = "voter") -> None:
        self.world, self.id, self.rate = world, who, rate
        self.kind, self.witness = kind, kind == "witness"
        self.incarnation, self.disks = f"{who}1", 1
        self.offset = world.random.random() * 1000
        self.drive = Drive(membership=members)
        self.habits = Habits()
        self.up = False
        self.paused = False
        self.steady = True
        self.stopped_at: float | None = None
        self.queue: list[Event] = []
        self.life = 0
        self.tick_at = float("inf")
        self.lease_until = -1.0
        self.lease_since = 0.0
        self.kept_vote: tuple[int, str | None] | None = None
        self.fetching = False
        self.copied: Tables | None = None
        world.machines[who] = self
        self.start()

    def __repr__(self) -> str:
        return self.id

    def clock(self) -> float:
        """CLOCK_BOOTTIME of this machine."""
        now = self.world.now if self.stopped_at is None else self.stopped_at
        return now * self.rate + self.offset

    # Up and down

    def start(self) -> None:
        """Begin with what is on disk."""
        if self.up:
            return
        self.up, self.life, self.paused, self.queue = True, self.life + 1, False, []
        self.steady, self.lease_until, self.fetching = True, -1.0, False
        self.node = Node(
            Me(id=self.id, incarnation=self.incarnation, witness=self.witness),
            self.drive.disk(),
            self.clock(),
            self.world.terms,
        )
        self.desk = Desk(self)
        self.forwarder = Forwarder(self)
        self.world.tell("{} starts (epoch {}, log to {})", self.id, self.node.epoch, self.node.log.last.index)
        self.tick_at = float("inf")
        self._wake()

    def crash(self, why: str, down_s: float | None = None) -> None:
        """Lose everything but the disk; come back after a while, None: not by itself."""
        if not self.up:
            return
        self.world.tell("{} crashes: {}", self.id, why)
        self.up, self.life = False, self.life + 1
        self.thaw()
        if self.kept_vote is not None and not self.votes_forced:
            self.drive.epoch, self.drive.voted_for = self.kept_vote
        self.kept_vote = None
        if down_s is not None:
            self.world.after(down_s, self.start)

    def wipe(self) -> None:
        """Come back with an empty disk: another incarnation."""
        self.crash("its disk is lost")
        self.disks += 1
        self.incarnation = f"{self.id}{self.disks}"
        self.drive = Drive()
        self.world.tell("{} is {} now", self.id, self.incarnation)

    def pause(self, seconds: float, *, frozen: bool = False) -> None:
        """Do nothing for so long; `frozen`: its clock stands still too."""
        if not self.up or self.paused:
            return
        self.world.tell("{} is {} for {:.1f} s", self.id, "frozen" if frozen else "paused", seconds)
        self.paused = True
        if frozen:
            self.stopped_at, self.steady = self.world.now, False
        self.world.after(seconds, self._resume, self.life)

    def go_on(self) -> None:
        """End a pause."""
        self._resume(self.life)

    def thaw(self) -> None:
        """The clock goes on from where it stood."""
        if self.stopped_at is not None:
            self.offset -= (self.world.now - self.stopped_at) * self.rate
            self.stopped_at = None

    def _resume(self, life: int) -> None:
        if self.life != life or not self.paused:
            return
        was_frozen = self.stopped_at is not None
        self.thaw()
        self.paused = False
        self.world.tell("{} goes on", self.id)
        self.desk.was_away()
        if was_frozen:
            self.world.after(2 * self.world.terms.lease_s, self._steady_again, life)
        queue, self.queue = self.queue, []
        for event in queue:
            self.hand(event)
        self.hand(Ticked())

    def _steady_again(self, life: int) -> None:
        if self.life == life and self.stopped_at is None:
            self.steady = True

    # The carrier's loop

    def receive(self, sender: str, message: Message) -> None:
        """A message arrived."""
        self.hand(Received(sender=sender, message=message))

    def hand(self, event: Event) -> None:
        """Hand an event to the node, now or when the machine goes on."""
        if not self.up:
            return
        if self.paused:
            self.queue.append(event)
            return
        node, now = self.node, self.clock()
        self.released = isinstance(event, Forced) or (
            isinstance(event, Received) and isinstance(event.message, TransferNow)
        )
        self.world.steps += 1
        left = node.lease_left(now)
        life = self.life
        effects = node.step(now, event)
        self._look(now)
        for effect in effects:
            self._do(effect, left)
            if self.life != life:
                return
        self.desk.work()
        if self.life == life and self.up:
            self._wake()

    def _look(self, now: float) -> None:
        """Write down how long the lease lasts, in true time."""
        if self.node.role != "primary":
            self.lease_until = -1.0
            return
        left = self.node.lease_left(now)
        if left <= 0:
            self.world.truth.lingers(self)
        until = self.world.now + left / self.rate
        if self.lease_until < self.world.now:
            self.lease_since = self.world.now
        if until > self.lease_until:
            self.lease_until = until
            self.world.truth.holds(self)

    def _wake(self) -> None:
        wakes = self.node.wakes_at()
        if wakes == float("inf"):
            return
        true = (wakes - self.offset) / self.rate
        if true < self.tick_at - 1e-9:
            self.tick_at = max(true, self.world.now)
            self.world.at(self.tick_at + 1e-6, self._tick, self.life)

    def _tick(self, life: int) -> None:
        if self.life != life:
            return
        self.tick_at = float("inf")
        if self.paused:
            return
        if self.clock() >= self.node.wakes_at():
            self.hand(Ticked())
        else:
            self._wake()

    def _do(self, effect: Effect, left: float) -> None:
        world = self.world
        match effect:
            case Send(to=to, message=message):
                target = world.machines.get(to)
                if target is not None:
                    world.post(self.id, to, target.receive, self.id, message)
            case Write():
                self._write(effect)
            case Committed(entries=entries):
                self._commit(entries)
            case Became():
                self._became(effect, left)
            case Done() | Refused():
                self.desk.answered(effect, left)
            case NeedsSnapshot():
                self._needs(effect)
            case Truncated(entries=gone):
                world.tell("{} cuts {} entries from {}", self.id, len(gone), gone[0].index)
            case HandedOver(to=to):
                world.tell("{} hands its office to {}", self.id, to)

    def _write(self, write: Write) -> None:
        share = self.habits.crash_share
        fate = self.world.random.random() if share else 1.0
        if fate < share / 2:
            self.crash("before a write", self.world.random.random() * self.habits.down_s)
            return
        if self.votes_forced or write.entries:
            self.kept_vote = None
        elif self.kept_vote is None:
            self.kept_vote = (self.drive.epoch, self.drive.voted_for)
        for entry in write.entries:
            if entry.membership is not None and self.node.role in ("primary", "elect"):
                self.world.truth.changes(self, entry)
        if write.epoch > self.drive.epoch and write.voted_for == self.id:
            self.world.truth.begins(self, released=self.released)
        self.drive.write(write)
        if self.copied is not None and write.base is not None:
            self.drive.tables, self.drive.applied = self.copied, write.base.index
        if fate < share:
            self.crash("after a write", self.world.random.random() * self.habits.down_s)

    def _commit(self, entries: tuple[Entry, ...]) -> None:
        self.world.truth.commits(self, entries)
        for entry in entries:
            if entry.index > self.drive.applied:
                if not self.witness:
                    self.drive.tables.apply(entry)
                self.drive.applied = entry.index
        if self.node.role in ("primary", "elect"):
            self.desk.committed(entries)

    def _became(self, effect: Became, left: float) -> None:
        self.world.tell("{} is {} of epoch {}: {}", self.id, effect.role, effect.epoch, effect.why)
        if effect.role == "elect":
            self.world.truth.won(self)
        elif effect.role == "primary":
            self.world.truth.in_office.append((self.world.now, self.id, effect.epoch))
            self.desk.take_office(effect.epoch)
        elif left > 0 or self.desk.epoch is not None:
            self.world.truth.deposed(self, left, effect.why)
            self.desk.leave_office(effect.why)

    def forward(self, what: str, *args: object) -> None:
        """Something about results arrived."""
        if self.up and not self.paused:
            getattr(self.forwarder, what)(*args)

    def desk_of_now(self, what: str, *args: object) -> None:
        """Something for the primary's desk arrived."""
        if self.up and not self.paused:
            getattr(self.desk, what)(*args)

    # Tables of another machine

    def _needs(self, effect: NeedsSnapshot) -> None:
        if effect.diverged and not self.world.truth.forced:
            self.world.broken("I3", f"{self.id} has committed what {effect.sender} has not")
        source = self.world.machines[effect.sender]
        if not self.fetching:
            self.fetching = True
            self.world.post(self.id, source.id, source.give_tables, self)
            self.world.after(5.0, self._fetch_again, self.life)

    def _fetch_again(self, life: int) -> None:
        if self.life == life:
            self.fetching = False

    def give_tables(self, to: Machine) -> None:
        """Answer a request for the tables: where they are, and what is in force there."""
        if not self.up or self.paused:
            return
        applied = self.drive.applied
        position = self.node.log.position(applied)
        members = self.node.log.membership_at(applied)
        if position is not None:
            tables = self.drive.tables.copy()
            self.world.post(self.id, to.id, to.take_tables, position, members, tables, to.life)

    def take_tables(self, position: Position, members: Membership, tables: Tables, life: int) -> None:
        """The tables came: swap them in, with the write that says so."""
        if self.life != life or not self.up or self.paused or not self.fetching:
            return
        self.fetching = False
        if position.index <= self.node.commit and not self.world.truth.forced:
            return
        self.world.tell("{} takes the tables up to {}", self.id, position.index)
        self.copied = tables
        self.hand(SnapshotInstalled(position=position, membership=members))
        self.copied = None
