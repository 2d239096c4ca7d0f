"""push: its rhythm and schedule are validated, its token stays out of sight, and there is nothing to check from here."""

from __future__ import annotations

from typing import Any

import pytest

from checks.looking import look
from tocsin import checks
from tocsin.checks.push import Target, is_uuid
from tocsin.core.shape import read
from tocsin.errors import Invalid


async def test_a_push_monitor_is_never_checked_from_here():
    outcome = await look("push", token="abcdefghijklmnop")
    assert outcome.status == "invalid"
    assert "waits for calls" in str(outcome.error)


def test_what_is_shown_says_the_rhythm():
    assert checks.show("push", Target()) == "a call every 3600 s, at most 300 s late"
    target = Target(schedule="30 2 * * 1-5", timezone="Europe/Berlin", grace_s=60, max_run_s=900)
    shown = "a call at 02:30 on Monday through Friday (Europe/Berlin), at most 60 s late, each run at most 900 s long"
    assert checks.show("push", target) == shown


def test_a_run_may_take_the_grace_time_unless_it_has_its_own():
    assert (Target(grace_s=60).run_limit_s, Target(max_run_s=5).run_limit_s) == (60, 5)


@pytest.mark.parametrize(
    ("data", "field", "says"),
    [
        ({"schedule": "61 * * * *"}, "schedule", "wrong minute"),
        ({"schedule": "daily"}, "schedule", "five cron fields"),
        ({"schedule": ""}, "schedule", "text of 1 to 100 characters"),
        ({"timezone": "Mars/Base"}, "timezone", "a time zone such as Europe/Berlin"),
        ({"timezone": "../etc"}, "timezone", "a time zone such as Europe/Berlin"),
    ],
)
def test_schedules_that_are_refused(data: dict[str, Any], field: str, says: str):
    with pytest.raises(Invalid) as caught:
        read(Target, data)
    (problem,) = caught.value.problems
    assert problem.field == field
    assert says in problem.expected


@pytest.mark.parametrize(
    ("token", "fit"),
    [
        ("5bf66975-d4c7-4bf5-bcc8-b8d8a82ea278", True),
        ("5BF66975-D4C7-4BF5-BCC8-B8D8A82EA278", False),
        ("5bf66975-d4c7-1bf5-bcc8-b8d8a82ea278", False),
        ("00000000-0000-0000-0000-000000000000", False),
        ("5bf66975d4c74bf5bcc8b8d8a82ea278", False),
    ],
)
def test_only_a_random_uuid_may_be_chosen(token: str, fit: bool):
    assert is_uuid(token) is fit


def test_the_token_is_not_in_what_is_shown():
    assert "abcdefghijklmnop" not in checks.show("push", Target(token="abcdefghijklmnop"))


@pytest.mark.parametrize(
    "data", [{"token": "short"}, {"token": "a/b" * 10}, {"period_s": 0}, {"grace_s": -1}, {"period_s": 1.5}]
)
def test_targets_that_are_refused(data: dict[str, Any]):
    with pytest.raises(Invalid):
        read(Target, data)
