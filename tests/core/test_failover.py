"""One instance's part in the election, step by step; many together are in tests/simulation."""

from __future__ import annotations

from typing import TypeVar

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.core.control_log import BEGIN, Entry, Log, Position
from tocsin.core.failover import Node
from tocsin.core.lease import Terms, lease_end, send_budget
from tocsin.core.membership import Change, Member, Membership
from tocsin.core.peer import Append, Appended, Message, PreVote, PreVoted, TransferNow, Vote, Voted
from tocsin.core.turn import (
    Became,
    ChangeAsked,
    Committed,
    Compacted,
    Disk,
    Done,
    Effect,
    Event,
    Forced,
    HandedOver,
    Me,
    NeedsSnapshot,
    PromoteAsked,
    Proposal,
    Proposed,
    Received,
    Refused,
    Send,
    SnapshotInstalled,
    Ticked,
    Truncated,
    Write,
)

TERMS = Terms()
E = TypeVar("E", bound=Effect)


def members(*names: str, **kinds: str) -> Membership:
    return Membership(
        version=1,
        members=tuple(
            Member(id=n, incarnation=f"{n}1", order=i, kind=kinds.get(n, "voter")) for i, n in enumerate(names)
        ),
    )


def a_node(name: str = "a", peers: Membership | None = None, now: float = 0.0, **disk: object) -> Node:
    return Node(
        Me(id=name, incarnation=f"{name}1"), Disk(membership=peers or members("a", "b", "c"), **disk), now  # type: ignore[arg-type]
    )  # fmt: skip


def found(kind: type[E], effects: list[Effect]) -> list[E]:
    return [e for e in effects if isinstance(e, kind)]


def said(effects: list[Effect], to: str | None = None) -> list[Message]:
    return [e.message for e in found(Send, effects) if to in (None, e.to)]


def elected(name: str = "a", peers: Membership | None = None, **disk: object) -> tuple[Node, float]:
    """A primary in office, heard by b at the returned time."""
    node = a_node(name, peers, **disk)
    now = node.wakes_at()
    node.step(now, Ticked())
    node.step(
        now,
        Received(
            sender="b", message=PreVoted(epoch=0, asked=node.epoch + 1, granted=True, incarnation="b1", stamp=now)
        ),
    )
    node.step(now, Received(sender="b", message=Voted(epoch=1, asked=node.epoch, granted=True, incarnation="b1")))
    assert node.role == "elect"
    heard(node, now)
    assert node.role == "primary"
    return node, now


def heard(node: Node, now: float, who: str = "b", stamp: float | None = None) -> list[Effect]:
    answer = Appended(
        epoch=node.epoch,
        stamp=now if stamp is None else stamp,
        ok=True,
        index=node.log.last.index,
        incarnation=f"{who}1",
    )
    return node.step(now, Received(sender=who, message=answer))


def test_nobody_stands_or_votes_before_a_promise_from_before_the_start_is_over() -> None:
    node = a_node()
    assert node.wakes_at() >= TERMS.promise_s
    ask = PreVote(epoch=1, last=Position(0, 0), incarnation="b1", stamp=1.0)
    early = said(node.step(TERMS.promise_s - 0.1, Received(sender="b", message=ask)))
    late = said(node.step(TERMS.promise_s, Received(sender="b", message=ask)))
    assert [m.granted for m in early + late if isinstance(m, PreVoted)] == [False, True]


def test_a_candidate_asks_first_and_begins_no_epoch_alone() -> None:
    node = a_node()
    for _ in range(5):
        effects = node.step(node.wakes_at(), Ticked())
        assert [type(m) for m in said(effects)] == [PreVote, PreVote]
        assert found(Write, effects) == []
    assert node.epoch == 0


def test_the_vote_is_on_disk_before_it_is_said_and_given_once_an_epoch() -> None:
    node = a_node()
    ask = Vote(epoch=1, last=Position(0, 0), incarnation="b1")
    effects = node.step(20.0, Received(sender="b", message=ask))
    kinds = [type(e) for e in effects if isinstance(e, Write | Send)]
    assert kinds[-2:] == [Write, Send]
    assert found(Write, effects)[-1].voted_for == "b"
    other = said(node.step(20.1, Received(sender="c", message=Vote(epoch=1, last=Position(0, 0), incarnation="c1"))))
    assert isinstance(other[0], Voted)
    assert (other[0].granted, other[0].why) == (False, "it voted for b")


