"""Endpoints that real servers answer, as the agent checks them."""

# ruff: noqa: E501

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from collectors.answering import answering
from collectors.looking import named, troubles
from tocsin import collectors
from tocsin.agent.checking import checker
from tocsin.clock import SystemClock
from tocsin.collectors import Facility
from tocsin.collectors._checks import Checks, Entry
from tocsin.core.result import Outcome
from tocsin.core.sample import Reading
from tocsin.core.shape import read
from tocsin.errors import CheckInvalid, Invalid
from tocsin.net import Egress, Net


@asynccontextmanager
async def looking(kind: str, **options: Any) -> AsyncIterator[tuple[Any, asyncio.Event]]:
    """A source as the agent makes it, and what says that it asks for a look."""
    known, woken, clock = collectors.kind(kind), asyncio.Event(), SystemClock()
    async with Net(egress=Egress("private")) as net:
        facility = Facility(net, clock, woken.set, checker(net, clock, "web-1"))
        made: Any = known.source(read(known.options, options), facility)
        try:
            yield made, woken
        finally:
            await made.close()


def states(reading: Reading) -> dict[str, tuple[str, bool | None]]:
    return {s.name: (s.state, s.ok) for s in reading.services}


async def until(made: Any, wanted: Any) -> Reading:
    """Look until the reading is as wanted."""
    async with asyncio.timeout(60):
        while True:
            reading = named(await made.collect())
            if wanted(reading):
                return reading
            await asyncio.sleep(0.05)


async def test_endpoints() -> None:
    async with answering({"/health": "all is well", "/gone": (404, b""), "/slow": "x", "/hangs": None}) as server:
        at = server.url
        endpoints = [
            {
                "url": at + "/health",
                "name": "plain",
                "expected_status": 200,
                "keyword": "well",
                "absent": "broken",
                "retries": 0,
            },
            {"url": at + "/gone", "name": "gone", "retries": 0},
            {"url": at + "/gone", "name": "expected", "expected_status": ["2xx", 404], "retries": 0},
            {"url": at + "/health", "name": "words", "keyword": "nothing", "retries": 0},
            {"url": at + "/slow", "name": "slow", "slow": 1, "retries": 0, "headers": {"X-A": "b"}, "token": "t0ken"},
            {"url": at + "/hangs", "name": "hangs", "timeout": 0.5, "retries": 0},
            {"url": "http://169.254.169.254/", "name": "refused", "retries": 0},
        ]
        async with looking("http", endpoints=endpoints) as (made, woken):
            reading = await until(made, lambda r: len(r.services) == len(endpoints))
            found = states(reading)
            assert found.pop("slow")[0] in ("degraded", "up")  # a loopback may answer within a millisecond
            assert found == {
                "plain": ("up", True), "gone": ("down", False), "expected": ("up", True), "words": ("down", False),
                "hangs": ("down", False), "refused": ("cannot be judged", None),
            }  # fmt: skip
            assert woken.is_set()
            assert reading.values["check.up{name=plain,type=http}"] == 1
            assert reading.values["check.up{name=gone,type=http}"] == 0
            assert reading.values["check.total_ms{name=plain,type=http}"] > 0
            assert "check.up{name=refused,type=http}" not in reading.values
            facts = {s.name: s.facts for s in reading.services}
            assert facts["gone"]["status"] == 404
            assert ("endpoint", "check/gone") in troubles("http", reading)
            assert "t0ken" not in str(reading)
        assert any("Authorization: Bearer t0ken" in head and "X-A: b" in head for head in server.heads)


async def test_a_failure_is_tried_again_and_a_change_is_told_at_once() -> None:
    async with answering({"/": "ok"}) as server:
        one = {"url": server.url + "/", "check_interval": 1, "retries": 1}
        async with looking("http", endpoints=[one]) as (made, woken):
            name = f"127.0.0.1:{server.port}/"
            reading = named(await made.collect())
            assert states(reading) == {name: ("up", True)}
            since = reading.services[0].since
            woken.clear()
            server.routes["/"] = (500, b"")
            await asyncio.wait_for(woken.wait(), 30)
            reading = named(await made.collect())
            assert states(reading) == {name: ("down", False)}
            assert reading.services[0].since > since
            assert "500" in reading.services[0].detail
            woken.clear()
            server.routes["/"] = "ok"
            await asyncio.wait_for(woken.wait(), 30)
            assert states(named(await made.collect())) == {name: ("up", True)}


async def test_a_check_that_broke_is_begun_again() -> None:
    broken, runs = True, 0

    async def check() -> Outcome:
        nonlocal runs
        runs += 1
        if broken:
            raise RuntimeError("a bug")
        return await sound()

    async with answering({"/": "ok"}) as server, looking("http", endpoints=[{"url": server.url + "/"}]) as (made, _):
        sound = made._checks._entries[0].check
        checks = Checks([Entry(name="x", check=check, every_s=0.2)], made._checks._facility, "endpoint", "http")
        try:
            assert (await checks.collect()).trouble == "x: RuntimeError: a bug"
            broken = False
            async with asyncio.timeout(10):
                while not (reading := await checks.collect()).services:
                    await asyncio.sleep(0.05)
            assert (reading.trouble, reading.services[0].ok, runs > 1) == ("", True, True)
        finally:
            await checks.close()


async def test_where_nothing_runs_checks() -> None:
    known = collectors.kind("http")
    options = read(known.options, {"endpoints": [{"url": "http://a.example/"}]})
    with pytest.raises(CheckInvalid):
        known.source(options, Facility(Net(), SystemClock()))


@pytest.mark.parametrize(
    "wrong",
    [
        {"url": "ftp://a"}, {"url": "http://a", "expected_status": 99}, {"url": "http://a", "expected_status": []},
        {"url": "http://a", "headers": {"a b": "c"}}, {"url": "http://a", "token": "a\nb"}, {"url": "http://a", "keywords": "x"},
        {"url": "http://a", "token": "a", "username": "b"},
    ],
)  # fmt: skip
def test_endpoints_are_read_strictly(wrong: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        read(collectors.kind("http").options, {"endpoints": [wrong]})


def test_names_are_their_own() -> None:
    with pytest.raises(Invalid, match="twice"):
        read(collectors.kind("http").options, {"endpoints": [{"url": "http://a/?x=1"}, {"url": "http://a/?x=2"}]})
