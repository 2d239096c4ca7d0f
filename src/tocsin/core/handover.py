"""Who tells a turn that the agent found: the server, or the agent by itself. Pure.

A turn is handed over at once. Without a receipt within `RECEIPT_S`, or at once when its rule says so, the agent takes it
upon itself; what it told, the server only files. Who told that trouble began tells that it ended. The turns of one thing
go out in their order, each only when the one before is settled: filed, told, or given up.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from msgspec import Struct
from msgspec.structs import replace

from tocsin.core.host_rule import HostFinding
from tocsin.core.host_turn import Standing, Teller

RECEIPT_S = 15.0
GIVE_UP_S = 86_400.0
"""So long a channel is tried."""
HOLD_S = 60.0
"""So long an end waits for the channels that were told the beginning, before the server is to tell it after all."""
Key = tuple[str, str, int]


class Turn(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A turn that is not done. `direct`: it is told at once. `born`: when it was made, on the monotonic clock (after a
    restart: when that was). `own`: the agent took it upon itself; `tried`: and nobody took it so far. `failed`: channels
    that will never take it. `filed`: the server has it. Of an end: `begun_by` told the beginning, and when it was the
    agent, through the channels `to`."""

    finding: HostFinding
    direct: bool = False
    born: float = 0.0
    own: bool = False
    tried: bool = False
    failed: tuple[str, ...] = ()
    filed: bool = False
    begun_by: Teller = ""
    to: tuple[str, ...] = ()

    @property
    def key(self) -> Key:
        return self.finding.rule, self.finding.what, self.finding.number

    @property
    def subject(self) -> tuple[str, str]:
        return self.finding.rule, self.finding.what

    @property
    def opens(self) -> bool:
        return self.finding.turn == "opened"

    @property
    def told(self) -> bool:
        return self.finding.told_at is not None

    @property
    def settled(self) -> bool:
        """Somebody told it, or will."""
        return self.filed or self.told


def new_turn(finding: HostFinding, standing: Standing, *, direct: bool, now: float) -> Turn:
    """A turn that was just made. An end knows who told the beginning, as far as that is settled."""
    if finding.turn == "opened":
        return Turn(finding=finding, direct=direct, born=now)
    return Turn(finding=finding, born=now, begun_by=standing.teller, to=standing.told)


def to_hand_over(turns: Sequence[Turn], channels: Collection[str], busy: Collection[Key], now: float) -> list[Turn]:
    """What the server is to be given now, in order: what the agent told first, each after the earlier ones of its thing.
    What the agent is about to tell waits until that is known, and what follows it too. `busy`: what is being told at this
    moment."""
    held: set[tuple[str, str]] = set()
    free: list[Turn] = []
    for turn in turns:
        if turn.filed:
            continue
        if turn.key in busy or turn.subject in held or (_is_held(turn, now) and open_to(turn, turns, channels)):
            held.add(turn.subject)
        else:
            free.append(turn)
    last_told = {turn.subject: turn.finding.number for turn in free if turn.told}
    first = [turn for turn in free if turn.finding.number <= last_told.get(turn.subject, 0)]
    return [*first, *(turn for turn in free if turn.finding.number > last_told.get(turn.subject, 0))]


def _is_held(turn: Turn, now: float) -> bool:
    """Whether the agent has to try first, lest the server tells it too."""
    if turn.told:
        return False
    if turn.begun_by == "agent":
        return now - turn.born < HOLD_S
    return (turn.own or turn.direct) and not turn.tried


def to_tell(
    turns: Sequence[Turn], channels: Collection[str], busy: Collection[Key], now: float, *, quiet: bool = False
) -> list[Turn]:
    """What the agent is to tell by itself now. When a channel may be tried again, the caller knows. `quiet`: nothing that is
    held back is told now."""
    found: list[Turn] = []
    blocked: set[tuple[str, str]] = set()
    lapsed, left = _lapsed(turns), untold(turns, quiet=quiet)
    for turn in turns:
        if turn.key in lapsed:
            continue
        if (
            turn.key not in left
            and turn.subject not in blocked
            and turn.key not in busy
            and _is_ours(turn, now)
            and open_to(turn, turns, channels)
        ):
            found.append(turn)
        if not turn.settled or turn.key in busy:
            blocked.add(turn.subject)
    return found


