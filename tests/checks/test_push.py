"""push: its rhythm is validated, its token stays out of sight, and there is nothing to check from here."""

from __future__ import annotations

from typing import Any

import pytest

from checks.looking import look
from tocsin import checks
from tocsin.checks.push import Target
from tocsin.core.shape import read
from tocsin.errors import Invalid


async def test_a_push_monitor_is_never_checked_from_here():
    outcome = await look("push", token="abcdefghijklmnop")
    assert outcome.status == "invalid"
    assert "waits for calls" in str(outcome.error)


def test_the_token_is_not_in_what_is_shown():
    assert "abcdefghijklmnop" not in checks.show("push", Target(token="abcdefghijklmnop"))


@pytest.mark.parametrize(
    "data", [{"token": "short"}, {"token": "a/b" * 10}, {"period_s": 0}, {"grace_s": -1}, {"period_s": 1.5}]
)
def test_targets_that_are_refused(data: dict[str, Any]):
    with pytest.raises(Invalid):
        read(Target, data)
