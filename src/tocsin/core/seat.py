"""What one instance of a cluster knows of office and log, and the few steps that all its rules share."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf

from tocsin.core import control_log, election, lease, membership
from tocsin.core.control_log import Entry, Log
from tocsin.core.election import Promise
from tocsin.core.lease import Terms
from tocsin.core.membership import Membership
from tocsin.core.office import Office
from tocsin.core.turn import Became, Committed, Disk, Done, Effect, Me, Refused, Role, Send, Write


@dataclass(slots=True)
class Standing:
    """One attempt at office: asking beforehand (`asking`), or for votes, since this time; `yes` are those who agreed.
    `handed`: the primary before gave up its office for this instance."""

    epoch: int
    asking: bool
    since: float
    yes: set[str] = field(default_factory=set[str])
    handed: bool = False


class Seat:
    """The state of one instance. `out` collects the effects of the present step; `now` is its time."""

    def __init__(self, me: Me, disk: Disk, now: float, terms: Terms) -> None:
        self.me, self.terms, self.now = me, terms, now
        self.out: list[Effect] = []
        self.epoch, self.voted_for = disk.epoch, disk.voted_for
        self.log = Log(disk.base, disk.membership, disk.entries)
        self.commit = max(disk.applied, disk.base.index)
        self.role: Role = "follower"
        self.primary: str | None = None
        self.office: Office | None = None
        self.standing: Standing | None = None
        self.attempts = 0
        self.heard_at = now
        self.diverged = False
        self.promise = Promise(now if self.sole() else lease.restart_end(now, terms))
        self.stand_at = self.promise.until + self.stand_wait()

    @property
    def membership(self) -> Membership:
        """The newest membership in the log, committed or not."""
        return self.log.membership

    def sole(self) -> bool:
        """Whether nobody else votes."""
        return self.membership.voters() == (self.me.id,)

    def others(self) -> list[str]:
        """The voters beside this one."""
        return [v for v in self.membership.voters() if v != self.me.id]

    def may_stand(self) -> bool:
        """Whether this instance may become primary, and is not."""
        able = not self.me.witness and membership.may_stand(self.membership, self.me.id, self.me.incarnation)
        return able and self.office is None

    def forgets_at(self) -> float:
        """When who cannot stand no longer takes the primary that it heard last for one; infinity: it knows of none."""
        return inf if self.primary is None or self.may_stand() else lease.promise_end(self.heard_at, self.terms)

    def stand_wait(self) -> float:
        """How long after its promise this instance stands: by its place in the failover order."""
        order = self.membership.in_order()
        rank = order.index(self.me.id) if self.me.id in order else len(order)
        return 0.0 if self.sole() else lease.stand_wait(rank, self.me.id, self.epoch, self.terms)

    def lease_end(self) -> float | None:
        """When the lease of this primary ends; None when it has none."""
        return self.office and self.office.lease(self.me.id, self.membership, self.now, self.terms)

    def write(self, *, cut: int | None = None, entries: tuple[Entry, ...] = (), base: bool = False) -> None:
        """Bring epoch, vote and what changed in the log to disk."""
        self.out.append(Write(
            epoch=self.epoch, voted_for=self.voted_for, cut=cut, entries=entries,
            base=self.log.base if base else None, membership=self.log.base_membership if base else None,
        ))  # fmt: skip

    def say(self, to: str, message: object) -> None:
        """Send a message."""
        self.out.append(Send(to=to, message=message))  # pyright: ignore[reportArgumentType]

    def become(self, role: Role, primary: str | None, why: str) -> None:
        """Take a role in the present epoch; told only when something is new."""
        if (role, primary) != (self.role, self.primary) or role == "elect":
            self.role, self.primary = role, primary
            self.out.append(Became(role=role, epoch=self.epoch, primary=primary, why=why))

    def enter(self, epoch: int, why: str) -> None:
        """Follow into a later epoch, with no vote given in it. The caller writes. Who votes alone, by a promotion by force
        that is over, gives the primary of that epoch the time to be heard."""
        if self.office is not None:
            self.step_down(why)
        if self.sole():
            self.stand_at = max(self.stand_at, lease.promise_end(self.now, self.terms))
        self.epoch, self.voted_for, self.standing = epoch, None, None
        self.role, self.primary = "follower", None
        self.out.append(Became(role="follower", epoch=epoch, primary=None, why=why))

    def step_down(self, why: str) -> None:
        """Be primary no longer; what was not committed yet is in doubt."""
        office, self.office = self.office, None
        if office is None:
            return
        self.become("follower", None, why)
        self.stand_at = self.now + self.stand_wait() + lease.again_wait(self.me.id, self.epoch, 0, self.terms)
        waiting = list(office.waiting.values())
        if office.drain:
            waiting.append(office.drain.id)
        for who in waiting:
            self.out.append(Refused(id=who, reason="in_doubt", why=f"this instance is not primary any more: {why}"))

    def append(self, entries: tuple[Entry, ...]) -> None:
        """Put entries of this primary into its log, on disk, and tell all."""
        self.log.append(entries)
        self.write(entries=entries)
        self.advance()
        if control_log.told_at_once(entries):
            self.tell_all()

    def tell_all(self, *, again: bool = False) -> None:
        """Tell every other member where the log is; `again`: from what it surely has."""
        for member in self.membership.members:
            if member.id != self.me.id:
                self.tell(member.id, again=again)

    def tell(self, to: str, *, again: bool = False) -> None:
        """Tell one member."""
        if self.office is not None:
            self.say(to, self.office.message(to, self.log, self.commit, self.now, self.membership, again=again))

    def advance(self) -> None:
        """Commit what a majority has stored by now; the first of it opens the office."""
        office = self.office
        if office is None:
            return
        stored = office.stored_by_majority(self.me.id, self.membership, self.log)
        self.commit_to(control_log.committed(self.log, stored, self.epoch, self.commit))
        if not office.entered and election.in_office(office.begun_at, self.commit):
            office.entered = True
            self.become("primary", self.me.id, "a majority stored the beginning of its epoch")
        for index in [i for i in office.waiting if i <= self.commit]:
            position = self.log.position(index)
            if position is not None:
                self.out.append(Done(id=office.waiting.pop(index), position=position))

    def commit_to(self, index: int) -> None:
        """Everything up to this index is committed."""
        if index > self.commit:
            entries = self.log.slice(self.commit + 1, index)
            self.commit = index
            self.out.append(Committed(entries=entries))
