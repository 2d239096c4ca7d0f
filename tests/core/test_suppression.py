"""What is held back and what is told, against a slow model: an end is told if and only if its opening was, and what is
still there when nothing holds it back any more is told then. Windows, parents and trouble come and go at any time."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from msgspec.structs import replace

from builders import a_monitor, a_verdict, at
from tocsin.core.advance import advance
from tocsin.core.dependency import Seen, held_by
from tocsin.core.finding import Hush, finding_of, terms_of
from tocsin.core.incident import Incident, Transition
from tocsin.core.maintenance import Window, changes_at, ends_at, hush_of
from tocsin.core.scope import Scope

STEPS = st.integers(1, 30) | st.integers(1, 400)


class Suppression(RuleBasedStateMachine):
    """A shop that is looked at every 10 s, behind a router that is looked at every 70 s, in windows. It is judged as in
    the corridor: at promised moments, at results while something may come of them, and when the router has one."""

    def __init__(self) -> None:
        super().__init__()
        self.monitor = replace(a_monitor(interval_s=10, timeout_s=5, flap_detection=False), parents=("router",))
        self.now = 0
        self.windows: list[Window] = []
        self.down, self.since, self.looked = False, 0, 0
        self.router_down, self.router_since, self.router_looked = False, 0, 0
        self.calm = self.leans = False
        self.incident: Incident | None = None
        self.told: list[Transition] = []
        self.promised: list[int] = []
        self.judged_at = -1

    @initialize()
    def first(self) -> None:
        self.judge()

    @rule(seconds=STEPS)
    def time_passes(self, seconds: int) -> None:
        end = self.now + seconds
        while self.now < end:
            ahead = [moment for moment in self.promised if self.now < moment <= end]
            self.now = min([end, (self.now // 10 + 1) * 10, *ahead])
            result, answer = self.now % 10 == 0, self.now % 70 == 0
            self.looked = self.now if result else self.looked
            self.router_looked = self.now if answer else self.router_looked
            if self.now in ahead or (result and not self.calm) or (answer and self.leans):
                self.judge()

    @rule()
    def shop_changes(self) -> None:
        self.down, self.since, self.looked = not self.down, self.now, self.now
        self.judge()

    @rule()
    def router_changes(self) -> None:
        self.router_down, self.router_since, self.router_looked = not self.router_down, self.now, self.now
        self.judge()

    @precondition(lambda self: len(self.windows) < 2)
    @rule(begin=st.integers(-50, 100), lasts=st.integers(60, 300), silence=st.booleans(), again=st.booleans())
    def window_is_made(self, begin: int, lasts: int, silence: bool, again: bool) -> None:
        number = len(self.windows)
        rrule = "FREQ=DAILY;COUNT=3" if again and not silence else None
        self.windows.append(Window(
            id=f"w{number}", workspace_id="ws", name=f"W{number}", scope=Scope(everything=True), rrule=rrule,
            starts_at=at(self.now + begin), duration_s=lasts, silence=silence, created_at=at(0), updated_at=at(0),
        ))  # fmt: skip
        self.judge()

    @precondition(lambda self: self.windows)
    @rule(lasts=st.integers(1, 500))
    def window_is_changed(self, lasts: int) -> None:
        self.windows[-1] = replace(self.windows[-1], duration_s=lasts)
        self.judge()

    @precondition(lambda self: self.windows)
    @rule()
    def window_is_deleted(self) -> None:
        self.windows.pop()
        self.judge()

    def hush(self) -> Hush | None:
        value = "down" if self.down else "up"
        shop = Seen(
            id="shop", name="Shop", value=value, since=at(self.since), answered_at=at(self.looked),
            interval_s=10, timeout_s=5, groups=(("router",),),
        )  # fmt: skip
        router = Seen(
            id="router", name="Router", value="down" if self.router_down else "up", since=at(self.router_since),
            answered_at=at(self.router_looked), interval_s=70, timeout_s=5,
        )  # fmt: skip
        held = held_by(shop, {"router": router}.get, at(self.now))
        self.leans = held is not None
        return hush_of(self.windows, self.monitor, at(self.now)) or (None if held is None else held.hush)

    def judge(self) -> None:
        now, hush = at(self.now), self.hush()
        verdict = a_verdict("down" if self.down else "up", at=now, since=at(self.since))
        step = advance(
            self.incident, terms_of(self.monitor), finding_of(verdict), now, new_id=f"i{self.now}", hush=hush
        )
        self.incident = step.incident
        self.told += step.transitions
        self.calm = step.judge_again_at is None
        assert hush is None or all(t.what == "resolved" for t in step.transitions)
        moments = [step.judge_again_at, changes_at(self.windows, self.monitor, now)]
        start = at(0)
        self.promised = [
            -int(-(moment - start) // timedelta(seconds=1)) for moment in moments if moment is not None
        ]  # rounded up, as the watchdog looks a little later
        again = advance(self.incident, terms_of(self.monitor), finding_of(verdict), now, new_id="never", hush=hush)
        assert not again.changed

    @invariant()
    def openings_and_ends_alternate(self) -> None:
        words = ["end" if t.what == "resolved" else "opening" for t in self.told]
        assert words == ["opening", "end"] * (len(words) // 2) + ["opening"] * (len(words) % 2)
        numbers = [t.number for t in self.told]
        assert numbers == sorted(set(numbers))

    @invariant()
    def it_is_told_exactly_when_it_should_be(self) -> None:
        """By the slow model: the last word is an opening when it is down and nothing holds it back; whatever was held
        back from its beginning on has not been told; when it is up, the last word is no opening."""
        told = bool(self.told) and self.told[-1].what != "resolved"
        lasting = any(end is not None for end in (ends_at(window, at(self.now)) for window in self.windows))
        if not self.down:
            assert not told
        elif not lasting and not self.router_down and self.hush() is None:
            assert told
        elif not told:
            assert self.incident is not None
            assert self.incident.suppressed


TestSuppression = Suppression.TestCase
TestSuppression.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
