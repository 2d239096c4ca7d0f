"""Alert rules: each condition on figures and states, and what comes of it."""

from __future__ import annotations

import itertools
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from builders import START, a_monitor, a_state, a_verdict, an_outcome, at, records
from tocsin.core import figures, sketch
from tocsin.core.condition import OnAnomaly, OnCertificate, OnFailures, OnResponseTime, OnUptime, OnVerdict
from tocsin.core.figures import Certificate, Compared, Latency, Share, Usual
from tocsin.core.finding import Finding
from tocsin.core.follow import Case, follow
from tocsin.core.incident import Incident
from tocsin.core.result import TlsFacts
from tocsin.core.rule import Facts, examine, first_rule, rule_terms
from tocsin.core.wording import words
from tocsin.errors import Invalid

MONITOR = a_monitor(name="Shop")
DAY = timedelta(days=1)


def look(condition: Any, figure: Any = None, *, fires: bool = False, **facts: Any) -> Finding | None:
    rule = replace(records()["alert_rules"], condition=condition)
    known: dict[str, Any] = {
        "monitor": MONITOR, "verdict": a_verdict("up"), "states": (), "now": START,
        "figures": {} if figure is None else {condition: figure},
    }  # fmt: skip
    return examine(rule, Facts(**(known | facts)), fires=fires)


def standing(*args: Any, **more: Any) -> str:
    found = look(*args, **more)
    return "nobody looked" if found is None else found.standing


SLOW = OnResponseTime(over_ms=500)
WITH_BACK = OnResponseTime(over_ms=500, back_ms=100)


@pytest.mark.parametrize(
    ("condition", "value", "fires", "expected"),
    [
        (SLOW, 501, False, "trouble"),
        (SLOW, 500, False, "over"),
        (SLOW, 460, False, "over"),
        (SLOW, 460, True, "trouble"),
        (SLOW, 450, True, "trouble"),
        (SLOW, 449, True, "over"),
        (WITH_BACK, 200, True, "trouble"),
        (WITH_BACK, 200, False, "over"),
        (WITH_BACK, 99, True, "over"),
        (replace(SLOW, back_ms=500), 500, True, "over"),
        (SLOW, None, False, "open"),
        (SLOW, None, True, "open"),
    ],
)
def test_a_response_time_over_its_limit_until_it_is_under_the_way_back(
    condition: OnResponseTime, value: float | None, fires: bool, expected: str
) -> None:
    figure = Latency(answered=0 if value is None else 9, value_ms=value)
    assert standing(condition, figure, fires=fires) == expected


def test_a_slow_response_time_says_what_was_seen() -> None:
    found = look(SLOW, Latency(answered=9, value_ms=812))
    assert found is not None
    assert (found.words, found.reason) == ("slow", "p95 over 5 min is 812 ms, more than 500 ms")


LOW = OnUptime(under=0.99)


@pytest.mark.parametrize(
    ("figure", "fires", "expected"),
    [
        (Share(uptime=0.98, coverage=1, worst=0.98, best=0.98), False, "trouble"),
        (Share(uptime=0.99, coverage=1, worst=0.99, best=0.99), False, "over"),
        (Share(uptime=0.992, coverage=1, worst=0.992, best=0.992), True, "trouble"),
        (Share(uptime=0.995, coverage=1, worst=0.995, best=0.995), True, "over"),
        (Share(uptime=None, coverage=0, worst=0, best=1), False, "open"),
        (Share(uptime=0.5, coverage=0.01, worst=0.005, best=0.995), False, "open"),
        (Share(uptime=0.5, coverage=0.4, worst=0.2, best=0.8), False, "trouble"),
    ],
)
def test_an_uptime_with_too_little_coverage_is_an_open_question_unless_the_rest_cannot_change_it(
    figure: Share, fires: bool, expected: str
) -> None:
    assert standing(replace(LOW, back=0.995), figure, fires=fires) == expected


def test_an_uptime_is_never_shown_rounded_up() -> None:
    found = look(OnUptime(under=0.99999), Share(uptime=0.9999899, coverage=0.97, worst=0.9, best=1))
    assert found is not None
    assert found.reason == "uptime over 1 d is 99.9989 %, less than 99.999 % (97 % of it seen)"


