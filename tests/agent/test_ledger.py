"""Who tells a turn, as a machine: every order of receipts, lost receipts, failing channels, kills and new turns."""

from __future__ import annotations

import shutil
import tempfile
from collections import defaultdict
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from builders import START, at
from tocsin.agent.disk import Disk
from tocsin.agent.ledger import Ledger, load, write
from tocsin.core import handover
from tocsin.core.handover import HOLD_S, RECEIPT_S, Key
from tocsin.core.host_rule import HostRule, OnService, Seen
from tocsin.core.host_turn import Standing, over, step

QUICK = "/dev/shm" if Path("/dev/shm").is_dir() else None
"""A disk that need not turn: each step forces its writes out."""
CHANNELS = ("mail", "chat")
THINGS = ("unit/a", "unit/b")


def a_rule(*, direct: bool = False) -> HostRule:
    return HostRule(id="local:down", name="down", condition=OnService(), direct=direct)


class Telling(RuleBasedStateMachine):
    """An agent with a ledger on a real disk. What people hear is kept in `heard`: (who told, thing, number)."""

    @initialize(direct=st.booleans())
    def begin(self, direct: bool) -> None:
        self.folder = Path(tempfile.mkdtemp(dir=QUICK))
        self.rule = a_rule(direct=direct)
        self.now, self.wall = 0.0, 0.0
        self.ledger = self._reopened()
        self.heard: list[tuple[str, str, int]] = []
        self.excused: set[Key] = set()  # turns whose receipt was lost, or that a kill met between telling and writing
        self.filed: dict[Key, bool] = {}  # at the server: whether as told by the agent
        self.made: set[Key] = set()
        self.trouble: dict[str, bool] = {}
        self.quiet = False  # the host is in maintenance

    def _reopened(self) -> Ledger:
        self.disk = Disk(self.folder, "machine")
        self.disk.open()
        return load(self.disk, self.now)

    def _save(self) -> None:
        what = self.ledger.to_write(self.disk.incarnation)
        if what is not None:
            assert write(self.disk, what) == ""

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            self.disk.close()
            shutil.rmtree(self.folder)

    def _settle(self) -> None:
        for turn in self.ledger.turns:
            if handover.is_done(turn, self.ledger.turns, CHANNELS):
                self.ledger.remove(turn.key)

    @rule(thing=st.sampled_from(THINGS), trouble=st.booleans())
    def sees(self, thing: str, trouble: bool) -> None:
        before = self.ledger.of(self.rule.id).get(thing) or Standing(
            rule=self.rule.id, rule_name="down", what=thing, source="systemd"
        )
        seen = Seen(what=thing, trouble=trouble, words="as it is")
        after, finding = step(self.rule, seen, before, self.now, at(self.now + self.wall))
        self.ledger.stand(after)
        if finding is not None:
            self.made.add((finding.rule, finding.what, finding.number))
            turn = handover.new_turn(finding, after, direct=self.rule.direct, now=self.now)
            self.ledger.add(handover.held_back(turn) if self.quiet and turn.opens else turn)
        self._save()

    @rule(thing=st.sampled_from(THINGS), backwards=st.booleans())
    def an_episode_without_the_server(self, thing: str, backwards: bool) -> None:
        self.sees(thing, True)
        self.now += RECEIPT_S + 1
        self.tell(works=set(CHANNELS), killed=False, refused=False)
        self.wall += -90_000 if backwards else 1
        self.sees(thing, False)

    @rule(seconds=st.sampled_from((0.5, RECEIPT_S / 2, RECEIPT_S + 1)))
    def time_goes_by(self, seconds: float) -> None:
        self.now += seconds

    @rule(most=st.integers(1, 5), answered=st.booleans())
    def hand_over(self, most: int, answered: bool) -> None:
        given = handover.to_hand_over(self.ledger.turns, CHANNELS, (), self.now)[:most]
        for turn in given:
            if turn.told:
                self.filed[turn.key] = True
            elif turn.key not in self.filed:
                self.filed[turn.key] = False
                if turn.begun_by == "agent":
                    gone = all(channel in turn.failed for channel in turn.to)
                    assert gone or self.now - turn.born >= HOLD_S, "the agent told the beginning, the server its end"
                assert turn.tried or not (turn.own or turn.direct), (
                    "the server is given what the agent is to tell at once"
                )
                self.heard.append(("server", *turn.key[1:]))
        if answered:
            for turn in given:
                self.ledger.receipted(turn.key)
            self._settle()
            self._save()
        else:
            self.excused |= {turn.key for turn in given}

    @rule(works=st.sets(st.sampled_from(CHANNELS)), killed=st.booleans(), refused=st.booleans())
    def tell(self, works: set[str], killed: bool, refused: bool) -> None:
        for turn in handover.to_tell(self.ledger.turns, CHANNELS, (), self.now, quiet=self.quiet):
            assert not (self.quiet and turn.finding.held and not turn.own), "told in maintenance"
            assert not (turn.finding.held and not turn.settled and self._is_over(turn)), "told though it is over"
            open_ = handover.open_to(turn, self.ledger.turns, CHANNELS)
            self.ledger.change(turn.key, handover.taken_up)
            self._save()
            self.ledger.change(turn.key, handover.tried)
            for channel in open_:
                if channel in works:
                    self.heard.append((channel, *turn.key[1:]))
                    if killed:
                        self.excused.add(turn.key)
                        self.kill()
                        return
                    self.ledger.change(turn.key, lambda one, c=channel: handover.told(one, c, START))
                    self._save()
                elif refused:
                    self.ledger.change(turn.key, lambda one, c=channel: handover.failed(one, c))
        self._settle()
        self._save()

    def _is_over(self, turn: handover.Turn) -> bool:
        return turn.opens and not turn.own and (*turn.subject, turn.finding.number + 1) in self.made

    @rule(quiet=st.booleans())
    def maintenance(self, quiet: bool) -> None:
        self.quiet = quiet
        for turn in self.ledger.turns if quiet else ():
            if turn.opens and not (turn.own or turn.settled):
                self.ledger.change(turn.key, handover.held_back)
        self._save()

    @rule()
    def kill(self) -> None:
        self.disk.close()
        before = self.ledger.turns
        self.ledger = self._reopened()
        for thing in THINGS:
            kept, was = (
                [turn.key for turn in turns if turn.finding.what == thing] for turns in (self.ledger.turns, before)
            )
            assert kept == was

    @rule()
    def the_rule_goes(self) -> None:
        for standing in list(self.ledger.standings.values()):
            if standing.fires:
                after, finding = over(standing, "the rule does not hold any more", at(self.now + self.wall))
                self.ledger.stand(after)
                assert finding is not None
                self.made.add((finding.rule, finding.what, finding.number))
                self.ledger.add(handover.new_turn(finding, after, direct=False, now=self.now))
        self._save()

    @invariant()
    def nobody_hears_twice_without_a_reason(self) -> None:
        if not hasattr(self, "heard"):
            return
        counts: dict[tuple[str, int], dict[str, int]] = defaultdict(lambda: defaultdict(int))
        for who, thing, number in self.heard:
            counts[thing, number][who] += 1
        for (thing, number), by in counts.items():
            if (self.rule.id, thing, number) not in self.excused:
                assert all(count == 1 for count in by.values()), (thing, number, dict(by))
                assert not ("server" in by and len(by) > 1), "both told it"

    @invariant()
    def in_order(self) -> None:
        if not hasattr(self, "heard"):
            return
        for channel in ("server", *CHANNELS):
            for thing in THINGS:
                first = list(dict.fromkeys(n for w, t, n in self.heard if (w, t) == (channel, thing)))
                assert first == sorted(first), (channel, thing, first)

    @rule()
    def all_is_told_once_the_server_is_there(self) -> None:
        for _ in range(len(self.ledger.turns) + 2):
            self.hand_over(most=100, answered=True)
            self.tell(works=set(CHANNELS), killed=False, refused=False)
            self.now += RECEIPT_S
        assert self.filed.keys() == self.made
        assert self.ledger.turns == []
        assert {(t, n) for _, t, n in self.heard} == {key[1:] for key in self.made}


Telling.TestCase.settings = settings(max_examples=80, stateful_step_count=30, deadline=None)
TestTelling = Telling.TestCase


def test_numbers_never_come_again_when_old_things_are_forgotten() -> None:
    ledger = Ledger()
    for i in range(6000):
        ledger.stand(Standing(rule="r", rule_name="r", what=f"unit/{i}", source="s", number=4))
    assert len(ledger.standings) <= 5000
    assert ledger.floor == 4
