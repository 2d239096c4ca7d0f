"""Who belongs to a cluster, who of them votes, and by which single steps that changes."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from tocsin.core.lease import majority

MemberKind = Literal["voter", "witness", "observer"]


class Member(Struct, frozen=True, kw_only=True):
    """One registered instance. `order`: its place in the failover order, the least stands first. `incarnation` names its
    disk: another one is another voter, even under the same id. A `witness` votes and keeps no data; an `observer` keeps
    data and does not vote."""

    id: str
    incarnation: str
    url: str = ""
    order: int = 0
    kind: MemberKind = "voter"


class Membership(Struct, frozen=True, kw_only=True):
    """The members of a cluster as one entry of the control log says; `version` counts the changes."""

    version: int = 0
    members: tuple[Member, ...] = ()

    def member(self, who: str) -> Member | None:
        """The member of this id."""
        return next((m for m in self.members if m.id == who), None)

    def voters(self) -> tuple[str, ...]:
        """The ids of all that vote, witnesses among them."""
        return tuple(m.id for m in self.members if m.kind != "observer")

    def in_order(self) -> tuple[str, ...]:
        """The ids of those that can be primary, who stands first first."""
        able = sorted((m.order, m.id) for m in self.members if m.kind == "voter")
        return tuple(who for _, who in able)


class Change(Struct, frozen=True, kw_only=True):
    """One step: `put` a member there (a new one, or one with another URL, order or kind), or `remove` one."""

    put: Member | None = None
    remove: str | None = None


def enough(membership: Membership) -> int:
    """How many votes decide in this membership."""
    return majority(len(membership.voters()))


def has_vote(membership: Membership, who: str, incarnation: str) -> bool:
    """Whether this instance with this disk votes. One with a lost or restored disk is another incarnation and has no vote
    until it is removed and added again: it forgot what it had promised, voted and stored."""
    return counts(membership, who, incarnation) and who in membership.voters()


def counts(membership: Membership, who: str, incarnation: str) -> bool:
    """Whether what this instance acknowledges counts: it is a member, with this disk."""
    member = membership.member(who)
    return member is not None and member.incarnation == incarnation


def may_stand(membership: Membership, who: str, incarnation: str) -> bool:
    """Whether this instance may become primary: it votes, and has the data."""
    return has_vote(membership, who, incarnation) and who in membership.in_order()


def changed(membership: Membership, change: Change) -> Membership:
    """The membership after this step."""
    gone = change.remove if change.put is None else change.put.id
    kept = tuple(m for m in membership.members if m.id != gone)
    members = kept if change.put is None else (*kept, change.put)
    ordered = tuple(sorted(members, key=lambda m: (m.order, m.id)))
    return replace(membership, version=membership.version + 1, members=ordered)


def why_not(membership: Membership, change: Change, me: str, *, ready: bool) -> str:
    """Why primary `me` cannot take this step, "" if it can. A lost disk comes back by two steps: removed, then added. Who
    is new begins as an observer, and votes only once it is `ready`: heard, and with the log as it is."""
    if (change.put is None) == (change.remove is None):
        return "a change puts one member or removes one"
    who = change.remove if change.put is None else change.put.id
    before = membership.member(who or "")
    if change.put is None:
        if before is None:
            return f"{who} is no member"
        return "the primary cannot be removed: promote another instance first" if who == me else ""
    if before is not None and before.incarnation != change.put.incarnation:
        return f"{who} has another disk now: remove it first, then add it again"
    if who == me and change.put.kind != "voter":
        return "the primary stays a voter: promote another instance first"
    if change.put.kind != "observer" and (before is None or before.kind == "observer") and not ready:
        return f"{who} has not the whole log yet: add it as an observer, and let it vote when it has"
    return ""


def one_at_a_time(changed_at: int, commit: int, in_office: bool) -> bool:
    """Whether a change may begin: the entry of the one before is committed, and so is one of this primary's epoch."""
    return in_office and changed_at <= commit


def alone(membership: Membership, who: str, incarnation: str) -> Membership:
    """The membership after a forced promotion: nobody votes but this instance. The others are told of it as observers, so
    that they follow as soon as they are there again, and do not go on by themselves."""
    member = membership.member(who) or Member(id=who, incarnation=incarnation)
    only = replace(member, incarnation=incarnation, kind="voter")
    others = (replace(m, kind="observer") for m in membership.members if m.id != who)
    ordered = tuple(sorted((only, *others), key=lambda m: (m.order, m.id)))
    return Membership(version=membership.version + 1, members=ordered)