USUAL = Usual(weeks=4, answered=100, mean_ms=100, deviation_ms=20)


@pytest.mark.parametrize(
    ("mean", "usual", "fires", "expected"),
    [
        (181, USUAL, False, "trouble"),
        (180, USUAL, False, "over"),
        (165, USUAL, True, "trouble"),
        (159, USUAL, True, "over"),
        (1, USUAL, False, "over"),
        (130, replace(USUAL, deviation_ms=0.01), False, "over"),
        (141, replace(USUAL, deviation_ms=0.01), False, "trouble"),
        (4, replace(USUAL, mean_ms=0.1, deviation_ms=0), False, "over"),
        (900, replace(USUAL, weeks=1), False, "open"),
        (900, replace(USUAL, answered=7), False, "open"),
        (900, Usual(), False, "open"),
        (None, USUAL, True, "open"),
    ],
)
def test_an_anomaly_is_far_above_the_usual_of_that_hour(
    mean: float | None, usual: Usual, fires: bool, expected: str
) -> None:
    figure = Compared(answered=9, mean_ms=mean, usual=usual)
    assert standing(OnAnomaly(), figure, fires=fires) == expected


def test_one_week_is_enough_where_the_rule_asks_for_one() -> None:
    figure = Compared(answered=9, mean_ms=900, usual=replace(USUAL, weeks=1))
    assert standing(OnAnomaly(weeks=1), figure) == "trouble"


@pytest.mark.parametrize("condition", [SLOW, LOW, OnCertificate(), OnAnomaly()])
def test_without_a_figure_nobody_looked(condition: Any) -> None:
    assert look(condition) is None
    assert look(condition, fires=True) is None


@pytest.mark.parametrize(
    ("days", "standing_", "rank", "reason"),
    [
        (30.01, "over", 0, "its certificate ends in 31 days, on 2026-03-31"),
        (30, "trouble", 1, "its certificate ends in 30 days, on 2026-03-31"),
        (13.5, "trouble", 2, "its certificate ends in 14 days, on 2026-03-15"),
        (6.99, "trouble", 3, "its certificate ends in 7 days, on 2026-03-08"),
        (1, "trouble", 4, "its certificate ends in 1 day, on 2026-03-02"),
        (0.2, "trouble", 4, "its certificate ends in 5 h, on 2026-03-01"),
        (-3, "trouble", 4, "its certificate has ended, on 2026-02-26"),
    ],
)
def test_a_certificate_gets_worse_with_each_threshold(days: float, standing_: str, rank: int, reason: str) -> None:
    ends = START + days * DAY
    found = look(OnCertificate(), Certificate(fingerprint="f", ends=ends))
    assert found is not None
    assert (found.standing, found.reason, found.mark) == (standing_, reason, "f")
    if rank:
        assert found.rank == rank
    thresholds = [ends - n * DAY for n in (30, 14, 7, 1) if ends - n * DAY > START]
    assert found.again_at == min(thresholds, default=None)


def test_of_the_certificates_that_locations_see_the_one_that_ends_first_counts() -> None:
    first = an_outcome(tls=TlsFacts(not_after=at(100), fingerprint_sha256="a"))
    by_chain = an_outcome(tls=TlsFacts(not_after=at(900), fingerprint_sha256="b", chain_not_after=at(50)))
    down, plain = an_outcome("down", tls=TlsFacts()), an_outcome()
    for some in itertools.permutations([first, by_chain, down, plain]):
        assert figures.certificate(some) == Certificate(fingerprint="b", ends=at(50), of_chain=True)
    assert figures.certificate([down, plain]) is None
    assert figures.certificate([]) is None
    assert figures.certificate([plain, plain]) == Certificate(fingerprint="", ends=None)
    assert standing(OnCertificate(), Certificate(fingerprint="", ends=None), fires=True) == "over"


