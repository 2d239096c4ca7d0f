"""An agent whose disk is lost goes on as the server knows: what is over ends, what lasts is not told again."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from agent.center import Host, agent
from journeys.test_agents import alone, incidents
from servers import servers, until
from world import Web

pytestmark = pytest.mark.timeout(300)
RULES = "rules: [{name: 'units: all', service: unit/*}, {name: value, metric: toy.value, above: 10, direct: true}]\n"


def told(web: Web) -> list[tuple[str, str]]:
    """Event and title of each message, those in digests by themselves."""
    items: list[dict[str, Any]] = [item for post in web.posts for item in post.get("items", [post])]
    return sorted((item["event"], item["title"]) for item in items)


async def test_what_is_over_ends_and_what_lasts_is_not_told_again(tmp_path: Path) -> None:
    async with Web() as inbox, Web() as own, servers(tmp_path) as group:
        one, host = await alone(group), Host(tmp_path / "host")
        hook = {"name": "Hook", "type": "webhook", "config": {"url": inbox.url}}
        await one.call("POST", "/api/v1/channels", hook)
        key = (await one.call("POST", "/api/v1/enrollment-keys", {"name": "hosts"}))["key"]
        alerts = f"alerts: [{{name: own, type: webhook, url: '{own.url}'}}]\n"
        host.writes(
            f"http://{one.host}:{one.port}",
            more=RULES.replace("direct: true", "direct: true, channels: [own]") + alerts,
        )
        host.file.write_text(host.file.read_text().replace("api_key: an enrolment key", f"api_key: {key}"))

        async def is_told(web: Web, count: int) -> bool:
            return len(told(web)) >= count

        async def is_open(count: int) -> bool:
            return len([i for i in await incidents(one) if i["resolved_at"] is None]) == count

        host.sees(20, services={"ends": "failed", "lasts": "failed", "goes": "failed"})
        async with agent(host) as program:
            await until(lambda: is_told(inbox, 4), 60, "four units and values to be told")
            await until(lambda: is_told(own, 1), 30, "the agent to tell")
            await until(lambda: is_open(5), 30, "five incidents")
            await program.kill()
        for file in host.data.glob("agent.db*"):
            file.unlink()
        host.sees(20, services={"ends": "active", "lasts": "failed"})
        async with agent(host):
            await until(lambda: is_open(3), 60, "what is over to end")
            await asyncio.sleep(4)
            assert (await is_open(3), len(own.posts)) == (True, 1)
            ended = [title for event, title in told(inbox) if event == "incident.resolved"]
            assert [name for name in ("ends", "goes", "lasts") if any(f"unit {name} " in t for t in ended)] == [
                "ends",
                "goes",
            ]
            assert len(ended) == 2
            assert len([event for event, _ in told(inbox) if event == "incident.opened"]) == 4

            host.sees(5, services={"ends": "active", "lasts": "active"})
            await until(lambda: is_open(0), 30, "the rest to end")
            await until(lambda: is_told(own, 2), 30, "the agent to tell the end of what it told")
            await asyncio.sleep(3)
        assert [post["event"] for post in own.posts] == ["incident.opened", "incident.resolved"]
        assert [event for event, _ in told(inbox)] == ["incident.opened"] * 4 + ["incident.resolved"] * 4
