"""What the agent found and who told it, in memory and on disk: standings of things, and turns that are not done.

A change counts as soon as it is in memory, so that a full disk silences nothing; it is written, forced to disk, and tried
again while that fails.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeVar

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from tocsin import telemetry
from tocsin.agent.disk import Broken, Disk, Unwritten
from tocsin.core.handover import Key, Turn, filed, follows, remembering
from tocsin.core.host_turn import Standing

log = telemetry.logger("tocsin.agent.ledger")

MOST_STANDINGS = 5000
_STANDING, _TURN = msgspec.json.Decoder(Standing), msgspec.json.Decoder(Turn)
Subject = tuple[str, str]
T = TypeVar("T")


class Write(Struct, frozen=True):
    """What is to be the same on disk as in memory: keys with what they are now (None: gone)."""

    standings: dict[Subject, Standing | None]
    turns: dict[Key, Turn | None]
    floor: int


class Ledger:
    """Memory, for the loop. `write` and `load` are for the thread of the disk."""

    def __init__(self, written_to: str = "") -> None:
        self.standings: dict[Subject, Standing] = {}
        self._by_rule: dict[str, dict[str, Standing]] = {}
        self._turns: dict[Key, Turn] = {}
        self.floor = 0
        self.trouble = ""
        self._dirty_standings: set[Subject] = set()
        self._dirty_turns: set[Key] = set()
        self._written_to = written_to

    # --- in memory --------------------------------------------------------------------------------------------------

    @property
    def turns(self) -> list[Turn]:
        """Those that are not done, in the order they were made."""
        return list(self._turns.values())

    def turn(self, key: Key) -> Turn | None:
        """One that is not done."""
        return self._turns.get(key)

    def of(self, rule: str) -> dict[str, Standing]:
        """The standings of a rule, by what they are about."""
        return self._by_rule.get(rule, {})

    def stand(self, standing: Standing) -> None:
        """How a thing stands now."""
        before = self.standings.get(standing.key)
        self.hold(standing)
        if before is None or replace(before, since=None) != replace(standing, since=None):
            self._dirty_standings.add(standing.key)
        if len(self.standings) > MOST_STANDINGS:
            self._forget_some()

    def hold(self, standing: Standing) -> None:
        """Keep it in memory as it is on disk."""
        self.standings[standing.key] = standing
        self._by_rule.setdefault(standing.rule, {})[standing.what] = standing

    def add(self, turn: Turn) -> None:
        """A turn that was just made."""
        self.keep(turn)
        self._dirty_turns.add(turn.key)

    def keep(self, turn: Turn) -> None:
        """Keep it in memory as it is on disk."""
        self._turns[turn.key] = turn

    def change(self, key: Key, how: Callable[[Turn], Turn]) -> Turn | None:
        """Change a turn that is not done; what it says of who told it, its end and its standing come to know."""
        turn = self._turns.get(key)
        if turn is None:
            return None
        turn = how(turn)
        self._turns[key] = turn
        self._dirty_turns.add(key)
        if turn.opens and turn.settled:
            standing = self.standings.get(turn.subject)
            if standing is not None:
                self.stand(remembering(standing, turn))
            end = self._turns.get((*turn.subject, turn.finding.number + 1))
            if end is not None:
                self.change(end.key, lambda one: follows(one, turn))
        return turn

    def receipted(self, key: Key) -> None:
        """The server has it."""
        self.change(key, filed)

    def remove(self, key: Key) -> None:
        """It is done."""
        if self._turns.pop(key, None) is not None:
            self._dirty_turns.add(key)

    def _forget_some(self) -> None:
        """Let go of things that are well for long; whoever comes back counts on above all that were."""
        idle = [s for s in self.standings.values() if not s.fires and s.since is None]
        for standing in idle[: MOST_STANDINGS // 10]:
            self.floor = max(self.floor, standing.number)
            del self.standings[standing.key], self._by_rule[standing.rule][standing.what]
            self._dirty_standings.add(standing.key)

    # --- on disk ----------------------------------------------------------------------------------------------------

    def to_write(self, incarnation: str) -> Write | None:
        """What has changed since the last call; all of it when the file is a new one. None: nothing."""
        if self._written_to != incarnation:
            self._dirty_standings |= self.standings.keys()
            self._dirty_turns |= self._turns.keys()
        if not self._dirty_standings and not self._dirty_turns:
            return None
        write = Write(
            {key: self.standings.get(key) for key in self._dirty_standings},
            {key: self._turns.get(key) for key in self._dirty_turns},
            self.floor,
        )
        self._dirty_standings, self._dirty_turns = set(), set()
        self._written_to = incarnation
        return write

    def not_written(self, write: Write, why: str) -> None:
        """It has to be tried again."""
        if not self.trouble:
            log.warning("agent.ledger_not_written", reason=why)
        self.trouble = f"what was told cannot be written: {why}"
        self._dirty_standings |= write.standings.keys()
        self._dirty_turns |= write.turns.keys()


def load(disk: Disk, now: float) -> Ledger:
    """What is kept from before. A turn that waits for a receipt waits anew."""
    made = Ledger(disk.incarnation)
    for standing in _read(disk, "standings", _STANDING):
        made.hold(standing)
    for turn in _in_order(_read(disk, "turns", _TURN)):
        made.keep(replace(turn, born=now))
    made.floor = int(disk.meta("floor", 0))
    return made


def _read(disk: Disk, table: Literal["standings", "turns"], decoder: msgspec.json.Decoder[T]) -> list[T]:
    """What is in a table; what the disk spoilt is passed over."""
    found: list[T] = []
    for (body,) in disk.read(f"SELECT body FROM {table}"):  # noqa: S608 (one of two words of ours)
        try:
            found.append(decoder.decode(body))
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            log.warning("agent.ledger_spoilt", table=table, reason=str(error))
    return found


def _in_order(turns: list[Turn]) -> list[Turn]:
    """As they were made: by time, but those of one thing by their numbers, whatever the wall clock did meanwhile."""
    of: dict[Subject, list[Turn]] = {}
    for turn in sorted(turns, key=lambda one: one.finding.number, reverse=True):
        of.setdefault(turn.subject, []).append(turn)
    return [of[turn.subject].pop() for turn in sorted(turns, key=lambda one: one.finding.at)]


def write(disk: Disk, what: Write) -> str:
    """Put it on disk itself; why that failed, or empty."""
    try:
        with disk.writing(safely=True) as db:
            db.execute("INSERT OR REPLACE INTO meta VALUES ('floor', ?)", (what.floor,))
            for (rule, about), standing in what.standings.items():
                db.execute("DELETE FROM standings WHERE rule=? AND what=?", (rule, about))
                if standing is not None:
                    body = msgspec.json.encode(replace(standing, since=None))
                    db.execute("INSERT INTO standings VALUES (?, ?, ?)", (rule, about, body))
            for key, turn in what.turns.items():
                db.execute("DELETE FROM turns WHERE rule=? AND what=? AND number=?", key)
                if turn is not None:
                    db.execute("INSERT INTO turns VALUES (?, ?, ?, ?)", (*key, msgspec.json.encode(turn)))
    except (Unwritten, Broken) as error:
        return str(error)
    return ""
