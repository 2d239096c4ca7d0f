"""A rule on hosts is tried on what agents brought: which hosts, what would have been told, what would ring now."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from agent.api.conftest import Agent, alice, an_agent, build
from web.conftest import Alice
from web.test_host_pages import post, send
from web.test_location_pages import signed_in

__all__ = ["alice", "build"]
TRY = "/api/v1/alert-rules/try"
CPU = "cpu.used_percent"
BUSY = {"type": "sample", "metric": CPU, "above": 90, "clear": 80}


@pytest.fixture
async def agent(alice: Alice) -> Agent:
    return await an_agent(alice)


def rule(condition: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"name": "Try", "scope": {"everything": True}, "condition": condition, "severity": "critical"} | more


async def busy(agent: Agent, now: datetime) -> None:
    """Busy for ten minutes an hour ago, and for the last four."""
    for minute in range(119, -1, -1):
        value = 95.0 if 60 < minute <= 70 or minute < 4 else 10.0
        answer = await agent.samples({CPU: value}, at=now - timedelta(minutes=minute))
        assert answer.status == 200, answer.text


async def test_a_limit_is_tried_on_what_was_seen(alice: Alice, agent: Agent) -> None:
    now = datetime.now(UTC)
    await busy(agent, now)
    other = await an_agent(alice, "web-2")
    tried = (await alice.api.post(TRY, {"rule": rule(BUSY, for_s=120)})).data
    assert [m["what"] for m in tried["would"]] == ["opened", "resolved", "opened"]
    assert tried["appear"] == tried["would"]
    first = tried["would"][0]
    assert (first["monitor"], first["host"], first["severity"]) == (None, {"id": agent.id, "name": "web-1"}, "critical")
    assert first["reason"] == "CPU is 95 % busy (limit 90 %)"
    passed = now - timedelta(minutes=70)
    assert timedelta(minutes=1) <= datetime.fromisoformat(first["at"]) - passed <= timedelta(minutes=3)
    assert tried["hosts"] == [
        {"id": agent.id, "name": "web-1", "firing": [CPU]}, {"id": other.id, "name": "web-2", "firing": []},
    ]  # fmt: skip
    longer = (await alice.api.post(TRY, {"rule": rule(BUSY, for_s=1200)})).data
    assert (longer["would"], [h["firing"] for h in longer["hosts"]]) == ([], [[], []])
    one = (await alice.api.post(TRY, {"rule": rule(BUSY), "host": other.id})).data
    assert ([h["id"] for h in one["hosts"]], one["would"]) == ([other.id], [])
    assert (await alice.api.post(TRY, {"rule": rule(BUSY), "host": "nobody"})).fields == ["host"]


async def test_it_is_compared_with_the_stored_one(alice: Alice, agent: Agent) -> None:
    await busy(agent, datetime.now(UTC))
    id = (await alice.api.post("/api/v1/alert-rules", rule(BUSY, for_s=120))).data["id"]
    tried = (await alice.api.post(TRY, {"id": id, "rule": {"for_s": 300}})).data
    assert [m["what"] for m in tried["now"]] == ["opened", "resolved", "opened"]
    assert [m["what"] for m in tried["would"]] == ["opened", "resolved"]
    assert [m["what"] for m in tried["vanish"]] == ["opened", "opened"]
    same = (await alice.api.post(TRY, {"id": id, "rule": {}})).data
    assert (same["appear"], same["vanish"], len(same["would"])) == ([], [], 3)


async def test_services_are_tried_on_their_changes(alice: Alice, agent: Agent) -> None:
    unit = {"kind": "unit", "name": "shop.service", "state": "active", "ok": True}
    for state, ok in (("active", True), ("failed", False), ("active", True), ("failed", False)):
        answer = await send(agent, "systemd", unit | {"state": state, "ok": ok}, unit | {"name": "other.service"})
        assert answer.status == 200, answer.text
    condition = {"type": "service", "kind": "unit", "name": "shop*"}
    tried = (await alice.api.post(TRY, {"rule": rule(condition)})).data
    assert [m["what"] for m in tried["would"]] == ["opened", "resolved", "opened"]
    assert tried["hosts"][0]["firing"] == ["unit/shop.service"]
    nothing = (await alice.api.post(TRY, {"rule": rule(condition, scope={"tags": ["elsewhere"]})})).data
    assert (nothing["hosts"], nothing["would"]) == ([], [])


async def test_of_silence_it_says_which_hosts_and_that_it_is_not_replayed(alice: Alice, agent: Agent) -> None:
    tried = (await alice.api.post(TRY, {"rule": rule({"type": "heartbeat"})})).data
    assert [h["id"] for h in tried["hosts"]] == [agent.id]
    assert "Silence is not replayed" in tried["notes"][0]


async def test_hosts_of_others_are_not_tried(alice: Alice, agent: Agent) -> None:
    _, token = await alice.house.person("charlie@example.org", "ADMIN")
    charlie = alice.house.caller(token)
    assert (await charlie.post(TRY, {"rule": rule(BUSY)})).data["hosts"] == []
    assert (await charlie.post(TRY, {"rule": rule(BUSY), "host": agent.id})).fields == ["host"]


async def test_the_form_shows_it(alice: Alice, agent: Agent) -> None:
    await busy(agent, datetime.now(UTC))
    browser = await signed_in(alice, "alice@example.org")
    page = await post(
        browser, "/alert-rules/new/try", name="Busy", type="sample", metric=CPU, above="90", hours="24", for_s="120"
    )
    assert page.status == 200, page.text
    assert "3 messages" in page.text
    assert "web-1" in page.text
    assert f"would ring now: {CPU}" in page.text
