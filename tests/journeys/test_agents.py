"""Real agents and real servers, each a process of its own: who tells what, once, whoever is away meanwhile."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from agent.center import Host, Program, agent
from real import FIRST
from servers import SHORT, Server, Servers, servers, until
from world import Web

pytestmark = pytest.mark.timeout(300)


class Scene:
    """A host with a program that should run, its agent's file, and two inboxes: the server's and the agent's own."""

    def __init__(self, folder: Path, inbox: Web, own: Web) -> None:
        self.host = Host(folder / "host")
        self.inbox, self.own = inbox, own
        self.mark = f"worker-of-{folder.name}-{time.monotonic_ns()}"
        self.worker: subprocess.Popen[bytes] | None = None

    def work(self) -> None:
        """Start the program that should run."""
        words = [sys.executable, "-c", "import time; time.sleep(3600)", self.mark]
        self.worker = subprocess.Popen(words, stdin=subprocess.DEVNULL)

    def fail(self) -> float:
        """Kill it; when that was."""
        if self.worker is not None:
            self.worker.kill()
            self.worker.wait()
            self.worker = None
        return time.monotonic()

    async def begin(self, *ones: Server, beat: str = "1s", first: Server | None = None) -> None:
        """A channel at the server, a key, and the agent's file."""
        at = first or ones[0]
        hook = {"name": "Hook", "type": "webhook", "config": {"url": self.inbox.url}}
        await at.call("POST", "/api/v1/channels", hook)
        key = (await at.call("POST", "/api/v1/enrollment-keys", {"name": "hosts"}))["key"]
        urls = ", ".join(f"http://{one.host}:{one.port}" for one in ones)
        self.host.file.write_text(
            f"api_key: {key}\nserver_name: web-1\nserver_url: [{urls}]\ndata_dir: {self.host.data}\n"
            f"heartbeat_interval: {beat}\nmetrics_push_interval: 1s\n"
            "monitors:\n  - type: process\n    check_interval: 1s\n"
            f"    processes: [{{name: worker, command: {self.mark}}}]\n"
            "rules: [{builtin: process.running, for: 0s}]\n"
            f"alerts: [{{name: own, type: webhook, url: '{self.own.url}'}}]\n"
        )
        self.host.file.chmod(0o600)
        self.work()

    @property
    def told(self) -> list[tuple[str, str]]:
        """Who told what, in the order of each inbox."""
        return [("server", e) for e in self.inbox.events] + [("agent", e) for e in self.own.events]

    async def tells(self, *wanted: tuple[str, str], within_s: float = 60) -> None:
        """Returns when exactly this was told; and some seconds later still is."""

        async def so() -> bool:
            assert len(self.told) <= len(wanted), self.told
            return self.told == list(wanted)

        await until(so, within_s, f"{wanted}, not {self.told}")
        await asyncio.sleep(3)
        assert self.told == list(wanted)


@asynccontextmanager
async def scene(folder: Path, **more: str) -> AsyncIterator[tuple[Scene, Servers]]:
    async with Web() as inbox, Web() as own, servers(folder, **more) as group:
        made = Scene(folder, inbox, own)
        try:
            yield made, group
        finally:
            made.fail()
            if made.host.log.exists():
                print(f"---- agent\n{made.host.log.read_text(errors='replace')[-4000:]}")


async def alone(group: Servers) -> Server:
    """A server that belongs to no cluster, with its first account."""
    one = await group.one("a", TOCSIN_ENABLE_SYNC_API="false").start()
    one.token = (await one.call("POST", "/api/v1/setup", FIRST))["access_token"]
    one.token = (await one.call("POST", "/api/v1/api-keys", {"name": "tests"}))["key"]
    return one


async def incidents(one: Server) -> list[dict[str, Any]]:
    return (await one.call("GET", "/api/v1/incidents"))["items"]


async def seen(one: Server) -> bool:
    """Whether the server has heard of the program that runs."""
    hosts = (await one.call("GET", "/api/v1/hosts"))["items"]
    return "worker" in str([await one.call("GET", f"/api/v1/hosts/{host['id']}") for host in hosts])


async def came(inbox: Web) -> bool:
    return bool(inbox.posts)


async def test_a_program_that_dies_is_shown_at_once_and_told_once(tmp_path: Path) -> None:
    async with scene(tmp_path) as (it, group):
        one = await alone(group)
        await it.begin(one)
        async with agent(it.host):
            await until(lambda: seen(one), 30, "the program to be seen")
            at = it.fail()

            async def shown() -> bool:
                return any(i["resolved_at"] is None for i in await incidents(one))

            await until(shown, 20, "an incident")
            await until(lambda: came(it.inbox), 20, "a message")
            assert time.monotonic() - at <= 5
            await it.tells(("server", "incident.opened"))
            it.work()
            await it.tells(("server", "incident.opened"), ("server", "incident.resolved"))


