"""ping: real echoes on loopback by each way this machine has, and hosts that do not answer."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
import sys
from pathlib import Path
from typing import Any

import pytest

from builders import until
from checks.looking import look, why
from namespace import alone, echoes_heard, setting
from needs import program, require
from tocsin import checks
from tocsin.checks.ping import Target
from tocsin.core.result import Outcome
from tocsin.core.shape import fields, read
from tocsin.errors import EgressRefused, Invalid
from tocsin.net import Address, Egress, Net
from tocsin.net.icmp import Icmp, Way, _checksum

FAST: dict[str, Any] = {"spacing_ms": 10, "wait_ms": 300}


def wrong_fields(type_: str, **data: Any) -> set[str]:
    try:
        read(checks.kind(type_).target, data)
    except Invalid as error:
        return {problem.field for problem in error.problems}
    return set()


WITH_A_HOST = [name for name in checks.names() if any(f.name == "host" for f in fields(checks.kind(name).target))]


@pytest.mark.parametrize("type_", WITH_A_HOST)
def test_what_can_be_no_host_is_refused_by_every_check_type_that_has_one(type_: str) -> None:
    for host in ("http://example.org", "127.0.0.1:80", "a b", "a/b", "x" * 64, "a..b"):
        assert "host" in wrong_fields(type_, host=host), host
    for host in ("127.1", "::1", "[::1]", "bücher.example", "a_b.example.", "localhost"):
        assert "host" not in wrong_fields(type_, host=host), host


WAYS: list[Way] = ["raw", "dgram", "ping"]
DEAF = "echo 1 > /proc/sys/net/ipv4/icmp_echo_ignore_all"
ANYBODY = "echo '0 2147483647' > /proc/sys/net/ipv4/ping_group_range"  # who may open a datagram ICMP socket


async def with_ways(*ways: Way, **target: Any):
    async with Net(egress=Egress("private")) as net:
        net.icmp = Icmp(net.egress, ways)
        return await look("ping", net=net, timeout_s=3, **target)


def pinged(way: Way, *commands: str, **target: Any) -> Outcome:
    """One check by that way, in a network of its own."""
    if way == "ping":
        program("ping")
    return alone(lambda: with_ways(way, **target), ANYBODY, *commands)


@pytest.mark.parametrize("way", WAYS)
def test_each_way_says_which_it_is(way: Way):
    outcome = pinged(way, host="127.0.0.1", count=3, spacing_ms=200, wait_ms=1000)
    assert why(outcome) == ("up", "", None), outcome.error
    facts = outcome.seen.facts
    assert (facts["way"], facts["sent"], facts["received"], facts["loss_percent"]) == (way, 3, 3, 0.0)
    assert 0 <= facts["min_ms"] <= facts["avg_ms"] <= facts["max_ms"] < 1000
    assert facts["jitter_ms"] >= 0
    timing = outcome.seen.timing
    assert timing.ttfb == pytest.approx(facts["avg_ms"], abs=0.001)
    assert timing.total == pytest.approx((timing.dns or 0) + facts["avg_ms"], abs=0.001)


@pytest.mark.parametrize("way", WAYS)
def test_over_ipv6(way: Way):
    require("IPv6", Path("/proc/net/if_inet6").exists())
    outcome = pinged(way, host="::1", **FAST)
    assert why(outcome) == ("up", "", None), outcome.error
    assert outcome.seen.facts["way"] == way


async def test_no_way_at_all_is_no_evidence():
    outcome = await with_ways(host="127.0.0.1", **FAST)
    assert outcome.status == "invalid"


async def test_many_at_once_share_one_socket_and_leave_none():
    async with Net(egress=Egress("private")) as net:
        before = len(os.listdir("/proc/self/fd"))
        outcomes = await asyncio.gather(
            *(look("ping", net=net, host=f"127.0.0.{i + 1}", count=2, **FAST) for i in range(60))
        )
        assert {o.status for o in outcomes} == {"up"}
        assert {o.seen.ip for o in outcomes} == {f"127.0.0.{i + 1}" for i in range(60)}
        assert len(os.listdir("/proc/self/fd")) <= before


@pytest.mark.parametrize("way", WAYS)
def test_a_silent_host_is_down_with_timeout(way: Way):
    outcome = pinged(way, DEAF, host="127.0.0.1", count=2, spacing_ms=10, wait_ms=100)
    assert why(outcome) == ("down", "timeout", "ttfb")
    assert outcome.seen.facts["loss_percent"] == 100.0
    assert "no reply to 2 packets" in str(outcome.error)


@pytest.mark.parametrize(
    ("way", "most", "status"),
    [("raw", 25, "degraded"), ("dgram", 25, "degraded"), ("ping", 25, "degraded"), ("raw", 50, "up")],
)
def test_too_many_lost_packets_degrade(way: Way, most: int, status: str):
    """The host goes silent after the second of four packets."""

    async def work() -> Outcome:
        checking = asyncio.ensure_future(
            with_ways(way, host="127.0.0.1", count=4, spacing_ms=250, wait_ms=300, max_loss_percent=most)
        )
        await until(lambda: echoes_heard() == 2)
        setting("net.ipv4.icmp_echo_ignore_all", "1")
        return await checking

    outcome = alone(work, ANYBODY)
    facts = outcome.seen.facts
    assert (facts["sent"], facts["received"], facts["loss_percent"], facts["way"]) == (4, 2, 50.0, way)
    assert outcome.status == status
    if status == "degraded":
        assert why(outcome)[:2] == ("degraded", "timeout")
        assert "50 % of 4 packets lost" in str(outcome.error)


@pytest.mark.parametrize("way", WAYS)
def test_a_router_that_knows_no_way_there(way: Way):
    """Nobody answers to ARP on that wire, and the kernel says so: host unreachable."""
    wire = """ip link add here type veth peer name there
        ip address add 192.0.2.1/24 dev here; ip link set there up arp off; ip link set here up
        echo 50 > /proc/sys/net/ipv4/neigh/here/retrans_time_ms; echo 1 > /proc/sys/net/ipv4/neigh/here/mcast_solicit"""
    outcome = pinged(way, wire, host="192.0.2.9", count=2, spacing_ms=200, wait_ms=500)
    assert why(outcome)[:2] == ("down", "timeout")
    told = way != "dgram"  # a datagram socket hears nothing of routers
    assert ("cannot be reached" in str(outcome.error)) == told


async def test_a_ping_program_that_fails_is_no_evidence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    ours = tmp_path / "ping"
    ours.write_text(f"#!{sys.executable}\nimport sys\nsys.exit(2)\n")
    ours.chmod(ours.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert (await with_ways("ping", host="127.0.0.1")).status == "invalid"


async def test_the_egress_guard_applies():
    assert why(await look("ping", host="169.254.169.254", **FAST))[:2] == ("invalid", "network")
    async with Net(egress=Egress("public")) as net:
        assert why(await look("ping", net=net, host="127.0.0.1", **FAST))[:2] == ("invalid", "network")
        with pytest.raises(EgressRefused):
            await net.icmp.ping(Address("10.0.0.1", 0, socket.AF_INET), count=1, spacing_s=0, wait_s=0.1, size=8)


async def test_an_unknown_name():
    assert why(await look("ping", host="no-such-host.invalid", **FAST))[:2] == ("down", "dns")


def test_the_checksum_of_the_rfc():
    assert _checksum(bytes.fromhex("0001f203f4f5f6f7")) == 0x220D  # RFC 1071, section 3
    assert _checksum(b"\xff") == 0x00FF


@pytest.mark.parametrize(
    "data", [{"count": 0}, {"count": 21}, {"count": "3"}, {"size": 4}, {"ip_version": 5}, {"host": ""}]
)
def test_targets_that_are_refused(data: dict[str, Any]):
    with pytest.raises(Invalid):
        read(Target, {"host": "a", **data})