def test_verdicts_and_failures() -> None:
    assert standing(OnVerdict(values=("down", "partial")), verdict=a_verdict("partial")) == "trouble"
    assert standing(OnVerdict(values=("down",)), verdict=a_verdict("partial")) == "over"
    assert standing(OnVerdict(values=("down",)), verdict=a_verdict("unknown")) == "open"
    assert standing(OnVerdict(values=("unknown",)), verdict=a_verdict("unknown")) == "trouble"
    assert standing(OnVerdict(values=("unknown",)), verdict=a_verdict("unknown", pending=True)) == "open"
    assert standing(OnFailures(count=3), states=(a_state("down", downs=3),)) == "trouble"
    assert standing(OnFailures(count=4), states=(a_state("down", downs=3),)) == "over"


def test_limits_and_their_way_back_must_fit_together() -> None:
    with pytest.raises(Invalid, match="back_ms"):
        OnResponseTime(over_ms=100, back_ms=101)
    with pytest.raises(Invalid, match="back"):
        OnUptime(under=0.9, back=0.8)


@given(st.lists(st.floats(0.1, 1e5), max_size=50), st.randoms(use_true_random=False))
def test_what_is_usual_does_not_depend_on_the_order_of_arrival(times: list[float], chance: Any) -> None:
    """Weeks in any order, results within a week in any order."""
    weeks = [times[n::3] for n in range(3)]

    def made(parts: list[list[float]]) -> Usual:
        sketches: list[dict[int, int]] = []
        for part in parts:
            buckets: dict[int, int] = {}
            for ms in part:
                sketch.add(buckets, ms)
            sketches.append(buckets)
        return figures.usual(sketches)

    usual = made(weeks)
    shuffled = [chance.sample(week, len(week)) for week in chance.sample(weeks, len(weeks))]
    assert made(shuffled) == usual
    if times:
        mean = sum(times) / len(times)
        spread = (sum((t - mean) ** 2 for t in times) / len(times)) ** 0.5
        assert abs(usual.mean_ms - mean) <= 0.021 * mean + 0.002
        assert abs(usual.deviation_ms - spread) <= 0.05 * (mean + spread) + 0.002


def test_the_rule_of_a_new_workspace_watches_every_certificate() -> None:
    rule = first_rule("r", "ws", START)
    assert rule.scope.covers(MONITOR)
    assert rule.condition == OnCertificate(days=(30, 14, 7, 1))
    assert (rule.name, rule.severity) == ("Certificate ends", "warning")


class Ward:
    """A rule on one monitor over time: what was told."""

    def __init__(self, condition: Any, **more: Any) -> None:
        self.rule = replace(records()["alert_rules"], condition=condition, **more)
        self.case = Case(terms=rule_terms(self.rule, MONITOR, None), for_s=self.rule.for_s)
        self.told: list[str] = []
        self.words: list[tuple[str, str]] = []
        self.ids = itertools.count(1)

    def see(self, seconds: float, figure: Any = None, **facts: Any) -> None:
        latest = self.case.latest
        known: dict[str, Any] = {"monitor": MONITOR, "verdict": a_verdict("up"), "states": (), "now": at(seconds)}
        known["figures"] = {} if figure is None else {self.rule.condition: figure}
        found = examine(self.rule, Facts(**(known | facts)), fires=latest is not None and latest.open)
        if found is None:
            return
        followed = follow(self.case, found, at(seconds), new_id=lambda: f"i{next(self.ids)}")
        for step in followed.steps:
            self.case = replace(self.case, latest=step.incident)
            self.told += [t.what for t in step.transitions]
            self.words += [words(t, self.latest, "Shop", None) for t in step.transitions]
        self.case = replace(self.case, waiting_since=followed.waiting_since)
        self.again_at = followed.again_at

    @property
    def latest(self) -> Incident:
        assert self.case.latest is not None
        return self.case.latest


def test_since_is_when_the_condition_began_to_hold_not_when_the_rule_fired() -> None:
    ward = Ward(SLOW, for_s=300)
    for now in range(0, 361, 60):
        ward.see(now, Latency(answered=9, value_ms=900))
    assert (ward.told, ward.latest.opened_at) == (["opened"], at(300))
    assert "Since 2026-03-01 12:00:00 UTC." in ward.words[0][1]
    ward.see(600, Latency(answered=9, value_ms=100))
    assert ward.words[1][0] == "Shop is no longer slow after 10 min"
    assert "From 2026-03-01 12:00:00 UTC to 2026-03-01 12:10:00 UTC." in ward.words[1][1]