def test_an_elected_primary_works_only_when_a_majority_stored_the_beginning() -> None:
    node = a_node()
    now = node.wakes_at()
    node.step(now, Ticked())
    node.step(now, Received(sender="b", message=PreVoted(epoch=0, asked=1, granted=True, incarnation="b1", stamp=now)))
    effects = node.step(now, Received(sender="b", message=Voted(epoch=1, asked=1, granted=True, incarnation="b1")))
    assert [e.kind for e in found(Write, effects)[0].entries] == [BEGIN]
    assert (node.role, node.lease_left(now), node.may_send(now)) == ("elect", 0.0, 0.0)
    refused = found(Refused, node.step(now, Proposed(proposals=(Proposal(id="p", kind="config", payload=b""),))))
    assert refused[0].reason == "not_primary"
    effects = heard(node, now)
    assert [type(e) for e in effects][:2] == [Committed, Became]
    assert (node.role, node.lease_left(now), node.may_send(now)) == ("primary", TERMS.lease_s, TERMS.send_s)


def test_a_lease_is_counted_from_the_stamp_and_of_registered_voters() -> None:
    names = ("a", "b", "c", "d", "e")
    assert lease_end({"b": 3.0, "c": 5.0, "d": 4.0}, "a", names, 9.0, TERMS) == 4.0 + TERMS.lease_s
    assert lease_end({"b": 3.0}, "a", names, 9.0, TERMS) is None
    assert lease_end({}, "a", ("a",), 9.0, TERMS) == 9.0 + TERMS.lease_s
    assert [send_budget(end, 0.0, TERMS) for end in (None, 0.5, 3.0, 15.0)] == [0.0, 0.0, 3.0, 8.0]


def test_a_primary_that_is_not_heard_steps_down_by_itself_even_after_a_pause() -> None:
    node, now = elected()
    proposal = Proposed(proposals=(Proposal(id="p", kind="config", payload=b"x"),))
    assert found(Refused, node.step(now + 1, proposal)) == []
    effects = node.step(now + 60, Proposed(proposals=(Proposal(id="q", kind="config", payload=b"y"),)))
    assert found(Became, effects)[0].role == "follower"
    assert [(r.id, r.reason) for r in found(Refused, effects)] == [("p", "in_doubt"), ("q", "not_primary")]
    assert node.may_send(now + 60) == 0


def test_a_later_epoch_ends_an_office_at_once() -> None:
    node, now = elected()
    fenced = Appended(epoch=7, stamp=now, ok=False, index=1, incarnation="c1", primary="c")
    effects = node.step(now + 1, Received(sender="c", message=fenced))
    assert (node.role, node.epoch) == ("follower", 7)
    assert found(Write, effects)[0].epoch == 7
    stale = node.fence(6)
    assert stale is not None
    assert stale.epoch == 7
    assert node.fence(7) is None


def test_a_stale_primary_is_told_so_and_gets_no_promise() -> None:
    node = a_node("b", epoch=5)
    effects = node.step(1.0, Received(sender="a", message=Append(epoch=4, stamp=1.0, prev=Position(0, 0), commit=0)))
    answer = said(effects)[0]
    assert isinstance(answer, Appended)
    assert (answer.ok, answer.epoch) == (False, 5)


def test_what_is_proposed_is_committed_when_a_majority_has_it() -> None:
    node, now = elected()
    effects = node.step(now + 1, Proposed(proposals=(Proposal(id="p", kind="config", payload=b"x"),)))
    assert isinstance(effects[0], Write)
    assert [len(m.entries) for m in said(effects) if isinstance(m, Append)] == [1, 1]
    effects = heard(node, now + 1.1)
    assert [e.payload for c in found(Committed, effects) for e in c.entries] == [b"x"]
    assert found(Done, effects) == [Done(id="p", position=node.log.last)]


