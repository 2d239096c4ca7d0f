"""Who tells: the server while it answers, the agent when it does not. Real processes, a real server, real channels."""

from __future__ import annotations

import asyncio
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from agent.center import Host, Program, agent, center
from builders import until
from tocsin.agent.wire import FINDINGS
from world import Web

RULE = "builtin:toy.high"


def channel(web: Web, *, direct: bool = False) -> str:
    """Lines of the agent's file: a channel, and when asked the built-in rule told at once."""
    rule = "\nrules: [{builtin: toy.high, direct: true}]" if direct else ""
    return f"alerts: [{{name: ops, type: webhook, url: '{web.url}'}}]{rule}"


def events(web: Web) -> list[tuple[Any, ...]]:
    return [(post["event"], post["key"]) for post in web.posts]


async def test_the_server_tells_while_it_answers(tmp_path: Path) -> None:
    host = Host(tmp_path)
    async with center() as server, Web() as web:
        host.writes(server.url, more=channel(web))
        async with agent(host) as program:
            await until(lambda: bool(server.values("toy.value")))
            host.sees(20)
            await until(lambda: server.turns() == [(1, "opened", False)])
            host.sees(float("nan"))  # what could not be seen is no end
            await until(lambda: "no number" in str(server.beats[-1].troubles.get("toy")))
            host.sees(5)
            await until(lambda: server.turns() == [(1, "opened", False), (2, "resolved", False)])
            (finding, _) = server.findings.values()
            assert (finding.rule, finding.what, finding.words) == (RULE, "toy.value", "toy value: 20 (limit 10)")
            await program.kill()
        host.sees(30)
        async with agent(host):  # it counts on where it was
            await until(lambda: len(server.turns()) == 3)
        assert server.turns()[-1] == (3, "opened", False)
    assert web.posts == []


async def test_a_direct_rule_is_told_at_once_and_filed_by_the_server(tmp_path: Path) -> None:
    host = Host(tmp_path)
    async with center() as server, Web() as web:
        host.writes(server.url, more=channel(web, direct=True))
        async with agent(host):
            await until(lambda: bool(server.values("toy.value")))
            host.sees(20)
            await until(lambda: server.turns() == [(1, "opened", True)])
            host.sees(5)
            await until(lambda: server.turns() == [(1, "opened", True), (2, "resolved", True)])
    assert [event for event, _ in events(web)] == ["incident.opened", "incident.resolved"]
    assert all(f.told == ("local:ops",) for f in server.findings.values())
    assert [f.told_at is not None for f in server.arrivals] == [True, True]
    assert ["at once" in post["text"] for post in web.posts] == [True, False]
    assert "as it told the beginning" in web.posts[1]["text"]
    assert [post["title"] for post in web.posts] == [
        "production-server-1: toy value: 20 (limit 10)", "production-server-1: toy value: 5 again (limit 10)",
    ]  # fmt: skip
    assert web.posts[0]["text"].startswith("Warning, since 20")
    assert web.posts[0]["url"].startswith(f"{server.url}/hosts/")


async def test_a_direct_rule_is_told_within_5_seconds_even_when_the_server_gives_no_receipt(tmp_path: Path) -> None:
    host = Host(tmp_path)
    async with center() as server, Web() as web:
        host.writes(server.url, more=channel(web, direct=True))
        async with agent(host) as program:
            await until(lambda: bool(server.values("toy.value")))
            host.sees(20)
            assert await told_s(program, web, 1, "agent.opened") <= 5
            await until(lambda: server.turns() == [(1, "opened", True)])
            server.deaf |= {FINDINGS}  # it takes what it is asked, and says nothing
            host.sees(5)
            assert await told_s(program, web, 2, "agent.resolved") <= 5
            host.sees(20)
            assert await told_s(program, web, 3, "agent.opened") <= 5  # before the end is receipted
            host.sees(5)
            assert await told_s(program, web, 4, "agent.resolved") <= 5
    assert [event for event, _ in events(web)] == ["incident.opened", "incident.resolved"] * 2


async def test_a_direct_rule_is_told_within_5_seconds_without_a_server(tmp_path: Path) -> None:
    host = Host(tmp_path)
    async with center() as server, Web() as web:
        host.writes(server.url, more=channel(web, direct=True))
        async with agent(host) as program:
            await until(lambda: bool(server.values("toy.value")))
            await server.stop()
            for count, (value, turn) in enumerate(((20, "agent.opened"), (5, "agent.resolved"), (20, "agent.opened"))):
                host.sees(value)
                assert await told_s(program, web, count + 1, turn) <= 5


@pytest.mark.parametrize("how", ["gone", "deaf"])
async def test_without_a_server_the_agent_tells_within_20_seconds_of_what_it_saw(tmp_path: Path, how: str) -> None:
    host = Host(tmp_path)
    async with center() as server, Web() as web:
        host.writes(server.url, more=channel(web))
        async with agent(host) as program:
            await until(lambda: bool(server.values("toy.value")))
            if how == "gone":
                await server.stop()
            else:
                server.deaf |= {FINDINGS}
            host.sees(20)
            assert 14 <= await told_s(program, web, 1, "agent.opened") <= 20  # it waits 15 s for a receipt


