"""A server that stood alone joins others with all it has: before, it says what comes along; after, nothing is lost, nothing
is told twice, and nobody sees what is not theirs. And one that stood alone begins a cluster with its data."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from real import FIRST
from servers import Server, servers, slow, until
from world import Web

ALONE = {"TOCSIN_ENABLE_SYNC_API": "false", "TOCSIN_PRIMARY_SYNC_URL": ""}
BOB = {"email": "bob@example.org", "password": "another long sentence", "workspace": "Home"}
pytestmark = pytest.mark.timeout(300)


async def set_up(one: Server, account: dict[str, str], *, alone: bool = True) -> None:
    """Start a server that stands alone, with its first account; it is called with a key of that from then on."""
    one.first, one.more = None, one.more | (ALONE if alone else {})
    await one.start()
    one.token = (await one.call("POST", "/api/v1/setup", account))["access_token"]
    one.token = (await one.call("POST", "/api/v1/api-keys", {"name": "tests"}))["key"]


async def watch(one: Server, target: Web, sink: Web, name: str) -> str:
    """The id of a monitor of a target, every second; what becomes of it is told to the sink, with a secret."""
    hook = {"name": "Hook", "type": "webhook", "config": {"url": sink.url, "headers": {"X-Token": "of-the-sink"}}}
    await one.call("POST", "/api/v1/channels", hook)
    monitor = {
        "name": name, "type": "http", "target": {"url": target.url, "headers": {"X-Token": "of-the-target"}},
        "interval_s": 1, "timeout_s": 0.8, "retry_interval_s": 0.3, "flap_detection": False, "reopen_s": 0,
    }  # fmt: skip
    made = (await one.call("POST", "/api/v1/monitors", monitor))["id"]
    await until(lambda: shows(one, made, "up"), 30, f"{name} to be up")
    return made


async def shows(one: Server, monitor: str, wanted: str) -> bool:
    status, data = await one.ask("GET", f"/api/v1/monitors/{monitor}")
    return status == 200 and data["verdict"] == wanted


async def end(one: Server) -> None:
    """Stop it as an operator does."""
    one.send(signal.SIGTERM)
    assert one.process is not None
    await asyncio.to_thread(one.process.wait, 30)  # what it watches and tells is served here meanwhile


async def joining(one: Server, first: Server, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    """`tocsin join` at a server that is stopped, with the settings it will join with."""
    one.first, one.more = first, {name: value for name, value in one.more.items() if name not in ALONE} | more
    return await asyncio.to_thread(
        subprocess.run, [sys.executable, "-m", "tocsin", "join", *words], env=one.environment(), cwd=one.folder,
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip


async def figures(one: Server, monitor: str, upto: str) -> Any:
    """What is said of a stretch of a monitor's time that is over."""
    span = f"start=2020-01-01T00:00:00Z&end={upto}"
    return {
        name: await one.call("GET", f"/api/v1/monitors/{monitor}/{name}?{span}")
        for name in ("uptime", "stats", "verdicts")
    }


@asynccontextmanager
async def webs() -> AsyncIterator[tuple[Web, Web]]:
    async with Web() as target, Web() as sink:
        yield target, sink


async def test_a_server_that_stood_alone_begins_a_cluster_with_all_it_has(tmp_path: Path) -> None:
    async with servers(tmp_path) as group, webs() as (target, sink):
        a = group.one("a")
        await set_up(a, FIRST)
        monitor = await watch(a, target, sink, "Shop")
        known = await a.results(monitor)
        await end(a)
        a.more = {}
        await a.start()
        await until(a.leads, 30, "it to lead")
        assert known.keys() <= (await a.results(monitor)).keys()
        target.status = 500
        await until(lambda: told(sink, 1), 30, "the outage to be told")
        assert sink.calls[0][0]["x-token"] == "of-the-sink"


async def told(sink: Web, count: int) -> bool:
    return len(sink.posts) >= count


