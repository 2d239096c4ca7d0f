"""What a monitor is refused for: everything at once, and places that nobody may contact."""

from __future__ import annotations

from typing import Any

import pytest

from web.conftest import Alice

GOOD = {"name": "Shop", "type": "http", "target": {"url": "http://127.0.0.1:9/"}, "paused": True}


async def test_all_that_is_wrong_is_named_together(alice: Alice) -> None:
    answer = await alice.api.post(
        "/api/v1/monitors",
        {
            "name": "n" * 201, "type": "http", "target": {"url": "ftp://x/", "method": 5}, "tags": "x", "interval_s": 60,
            "timeout_s": 61, "retry_interval_s": 40, "retries": -1, "quorum": 3, "surprise": 1,
            "channels": ["nope"], "parents": [5, "nope"], "locations": ["mars"],
            "assertions": [{"type": "status_code", "op": "eq", "value": 200}, {"type": "certificate_days", "op": "x"}],
        },
    )  # fmt: skip
    assert answer.status == 422
    expected = {
        "name", "target.method", "tags", "timeout_s", "retry_interval_s", "retries", "quorum", "surprise", "channels[0]",
        "parents[0]", "parents[1]", "locations[0]", "assertions[0].op", "assertions[1].op",
    }  # fmt: skip
    assert expected <= set(answer.fields)
    assert len(answer.fields) == len(set(answer.fields))


async def test_a_wrong_interval_is_compared_with_nothing(alice: Alice) -> None:
    answer = await alice.api.post("/api/v1/monitors", GOOD | {"interval_s": "5", "timeout_s": 70, "quorum": 9})
    assert set(answer.fields) == {"interval_s", "quorum"}


async def test_a_change_names_all_that_is_wrong_too(alice: Alice) -> None:
    made = (await alice.api.post("/api/v1/monitors", GOOD)).data["id"]
    answer = await alice.api.patch(f"/api/v1/monitors/{made}", {"timeout_s": 99, "parents": [made], "channels": ["x"]})
    assert set(answer.fields) == {"timeout_s", "parents[0]", "channels[0]"}


@pytest.mark.parametrize(
    ("type_", "target", "field"),
    [
        ("http", {"url": "http://169.254.169.254/latest/meta-data/"}, "target.url"),
        ("http", {"url": "http://[::ffff:169.254.1.1]/"}, "target.url"),
        ("http", {"url": "http://metadata.google.internal/"}, "target.url"),
        ("http", {"url": "http://127.0.0.1:3001/"}, "target.url"),
        ("http", {"url": "http://localhost:3001/"}, "target.url"),
        ("http", {"url": "http://127.0.0.1:9/", "proxy": "http://169.254.169.254:80"}, "target.proxy"),
        ("tcp", {"host": "127.0.0.1", "port": 3001}, "target.host"),
        ("ping", {"host": "fe80::1"}, "target.host"),
        ("dns", {"name": "example.org", "server": "169.254.169.253:53"}, "target.server"),
        ("smtp", {"host": "0.0.0.0", "port": 25}, "target.host"),
    ],
)
async def test_a_place_that_nobody_may_contact_is_refused_when_saved(
    alice: Alice, type_: str, target: dict[str, Any], field: str
) -> None:
    alice.house.parts.net.egress.listens("127.0.0.1", 3001)
    answer = await alice.api.post("/api/v1/monitors", GOOD | {"type": type_, "target": target, "timeout_s": 70})
    assert answer.fields == ["timeout_s", field]
    assert "does not contact" in answer.data["errors"][1]["expected"]


async def test_a_name_that_does_not_resolve_yet_is_taken(alice: Alice) -> None:
    target = {"url": "http://not-there.invalid/"}
    made = await alice.api.post("/api/v1/monitors", GOOD | {"target": target})
    assert made.status == 201
    one = f"/api/v1/monitors/{made.data['id']}"
    assert (await alice.api.patch(one, {"target": {"url": "http://169.254.169.254/"}})).fields == ["target.url"]
    assert (await alice.api.patch(one, {"name": "Other"})).status == 200


@pytest.mark.parametrize(
    ("type_", "config", "field"),
    [
        ("webhook", {"url": "http://169.254.169.254/hook"}, "config.url"),
        ("slack", {"url": "https://[fe80::1]/services/x"}, "config.url"),
        ("email", {"to": "a@example.org", "smtp_url": "smtp://user:canary@127.0.0.1:3001"}, "config.smtp_url"),
    ],
)
async def test_a_channel_that_leads_where_nobody_may_go_is_refused(
    alice: Alice, type_: str, config: dict[str, Any], field: str
) -> None:
    alice.house.parts.net.egress.listens("127.0.0.1", 3001)
    answer = await alice.api.post("/api/v1/channels", {"name": "x", "type": type_, "config": config})
    assert answer.fields == [field]
    assert "canary" not in answer.text