async def told_s(program: Program, web: Web, count: int, turn: str) -> float:
    """How long after it saw a turn (the latest of this kind in its log) that message came."""
    await program.says(turn, times=(count + 1) // 2)
    saw = time.monotonic()
    await until(lambda: len(web.posts) == count, within_s=60)
    return time.monotonic() - saw


async def test_when_a_channel_fails_the_server_tells_what_is_direct(tmp_path: Path) -> None:
    host = Host(tmp_path)
    async with center() as server, Web() as web:
        web.status = 500
        host.writes(server.url, more=channel(web, direct=True))
        async with agent(host):
            await until(lambda: bool(server.values("toy.value")))
            host.sees(20)
            await until(lambda: server.turns() == [(1, "opened", False)])
            await until(lambda: "channel local:ops" in server.beats[-1].troubles)


async def test_the_agent_tells_when_the_server_is_away_through_a_kill_and_the_server_files_it(tmp_path: Path) -> None:
    host = Host(tmp_path)
    async with center() as server, Web() as web:
        host.writes(server.url, more=channel(web))
        async with agent(host) as program:
            await until(lambda: bool(server.values("toy.value")))
            await server.stop()
            host.sees(20)
            await program.says("agent.opened")
            await program.kill()  # before it told
        async with agent(host) as program:
            await until(lambda: len(web.posts) == 1, within_s=40)
            await program.says("agent.told")  # it is on its disk
            await program.kill()  # before the server knows
        async with agent(host) as program:
            host.sees(5)
            await until(lambda: len(web.posts) == 2)  # the end at once, for the agent told the beginning
            await asyncio.sleep(1.5)
            await server.start()
            await until(lambda: server.turns() == [(1, "opened", True), (2, "resolved", True)], within_s=30)
            assert [f.told_at is not None for f in server.arrivals] == [True, True]
            host.sees(30)  # the server is back: it tells
            await until(lambda: len(server.turns()) == 3)
    assert [event for event, _ in events(web)] == ["incident.opened", "incident.resolved"]
    assert len({key for _, key in events(web)}) == 2
    assert "production-server-1" in web.posts[0]["title"]
    assert "its server did not take it within 15 s" in web.posts[0]["text"]
    assert "as it told the beginning" in web.posts[1]["text"]


async def test_many_at_once_are_one_message(tmp_path: Path) -> None:
    host = Host(tmp_path)
    async with center() as server, Web() as web, Web() as broken:
        broken.status = 500
        second = f"{{name: second, type: webhook, url: '{broken.url}'}}"
        rule = "\nrules: [{name: services, service: unit/*, direct: true}]"
        host.writes(server.url, more=channel(web).replace("}]", f"}}, {second}]") + rule)
        async with agent(host):
            await until(lambda: bool(server.values("toy.value")))
            host.sees(1, services={f"s{i}": "failed" for i in range(30)})
            await until(lambda: server.turns() == [(1, "opened", True)] * 30)
            host.sees(1, services={f"s{i}": "active" for i in range(30)})
            await until(lambda: len(server.turns()) == 60)
            count = len(server.beats)  # a channel that fails is tried now and then, not all the time
            await until(lambda: len(server.beats) > count + 3)
            assert server.beats[-1].cpu_percent < 50
    assert [post["event"] for post in web.posts] == ["digest", "digest"]
    assert [len(post["items"]) for post in web.posts] == [30, 30]
    assert [post["title"] for post in web.posts] == [
        "production-server-1: 30 in trouble",
        "production-server-1: 30 over",
    ]


async def test_a_lost_receipt_is_told_again_with_the_same_number(tmp_path: Path) -> None:
    host = Host(tmp_path)
    async with center() as server, Web() as web:
        host.writes(server.url, more=channel(web))
        server.deaf.add(FINDINGS)
        async with agent(host):
            await until(lambda: bool(server.values("toy.value")))
            host.sees(20)
            await until(lambda: len(web.posts) == 1, within_s=40)
            server.deaf.clear()
            await until(lambda: server.turns() == [(1, "opened", True)], within_s=30)
    assert {(f.number, f.turn) for f in server.arrivals} == {(1, "opened")}


async def test_what_is_not_looked_at_any_more_ends(tmp_path: Path) -> None:
    host = Host(tmp_path)
    async with center() as server:
        host.writes(server.url)
        host.sees(20)
        async with agent(host) as program:
            await until(lambda: server.turns() == [(1, "opened", False)])
            host.file.write_text(host.file.read_text() + "rules: [{builtin: toy.high, enabled: false}]\n")
            program.process.send_signal(signal.SIGHUP)
            await until(lambda: len(server.turns()) == 2)
            assert server.arrivals[-1].words == "the rule does not hold any more"