async def test_the_agent_tells_while_the_server_is_away_and_nobody_tells_again(tmp_path: Path) -> None:
    async with scene(tmp_path) as (it, group):
        one = await alone(group)
        await it.begin(one)
        async with agent(it.host) as program:
            await until(lambda: seen(one), 30, "the program to be seen")
            one.kill()
            it.fail()
            await program.says("agent.opened")
            at = time.monotonic()
            await until(lambda: came(it.own), 60, "the agent's message")
            assert time.monotonic() - at <= 20
            await it.tells(("agent", "incident.opened"))
            await one.start()

            async def filed() -> bool:
                found = await incidents(one)
                return len(found) == 1 and found[0]["resolved_at"] is None

            await until(filed, 90, "the server to file what was told")
            await it.tells(("agent", "incident.opened"))
            await _again(program)
            it.work()
            await it.tells(("agent", "incident.opened"), ("agent", "incident.resolved"))
            (incident,) = await incidents(one)
            await until(lambda: _resolved(one, incident["id"]), 30, "the end to be filed")


async def _again(program: Program) -> None:
    """SIGHUP in the middle changes nothing of who tells."""
    program.process.send_signal(signal.SIGHUP)
    await program.says("agent.reloaded")


async def _resolved(one: Server, id: str) -> bool:
    return (await one.call("GET", f"/api/v1/incidents/{id}"))["resolved_at"] is not None


@pytest.mark.parametrize("field", ["enabled", "maintenance"])
async def test_nobody_tells_of_a_host_that_is_off_or_in_maintenance_and_what_lasts_is_told_after_it(
    tmp_path: Path, field: str
) -> None:
    async with scene(tmp_path) as (one, group):
        server = await alone(group)
        await one.begin(server)
        one.host.file.write_text(one.host.file.read_text().replace("for: 0s", "for: 0s, direct: true"))
        async with agent(one.host) as program:
            await until(lambda: seen(server), 30, "its program")
            (host,) = (await server.call("GET", "/api/v1/hosts"))["items"]
            await server.call("PATCH", f"/api/v1/hosts/{host['id']}", {field: field == "maintenance"})
            await program.says("agent.switched_off" if field == "enabled" else "agent.quiet")
            one.fail()
            await program.says("agent.opened")
            await asyncio.sleep(5)
            assert one.told == []
            await server.call("PATCH", f"/api/v1/hosts/{host['id']}", {field: field == "enabled"})
            teller = "agent" if field == "enabled" else "server"  # off: it begins anew, and its rule is direct
            await one.tells((teller, "incident.opened"))
            await until(lambda: heard_again(server), 30, "its agent again")
            one.work()
            await one.tells((teller, "incident.opened"), (teller, "incident.resolved"))


async def heard_again(one: Server) -> bool:
    """Whether its only host is well."""
    (host,) = (await one.call("GET", "/api/v1/hosts"))["items"]
    return host["state"] == "well"


async def test_an_agent_finds_the_next_primary_and_nothing_is_told_of_that(tmp_path: Path) -> None:
    async with scene(tmp_path, **SHORT) as (it, group):
        ones = await group.gather("a", "b", "c")
        await it.begin(*ones)
        async with agent(it.host) as program:
            await until(lambda: seen(ones[0]), 30, "the program to be seen")
            ones[0].kill()
            await program.says("agent.connected", times=2)
            following = await until(lambda: group.primary(ones[1:]), 60, "a new primary")
            it.fail()

            async def told() -> bool:
                return len([e for e in it.told if e[1] == "incident.opened"]) >= 1

            await until(told, 60, "the program's end to be told")
            found = [i for i in await incidents(following) if "worker" in str(i)]
            assert len(found) == 1, found
            about = [p for p in (*it.inbox.posts, *it.own.posts) if "worker" in str(p)]
            assert len(about) == 1, about
            assert not [p for p in it.inbox.posts if "silent" in str(p)]


@pytest.mark.soak
async def test_a_host_that_falls_silent_is_told_at_75_and_at_120_seconds(tmp_path: Path) -> None:
    async with scene(tmp_path) as (it, group):
        one = await alone(group)
        await it.begin(one, beat="60s")
        async with agent(it.host) as program:
            await until(lambda: seen(one), 30, "the program to be seen")
            await program.says("agent.connected")
            await program.kill()
            at = time.monotonic()  # its heartbeat was at most two seconds before
            came: list[float] = []
            for count in (1, 2):

                async def more(count: int = count) -> bool:
                    return len(it.inbox.posts) >= count

                await until(more, 140, f"message {count}")
                came.append(time.monotonic() - at)
        print({"warning_s": round(came[0], 1), "down_s": round(came[1], 1)})
        assert abs(came[0] - 75) <= 5
        assert abs(came[1] - 120) <= 5
        async with agent(it.host):
            await it.tells(
                ("server", "incident.opened"), ("server", "incident.escalated"), ("server", "incident.resolved")
            )