async def test_a_server_joins_with_all_it_has(tmp_path: Path) -> None:
    async with servers(tmp_path) as group, webs() as (target, sink), webs() as (other, heard):
        a, c = await group.gather("a", "c")
        mine = await watch(a, other, heard, "Alice's")
        b = group.one("b")
        await set_up(b, BOB)
        monitor = await watch(b, target, sink, "Shop")
        target.status = 500
        await until(lambda: told(sink, 1), 30, "the outage to be told")
        (incident,) = (await b.call("GET", "/api/v1/incidents?open=true"))["items"]
        known = await b.results(monitor)
        await end(b)

        said = await joining(b, a, "--look")
        assert said.returncode == 0, said.stderr
        assert "1 person, 1 monitor, 1 channel, " in said.stdout
        assert "'Home' will be called 'Home (b)'" in said.stdout
        assert (await joining(b, a)).returncode == 0
        await b.start()
        await until(lambda: group.voting(3), 60, "all to vote")

        for one in (a, b, c):
            one.token, kept = b.token, one.token
            found = await one.results(monitor)
            assert known.items() <= found.items(), one.name
            (there,) = (await one.call("GET", "/api/v1/incidents?open=true"))["items"]
            assert there["id"] == incident["id"]
            names = [m["name"] for m in (await one.call("GET", "/api/v1/monitors"))["items"]]
            assert names == ["Shop"], "nothing of another workspace"
            assert (await one.ask("GET", f"/api/v1/monitors/{mine}"))[0] == 404
            one.token = kept
        for one in (a, c):
            names = {m["name"] for m in (await one.call("GET", "/api/v1/monitors"))["items"]}
            assert names == {"Marker", "Alice's"}
            assert (await one.ask("GET", f"/api/v1/monitors/{monitor}"))[0] == 404
            assert (await one.ask("GET", f"/api/v1/incidents/{incident['id']}"))[0] == 404

        await asyncio.sleep(3)
        assert sink.events == ["incident.opened"], "what was told is not told again"
        a.kill()
        await until(lambda: led_by(c, b), 60, "a new primary")
        target.status = 200
        await until(lambda: told(sink, 2), 60, "the end to be told")
        assert sink.events == ["incident.opened", "incident.resolved"]
        assert {call[0]["x-token"] for call in sink.calls} == {"of-the-sink"}
        assert {call[0]["x-token"] for call in target.calls} == {"of-the-target"}


async def led_by(*ones: Server) -> bool:
    return any([await one.leads() for one in ones])


async def test_it_is_killed_in_the_middle_and_joins_all_the_same(tmp_path: Path) -> None:
    async with servers(tmp_path) as group, webs() as (target, sink), AsyncExitStack() as far:
        a = group.one("a")
        await set_up(a, FIRST, alone=False)
        way = await far.enter_async_context(slow(a.sync_port, 0.5))
        by = {"TOCSIN_PRIMARY_SYNC_URL": f"https://127.0.0.1:{way}"}
        b = group.one("b")
        await set_up(b, FIRST | {"workspace": "Second"})
        monitor = await watch(b, target, sink, "Shop")
        known = await b.results(monitor)
        await end(b)

        refused = await joining(b, a, **by)
        assert refused.returncode == 1
        assert "alice@example.org has an account in the cluster too" in refused.stdout
        assert "tocsin join --same-person alice@example.org" in refused.stdout
        nobody = await joining(b, a, "--look", "--same-person", "nobody@example.org", **by)
        assert "expected the address of a person here, found nobody@example.org" in nobody.stdout + nobody.stderr
        b.begin()
        assert b.process is not None
        await asyncio.to_thread(b.process.wait, 60)
        assert b.process.returncode == 2, "not without the operator's word"
        assert "`tocsin join` shows what" in b.said()
        assert (await joining(b, a, "--same-person", "alice@example.org", **by)).returncode == 0

        b.begin()
        await until(lambda: came(a), 60, "some of it to be there")
        b.kill()
        assert b.rows("control") == 0, "it stands alone"
        assert not a.rows("memberships", "workspace_id IN (SELECT id FROM workspaces WHERE name = 'Second')")
        assert a.rows("monitors", "paused = 0") == 0, "nothing runs before all is there"
        a.kill()  # and the primary comes back, too
        await a.start()
        await b.start()
        await until(lambda: group.voting(2), 60, "both to vote")
        for one in (a, b):
            one.token = b.token
            assert known.items() <= (await one.results(monitor)).items()
        assert a.rows("users", "email = 'alice@example.org'") == 1
        assert a.rows("memberships", "user_id = (SELECT id FROM users WHERE email = 'alice@example.org')") == 2


async def came(one: Server) -> bool:
    return one.rows("monitors") > 0


async def test_a_server_that_nobody_answers_goes_on_alone_and_joins_later(tmp_path: Path) -> None:
    async with servers(tmp_path) as group, webs() as (target, sink):
        a = group.one("a")
        await set_up(a, FIRST, alone=False)
        b = group.one("b")
        await set_up(b, BOB)
        monitor = await watch(b, target, sink, "Shop")
        await end(b)
        assert (await joining(b, a)).returncode == 0
        a.kill()
        await b.start()
        assert await shows(b, monitor, "up"), "as before"
        assert "cluster.goes_on_alone" in b.said()
        await end(b)
        await a.start()
        await until(a.leads, 30, "it to lead")
        await b.start()
        await until(lambda: group.voting(2), 60, "both to vote")
