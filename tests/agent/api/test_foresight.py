"""A message about a disk that fills up says when it will be full, where that can be told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from agent.api.conftest import Agent, Alice
from builders import until
from world import Web

DISK = "disk.used_percent{mount=/var}"


@pytest.mark.parametrize(
    ("an_hour", "says"), [(3.0, "91, limit 90; if it goes on so, full in about 3 h"), (0.0, "91, limit 90")]
)
async def test_a_disk_that_fills_up_is_told_with_when_it_is_full(
    alice: Alice, agent: Agent, an_hour: float, says: str
) -> None:
    now = datetime.now(UTC)
    async with Web() as inbox:
        await alice.api.post("/api/v1/channels", {"name": "Hook", "type": "webhook", "config": {"url": inbox.url}})
        for half_hours in range(11, -1, -1):
            at = now - timedelta(minutes=30 * half_hours)
            answer = await agent.samples({DISK: 91 - an_hour * half_hours / 2}, at=at)
            assert answer.status == 200, answer.text
        turn = {
            "rule": "builtin:system.disk", "rule_name": "A disk is nearly full", "what": DISK, "number": 1, "turn": "opened",
            "severity": "warning", "words": "91, limit 90", "at": now, "value": 91.0,
        }  # fmt: skip
        for _ in range(2):  # the same once more changes nothing
            answer = await agent.call("POST", "findings", {"incarnation": "one", "findings": [turn]})
            assert answer.data["taken"] == 1, answer.text
        await until(lambda: bool(inbox.posts))
        (incident,) = (await alice.api.get("/api/v1/incidents")).data["items"]
    assert incident["reason"] == says
    (post,) = inbox.posts
    assert post["reason"] == says
    assert says in post["title"]
