"""The breaker, with a clock we move, against a model of what it promises."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tocsin.store.breaker import Breaker


class Time:
    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


def test_it_opens_after_five_failures_in_a_row_and_closes_after_two_successes() -> None:
    time = Time()
    breaker = Breaker(time.monotonic)
    for _ in range(4):
        breaker.failed()
    breaker.succeeded()
    for _ in range(4):
        breaker.failed()
    assert breaker.state == "closed"
    breaker.failed()
    assert breaker.state == "open"
    assert breaker.rest_left_s() == 60
    time.now += 59.9
    assert not breaker.allows()
    time.now += 0.1
    assert breaker.state == "half_open"
    breaker.succeeded()
    assert breaker.state == "half_open"
    breaker.succeeded()
    assert breaker.state == "closed"


def test_one_failure_while_half_open_opens_it_for_another_minute() -> None:
    time = Time()
    breaker = Breaker(time.monotonic)
    for _ in range(5):
        breaker.failed()
    time.now += 60
    breaker.succeeded()
    breaker.failed()
    assert breaker.state == "open"
    assert breaker.rest_left_s() == 60


class BreakerMachine(RuleBasedStateMachine):
    """Against the list of what happened since it last closed."""

    def __init__(self) -> None:
        super().__init__()
        self.time = Time()
        self.breaker = Breaker(self.time.monotonic)
        self.row: list[bool] = []
        self.opened_at: float | None = None

    def resting(self) -> bool:
        return self.opened_at is not None and self.time.now < self.opened_at + 60

    @rule()
    def fail(self) -> None:
        self.breaker.failed()
        if self.opened_at is None:
            self.row.append(False)
            if self.row[-5:] == [False] * 5:
                self.opened_at, self.row = self.time.now, []
        elif not self.resting():
            self.opened_at, self.row = self.time.now, []

    @rule()
    def succeed(self) -> None:
        self.breaker.succeeded()
        if self.resting():
            return
        self.row.append(True)
        if self.opened_at is not None and self.row == [True, True]:
            self.opened_at, self.row = None, []

    @rule(seconds=st.sampled_from([1.0, 30.0, 60.0]))
    def wait(self, seconds: float) -> None:
        self.time.now += seconds

    @invariant()
    def agrees(self) -> None:
        wanted = "closed" if self.opened_at is None else "open" if self.resting() else "half_open"
        assert self.breaker.state == wanted
        assert self.breaker.allows() == (wanted != "open")


TestBreaker = BreakerMachine.TestCase
TestBreaker.settings = settings(max_examples=40, stateful_step_count=40)