def untold(turns: Sequence[Turn], *, quiet: bool) -> set[Key]:
    """What the agent does not tell, however long there is no receipt: what is held back (now, or until it was over), and the
    end of what the server told."""
    held = {turn.key for turn in turns if quiet and turn.finding.held and not turn.settled and not turn.own}
    return held | _lapsed(turns) | {turn.key for turn in turns if turn.begun_by == "server"}


def _lapsed(turns: Sequence[Turn]) -> set[Key]:
    """What was held back and is over, beginning and end: nobody is told of it any more, and it is in nothing's way."""
    there = {turn.key for turn in turns}
    held = [turn.key for turn in turns if turn.opens and turn.finding.held and not (turn.settled or turn.own)]
    ends = [(rule, what, number + 1) for rule, what, number in held if (rule, what, number + 1) in there]
    return {*ends, *((rule, what, number - 1) for rule, what, number in ends)}


def _is_ours(turn: Turn, now: float) -> bool:
    """Whether the agent tells it. What the server filed untold is the server's, and so is the end of what the server told:
    who heard the beginning hears it from there, when the server is back."""
    if turn.told:
        return True
    if turn.filed or turn.begun_by == "server":
        return False
    return turn.own or turn.direct or turn.begun_by == "agent" or now - turn.born >= RECEIPT_S


def open_to(turn: Turn, turns: Sequence[Turn], channels: Collection[str]) -> tuple[str, ...]:
    """The channels that are still to hear of it. An end goes where the agent told the beginning. Once a turn that was told
    is followed by another, who did not hear of it is not told late."""
    if turn.told and any(
        other.subject == turn.subject and other.finding.number > turn.finding.number for other in turns
    ):
        return ()
    if turn.begun_by == "agent":
        wanted = [id for id in turn.to if id in channels]
    else:
        named = turn.finding.channels
        wanted = sorted(channels if named is None else {id for id in named if id in channels})
    return tuple(id for id in wanted if id not in turn.finding.told and id not in turn.failed)


def next_due(turns: Sequence[Turn], now: float) -> float | None:
    """In how many seconds the next turn without a receipt becomes the agent's; None when none waits for that."""
    waits = [turn.born + RECEIPT_S - now for turn in turns if not (turn.settled or turn.own or turn.direct)]
    later = [wait for wait in waits if wait > 0]
    return min(later) if later else None


def held_back(turn: Turn) -> Turn:
    """An opening of which nobody is to be told for now; the server is given it at once."""
    return replace(turn, direct=False, finding=replace(turn.finding, held=True))


def taken_up(turn: Turn) -> Turn:
    """The agent takes it upon itself."""
    return replace(turn, own=True)


def tried(turn: Turn) -> Turn:
    """It was tried."""
    return replace(turn, tried=True)


def told(turn: Turn, channel: str, at: datetime) -> Turn:
    """It was told through that channel."""
    finding = turn.finding
    return replace(
        turn, own=True,
        finding=replace(finding, told_at=finding.told_at or at, told=tuple(dict.fromkeys((*finding.told, channel)))),
    )  # fmt: skip


def failed(turn: Turn, channel: str) -> Turn:
    """That channel will never take it."""
    return replace(turn, failed=tuple(dict.fromkeys((*turn.failed, channel))))


def filed(turn: Turn) -> Turn:
    """The server has it."""
    return replace(turn, filed=True)


def is_done(turn: Turn, turns: Sequence[Turn], channels: Collection[str]) -> bool:
    """Whether nothing is left to do for it: the server has it, and the agent's own channels too where they are to."""
    return turn.filed and not (turn.told and open_to(turn, turns, channels))


def who_told(turn: Turn) -> Teller:
    """Who told it, or will; "" while that is open."""
    return "agent" if turn.told else "server" if turn.filed else ""


def follows(end: Turn, beginning: Turn) -> Turn:
    """The end of a beginning that is settled now."""
    return replace(end, begun_by=who_told(beginning), to=beginning.finding.told)


def remembering(standing: Standing, beginning: Turn) -> Standing:
    """The standing that knows who told the beginning of what it is in (or was in last)."""
    if standing.number not in (beginning.finding.number, beginning.finding.number + 1):
        return standing
    return replace(standing, teller=who_told(beginning), told=beginning.finding.told)