def test_a_message_carries_no_more_than_it_should() -> None:
    node, now = elected()
    large = tuple(Proposal(id=str(n), kind="config", payload=b"x" * 3_000_000) for n in range(3))
    out = node.step(now, Proposed(proposals=large))
    assert [len(m.entries) for m in said(out, "b") if isinstance(m, Append)] == [1]
    for upto in (2, 3):
        answer = Appended(epoch=1, stamp=now, ok=True, index=upto, incarnation="b1")
        out = node.step(now, Received(sender="b", message=answer))
        assert [e.index for m in said(out, "b") if isinstance(m, Append) for e in m.entries] == [upto + 1]


def test_an_old_primary_follows_and_cuts_what_was_never_committed() -> None:
    node, now = elected()
    node.step(now + 1, Proposed(proposals=(Proposal(id="p", kind="config", payload=b"draft"),)))
    begin = Entry(epoch=2, index=2, kind=BEGIN)
    append = Append(epoch=2, stamp=9.0, prev=Position(1, 1), commit=2, entries=(begin,))
    effects = node.step(now + 20, Received(sender="b", message=append))
    assert [e.payload for t in found(Truncated, effects) for e in t.entries] == [b"draft"]
    assert (found(Write, effects)[-1].cut, node.primary, node.commit) == (2, "b", 2)
    assert isinstance(effects[-1], Send)


def test_another_disk_has_no_vote_and_does_not_stand() -> None:
    wiped = Node(Me(id="c", incarnation="c2"), Disk(membership=members("a", "b", "c")), 0.0)
    assert wiped.wakes_at() == float("inf")
    node = a_node()
    now = node.wakes_at()
    node.step(now, Ticked())
    node.step(now, Received(sender="c", message=PreVoted(epoch=0, asked=1, granted=True, incarnation="c2", stamp=now)))
    assert node.epoch == 0


def test_membership_changes_one_at_a_time() -> None:
    node, now = elected()
    out = node.step(now, ChangeAsked(id="1", change=Change(remove="c")))
    assert found(Refused, out) == []
    out = node.step(now, ChangeAsked(id="2", change=Change(remove="b")))
    assert [r.reason for r in found(Refused, out)] == ["one_at_a_time"]
    heard(node, now + 1)
    out = node.step(now + 1, ChangeAsked(id="3", change=Change(remove="a")))
    assert "promote another" in found(Refused, out)[0].why
    newcomer = Member(id="d", incarnation="d1", order=3)
    out = node.step(now + 1, ChangeAsked(id="4", change=Change(put=newcomer)))
    assert "add it as an observer" in found(Refused, out)[0].why


def test_an_office_is_handed_over_when_the_next_has_everything() -> None:
    node, now = elected()
    node.step(now + 1, Proposed(proposals=(Proposal(id="p", kind="config", payload=b"x"),)))
    assert found(HandedOver, node.step(now + 1, PromoteAsked(id="h", to="b"))) == []
    out = node.step(now + 1, Proposed(proposals=(Proposal(id="q", kind="config", payload=b"y"),)))
    assert [r.reason for r in found(Refused, out)] == ["handing_over"]
    effects = heard(node, now + 1.2)
    transfer = said(effects, "b")[-1]
    assert isinstance(transfer, TransferNow)
    assert (node.role, node.may_send(now + 1.2)) == ("follower", 0.0)
    heir = a_node("b", epoch=1, entries=node.log.slice(1, 2))
    third = a_node("c", epoch=1, entries=node.log.slice(1, 2))
    hello = Received(sender="a", message=Append(epoch=1, stamp=1.0, prev=Position(1, 2), commit=2))
    heir.step(50.0, hello)
    third.step(50.0, hello)
    ask = said(heir.step(50.1, Received(sender="a", message=transfer)), "c")[0]
    answer = said(third.step(50.2, Received(sender="b", message=ask)))[0]
    assert isinstance(answer, Voted)
    assert answer.granted


