"""How much one channel is told at once: a few messages each by itself, many as one digest, never too many a minute."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal

from msgspec import Struct

from tocsin.core.alert import OutboxRow

MOST_A_MINUTE = 20
"""Messages to one channel within a minute, of whatever kind."""
BURST = 5
"""With more openings than this within SPELL it is a storm, and with more ends."""
CROWD = MOST_A_MINUTE // 2
"""With more than so many waiting or told within a minute they are gathered too: what comes next shall find room."""
SPELL = timedelta(seconds=30)
GATHER = timedelta(seconds=2)
"""The first digest of a storm waits so long for what belongs to it."""
EVERY = timedelta(seconds=15)
"""The next one follows so long after, or as soon as it is full; one of ends alone waits so long for what else ends."""
CALM = timedelta(minutes=5)
"""So long after its latest digest a storm is over; until then the next digest is put in its place, where it can be."""
FULL = 2000
"""Messages that one digest gathers at most."""
AT_ONCE = 4
"""Messages on their way to one channel at the same time."""
MINUTE = timedelta(seconds=60)

DIGEST, CANARY = "~digest", "~canary"
"""Subjects of messages that are about no monitor, and are never gathered."""
OPENINGS = frozenset(("incident.opened", "incident.reopened"))
END = "incident.resolved"


class Waiting(Struct, frozen=True, kw_only=True):
    """What waits for one channel now and could be sent: `count` messages that may be gathered (at most FULL are counted), at
    least `openings` of them openings and `ends` of them ends, the `oldest` since then, and `alone` that may not. `digest`:
    one that was gathered before is "due", or "held" (on its way, or put off)."""

    count: int = 0
    openings: int = 0
    ends: int = 0
    oldest: datetime | None = None
    alone: int = 0
    digest: Literal["due", "held"] | None = None


class Pace(Struct, frozen=True, kw_only=True):
    """What left for one channel: when, within the last minute (`left`); openings and ends among that within SPELL (also
    those that a digest names; more than BURST need not be known), of ends only those that rang: where the channel
    `edits`, an end may be written into the message of its opening; the latest digest; how many are on their way.
    `rests_until`: the other side asked for it."""

    left: tuple[datetime, ...] = ()
    openings: int = 0
    ends: int = 0
    edits: bool = False
    digest_at: datetime | None = None
    busy: int = 0
    rests_until: datetime | None = None


class Decision(Struct, frozen=True, kw_only=True):
    """Send so many messages now, each by itself; or `gather` what waits into a digest; else look again `at` (None: when
    something changes). `digest`: send the one that is due."""

    single: int = 0
    gather: bool = False
    digest: bool = False
    at: datetime | None = None


def decide(waiting: Waiting, pace: Pace, now: datetime, *, groups: bool = False) -> Decision:
    """What a channel is told now. `groups`: its kind gathers by itself what belongs together, so
    it gets every message."""
    if pace.rests_until is not None and pace.rests_until > now:
        return Decision(at=pace.rests_until)
    left = [at for at in pace.left if now - MINUTE < at <= now]
    room = MOST_A_MINUTE - len(left)
    if room <= 0:
        return Decision(at=left[-MOST_A_MINUTE] + MINUTE)
    free = min(room, AT_ONCE - pace.busy)
    if free <= 0:
        return Decision()
    if waiting.digest == "due":
        return Decision(digest=True)
    if groups or not stormy(waiting, pace, len(left)):
        return Decision(single=min(free, waiting.count + waiting.alone))
    if waiting.digest == "held" or waiting.oldest is None:
        return Decision()
    begins = waiting.oldest + (GATHER if waiting.count > waiting.ends else EVERY)
    ready = begins if pace.digest_at is None or pace.digest_at > now else max(begins, pace.digest_at + EVERY)
    if ready <= now or waiting.count >= FULL:
        return Decision(gather=True)
    return Decision(at=ready)


def stormy(waiting: Waiting, pace: Pace, left: int) -> bool:
    """Whether what waits is gathered: too many openings or ends within SPELL, or altogether too much."""
    ends = pace.ends + (min(1, waiting.ends) if pace.edits else waiting.ends)
    many = max(pace.openings + waiting.openings, ends) > BURST
    return many or (waiting.count > 1 and waiting.count + left > CROWD)


def opens(row: OutboxRow) -> bool:
    """Whether this message tells of trouble that begins."""
    return row.message.event in OPENINGS


def ends(row: OutboxRow) -> bool:
    """Whether this message tells of trouble that is over."""
    return row.message.event == END


def gathers(row: OutboxRow) -> bool:
    """Whether a digest may name this message instead."""
    return row.subject not in (DIGEST, CANARY)
