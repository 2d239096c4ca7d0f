"""The audit log in sentences."""

from __future__ import annotations

from typing import Any

import pytest

from builders import START
from tocsin.core.account import Change
from tocsin.web.pages import audit_words

NAMES = audit_words.Names({"m1": "Shop"}, {"c1": "Ops hook", "person:p1": "ann@example.org"}, {"i1": "Shop"})


def _said(noun: str, id: str, verb: str, before: dict[str, Any], after: dict[str, Any]) -> str | None:
    change = Change(
        number=1, workspace_id="w", at=START, by="me@example.org", noun=noun, noun_id=id, verb=verb, before=before,
        after=after,
    )  # fmt: skip
    told = audit_words.line(change, NAMES)
    return None if told is None else told.text


@pytest.mark.parametrize(
    ("noun", "id", "verb", "before", "after", "text"),
    [
        ("monitor", "m1", "created", {}, {"name": "Shop"}, "Monitor Shop made"),
        (
            "monitor", "m1", "changed", {"interval_s": 60, "version": 1}, {"interval_s": 30, "version": 2},
            "Monitor Shop changed: interval 60 → 30",
        ),
        ("monitor", "m1", "changed", {"paused": False, "version": 1}, {"paused": True, "version": 2}, "Monitor Shop paused"),
        ("monitor", "m1", "changed", {"target": "***"}, {"target": "*** "}, "Monitor Shop changed: target changed"),
        ("monitor", "gone", "deleted", {"name": "Pay"}, {}, "Monitor Pay deleted"),
        (
            "outbox", "k", "created", {}, {"channel_id": "c1", "event": "incident.opened"},
            "Message intended for Ops hook: opened",
        ),
        ("outbox", "k", "changed", {}, {"state": "failed", "last_error": "no"}, "Message not delivered: no"),
        ("outbox", "k", "changed", {"attempts": 1}, {"attempts": 2}, None),
        ("outbox", "k", "changed", {"state": "pending"}, {"state": "sent"}, None),
        ("session", "s", "created", {}, {"agent": "x"}, None),
        ("user", "u", "changed", {"token_version": 1}, {"token_version": 2}, "Password changed, every other sign-in ended"),
        (
            "outbox", "k", "created", {}, {"channel_id": "person:p1", "event": "digest"},
            "Message intended for ann@example.org: digest",
        ),
        (
            "outbox", "k", "created", {}, {"channel_id": "person:p2", "event": "digest"},
            "Message intended for a former member: digest",
        ),
        ("incident", "i1", "created", {}, {"monitor_id": "m1"}, "Incident of Shop opened"),
        ("incident", "i1", "changed", {}, {"acknowledged_at": "now"}, "Incident of Shop acknowledged"),
        ("incident", "i1", "changed", {}, {"resolved_at": "now", "resolution": "recovered"}, "Incident of Shop over"),
        ("incident", "i1", "changed", {"reminders": 0}, {"reminders": 1}, None),
        ("api_key", "a", "changed", {"revoked_at": None}, {"revoked_at": "now", "name": "ci"}, "API key ci revoked"),
    ],
)  # fmt: skip
def test_entries_are_sentences_and_bookkeeping_is_left_out(
    noun: str, id: str, verb: str, before: dict[str, Any], after: dict[str, Any], text: str | None
) -> None:
    assert _said(noun, id, verb, before, after) == text
