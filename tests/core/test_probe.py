"""When a location is lost, who stands in for it, and what is said of it."""

from __future__ import annotations

import pytest

from builders import a_monitor, at
from tocsin.core.probe import Health, Sign, heard, lost_finding, missed, month_of, stand_in


def test_two_misses_make_it_lost_and_one_answer_brings_it_back() -> None:
    health = heard(Health(), Sign(latency_ms=12.0), at(0))
    assert (health.state, health.since) == ("well", at(0))
    health = missed(health, "no answer within 5 s", at(30))
    assert health.state == "missing"
    health = missed(health, "no answer within 5 s", at(60))
    assert (health.state, health.since, health.heard_at) == ("lost", at(60), at(0))
    health = missed(health, "connection refused", at(90))
    assert (health.since, health.why) == (at(60), "connection refused")
    health = heard(health, Sign(), at(120))
    assert (health.state, health.misses, health.why) == ("well", 0, "")


@pytest.mark.parametrize(
    ("assigned", "lost", "seat"),
    [
        (("us-east", "europe"), {"europe"}, "europe"),
        (("us-east", "europe"), {"us-east", "europe"}, "us-east"),  # one seat, one vote
        (("us-east", "europe"), set(), None),
        (("us-east", "local"), {"us-east"}, None),  # it has a seat of its own
        (("us-east",), {"asia"}, None),
    ],
)
def test_who_stands_in_votes_in_one_seat_and_has_no_other(
    assigned: tuple[str, ...], lost: set[str], seat: str | None
) -> None:
    assert stand_in(assigned, lost, "local") == seat


def test_the_message_names_what_it_watched() -> None:
    lost = missed(missed(heard(Health(), Sign(), at(0)), "no answer", at(30)), "no answer", at(60))
    found = lost_finding(True, lost, ["Shop", "API"], at(60))
    assert found.standing == "trouble"
    assert found.reason == "not heard for 1 min (no answer); it watches Shop and API"
    new = missed(missed(Health(), "no answer", at(0)), "no answer", at(30))
    assert lost_finding(True, new, [], at(60)).reason.startswith("not heard since this server looks for it (no answer)")
    assert lost_finding(True, Health(), [], at(60)).standing == "open"
    assert lost_finding(True, heard(lost, Sign(), at(90)), [], at(90)).standing == "over"
    assert lost_finding(False, lost, ["Shop"], at(90)).standing == "over"
    assert lost_finding(None, lost, ["Shop"], at(90)).standing == "over"


def test_a_month_of_checks() -> None:
    assert month_of(60) == 43_200


def test_this_server_may_be_named_local_whatever_it_is_called() -> None:
    monitor = a_monitor(monitoring_type="global", locations=("local", "asia", "fra"))
    assert monitor.assigned("fra") == ("fra", "asia")
    assert a_monitor(locations=("asia",)).assigned("fra") == ("fra",)
