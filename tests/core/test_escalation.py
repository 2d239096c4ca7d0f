"""Anything in any order: steps are told once, in their order, when they are due, never after somebody acknowledged; and
an incident is open exactly as long as its cause lasts."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from msgspec.structs import replace

from builders import START, at
from core.test_incident import Story
from tocsin.core.escalation import EscalationPolicy, EscalationStep, Reach
from tocsin.core.finding import Hush, finding_of
from tocsin.core.incident import Incident, Step, acknowledge, close

SOMEBODY, NOBODY = Reach(ids=("c",), names=("Chat",)), Reach(lacks=("nobody is on duty",))
SILENCE = Hush(kind="silence", why="silence “x”")


def a_policy(delays: list[int], repeat: int) -> EscalationPolicy:
    steps = tuple(EscalationStep(delay_s=delay, channels=("c",)) for delay in delays)
    return EscalationPolicy(
        id="p", workspace_id="ws", name="P", steps=steps, repeat=repeat, created_at=START, updated_at=START
    )


class Escalation(RuleBasedStateMachine):
    """One subject with a policy whose steps reach somebody or nobody as time goes."""

    def __init__(self) -> None:
        super().__init__()
        self.story, self.seconds = Story(), 0.0
        self.before: Incident | None = None
        self.keys: set[tuple[int, str, int]] = set()

    @initialize(
        delays=st.lists(st.sampled_from([0, 30, 300, 3000]), min_size=1, max_size=4),
        repeat=st.integers(0, 3), recovery_s=st.sampled_from([0, 45]), reopen_s=st.sampled_from([0, 300]),
    )  # fmt: skip
    def configured(self, delays: list[int], repeat: int, recovery_s: int, reopen_s: int) -> None:
        self.story = Story(recovery_s=recovery_s, reopen_s=reopen_s, flap_detection=False)
        self.story.policy = a_policy(delays, repeat)
        self.story.reach = (SOMEBODY,) * len(delays)

    def act(self, step: Step) -> None:
        policy, before = self.story.policy, self.before
        assert policy is not None
        for t in step.transitions:
            key = (t.number, t.what, t.step)
            assert key not in self.keys, "told twice"
            self.keys.add(key)
        steps = [t for t in step.transitions if t.what == "step"]
        now = self.story.incident
        if not steps:
            return
        assert now is not None
        assert now.open
        assert now.told
        assert self.story.hush is None
        assert now.acknowledged_at is None
        told = 0 if before is None or not before.open else before.steps
        assert [t.step for t in steps] == list(range(told + 1, told + 1 + len(steps)))
        assert steps[-1].step <= len(policy.steps) * (1 + policy.repeat)
        since = None if before is None else before.step_from
        for t in steps:
            gave_way = t.step > 1 and self.reach(t.step - 1) is NOBODY and (t.step - 1) % len(policy.steps) != 0
            if since is not None and not (gave_way and t is not steps[0]):
                since += timedelta(seconds=policy.steps[(t.step - 1) % len(policy.steps)].delay_s)
                assert since <= t.at, "told before it was due"

    def reach(self, number: int) -> Reach:
        return self.story.reach[(number - 1) % len(self.story.reach)]

    def again(self) -> None:
        self.before = self.story.incident
        self.act(self.story.again(self.seconds))

    @rule(letters=st.sampled_from(["ddd", "uuu", "duu", "...", "d.."]), wait=st.sampled_from([1, 20, 60]))
    def a_verdict_comes(self, letters: str, wait: float) -> None:
        self.seconds += wait
        self.before = self.story.incident
        self.act(self.story.sees(letters, self.seconds))

    @rule(wait=st.sampled_from([0, 10, 100, 600]))
    @precondition(lambda self: self.story.verdict is not None)
    def time_passes(self, wait: float) -> None:
        self.seconds += wait
        self.again()

    @rule(data=st.data())
    def people_come_and_go(self, data: st.DataObject) -> None:
        some = data.draw(st.lists(st.sampled_from([SOMEBODY, NOBODY]), min_size=1, max_size=4))
        length = len(self.story.reach)
        self.story.reach = tuple(some[n % len(some)] for n in range(length))

    @rule()
    def silence_begins_or_ends(self) -> None:
        self.story.hush = SILENCE if self.story.hush is None else None

    @rule()
    @precondition(lambda self: self.story.incident is not None and self.story.incident.open)
    def somebody_acknowledges(self) -> None:
        self.story.take(acknowledge(self.story.now, "bob@example.org", at(self.seconds)))

    @rule()
    @precondition(lambda self: self.story.incident is not None and self.story.incident.open)
    def somebody_closes(self) -> None:
        finding = None if self.story.verdict is None else finding_of(self.story.verdict)
        held = finding is not None and finding.standing == "trouble"
        self.story.take(close(self.story.now, "by hand", at(self.seconds), held=held))

    @invariant()
    def it_is_open_as_long_as_its_cause_lasts(self) -> None:
        story = self.story
        if story.verdict is None:
            return
        standing, incident = finding_of(story.verdict).standing, story.incident
        if standing == "trouble":
            assert incident is not None
            assert incident.open or incident.held
        if standing == "over" and incident is not None and incident.open:
            assert incident.over_since is not None
            assert story.monitor.recovery_s > 0
            wait = timedelta(seconds=story.monitor.recovery_s)
            assert at(self.seconds) < incident.over_since + wait

    @invariant()
    def nothing_that_is_due_waits(self) -> None:
        """Judged again at this moment, nothing more is told."""
        if self.story.verdict is None:
            return
        kept = (self.story.incident, list(self.story.entries), list(self.story.told), self.story.steps)
        self.story.again(self.seconds)
        second = self.story.again(self.seconds)
        assert (second.changed, second.transitions) == (False, ())
        self.story.incident, self.story.entries, self.story.told, self.story.steps = kept


Escalation.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestEscalation = Escalation.TestCase


def test_a_policy_that_became_shorter_does_not_begin_anew() -> None:
    story = Story()
    story.policy = a_policy([60, 60, 60], 0)
    story.sees("d", 0)
    story.again(60)
    story.again(130)
    assert story.words() == ["opened 1", "step 1.1", "step 1.2"]
    story.policy = replace(story.policy, steps=story.policy.steps[:1])
    assert story.again(1000).judge_again_at is None
    assert story.words() == ["opened 1", "step 1.1", "step 1.2"]
