"""ping: real echoes on loopback by each way this machine has, and hosts that do not answer."""

# ruff: noqa: E501

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import stat
import sys
from pathlib import Path
from typing import Any

import pytest

from checks.looking import look, why
from tocsin.checks.ping import Target
from tocsin.core.shape import read
from tocsin.errors import Invalid
from tocsin.net import Address, Egress, Net
from tocsin.net.icmp import Icmp, Way, _checksum

FAST: dict[str, Any] = {"spacing_ms": 10, "wait_ms": 300}


def can(way: Way, family: int = socket.AF_INET) -> bool:
    if way == "ping":
        return shutil.which("ping") is not None
    kind = socket.SOCK_RAW if way == "raw" else socket.SOCK_DGRAM
    try:
        socket.socket(family, kind, socket.IPPROTO_ICMP if family == socket.AF_INET else socket.IPPROTO_ICMPV6).close()
    except OSError:
        return False
    return True


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


any_way = pytest.mark.skipif(not (can("raw") or can("dgram") or can("ping")), reason="no way to ping here")


async def with_ways(*ways: Way, **target: Any):
    async with Net(egress=Egress("private")) as net:
        net.icmp = Icmp(net.egress, ways)
        return await look("ping", net=net, timeout_s=3, **target)


@pytest.mark.parametrize("way", ["raw", "dgram", "ping"])
async def test_each_way_says_which_it_is(way: Way):
    if not can(way):
        pytest.skip(f"{way} is not possible here")
    outcome = await with_ways(way, host="127.0.0.1", count=3, spacing_ms=200, wait_ms=1000)
    assert why(outcome) == ("up", "", None), outcome.error
    facts = outcome.seen.facts
    assert (facts["way"], facts["sent"], facts["received"], facts["loss_percent"]) == (way, 3, 3, 0.0)
    assert 0 <= facts["min_ms"] <= facts["avg_ms"] <= facts["max_ms"] < 1000
    assert facts["jitter_ms"] >= 0
    assert outcome.seen.timing.total == pytest.approx(facts["avg_ms"], abs=0.001)


@pytest.mark.skipif(not has_ipv6(), reason="no IPv6 here")
@any_way
async def test_over_ipv6():
    outcome = await look("ping", host="::1", **FAST)
    assert why(outcome) == ("up", "", None), outcome.error


async def test_no_way_at_all_is_no_evidence():
    outcome = await with_ways(host="127.0.0.1", **FAST)
    assert outcome.status == "invalid"


@any_way
async def test_many_at_once_share_one_socket_and_leave_none():
    async with Net(egress=Egress("private")) as net:
        before = len(os.listdir("/proc/self/fd"))
        outcomes = await asyncio.gather(
            *(look("ping", net=net, host=f"127.0.0.{i + 1}", count=2, **FAST) for i in range(60))
        )
        assert {o.status for o in outcomes} == {"up"}
        assert {o.seen.ip for o in outcomes} == {f"127.0.0.{i + 1}" for i in range(60)}
        assert len(os.listdir("/proc/self/fd")) <= before


@any_way
async def test_a_silent_host_is_down_with_timeout(monkeypatch: pytest.MonkeyPatch):
    async with Net(egress=Egress("private")) as net:
        icmp = Icmp(net.egress, ("raw", "dgram"))
        lost = lambda *_: None  # noqa: E731
        opened = icmp._open

        def deaf(family: int) -> Any:
            shared = opened(family)
            if shared is not None:
                monkeypatch.setattr(shared, "_take", lost, raising=False)
            return shared

        if not (can("raw") or can("dgram")):
            pytest.skip("no ICMP socket here")
        monkeypatch.setattr("tocsin.net.icmp._Socket._take", lost)
        net.icmp = icmp
        outcome = await look("ping", net=net, host="127.0.0.1", count=2, spacing_ms=10, wait_ms=100)
    assert why(outcome) == ("down", "timeout", "ttfb")
    assert outcome.seen.facts["loss_percent"] == 100.0
    assert "no reply to 2 packets" in str(outcome.error)


async def test_too_many_lost_packets_degrade(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A `ping` program that loses what we say: real process, real output format."""
    program = tmp_path / "ping"
    program.write_text(
        f"#!{sys.executable}\nprint('64 bytes from 127.0.0.1: icmp_seq=1 ttl=64 time=1.25 ms')\nprint('64 bytes from 127.0.0.1: icmp_seq=3 ttl=64 time=2.75 ms')\n"
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(tmp_path))
    outcome = await with_ways("ping", host="127.0.0.1", count=4, max_loss_percent=25)
    assert why(outcome)[:2] == ("degraded", "timeout")
    assert "50 % of 4 packets lost" in str(outcome.error)
    assert (outcome.seen.facts["avg_ms"], outcome.seen.facts["jitter_ms"]) == (2.0, 1.5)
    fine = await with_ways("ping", host="127.0.0.1", count=4, max_loss_percent=50)
    assert fine.status == "up"
    program.write_text(
        f"#!{sys.executable}\nprint('From 127.0.0.1 Destination Host Unreachable'); raise SystemExit(1)\n"
    )
    gone = await with_ways("ping", host="127.0.0.1")
    assert why(gone)[:2] == ("down", "timeout")
    assert "cannot be reached" in str(gone.error)
    program.write_text(f"#!{sys.executable}\nraise SystemExit('ping: no permission') if 0 else SystemExit(2)\n")
    assert (await with_ways("ping", host="127.0.0.1")).status == "invalid"


async def test_the_egress_guard_applies():
    assert why(await look("ping", host="169.254.169.254", **FAST))[:2] == ("down", "network")
    async with Net(egress=Egress("public")) as net:
        assert why(await look("ping", net=net, host="127.0.0.1", **FAST))[:2] == ("down", "network")
        from tocsin.errors import EgressRefused

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