def test_of_two_the_office_may_be_handed_back_at_once() -> None:
    """What was promised to a primary is void once it gave its office up: its heir may help another one into office."""
    a, now = elected("a", members("a", "b"))
    b = a_node("b", members("a", "b"))
    nodes = {"a": a, "b": b}

    def carry(out: list[tuple[str, Effect]], at: float) -> None:
        while out:
            sender, effect = out.pop(0)
            if isinstance(effect, Send):
                came = nodes[effect.to].step(at, Received(sender=sender, message=effect.message))
                out += [(effect.to, one) for one in came]

    now = max(now, a.wakes_at())
    carry([("a", one) for one in a.step(now, Ticked())], now)
    assert b.primary == "a"
    for old, new in (("a", "b"), ("b", "a"), ("a", "b")):
        now += 1.0
        carry([(old, one) for one in nodes[old].step(now, PromoteAsked(id=f"to {new}", to=new))], now)
        assert (nodes[old].role, nodes[new].role) == ("follower", "primary")


def test_a_promotion_by_force_cuts_the_membership_to_one() -> None:
    node = a_node("b", members("a", "b"), epoch=3)
    effects = node.step(1.0, Forced(id="f"))
    assert [done.id for done in found(Done, effects)] == ["f"]  # whoever asked is told
    assert (node.role, node.epoch, node.membership.voters()) == ("primary", 1003, ("b",))
    assert [(m.id, m.kind) for m in node.membership.members] == [("a", "observer"), ("b", "voter")]
    assert said(effects, "a") != [], "who is off hears of it when it is there again"
    node.step(2.0, Forced(id="again", floor=1_800_000_000))
    assert node.epoch == 1_800_000_000
    assert node.lease_left(1.0) == TERMS.lease_s
    assert [e.kind for c in found(Committed, effects) for e in c.entries] == ["membership", BEGIN]


@pytest.mark.parametrize(("wish", "heir"), [("c", "c"), ("b", "b"), (None, "b")])
def test_the_office_goes_to_who_was_named_or_to_the_next_in_order(wish: str | None, heir: str) -> None:
    node, now = elected()
    node.step(now + 1, PromoteAsked(id="h", to=wish))
    out = heard(node, now + 1.1, "b") + heard(node, now + 1.2, "c")
    assert found(HandedOver, out) == [HandedOver(id="h", to=heir)]


def test_a_hand_over_that_cannot_be_is_refused_and_one_that_takes_too_long_is_given_up() -> None:
    node, now = elected("a", members("a", "b", "w", w="witness"))
    for wish in ("w", "a", "nobody"):
        assert [r.reason for r in found(Refused, node.step(now, PromoteAsked(id="h", to=wish)))] == ["not_possible"]
    node.step(now, PromoteAsked(id="h", to="b"))
    assert [r.reason for r in found(Refused, node.step(now, PromoteAsked(id="i", to="b")))] == ["handing_over"]
    assert (node.may_write(now), node.may_send(now)) == (False, 0.0)
    out = node.step(now + TERMS.drain_s, Ticked())
    assert [(r.id, r.reason) for r in found(Refused, out)] == [("h", "not_possible")]
    assert node.may_write(now + TERMS.drain_s)


def test_nobody_without_data_is_promoted_by_force() -> None:
    blank = Node(Me(id="a", incarnation="a1"), Disk(), 0.0)
    witness = Node(Me(id="w", incarnation="w1", witness=True), Disk(membership=members("a", "w", w="witness")), 0.0)
    for node in (blank, witness):
        assert [r.reason for r in found(Refused, node.step(1.0, Forced(id="f")))] == ["not_possible"]
        assert node.epoch == 0


def test_a_primary_that_is_promoted_by_force_leaves_what_waits_in_doubt() -> None:
    node, now = elected()
    node.step(now, Proposed(proposals=(Proposal(id="p", kind="config", payload=b"x"),)))
    assert [(r.id, r.reason) for r in found(Refused, node.step(now, Forced(id="f")))] == [("p", "in_doubt")]
    assert (node.role, node.commit) == ("primary", node.log.last.index)


def test_an_observer_that_asks_is_told_even_if_it_does_not_know_the_epoch() -> None:
    node, now = elected("a", members("a", "b", "c", "o", o="observer"))
    asks = Appended(epoch=0, stamp=0.0, ok=False, index=1, incarnation="o1")
    (append,) = said(node.step(now, Received(sender="o", message=asks)), "o")
    assert isinstance(append, Append)
    assert append.epoch == node.epoch
    late = Appended(epoch=0, stamp=0.1, ok=False, index=1, incarnation="b1")
    assert said(node.step(now, Received(sender="b", message=late))) == []
    moved = Appended(
        epoch=0, stamp=0.0, ok=False, index=1, incarnation="b1"
    )  # a voter where nobody reaches it asks, too
    assert len(said(node.step(now, Received(sender="b", message=moved)), "b")) == 1


