"""Incidents: the story of one subject, told exactly once."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from msgspec.structs import replace

from builders import START, a_channel, a_monitor, at
from tocsin.core.advance import advance
from tocsin.core.alert import about, rows_for
from tocsin.core.consensus import LocationState, Seat, Verdict, decide
from tocsin.core.escalation import EscalationPolicy, EscalationStep, Reach
from tocsin.core.finding import Hush, finding_of, terms_of
from tocsin.core.flapping import flip_rate
from tocsin.core.incident import Entry, Incident, Step, Transition, acknowledge, close
from tocsin.core.monitor import Monitor
from tocsin.core.result import CheckError
from tocsin.core.wording import words

REFUSED = CheckError("connection_refused", "connection refused", "connect")
LETTERS = {"u": "up", "s": "degraded", "d": "down"}


def a_vote(letters: str, seconds: float, previous: Verdict | None = None, *, settled: bool = True) -> Verdict:
    """The verdict of locations a, b, c …, a letter each: u, s (degraded), d, or . (silent)."""
    seats = [
        Seat(location=name)
        if letter == "."
        else Seat(
            location=name,
            state=LocationState(
                location=name, vote=LETTERS[letter], at=at(seconds), reason=REFUSED if letter == "d" else None
            ),  # pyright: ignore[reportArgumentType]
        )
        for name, letter in zip("abcdefg", letters, strict=False)
    ]
    return decide(seats, "majority", 130, previous, at(seconds), settled=settled)


class Story:
    """A subject to which things happen in turn."""

    def __init__(self, **config: Any) -> None:
        self.monitor: Monitor = a_monitor(id="shop", **config)
        self.incident: Incident | None = None
        self.verdict: Verdict | None = None
        self.entries: list[Entry] = []
        self.told: list[Transition] = []
        self.steps = 0
        self.policy: EscalationPolicy | None = None
        self.reach: tuple[Reach, ...] = ()
        self.hush: Hush | None = None

    def sees(self, letters: str, seconds: float, *, settled: bool = True) -> Step:
        self.verdict = a_vote(letters, seconds, self.verdict, settled=settled)
        return self.again(seconds)

    def again(self, seconds: float) -> Step:
        assert self.verdict is not None
        self.steps += 1
        return self.take(
            advance(
                self.incident,
                replace(terms_of(self.monitor, self.policy), reach=self.reach),
                finding_of(self.verdict),
                at(seconds),
                new_id=f"i{self.steps}",
                evidence={"n": 1},
                hush=self.hush,
            )
        )

    def take(self, step: Step) -> Step:
        self.incident = step.incident
        self.entries += step.entries
        self.told += step.transitions
        return step

    @property
    def now(self) -> Incident:
        assert self.incident is not None
        return self.incident

    def words(self) -> list[str]:
        return [f"{t.what} {t.number}" + (f".{t.step}" if t.step else "") for t in self.told]

    def kinds(self) -> list[str]:
        return [entry.kind for entry in self.entries]


def test_down_opens_and_up_resolves() -> None:
    story = Story()
    assert story.sees("u", 0) == Step(incident=None)
    step = story.sees("d", 60)
    assert step.changed
    assert (story.now.subject, story.now.severity, story.now.reason) == (
        "monitor:shop",
        "critical",
        "connection refused",
    )
    assert (story.now.opened_at, story.now.locations, story.now.evidence) == (at(60), ("a",), {"n": 1})
    story.sees("u", 120)
    assert (story.now.resolved_at, story.now.resolution, story.now.open) == (at(120), "recovered", False)
    assert story.words() == ["opened 1", "resolved 2"]
    assert story.kinds() == ["opened", "location_left", "resolved"]


def test_the_same_verdict_again_changes_nothing() -> None:
    story = Story(reminder_s=0)
    for letters in ("uuu", "ddu", "duu", "..u", "uuu"):
        story.sees(letters, story.steps * 60)
        again = story.again(story.steps * 60 + 1)
        assert not again.changed
        assert (again.entries, again.transitions) == ((), ())


@pytest.mark.parametrize("letters", ["uuu", "ssu", "duu", "d..", "...", "u.."])
def test_nothing_but_down_opens(letters: str) -> None:
    story = Story()
    story.sees("uuu", 0)
    assert story.sees(letters, 60) == Step(incident=None)


def test_an_even_split_opens_nothing_but_rules_down_out_of_an_open_one() -> None:
    story = Story()
    assert story.sees("dduu", 0).incident is None
    story.sees("dddu", 60)
    assert story.now.open
    story.sees("dduu", 120)
    assert (story.now.open, story.now.locations) == (False, ("a", "b"))
    assert story.entries[-1].text == "Over, though a, b still say down"


def test_partial_that_may_still_become_down_keeps_it_open() -> None:
    story = Story()
    story.sees("ddu", 0)
    story.sees("du.", 60)
    assert (story.now.open, story.now.verdict) == (True, "partial")
    story.sees("duu", 120)
    assert not story.now.open
    assert story.entries[-1].text == "Over, though a still says down"
    assert story.entries[-1].data["verdict"] == "partial"


def test_unknown_only_makes_it_blind() -> None:
    story = Story()
    story.sees("ddu", 0)
    story.sees("d..", 60)
    assert (story.now.open, story.now.blind, story.now.locations) == (True, True, ("a", "b"))
    story.sees("ddu", 120)
    assert (story.now.open, story.now.blind) == (True, False)
    assert story.kinds() == ["opened", "blind", "sighted"]
    assert story.words() == ["opened 1"]


def test_locations_join_and_leave_in_the_timeline() -> None:
    story = Story()
    story.sees("ddu", 0)
    story.sees("ddd", 60)
    story.sees("udd", 120)
    assert story.kinds() == ["opened", "location_joined", "location_left"]
    assert [entry.text for entry in story.entries[1:]] == ["c says down too", "a no longer says down"]
    assert story.now.locations == ("b", "c")
    assert story.words() == ["opened 1"]


def test_it_waits_for_the_recovery_time() -> None:
    story = Story(recovery_s=90)
    story.sees("d", 0)
    assert story.sees("u", 60).judge_again_at == at(150)
    story.sees("d", 100)
    assert (story.now.over_since, story.now.open) == (None, True)
    assert story.sees("u", 160).judge_again_at == at(250)
    assert not story.again(249.9).changed
    step = story.again(250)
    assert (step.changed, story.now.resolved_at) == (True, at(250))
    assert story.words() == ["opened 1", "resolved 2"]


def test_the_trouble_ends_before_the_recovery_time_that_is_waited_for() -> None:
    story = Story(recovery_s=90)
    story.sees("d", 0)
    story.sees("u", 60)
    story.again(150)
    assert (story.now.trouble_to(), story.now.resolved_at) == (at(60), at(150))
    title, text = words(story.told[-1], story.now, "Shop", story.verdict)
    assert title == "Shop is up again after 1 min"
    assert text.endswith("From 2026-03-01 12:00:00 UTC to 2026-03-01 12:01:00 UTC.")
    step = Step(incident=replace(story.now, told_channels=None), transitions=(story.told[-1],))
    what = about(story.monitor, story.verdict)
    (row,) = rows_for(step, terms_of(story.monitor), what, (a_channel(default=True),), at(150))
    assert (row.message.incident or {})["duration_s"] == 60
    story.sees("d", 400)
    assert (story.words()[-1], story.now.trouble_to()) == ("reopened 3", None)


def test_unknown_interrupts_the_recovery_time() -> None:
    story = Story(recovery_s=90)
    story.sees("ddd", 0)
    story.sees("uuu", 60)
    story.sees("u..", 100)
    story.sees("uuu", 140)
    assert not story.again(151).changed
    story.again(230)
    assert not story.now.open


def test_trouble_soon_after_reopens_the_same_incident() -> None:
    story = Story()
    story.sees("d", 0)
    story.sees("u", 60)
    story.sees("d", 360)
    assert (story.now.id, story.now.open, story.now.transition) == ("i1", True, 3)
    story.sees("u", 420)
    story.sees("d", 720.001)
    assert (story.now.id, story.now.transition) == ("i5", 5)
    assert story.words() == ["opened 1", "resolved 2", "reopened 3", "resolved 4", "opened 5"]


def test_resolved_by_hand_while_down_is_silent_until_it_has_left_down() -> None:
    story = Story()
    story.sees("ddu", 0)
    story.take(close(story.now, "fixed elsewhere", at(30), by="ann@example.org", held=True))
    assert story.entries[-1].by == "ann@example.org"
    for letters in ("ddu", "ddd", "d..", "ddu"):
        assert story.sees(letters, story.steps * 60).transitions == ()
    assert not story.now.open
    assert story.sees("uuu", 400).changed
    assert not story.now.held
    story.sees("ddu", 460)
    assert story.words() == ["opened 1", "resolved 2", "opened 3"]


def test_closing_tells_only_what_was_told_and_only_once() -> None:
    story = Story()
    story.sees("d", 0)
    paused = story.take(close(story.now, "the monitor was paused", at(10)))
    assert (story.now.resolution, [t.what for t in paused.transitions]) == ("the monitor was paused", ["resolved"])
    again = close(story.now, "the monitor was deleted", at(20))
    assert (again.changed, again.incident, again.transitions) == (False, story.now, ())


def test_a_verdict_that_only_stands_from_before_opens_and_resolves_nothing() -> None:
    story = Story()
    story.sees("ddd", 0)
    story.take(close(story.now, "the monitor was paused", at(10)))
    assert story.sees("...", 60, settled=False).changed is False
    assert story.verdict is not None
    assert story.verdict.value == "down"
    story.sees("ddu", 70, settled=False)
    assert story.words() == ["opened 1", "resolved 2", "reopened 3"]


def test_acknowledging_is_done_once() -> None:
    story = Story(reminder_s=600)
    story.sees("d", 0)
    step = story.take(acknowledge(story.now, "bob@example.org", at(5)))
    assert (step.changed, story.now.acknowledged_by, story.now.acknowledged_at) == (True, "bob@example.org", at(5))
    assert not acknowledge(story.now, "ann@example.org", at(6)).changed
    story.sees("u", 60)
    assert not acknowledge(story.now, "ann@example.org", at(70)).changed
    story.sees("d", 120)
    assert story.now.acknowledged_at is None


def test_reminders_come_while_nobody_has_it() -> None:
    story = Story(reminder_s=600)
    assert story.sees("d", 0).judge_again_at == at(600)
    assert not story.again(599.9).changed
    assert story.again(600).judge_again_at == at(1200)
    story.again(5000)
    assert story.words() == ["opened 1", "reminder 1.1", "reminder 1.2"]
    story.take(acknowledge(story.now, "bob@example.org", at(5001)))
    assert story.again(99_000).judge_again_at is None
    assert len(story.told) == 3


def flapping(story: Story, start_s: float, changes: int) -> float:
    seconds = start_s
    for number in range(changes):
        seconds = start_s + 60 * number
        story.sees("d" if number % 2 == 0 else "u", seconds)
    return seconds


def test_flapping_is_told_once_and_so_is_the_calm_after_it() -> None:
    story = Story()
    end = flapping(story, 0, 40)
    whats = [t.what for t in story.told]
    assert whats.count("unstable") == 1
    assert whats[-1] == "unstable"
    assert whats.index("unstable") == 8
    assert (story.now.transition, story.now.unstable, story.now.open) == (40, True, False)
    step = story.again(end + 1)
    for _ in range(40):
        assert step.judge_again_at is not None
        step = story.again((step.judge_again_at - START).total_seconds())
        if step.changed:
            break
    assert [t.what for t in story.told][-1] == "calm"
    assert (story.now.unstable, step.judge_again_at) == (False, None)
    assert 600 < (story.told[-1].at - at(end)).total_seconds() < 1200
    assert not story.again(end + 9999).changed


def test_calm_while_down_counts_as_the_opening_so_its_end_is_told() -> None:
    story = Story()
    end = flapping(story, 0, 21)
    assert (story.now.open, story.now.told, story.now.unstable) == (True, False, True)
    story.again(end + 1500)
    assert (story.told[-1].what, story.now.told) == ("calm", True)
    story.sees("u", end + 1560)
    assert story.told[-1].what == "resolved"


def test_calm_and_a_new_change_at_once_is_one_message() -> None:
    story = Story()
    end = flapping(story, 0, 20)
    assert not story.now.open
    step = story.sees("d", end + 3000)
    assert [t.what for t in step.transitions] == ["opened"]
    assert not story.now.unstable


def test_without_flap_detection_every_change_is_told() -> None:
    story = Story(flap_detection=False)
    flapping(story, 0, 40)
    assert len(story.told) == 40


def test_the_flip_rate_weighs_the_newest_most() -> None:
    newest, oldest = [START], [START - timedelta(seconds=60 * 19)]
    assert flip_rate(newest, 60, START) == pytest.approx(0.06)
    assert flip_rate(oldest, 60, START) == pytest.approx(0.04)
    assert flip_rate([START - timedelta(seconds=60 * 20)], 60, START) == 0
    assert flip_rate([START - timedelta(seconds=60 * n) for n in range(20)], 60, START) == pytest.approx(1.0)


class Subject(RuleBasedStateMachine):
    """Anything may happen to a subject in any order; what is told must always make sense to who reads it."""

    def __init__(self) -> None:
        super().__init__()
        self.story = Story()
        self.seconds = 0.0
        self.reader_thinks_open = False
        self.keys: set[tuple[int, str, int]] = set()

    @initialize(recovery_s=st.sampled_from([0, 45]), reminder_s=st.sampled_from([0, 400]), flaps=st.booleans())
    def configured(self, recovery_s: int, reminder_s: int, flaps: bool) -> None:
        self.story = Story(recovery_s=recovery_s, reminder_s=reminder_s, flap_detection=flaps)

    def check(self, step: Step) -> None:
        for t in step.transitions:
            key = (t.number, t.what, t.step)
            assert key not in self.keys
            self.keys.add(key)
            match t.what:
                case "opened" | "reopened":
                    assert not self.story.now.unstable
                    self.reader_thinks_open = True
                case "resolved":
                    assert not self.story.now.open
                    self.reader_thinks_open = False
                case "unstable" | "calm":
                    self.reader_thinks_open = self.story.now.open
                case _:
                    assert self.reader_thinks_open
        assert len(step.transitions) <= 1
        assert step.changed or (not step.entries and not step.transitions)

    @rule(letters=st.text("usd.", min_size=3, max_size=3), wait=st.floats(1, 200), settled=st.booleans())
    def a_verdict_comes(self, letters: str, wait: float, settled: bool) -> None:
        self.seconds += wait
        before = self.story.incident
        step = self.story.sees(letters, self.seconds, settled=settled)
        self.check(step)
        if before is not None and step.incident is not None:
            assert step.incident.transition >= before.transition
            assert step.incident.transition - before.transition <= 1

    @rule(wait=st.floats(0, 3000))
    @precondition(lambda self: self.story.verdict is not None)
    def time_passes(self, wait: float) -> None:
        self.seconds += wait
        self.check(self.story.again(self.seconds))

    @rule(changes=st.integers(1, 25), wait=st.floats(20, 90))
    def it_flaps(self, changes: int, wait: float) -> None:
        for number in range(changes):
            self.seconds += wait
            self.check(self.story.sees("ddd" if number % 2 == 0 else "uuu", self.seconds))

    @rule()
    @precondition(lambda self: self.story.incident is not None and self.story.incident.open)
    def somebody_acknowledges(self) -> None:
        self.story.take(acknowledge(self.story.now, "bob@example.org", at(self.seconds)))

    @rule(held=st.booleans())
    @precondition(lambda self: self.story.incident is not None and self.story.incident.open)
    def somebody_closes(self, held: bool) -> None:
        self.check(self.story.take(close(self.story.now, "by hand", at(self.seconds), held=held)))

    @invariant()
    def judging_again_at_the_same_moment_changes_nothing(self) -> None:
        story = self.story
        if story.verdict is not None:
            terms, finding = terms_of(story.monitor), finding_of(story.verdict)
            one = advance(story.incident, terms, finding, at(self.seconds), new_id="new")
            two = advance(one.incident, terms, finding, at(self.seconds), new_id="new")
            assert (two.changed, two.entries, two.transitions) == (False, (), ())
            assert two.judge_again_at is None or two.judge_again_at > at(self.seconds)

    @invariant()
    def who_reads_knows_how_it_stands_unless_it_is_unstable(self) -> None:
        incident = self.story.incident
        if incident is not None and not incident.unstable:
            assert self.reader_thinks_open == incident.open

    @invariant()
    def it_is_open_exactly_when_it_has_no_end(self) -> None:
        incident = self.story.incident
        if incident is not None:
            assert incident.open is (incident.resolution is None)
            assert not (incident.held and incident.open)
            assert len(incident.flips) <= 40


Subject.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestSubject = Subject.TestCase


# Held back


MAINTENANCE = Hush(kind="maintenance", why="maintenance “Saturday”", by="maintenance “Saturday”")
ASKS = Hush(kind="dependency", why="waits for what “Router” says")


def test_what_opens_in_maintenance_is_told_when_it_ends_if_it_still_lasts() -> None:
    story = Story()
    story.hush = MAINTENANCE
    story.sees("d", 60)
    assert (story.now.open, story.now.told, story.now.suppressed) == (True, False, "maintenance “Saturday”")
    assert story.words() == []
    story.hush = None
    story.sees("d", 120)
    assert story.words() == ["opened 1"]
    assert (story.now.told, story.now.suppressed) == (True, "")
    story.sees("u", 180)
    assert story.words() == ["opened 1", "resolved 2"]
    assert story.kinds() == ["opened", "suppressed", "released", "location_left", "resolved"]


def test_a_late_ring_says_what_held_it_back() -> None:
    story = Story()
    story.hush = MAINTENANCE
    story.sees("d", 60)
    story.hush = ASKS
    story.sees("d", 90)
    story.hush = None
    story.sees("d", 120)
    text = words(story.told[0], story.now, "Shop", story.verdict)[1]
    assert text.endswith("Since 2026-03-01 12:01:00 UTC.\nHeld back until now by maintenance “Saturday”.")
    story.sees("u", 180)
    story.hush = ASKS
    story.sees("d", 200)
    story.hush = None
    story.sees("d", 210)
    assert "Held back" not in words(story.told[-1], story.now, "Shop", story.verdict)[1]
    assert story.words() == ["opened 1", "resolved 2", "reopened 3"]


def test_what_somebody_has_already_does_not_ring_when_the_hold_ends() -> None:
    story = Story(reminder_s=60)
    story.hush = MAINTENANCE
    story.sees("d", 60)
    story.take(acknowledge(story.now, "ann@example.org", at(90)))
    story.hush = None
    step = story.sees("d", 120)
    assert [e.text for e in step.entries] == ["Not told: nothing holds it back any more, but ann@example.org has it"]
    assert not story.sees("d", 600).changed
    story.sees("u", 660)
    assert story.words() == []
    story.sees("d", 700)
    assert story.words() == ["reopened 3"]


def test_what_comes_and_goes_in_maintenance_is_never_told() -> None:
    story = Story(reopen_s=0)
    story.hush = MAINTENANCE
    story.sees("d", 60)
    story.sees("u", 120)
    story.hush = None
    story.sees("u", 180)
    assert story.words() == []
    assert story.now.resolved_at == at(120)
    story.sees("d", 600)
    assert story.words() == ["opened 3"]


def test_the_end_of_what_was_told_before_is_told_within_maintenance() -> None:
    story = Story(reminder_s=60)
    story.sees("d", 60)
    story.hush = MAINTENANCE
    step = story.sees("d", 180)
    assert step.judge_again_at is None
    story.sees("u", 240)
    assert story.words() == ["opened 1", "resolved 2"]


def test_a_reopening_that_was_held_back_is_told_as_one() -> None:
    story = Story()
    story.sees("d", 60)
    story.sees("u", 120)
    story.hush = MAINTENANCE
    story.sees("d", 180)
    story.hush = None
    story.sees("d", 240)
    assert story.words() == ["opened 1", "resolved 2", "reopened 3"]


def test_the_end_of_a_hush_is_when_it_is_judged_again() -> None:
    story = Story()
    story.hush = Hush(kind="silence", why="silence “x”", until=at(500))
    assert story.sees("d", 60).judge_again_at == at(500)


# Escalation


def test_steps_are_told_in_turn_until_somebody_acknowledges() -> None:
    story = Story()
    story.policy = a_policy(300, 600)
    assert story.sees("d", 60).judge_again_at == at(360)
    story.sees("d", 359)
    assert story.words() == ["opened 1"]
    assert story.sees("d", 361).judge_again_at == at(961)
    assert story.words() == ["opened 1", "step 1.1"]
    story.take(acknowledge(story.now, "alice", at(400)))
    assert story.sees("d", 2000).judge_again_at is None
    assert story.words() == ["opened 1", "step 1.1"]


def test_a_policy_that_repeats_goes_through_its_steps_again() -> None:
    story = Story()
    story.policy = a_policy(0, 60, repeat=1)
    story.sees("d", 0)
    story.again(0)
    assert story.words() == ["opened 1", "step 1.1"]
    story.sees("d", 60)
    assert story.words() == ["opened 1", "step 1.1", "step 1.2", "step 1.3"]
    story.sees("d", 120)
    assert story.words()[4:] == ["step 1.4"]
    assert story.again(20_000).judge_again_at is None


def test_steps_that_are_overdue_leave_one_by_one_each_with_its_time_to_acknowledge() -> None:
    """After a long stop, a silence, or when an incident gets a policy that is long open."""
    story = Story()
    story.policy = a_policy(60, 120, 180)
    story.sees("d", 0)
    for seconds, steps in ((3600, 1), (3719, 1), (3720, 2), (3899, 2), (3900, 3)):
        story.sees("d", seconds)
        assert [word for word in story.words() if word.startswith("step")] == [f"step 1.{n + 1}" for n in range(steps)]


def test_trouble_again_begins_the_steps_anew() -> None:
    story = Story()
    story.policy = a_policy(60)
    story.sees("d", 0)
    story.sees("d", 60)
    story.sees("u", 70)
    story.sees("d", 100)
    story.sees("d", 160)
    assert story.words() == ["opened 1", "step 1.1", "resolved 2", "reopened 3", "step 3.1"]


def test_steps_count_from_when_it_was_told_not_from_when_it_was_held_back() -> None:
    story = Story()
    story.policy = a_policy(60)
    story.hush = MAINTENANCE
    story.sees("d", 0)
    story.hush = None
    assert story.sees("d", 600).judge_again_at == at(660)
    assert story.words() == ["opened 1"]


def test_a_step_that_reaches_nobody_gives_way_to_the_next_of_its_round() -> None:
    story, now = Story(), Reach(ids=("c",), names=("Chat",))
    story.policy = a_policy(60, 600, 600, repeat=1)
    story.reach = (Reach(lacks=("nobody is on duty",)), now, Reach())
    story.sees("d", 0)
    assert story.sees("d", 60).judge_again_at == at(660)
    assert story.words() == ["opened 1", "step 1.1", "step 1.2"]
    said = [entry.text for entry in story.entries if entry.kind == "escalated"]
    assert said == ["Escalated: step 1 reached nobody (nobody is on duty)", "Escalated: step 2, to Chat"]
    assert story.sees("d", 660).judge_again_at == at(720)  # the round is over: its repetition waits
    assert story.words()[3:] == ["step 1.3"]
    assert story.now.last_told_at == at(60)


def a_policy(*delays: int, repeat: int = 0) -> EscalationPolicy:
    return EscalationPolicy(
        id="p", workspace_id="ws", name="P", repeat=repeat, created_at=START, updated_at=START,
        steps=tuple(EscalationStep(delay_s=delay, channels=("c",)) for delay in delays),
    )  # fmt: skip


# Worse


def test_a_worse_rank_is_told_once_in_the_same_incident() -> None:
    story = Story()
    story.sees("d", 0)
    assert story.verdict is not None
    worse = replace(finding_of(story.verdict), rank=2, severity="critical", reason="1 day left")
    for seconds in (60, 120):
        story.take(advance(story.incident, terms_of(story.monitor), worse, at(seconds), new_id="x"))
    assert story.words() == ["opened 1", "escalated 2"]
    assert (story.now.severity, story.now.reason, story.now.rank) == ("critical", "1 day left", 2)


def test_a_message_names_no_moment_that_is_still_to_come() -> None:
    """What a wrong clock has dated: no span is negative, and nothing is from later to earlier."""
    ahead = Incident(
        id="i", workspace_id="ws", subject="monitor:shop", monitor_id="shop", opened_at=at(3600), reason="refused"
    )
    now = Transition(number=1, what="reminder", at=at(60), step=1)
    title, text = words(now, ahead, "Shop", a_vote("d", 60))
    assert title == "Shop is still down after some time: refused"
    assert "Since" not in text
    over = replace(ahead, resolved_at=at(60), resolution="recovered")
    resolved = Transition(number=2, what="resolved", at=at(60))
    title, text = words(resolved, over, "Shop", a_vote("u", 60))
    assert title == "Shop is up again after some time"
    assert "From" not in text
    terms, step = terms_of(a_monitor(id="shop"), None), Step(incident=over, transitions=(resolved,), changed=True)
    (row,) = rows_for(step, terms, about(a_monitor(id="shop"), None), [a_channel()], at(60))
    assert row.message.incident is not None
    assert row.message.incident["duration_s"] == 0
    assert row.message.incident["trouble_from"] == row.message.incident["trouble_to"]
