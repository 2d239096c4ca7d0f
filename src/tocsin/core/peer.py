"""What the instances of a cluster say to each other about office and control log."""

from __future__ import annotations

from msgspec import Struct

from tocsin.core.control_log import Entry, Position


class PreVote(Struct, frozen=True, kw_only=True, tag="pre_vote"):
    """Would you vote for me in this epoch? It changes nothing. `stamp`, the sender's clock, comes back with the answer."""

    epoch: int
    last: Position
    incarnation: str
    stamp: float


class PreVoted(Struct, frozen=True, kw_only=True, tag="pre_voted"):
    """The answer: `asked` is the epoch asked for, `epoch` the voter's own, `why` is empty when it is granted."""

    epoch: int
    asked: int
    granted: bool
    incarnation: str
    stamp: float
    primary: str | None = None
    why: str = ""


class Vote(Struct, frozen=True, kw_only=True, tag="vote"):
    """Vote for me. `released`: the epoch whose primary gave up its office for me, so that promises to it are void."""

    epoch: int
    last: Position
    incarnation: str
    released: int | None = None


class Voted(Struct, frozen=True, kw_only=True, tag="voted"):
    """The answer, sent only when the vote is on disk."""

    epoch: int
    asked: int
    granted: bool
    incarnation: str
    primary: str | None = None
    why: str = ""


class Append(Struct, frozen=True, kw_only=True, tag="append"):
    """I am primary of this epoch; store these entries behind `prev`. `stamp` is the sender's clock when it asked, and comes
    back with the answer. `snapshot`: what you need is in the tables only; `prev` says up to where."""

    epoch: int
    stamp: float
    prev: Position
    commit: int
    entries: tuple[Entry, ...] = ()
    snapshot: bool = False


class Appended(Struct, frozen=True, kw_only=True, tag="appended"):
    """The answer, sent only when the entries are on disk. With `ok` the log is the primary's up to `index`; without, the
    primary should try from `index` on. A greater `epoch` than the primary's: it is primary no longer, `primary` may be."""

    epoch: int
    stamp: float
    ok: bool
    index: int
    incarnation: str
    primary: str | None = None


class TransferNow(Struct, frozen=True, kw_only=True, tag="transfer_now"):
    """I have given up my office of this epoch for you: stand at once. `last` is where my log ends."""

    epoch: int
    last: Position


Message = PreVote | PreVoted | Vote | Voted | Append | Appended | TransferNow