def test_a_witness_keeps_no_payload_and_never_stands() -> None:
    peers = members("a", "b", "w", w="witness")
    node, now = elected("a", peers)
    out = node.step(now, Proposed(proposals=(Proposal(id="p", kind="config", payload=b"secret"),)))
    sent = [m for m in said(out, "w") if isinstance(m, Append)][-1]
    assert [e.payload for e in sent.entries] == [b""]
    witness = Node(Me(id="w", incarnation="w1", witness=True), Disk(membership=peers), 0.0)
    full = Append(epoch=1, stamp=0.0, prev=Position(0, 0), commit=0, entries=node.log.slice(1, 2))
    written = found(Write, witness.step(1.0, Received(sender="a", message=full)))[-1]
    assert [e.payload for e in written.entries] == [b"", b""]
    assert witness.primary == "a"
    assert witness.wakes_at() == 1.0 + Terms().promise_s
    forgets = found(Became, witness.step(witness.wakes_at(), Ticked()))
    assert [(b.role, b.primary, b.why) for b in forgets] == [("follower", None, "no primary was heard")]
    assert witness.wakes_at() == float("inf")


@pytest.mark.parametrize(
    ("sender", "epoch", "last", "stands"),
    [
        ("a", 1, Position(1, 1), True),
        ("a", 0, Position(1, 1), False),
        ("c", 1, Position(1, 1), False),
        ("a", 1, Position(1, 2), False),
    ],
)
def test_only_who_the_primary_released_and_who_has_everything_stands_at_once(
    sender: str, epoch: int, last: Position, stands: bool
) -> None:
    node = a_node("b")
    begin = Entry(epoch=1, index=1, kind=BEGIN)
    hello = Append(epoch=1, stamp=1.0, prev=Position(0, 0), commit=1, entries=(begin,))
    node.step(1.0, Received(sender="a", message=hello))
    node.step(2.0, Received(sender=sender, message=TransferNow(epoch=epoch, last=last)))
    assert (node.role == "candidate") == stands
    assert node.epoch == (2 if stands else 1)


def test_an_observer_does_not_stand_even_when_it_is_told_to() -> None:
    node = a_node("o", members("a", "b", "o", o="observer"))
    hello = Append(epoch=1, stamp=1.0, prev=Position(0, 0), commit=0)
    node.step(1.0, Received(sender="a", message=hello))
    node.step(2.0, Received(sender="a", message=TransferNow(epoch=1, last=Position(0, 0))))
    assert (node.role, node.epoch) == ("follower", 1)


def test_who_was_elected_and_is_heard_by_nobody_gives_up_after_a_lease() -> None:
    node = a_node()
    now = node.wakes_at()
    node.step(now, Ticked())
    node.step(now, Received(sender="b", message=PreVoted(epoch=0, asked=1, granted=True, incarnation="b1", stamp=now)))
    node.step(now, Received(sender="b", message=Voted(epoch=1, asked=1, granted=True, incarnation="b1")))
    node.step(now + TERMS.lease_s - 0.1, Ticked())
    assert node.role == "elect"
    node.step(now + TERMS.lease_s, Ticked())
    assert node.role == "follower"


def test_many_small_entries_go_in_one_message() -> None:
    node, now = elected()
    few = tuple(Proposal(id=str(n), kind="config", payload=b"x") for n in range(3))
    out = node.step(now, Proposed(proposals=few))
    assert [len(m.entries) for m in said(out, "b") if isinstance(m, Append)] == [3]


def test_a_single_voter_needs_nobody_and_waits_for_nobody() -> None:
    node = a_node("a", members("a"))
    effects = node.step(node.wakes_at(), Ticked())
    assert node.role == "primary"
    assert isinstance(effects[0], Write)
    assert node.lease_left(10_000.0) == TERMS.lease_s


