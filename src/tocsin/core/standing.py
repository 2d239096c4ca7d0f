"""How an instance stands for office, and how it answers others that do."""

from __future__ import annotations

from tocsin.core import election, lease, membership
from tocsin.core.control_log import BEGIN, Entry
from tocsin.core.election import Asked, Voter
from tocsin.core.epoch import ELECTED, FORCED, HANDED
from tocsin.core.office import Office
from tocsin.core.peer import PreVote, PreVoted, TransferNow, Vote, Voted
from tocsin.core.seat import Seat, Standing


def stand_or_ask(seat: Seat) -> None:
    """Ask the others whether they would vote, or begin an epoch at once where nobody else votes."""
    if not election.asks_first(seat.sole()):
        stand(seat)
        return
    seat.attempts += 1
    seat.stand_at = seat.now + lease.again_wait(seat.me.id, seat.epoch, seat.attempts, seat.terms)
    seat.standing = Standing(seat.epoch + 1, asking=True, since=seat.now, yes={seat.me.id})
    seat.become("candidate", None, "no primary was heard")
    question = PreVote(
        epoch=seat.epoch + 1, last=seat.log.last, incarnation=seat.me.incarnation, stamp=seat.now
    )  # fmt: skip
    for voter in seat.others():
        seat.say(voter, question)


def stand(seat: Seat, released: int | None = None) -> None:
    """Begin an epoch: a vote for itself, on disk, then the question to the others."""
    seat.epoch, seat.voted_for = seat.epoch + 1, seat.me.id
    seat.attempts += 1
    seat.stand_at = seat.now + lease.again_wait(seat.me.id, seat.epoch, seat.attempts, seat.terms)
    seat.standing = Standing(seat.epoch, asking=False, since=seat.now, yes={seat.me.id}, handed=released is not None)
    seat.write()
    seat.become("candidate", None, "it stands for office")
    question = Vote(epoch=seat.epoch, last=seat.log.last, incarnation=seat.me.incarnation, released=released)
    for voter in seat.others():
        seat.say(voter, question)
    count(seat)


def stand_for(seat: Seat, sender: str, message: TransferNow) -> None:
    """The primary gave up its office for this instance: stand at once. What was promised to that primary is void: it would
    bind this instance still when it hands the office on."""
    ready = message.epoch == seat.epoch and sender == seat.primary and seat.log.last >= message.last
    if ready and seat.may_stand():
        seat.promise = election.voided(seat.promise, message.epoch, seat.now)
        stand(seat, released=message.epoch)


def answer_pre_vote(seat: Seat, sender: str, question: PreVote) -> None:
    """Say whether this instance would vote for a candidate; nothing changes."""
    asked = Asked(question.epoch, sender, question.last)
    why = election.why_no_pre_vote(asked, _voter(seat, sender, question), seat.now)
    answer = PreVoted(
        stamp=question.stamp, epoch=seat.epoch, asked=question.epoch, granted=not why, incarnation=seat.me.incarnation,
        primary=seat.primary, why=why,
    )  # fmt: skip
    seat.say(sender, answer)


def answer_vote(seat: Seat, sender: str, question: Vote) -> None:
    """Vote for a candidate, on disk, or say why not."""
    asked = Asked(question.epoch, sender, question.last, question.released)
    why = election.why_no_vote(asked, _voter(seat, sender, question), seat.now)
    if not why:
        if question.epoch > seat.epoch:
            seat.enter(question.epoch, f"it voted for {sender}")
        seat.voted_for = sender
        seat.stand_at = max(seat.stand_at, seat.now + seat.terms.beat_s + seat.stand_wait())
        seat.write()
    answer = Voted(
        epoch=seat.epoch, asked=question.epoch, granted=not why, incarnation=seat.me.incarnation,
        primary=seat.primary, why=why,
    )  # fmt: skip
    seat.say(sender, answer)


def hear_answer(seat: Seat, sender: str, answer: PreVoted | Voted) -> None:
    """Count a yes of somebody who votes; follow into a later epoch that a no tells of."""
    if not answer.granted and answer.epoch > seat.epoch:
        seat.enter(answer.epoch, f"{sender} is in a later epoch")
        seat.write()
        return
    standing = seat.standing
    if standing is None or not answer.granted or answer.asked != standing.epoch:
        return
    if isinstance(answer, PreVoted):
        expected = standing.asking and election.is_fresh(answer.stamp, standing.since)
    else:
        expected = not standing.asking
    if expected and membership.has_vote(seat.membership, sender, answer.incarnation):
        standing.yes.add(sender)
        count(seat)


def count(seat: Seat) -> None:
    """Go on when a majority of the registered voters said yes."""
    standing = seat.standing
    if standing is None or len(standing.yes) < membership.enough(seat.membership):
        return
    if standing.asking:
        stand(seat)
    else:
        win(seat)


def win(seat: Seat, first: tuple[Entry, ...] = ()) -> None:
    """Elected: put the entry that begins the epoch into the log; work begins when a majority stored it."""
    why = FORCED if first else HANDED if seat.standing is not None and seat.standing.handed else ELECTED
    seat.standing, seat.attempts = None, 0
    begin = Entry(epoch=seat.epoch, index=seat.log.last.index + len(first) + 1, kind=BEGIN)
    beat_at = seat.now + seat.terms.beat_s
    seat.office = Office(epoch=seat.epoch, won_at=seat.now, begun_at=begin.index, beat_at=beat_at)
    seat.office.following = {m.id: seat.log.last.index + 1 for m in seat.membership.members}
    seat.become("elect", seat.me.id, why)
    seat.append((*first, begin))


def _voter(seat: Seat, sender: str, question: PreVote | Vote) -> Voter:
    knows = membership.may_stand(seat.membership, sender, question.incarnation)
    leads = lease.holds(seat.lease_end(), seat.now)
    return Voter(seat.epoch, seat.voted_for, seat.log.last, seat.promise, leads, knows)
