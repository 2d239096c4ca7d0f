"""Who of several instances is primary: the state machine of one of them, without clock, chance, network or disk.

It is Raft's election and log with leases: a primary is one only while a majority of the registered voters heard it within a
lease, and a voter that heard one helps nobody else into office until that lease is surely over. Hand in events with the
time (seconds of CLOCK_BOOTTIME), do the effects that come back in order (`core.turn`).

Each rule is a small function of `core.lease`, `core.election`, `core.membership` or `core.control_log`; `core.standing`,
`core.following` and `core.leading` say when it is asked, and act on the state in `core.seat`.
"""

from __future__ import annotations

from math import inf

from tocsin.core import election, following, leading, lease, standing
from tocsin.core.control_log import Log
from tocsin.core.lease import Terms
from tocsin.core.membership import Membership
from tocsin.core.peer import Append, Appended, Message, PreVote, PreVoted, TransferNow, Vote, Voted
from tocsin.core.seat import Seat
from tocsin.core.turn import (
    ChangeAsked,
    Compacted,
    Disk,
    Effect,
    Event,
    Forced,
    Me,
    PromoteAsked,
    Proposed,
    Received,
    Role,
    SnapshotInstalled,
    Stale,
    Ticked,
)


class Node:
    """One instance's part. Everything it says follows from what came in and from the disk it started with."""

    def __init__(self, me: Me, disk: Disk, now: float, terms: Terms | None = None) -> None:
        self._seat = Seat(me, disk, now, terms or Terms())

    @property
    def me(self) -> Me:
        """This instance."""
        return self._seat.me

    @property
    def role(self) -> Role:
        """ "primary" is one only while `lease_left` is above 0."""
        return self._seat.role

    @property
    def epoch(self) -> int:
        """The latest epoch heard of."""
        return self._seat.epoch

    @property
    def primary(self) -> str | None:
        """Who is primary, as far as is known here."""
        return self._seat.primary

    @property
    def commit(self) -> int:
        """The index up to which the log is committed, as far as is known here."""
        return self._seat.commit

    @property
    def log(self) -> Log:
        """The control log; to be read only."""
        return self._seat.log

    @property
    def membership(self) -> Membership:
        """The newest membership in the log, committed or not."""
        return self._seat.log.membership

    def lease_left(self, now: float) -> float:
        """For how many seconds this instance surely stays primary; 0 when it is not primary. With 0 no configuration is
        written and no confirmed notification is sent."""
        seat = self._seat
        office = seat.office
        end = office.lease(seat.me.id, seat.membership, now, seat.terms) if office and office.entered else None
        return max(end - now, 0.0) if end is not None and lease.holds(end, now) else 0.0

    def may_write(self, now: float) -> bool:
        """Whether something can be put into the control log now."""
        office = self._seat.office
        return self.lease_left(now) > 0 and office is not None and office.drain is None

    def may_send(self, now: float) -> float:
        """How many seconds a message to a channel that begins now may take at most; 0: none may begin."""
        return lease.send_budget(now + self.lease_left(now), now, self._seat.terms) if self.may_write(now) else 0.0

    def unheard_s(self, now: float) -> float:
        """For how long no primary has been heard here (since the start, if none ever was), 0 at a primary: how stale what is
        read here may be, and when somebody who is cut off may send alerts that say they are unconfirmed."""
        return 0.0 if self.lease_left(now) > 0 else max(now - self._seat.heard_at, 0.0)

    def fence(self, epoch: int) -> Stale | None:
        """What a request that carries this epoch is refused with; None when it is not stale."""
        seat = self._seat
        return Stale(epoch=seat.epoch, primary=seat.primary) if election.is_stale(epoch, seat.epoch) else None

    def acknowledged(self, now: float) -> dict[str, tuple[float, int | None]]:
        """For each other member that answered this primary: seconds since what it answered was asked, and up to which
        entry it has the log (None: not known). Empty elsewhere."""
        office = self._seat.office
        if office is None:
            return {}
        return {who: (now - stamp, office.stored.get(who)) for who, stamp in office.stamps.items()}

    def wakes_at(self) -> float:
        """When to hand in `Ticked` if nothing else happens before; infinity: never."""
        seat, office = self._seat, self._seat.office
        if office is None:
            return seat.stand_at if seat.may_stand() else seat.forgets_at()
        drain = office.drain.until if office.drain else inf
        return min(office.beat_at, office.ends_at(seat.me.id, seat.membership, seat.now, seat.terms), drain)

    def step(self, now: float, event: Event) -> list[Effect]:
        """The effects of an event, to be done in order. `now` never goes back."""
        seat = self._seat
        seat.now, seat.out = now, []
        if seat.office is not None:
            leading.pass_time(seat, seat.office)
        elif now >= seat.stand_at and seat.may_stand():
            standing.stand_or_ask(seat)
        elif now >= seat.forgets_at():
            seat.become("follower", None, "no primary was heard")
        self._take(event)
        return seat.out

    def _take(self, event: Event) -> None:
        seat = self._seat
        match event:
            case Received(sender=sender, message=message):
                self._hear(sender, message)
            case Ticked():
                pass
            case Proposed():
                leading.propose(seat, event)
            case ChangeAsked():
                leading.change(seat, event)
            case PromoteAsked():
                leading.promote(seat, event)
            case Forced():
                leading.force(seat, event)
            case Compacted(index=index):
                if seat.log.base.index < index <= seat.commit:
                    seat.log.compact(index)
                    seat.write(base=True)
            case SnapshotInstalled():
                following.install(seat, event)

    def _hear(self, sender: str, message: Message) -> None:
        seat = self._seat
        match message:
            case Append():
                following.follow(seat, sender, message)
            case Appended():
                leading.acknowledged(seat, sender, message)
            case PreVote():
                standing.answer_pre_vote(seat, sender, message)
            case Vote():
                standing.answer_vote(seat, sender, message)
            case PreVoted() | Voted():
                standing.hear_answer(seat, sender, message)
            case TransferNow():
                standing.stand_for(seat, sender, message)