def test_who_is_far_behind_copies_the_tables() -> None:
    node, now = elected()
    node.step(now, Proposed(proposals=(Proposal(id="p", kind="config", payload=b"x"),)))
    heard(node, now)
    node.step(now, Compacted(index=2))
    refusal = Appended(epoch=1, stamp=now, ok=False, index=1, incarnation="c1")
    append = said(node.step(now, Received(sender="c", message=refusal)), "c")[0]
    assert isinstance(append, Append)
    assert append.snapshot
    other = a_node("c")
    out = other.step(1.0, Received(sender="a", message=append))
    assert found(NeedsSnapshot, out) == [NeedsSnapshot(sender="a", position=Position(1, 2))]
    write = found(Write, other.step(2.0, SnapshotInstalled(position=append.prev, membership=node.membership)))[0]
    assert (write.base, write.cut, other.commit) == (Position(1, 2), 3, 2)


def test_a_log_gives_back_the_membership_of_what_it_cut() -> None:
    log = Log(Position(0, 0), members("a"))
    log.append([Entry(epoch=1, index=1, kind="membership", membership=members("a", "b"))])
    assert (log.membership.voters(), log.changed_at) == (("a", "b"), 1)
    log.cut(1)
    assert (log.membership.voters(), log.changed_at, log.last) == (("a",), 0, Position(0, 0))
    with pytest.raises(ValueError, match="entry 1 was expected"):
        log.append([Entry(epoch=1, index=3, kind="config")])


def test_a_log_that_is_cut_twice_keeps_the_membership_between() -> None:
    log = Log(Position(0, 0), members("a"))
    entries = [
        Entry(epoch=1, index=1, kind="membership", membership=members("a", "b")),
        Entry(epoch=1, index=2, kind="config"),
        Entry(epoch=1, index=3, kind="membership", membership=members("a", "b", "c")),
    ]
    log.append(entries)
    assert [e.index for e in log.cut(3)] == [3]
    assert (log.membership.voters(), log.changed_at) == (("a", "b"), 1)
    assert [log.membership_at(i).voters() for i in (0, 1, 2)] == [("a",), ("a", "b"), ("a", "b")]
    log.compact(2)
    assert (log.base, log.base_membership.voters(), log.slice(1, 9)) == (Position(1, 2), ("a", "b"), ())


def test_of_a_log_only_what_follows_from_a_snapshot_is_kept() -> None:
    entries = [Entry(epoch=1, index=n, kind="config") for n in (1, 2, 3)]
    same, other = (Log(Position(0, 0), members("a"), entries) for _ in range(2))
    same.replace(Position(1, 2), members("a", "b"))
    assert (same.last, same.membership.voters()) == (Position(1, 3), ("a", "b"))
    other.replace(Position(2, 2), members("a", "b"))
    assert (other.last, other.slice(1, 9)) == (Position(2, 2), ())


def test_who_has_not_heard_of_a_new_member_votes_for_it_only_when_its_log_is_newer() -> None:
    def answer(last: Position) -> bool:
        node = a_node("b", members("a", "b"), epoch=1, entries=(Entry(epoch=1, index=1, kind=BEGIN),))
        out = said(node.step(20.0, Received(sender="d", message=Vote(epoch=2, last=last, incarnation="d1"))), "d")[0]
        assert isinstance(out, Voted)
        return out.granted

    assert [answer(Position(1, 1)), answer(Position(1, 2))] == [False, True]


def test_messages_travel_as_json() -> None:
    append = Append(
        epoch=1, stamp=2.5, prev=Position(1, 1), commit=1,
        entries=(Entry(epoch=1, index=2, kind="membership", payload=b"\x00", membership=members("a")),),
    )  # fmt: skip
    assert msgspec.json.decode(msgspec.json.encode(append), type=Message) == append


def test_terms_that_cannot_hold_are_refused() -> None:
    with pytest.raises(ValueError, match="promise_factor"):
        Terms(promise_factor=1.0)
    with pytest.raises(ValueError, match="beat_s"):
        Terms(beat_s=10)
    with pytest.raises(ValueError, match="send_s"):
        Terms(beat_s=1, lease_s=3)


