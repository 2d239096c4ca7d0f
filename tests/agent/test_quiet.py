"""When the agent tells nothing by itself: its host is switched off, or in maintenance. Real processes, a real server."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

from agent.center import Center, Host, Program, agent, center
from builders import START, FakeClock, until
from tocsin.agent.quiet import Quiet
from tocsin.agent.wire import Quiet as Said
from tocsin.core.handover import RECEIPT_S
from world import Web

SLOW, AT_ONCE = "local:slow", "local:at once"


def rules(web: Web) -> str:
    """A channel, and two rules of which one is told at once."""
    return (
        f"alerts: [{{name: ops, type: webhook, url: '{web.url}'}}]\n"
        "rules:\n  - {builtin: toy.high, enabled: false}\n  - {name: slow, metric: toy.value, above: 10}\n"
        "  - {name: at once, metric: toy.other, above: 10, direct: true}"
    )


def sees(host: Host, slow: float, at_once: float) -> None:
    host.sees(slow, values={"toy.value": slow, "toy.other": at_once})


def status(host: Host) -> str:
    return host.does("status")[1]


async def test_while_its_host_is_switched_off_it_tells_nothing(tmp_path: Path) -> None:
    host = Host(tmp_path)
    async with center() as server, Web() as web:
        host.writes(server.url, more=rules(web))
        async with agent(host) as program:
            await until(lambda: bool(server.values("toy.value")))
            server.switch(on=False)
            await program.says("agent.switched_off")
            sees(host, 20, 20)
            await program.says("agent.opened", times=2)  # it goes on judging
            await until(lambda: "switched off at its server" in status(host))
            await server.stop()
            await asyncio.sleep(RECEIPT_S + 3)
            await program.kill()
        async with agent(host) as program:  # it has not heard otherwise
            sees(host, 5, 5)
            await program.says("agent.resolved", times=2)
            sees(host, 30, 30)
            await program.says("agent.opened", times=4)
            sees(host, 30, 5)
            await program.says("agent.resolved", times=3)
            assert "switched off at its server" in status(host)
            server.switch(on=True)
            await server.start()
            await until(lambda: bool(server.turns()))
            await asyncio.sleep(3)
    assert web.posts == []
    ((_, rule, _, number),) = server.findings  # what lasts is handed over, as something new
    assert (rule, number % 2) == (SLOW, 1)


async def in_maintenance(server: Center, program: Program, **more: float) -> None:
    server.quiet = (Said(why="the host is in maintenance", **more),)
    await program.says("agent.quiet")


async def test_what_opens_in_maintenance_is_not_told_by_the_agent(tmp_path: Path) -> None:
    host = Host(tmp_path)
    async with center() as server, Web() as web:
        host.writes(server.url, more=rules(web))
        async with agent(host) as program:
            await until(lambda: bool(server.values("toy.value")))
            await in_maintenance(server, program)
            sees(host, 1, 20)  # handed over at once: the server knows whether it is told when that ends
            await until(lambda: server.turns() == [(1, "opened", False)])
            assert [finding.held for finding in server.findings.values()] == [True]
            await server.stop()
            sees(host, 20, 5)
            await program.says("agent.opened", times=2)
            await asyncio.sleep(RECEIPT_S + 3)
            assert "what opens is not told by the agent" in status(host)
            assert web.posts == []
            await server.start()
            await until(lambda: len(server.turns()) == 3)
            server.quiet = ()
            await program.says("agent.not_quiet")
            sees(host, 20, 20)  # told as ever
            await until(lambda: len(web.posts) == 1)
    assert web.posts[0]["title"] == "production-server-1: toy other: 20 (limit 10)"


async def test_without_a_server_what_lasts_when_a_window_ends_is_told_and_what_is_over_is_not(tmp_path: Path) -> None:
    host = Host(tmp_path)
    async with center() as server, Web() as web:
        host.writes(server.url, more=rules(web))
        async with agent(host) as program:
            await until(lambda: bool(server.values("toy.value")))
            await in_maintenance(server, program, for_s=25.0)
            await server.stop()
            sees(host, 20, 20)
            await program.says("agent.opened", times=2)
            sees(host, 20, 5)
            await program.says("agent.resolved")
            await program.kill()
        async with agent(host) as program:
            await until(lambda: len(web.posts) == 1, within_s=60)
            sees(host, 20, 30)  # and what opens after it
            await until(lambda: len(web.posts) == 2)
            await server.start()
            await until(lambda: len(server.turns()) == 4, within_s=30)
    assert [post["title"] for post in web.posts] == [
        "production-server-1: toy value: 20 (limit 10)", "production-server-1: toy other: 30 (limit 10)",
    ]  # fmt: skip
    told = {(rule, number): finding.told_at is not None for (_, rule, _, number), finding in server.findings.items()}
    assert told == {(SLOW, 1): True, (AT_ONCE, 1): False, (AT_ONCE, 2): False, (AT_ONCE, 3): True}


async def test_what_was_heard_is_measured_by_a_clock_that_never_jumps() -> None:
    clock = FakeClock()
    quiet = Quiet(clock)
    assert quiet.hear([Said(why="maintenance “Night”", in_s=60, for_s=600)])
    assert not quiet.holds
    await clock.advance(61)
    assert quiet.holds
    until_ = f"{START + timedelta(seconds=660):%Y-%m-%d %H:%M:%S}"
    assert quiet.words == f"maintenance “Night” until {until_} UTC: what opens is not told by the agent"
    assert not quiet.hear([Said(why="maintenance “Night”", in_s=0, for_s=599)])  # no news
    again = Quiet(clock)
    again.take_up(quiet.kept)
    await clock.advance(598)
    assert quiet.holds
    assert again.holds
    await clock.advance(3)
    assert not quiet.holds
    assert not again.holds
    assert quiet.hear([])
