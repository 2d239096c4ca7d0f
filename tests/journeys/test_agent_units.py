"""A unit of a real systemd that dies, a real agent and a real server, each by its usual terms: who sees it, and how soon."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.center import Host, agent
from collectors.private_systemd import PrivateSystemd, private_systemd
from journeys.test_agents import alone
from servers import Server, servers, until
from world import Web

pytestmark = pytest.mark.timeout(300)

UNITS = {
    "shop.service": "[Service]\nExecStart=/bin/sleep 10000\n",
    "other.service": "[Service]\nExecStart=/bin/sleep 9999\n",
}
SOON_S = 5.0


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[PrivateSystemd]:
    with private_systemd(tmp_path / "systemd", UNITS) as made:
        yield made


async def set_up(one: Server, host: Host, inbox: Web, systemd: PrivateSystemd) -> None:
    """A channel at the server, a key, and a file of an agent that names no interval."""
    hook = {"name": "Hook", "type": "webhook", "config": {"url": inbox.url}}
    await one.call("POST", "/api/v1/channels", hook)
    key = (await one.call("POST", "/api/v1/enrollment-keys", {"name": "hosts"}))["key"]
    host.file.write_text(
        f"api_key: {key}\nserver_name: web-1\nserver_url: http://{one.host}:{one.port}\ndata_dir: {host.data}\n"
        f"monitors:\n  - type: systemd\n    services: [shop, other]\n    bus: {systemd.bus}\n"
    )
    host.file.chmod(0o600)


async def unit(one: Server, name: str) -> dict[str, Any]:
    """How the server shows a unit of the host; empty while it shows none."""
    for host in (await one.call("GET", "/api/v1/hosts"))["items"]:
        for shown in (await one.call("GET", f"/api/v1/hosts/{host['id']}/services"))["items"]:
            if shown["name"] == name:
                return shown
    return {}


async def test_a_unit_that_is_killed_is_shown_and_told_within_5_seconds_and_its_end_too(
    tmp_path: Path, systemd: PrivateSystemd
) -> None:
    async with Web() as inbox, servers(tmp_path) as group:
        one, host = await alone(group), Host(tmp_path / "host")
        await set_up(one, host, inbox, systemd)
        for name in UNITS:
            await systemd.start(name)

        async def is_(state: str) -> bool:
            return (await unit(one, "shop.service")).get("state") == state

        async with agent(host):
            await until(lambda: is_("active"), 60, "the unit to be shown")
            await asyncio.sleep(1)
            assert inbox.posts == []

            at = time.monotonic()
            for pid in systemd.processes("shop.service"):
                os.kill(pid, signal.SIGKILL)
            await until(lambda: is_("failed"), 30, "the unit to be shown as failed")
            shown_s = time.monotonic() - at
            await until(lambda: _came(inbox, 1), 30, "the message")
            told_s = time.monotonic() - at
            assert (await unit(one, "shop.service"))["ok"] is False

            await asyncio.sleep(3)
            await systemd.start("shop.service")
            at = time.monotonic()
            await until(lambda: is_("active"), 30, "the unit to be shown as running")
            back_s = time.monotonic() - at
            await until(lambda: _came(inbox, 2), 30, "the end")
            over_s = time.monotonic() - at
            await asyncio.sleep(5)
        print({"shown_s": shown_s, "told_s": told_s, "back_s": back_s, "over_s": over_s})
        assert max(shown_s, told_s, back_s) <= SOON_S
        assert 5 <= over_s <= 5 + SOON_S  # the rule waits 5 s for it to stay
        assert inbox.events == ["incident.opened", "incident.resolved"]
        assert "shop.service is failed: it was ended by signal 9" in inbox.posts[0]["title"]
        assert inbox.posts[0]["severity"] == "critical"
        (incident,) = (await one.call("GET", "/api/v1/incidents"))["items"]
        assert incident["resolved_at"] is not None


async def _came(inbox: Web, count: int) -> bool:
    return len(inbox.posts) >= count