def test_a_snapshot_that_is_older_than_what_is_committed_is_refused() -> None:
    node, now = elected()
    with pytest.raises(ValueError, match="the snapshot goes to 0"):
        node.step(now, SnapshotInstalled(position=Position(7, 0), membership=node.membership))


def test_what_is_committed_behind_a_snapshot_stays() -> None:
    node, now = elected()
    commit, last = node.commit, node.log.last
    assert commit > 0
    node.step(now, SnapshotInstalled(position=Position(0, 0), membership=node.membership))
    assert (node.commit, node.log.last) == (commit, last)


def test_how_long_nobody_was_heard_is_known() -> None:
    node, now = elected()
    assert node.unheard_s(now + 1) == 0
    other = a_node("b", now=5.0)
    assert other.unheard_s(9.0) == 4
    other.step(10.0, Received(sender="a", message=Append(epoch=1, stamp=1.0, prev=Position(0, 0), commit=0)))
    assert other.unheard_s(12.0) == 2


POSITIONS = st.builds(Position, st.integers(0, 4), st.integers(0, 6))
EPOCHS = st.integers(0, 5)
ENTRIES = st.lists(
    st.builds(Entry, epoch=EPOCHS, index=st.integers(1, 6), kind=st.just("config"), payload=st.just(b"x")), max_size=3
).map(tuple)
INCARNATIONS = st.sampled_from(["a1", "b1", "c1", "c2"])
MESSAGES = st.one_of(
    st.builds(PreVote, epoch=EPOCHS, last=POSITIONS, incarnation=INCARNATIONS, stamp=st.just(0.0)),
    st.builds(PreVoted, epoch=EPOCHS, asked=EPOCHS, granted=st.booleans(), incarnation=INCARNATIONS, stamp=st.just(0.0)),
    st.builds(Vote, epoch=EPOCHS, last=POSITIONS, incarnation=INCARNATIONS, released=st.none() | EPOCHS),
    st.builds(Voted, epoch=EPOCHS, asked=EPOCHS, granted=st.booleans(), incarnation=INCARNATIONS),
    st.builds(
        Append, epoch=EPOCHS, stamp=st.just(0.0), prev=POSITIONS, commit=st.integers(0, 6), entries=ENTRIES,
        snapshot=st.booleans(),
    ),
    st.builds(
        Appended, epoch=EPOCHS, stamp=st.just(0.0), ok=st.booleans(), index=st.integers(0, 9), incarnation=INCARNATIONS
    ),
    st.builds(TransferNow, epoch=EPOCHS, last=POSITIONS),
)  # fmt: skip
EVENTS = st.one_of(
    st.just(Ticked()),
    st.builds(Received, sender=st.sampled_from(["b", "c", "stranger"]), message=MESSAGES),
    st.just(Proposed(proposals=(Proposal(id="p", kind="config", payload=b"x"),))),
    st.builds(Compacted, index=st.integers(0, 6)),
    st.builds(ChangeAsked, id=st.just("c"), change=st.builds(Change, remove=st.sampled_from(["b", "c", None]))),
    st.builds(PromoteAsked, id=st.just("h"), to=st.sampled_from(["b", "a", None])),
)


@given(st.lists(st.tuples(st.floats(0, 20), EVENTS), max_size=30))
def test_whatever_is_said_it_keeps_its_word(story: list[tuple[float, Event]]) -> None:
    """Epoch and commit never go back, a vote is on disk when it is said, and what is committed is never cut."""
    node, now = a_node(), 0.0
    epoch = commit = 0
    votes: dict[int, str] = {}
    for wait, event in story:
        now += wait
        try:
            effects = node.step(now, event)
        except AssertionError as two_primaries:
            if "both primary" in str(two_primaries):
                return
            raise
        written: Write | None = None
        for effect in effects:
            if isinstance(effect, Write):
                written = effect
                assert effect.cut is None or effect.cut > commit
            elif isinstance(effect, Send) and isinstance(effect.message, Voted) and effect.message.granted:
                assert written is not None
                assert (written.epoch, written.voted_for) == (effect.message.asked, effect.to)
                assert votes.setdefault(effect.message.asked, effect.to) == effect.to
        assert node.epoch >= epoch
        assert node.commit >= commit
        assert node.log.last.index >= node.commit
        epoch, commit = node.epoch, node.commit