def seconds(days: float) -> float:
    return days * 86_400


def test_each_threshold_is_told_once_for_a_certificate_in_one_incident() -> None:
    ward = Ward(OnCertificate())
    ends = at(seconds(40))
    for hour in range(40 * 24):
        ward.see(hour * 3600, Certificate(fingerprint="a", ends=ends))
    assert ward.told == ["opened", "escalated", "escalated", "escalated"]
    assert ward.latest.id == "i1" or ward.latest.transition == 4
    ward.see(seconds(40), Certificate(fingerprint="b", ends=at(seconds(400))))
    assert ward.told[4:] == ["resolved"]


def test_a_new_certificate_that_is_short_too_is_trouble_of_its_own() -> None:
    ward = Ward(OnCertificate())
    ward.see(0, Certificate(fingerprint="a", ends=at(seconds(5))))
    first = ward.latest.id
    ward.see(60, Certificate(fingerprint="b", ends=at(seconds(5))))
    assert ward.told == ["opened", "resolved", "opened"]
    assert ward.latest.open
    assert ward.latest.id != first
    ward.see(120, Certificate(fingerprint="b", ends=at(seconds(5))))
    assert ward.told == ["opened", "resolved", "opened"]


def test_a_certificate_that_was_resolved_by_hand_is_silent_until_the_next_threshold_or_certificate() -> None:
    ward = Ward(OnCertificate())
    short = Certificate(fingerprint="a", ends=at(seconds(20)))
    ward.see(0, short)
    closed = replace(ward.latest, resolved_at=at(10), resolution="by hand", held=True)
    ward.case = replace(ward.case, latest=closed)
    ward.see(seconds(5), short)
    assert ward.told == ["opened"]
    ward.see(seconds(7), short)
    assert ward.told == ["opened", "opened"]
    closed = replace(ward.latest, resolved_at=at(seconds(7)), resolution="by hand", held=True)
    ward.case = replace(ward.case, latest=closed)
    ward.see(seconds(8), short)
    assert ward.told == ["opened", "opened"]
    ward.see(seconds(8), Certificate(fingerprint="b", ends=at(seconds(10))))
    assert ward.told == ["opened", "opened", "opened"]


def test_a_condition_must_hold_for_so_long_before_it_is_told() -> None:
    ward = Ward(SLOW, for_s=60)
    slow, quick = Latency(answered=9, value_ms=900), Latency(answered=9, value_ms=9)
    ward.see(0, slow)
    assert (ward.told, ward.again_at) == ([], at(60))
    ward.see(30, quick)
    ward.see(45, slow)
    ward.see(104, slow)
    assert ward.told == []
    ward.see(105, slow)
    assert ward.told == ["opened"]
    ward.see(106, Latency(answered=0, value_ms=None))
    ward.see(107, Latency(answered=9, value_ms=460))
    assert ward.told == ["opened"]
    ward.see(108, quick)
    assert ward.told == ["opened", "resolved"]


def test_for_how_long_a_verdict_has_held_survives_a_restart() -> None:
    """Nothing is remembered here: the verdict itself says since when."""
    ward = Ward(OnVerdict(values=("degraded",)), for_s=300)
    ward.see(299, verdict=a_verdict("degraded", at=at(0)))
    ward.case = replace(ward.case, waiting_since=None)
    ward.see(300, verdict=a_verdict("degraded", at=at(299), since=at(0)))
    assert ward.told == ["opened"]


@given(st.lists(st.sampled_from([9.0, 460.0, 900.0, None]), max_size=30))
def test_looking_twice_tells_nothing_twice(values: list[float | None]) -> None:
    once, twice = Ward(SLOW, for_s=40), Ward(SLOW, for_s=40)
    for n, value in enumerate(values):
        figure = Latency(answered=0 if value is None else 9, value_ms=value)
        once.see(n * 30, figure)
        twice.see(n * 30, figure)
        twice.see(n * 30, figure)
    assert twice.told == once.told
