"""What a primary does with its office: what it is asked to put into the log, whom it hears, to whom it hands over."""

from __future__ import annotations

from tocsin.core import election, lease, membership, standing
from tocsin.core.control_log import MEMBERS, Entry
from tocsin.core.membership import Membership
from tocsin.core.office import Drain, Office
from tocsin.core.peer import Appended, TransferNow
from tocsin.core.seat import Seat
from tocsin.core.turn import ChangeAsked, Done, Forced, HandedOver, PromoteAsked, Proposed, Reason, Refused

FORCED_EPOCHS = 1000
"""A forced promotion begins an epoch so much later, out of reach of whatever the others do meanwhile."""


def working(seat: Seat) -> Office | None:
    """The office of this instance while it may work: its epoch has begun, and its lease lasts."""
    office = seat.office
    held = office is not None and office.entered and lease.holds(seat.lease_end(), seat.now)
    return office if held else None


def pass_time(seat: Seat, office: Office) -> None:
    """What comes true by time alone, before anything else is looked at: after a pause the lease may be over."""
    ends_at = office.ends_at(seat.me.id, seat.membership, seat.now, seat.terms)
    if election.steps_down(lease.holds(ends_at, seat.now)):
        seat.step_down("its lease is over")
        return
    if office.drain and seat.now >= office.drain.until:
        _refuse(seat, office.drain.id, "not_possible", f"{office.drain.to} did not catch up in time")
        office.drain = None
    if seat.now >= office.beat_at:
        office.beat_at = seat.now + seat.terms.beat_s
        seat.tell_all(again=True)


def acknowledged(seat: Seat, sender: str, answer: Appended) -> None:
    """Count what somebody heard and stored; give up the office when it is in a later epoch."""
    if answer.epoch > seat.epoch:
        seat.enter(answer.epoch, f"{sender} is in a later epoch")
        seat.write()
        return
    office = seat.office
    member = seat.membership.member(sender)
    if office is None or member is None:
        return
    if answer.epoch != seat.epoch:
        if member.kind == "observer" or _asks(answer):  # it asks by itself, and does not know yet whom
            seat.tell(sender)
        return
    if membership.counts(seat.membership, sender, answer.incarnation):
        stored = min(answer.index, seat.log.last.index) if answer.ok else None
        office.heard(sender, min(answer.stamp, seat.now), stored)
    if answer.ok:
        known = min(answer.index, seat.log.last.index)
        office.following[sender] = max(office.following.get(sender, 0), known + 1)
        seat.advance()
        if office.following[sender] <= seat.log.last.index or _asks(answer):
            seat.tell(sender)
    elif answer.index < office.following.get(sender, answer.index + 1):
        office.following[sender] = answer.index
        seat.tell(sender)
    _hand_over(seat, office)


def _asks(answer: Appended) -> bool:
    """Whether it answers nothing: who cannot be reached asks so for what it would be told."""
    return answer.stamp <= 0.0


def propose(seat: Seat, event: Proposed) -> None:
    """Put something into the log, or say why not."""
    office = working(seat)
    drains = office is not None and office.drain is not None
    if office is None or (drains and not all(p.closing for p in event.proposals)):
        reason: Reason = "not_primary" if office is None else "handing_over"
        why = "this instance is not primary" if office is None else "the office is being handed over"
        for proposal in event.proposals:
            _refuse(seat, proposal.id, reason, why)
        return
    entries: list[Entry] = []
    for index, proposal in enumerate(event.proposals, seat.log.last.index + 1):
        entries.append(Entry(epoch=seat.epoch, index=index, kind=proposal.kind, payload=proposal.payload))
        office.waiting[index] = proposal.id
    seat.append(tuple(entries))


def change(seat: Seat, event: ChangeAsked) -> None:
    """Change the membership by one step, or say why not."""
    office = working(seat)
    if office is None or office.drain is not None:
        _refuse(seat, event.id, "not_primary", "this instance is not primary, or hands its office over")
        return
    if not membership.one_at_a_time(seat.log.changed_at, seat.commit, office.entered):
        _refuse(seat, event.id, "one_at_a_time", f"change {seat.membership.version} is not committed yet")
        return
    put = event.change.put
    ready = put is not None and office.ready(put.id, seat.log, seat.now, seat.terms)
    why = membership.why_not(seat.membership, event.change, seat.me.id, ready=ready)
    if why:
        _refuse(seat, event.id, "not_possible", why)
        return
    after = membership.changed(seat.membership, event.change)
    if not lease.outlasts(office.lease(seat.me.id, after, seat.now, seat.terms), seat.now, seat.terms):
        _refuse(seat, event.id, "not_possible", "too few of those that would vote are heard: the office would be lost")
        return
    entry = _members(seat, after)
    office.waiting[entry.index] = event.id
    seat.append((entry,))


def promote(seat: Seat, event: PromoteAsked) -> None:
    """Hand the office to another instance as soon as it has the whole log; until then nothing new is taken."""
    office = working(seat)
    order = [m for m in seat.membership.in_order() if m != seat.me.id]
    to = event.to or (order[0] if order else None)
    if office is None:
        _refuse(seat, event.id, "not_primary", "this instance is not primary")
    elif office.drain is not None:
        _refuse(seat, event.id, "handing_over", f"the office is being handed to {office.drain.to}")
    elif to not in order:
        _refuse(
            seat, event.id, "not_possible", f"{to or 'no other instance'} can be primary: it must be a voter with data"
        )
    else:
        office.drain = Drain(event.id, to, seat.now, seat.now + seat.terms.drain_s)
        seat.tell(to, again=True)


def force(seat: Seat, event: Forced) -> None:
    """Be primary alone, by somebody's word that the others are off."""
    if seat.me.witness or not seat.membership.members:
        _refuse(seat, event.id, "not_possible", "this instance has no data to be primary with")
        return
    if seat.office is not None:
        seat.step_down("it is promoted by force")
    seat.epoch = event.floor if event.floor > seat.epoch else seat.epoch + FORCED_EPOCHS
    seat.voted_for = seat.me.id
    seat.write()
    entry = _members(seat, membership.alone(seat.membership, seat.me.id, seat.me.incarnation))
    standing.win(seat, (entry,))
    office = seat.office
    if office is not None and office.entered:  # alone it is a majority
        seat.out.append(Done(id=event.id, position=seat.log.last))
    elif office is not None:
        office.waiting[office.begun_at] = event.id


def _members(seat: Seat, members: Membership) -> Entry:
    return Entry(epoch=seat.epoch, index=seat.log.last.index + 1, kind=MEMBERS, membership=members)


def _hand_over(seat: Seat, office: Office) -> None:
    """Give up the office once the next primary has the whole log; it stands at once, and promises to us are void."""
    drain = office.drain
    if drain is None or seat.office is not office or not office.caught_up(drain, seat.log):
        return
    epoch, office.drain = seat.epoch, None
    seat.out.append(HandedOver(id=drain.id, to=drain.to))
    seat.step_down(f"it handed its office to {drain.to}")
    seat.say(drain.to, TransferNow(epoch=epoch, last=seat.log.last))


def _refuse(seat: Seat, who: str, reason: Reason, why: str) -> None:
    seat.out.append(Refused(id=who, reason=reason, why=why, primary=seat.primary))
