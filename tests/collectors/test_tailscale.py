"""What tailscaled answers, written from the source of Tailscale (ipn/ipnstate, version 1.80), over a real socket."""

# ruff: noqa: E501

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from builders import START, FakeClock
from collectors.answering import Answering, answering
from collectors.looking import named, source, troubles
from tocsin.core.sample import Reading
from tocsin.net import Egress, Net

DAY = START.isoformat().replace("+00:00", "Z")


def peer(name: str, **more: Any) -> dict[str, Any]:
    whole = {
        "ID": "n1", "HostName": name.upper(), "DNSName": f"{name}.tail1234.ts.net.", "OS": "linux", "TailscaleIPs": ["100.64.0.2"], "CurAddr": "203.0.113.5:41641",
        "Relay": "fra", "RxBytes": 1000, "TxBytes": 2000, "LastSeen": "0001-01-01T00:00:00Z", "LastHandshake": DAY, "Online": True, "ExitNode": False, "Active": True,
    }  # fmt: skip
    return whole | more


def status(*peers: dict[str, Any], **more: Any) -> dict[str, Any]:
    own = {
        "HostName": "web-1",
        "DNSName": "web-1.tail1234.ts.net.",
        "Online": True,
        "TailscaleIPs": ["100.64.0.1"],
        "KeyExpiry": START.replace(year=START.year + 1).isoformat(),
    }
    whole = {
        "Version": "1.80.0-t1",
        "BackendState": "Running",
        "AuthURL": "",
        "Self": own,
        "Health": [],
        "CurrentTailnet": {"Name": "a@example.org"},
    }
    return whole | {"Peer": {f"nodekey:{i}": one for i, one in enumerate(peers)} or None} | more


@asynccontextmanager
async def tailscaled(tmp_path: Path, told: Any, **options: Any) -> AsyncIterator[tuple[Any, FakeClock, Answering]]:
    clock = FakeClock()
    async with answering({"/localapi/v0/status": told}, tmp_path / "s") as server, Net(egress=Egress("private")) as net:
        made = source("tailscale", net=net, clock=clock, socket=str(tmp_path / "s"), **options)
        yield made, clock, server
        await made.close()


def states(reading: Reading) -> dict[str, tuple[str, bool | None]]:
    return {f"{s.kind}/{s.name}": (s.state, s.ok) for s in reading.services}


async def test_a_host_and_its_peers(tmp_path: Path) -> None:
    peers = (
        peer("db"),
        peer("phone", Online=False, LastHandshake="0001-01-01T00:00:00Z", RxBytes=0, TxBytes=0),
        peer("nas", CurAddr="", Online=False),
    )
    async with tailscaled(tmp_path, status(*peers), peers=["db", "n*", "gone"]) as (made, clock, server):
        await made.collect()
        server.routes["/localapi/v0/status"] = status(peer("db", RxBytes=11_000), *peers[1:])
        await clock.advance(10, step=10)
        reading = named(await made.collect())
    assert states(reading) == {
        "tailscale/tailscale": ("Running", True), "peer/db": ("online", True), "peer/phone": ("offline", None), "peer/nas": ("offline", False), "peer/gone": ("not there", False),
    }  # fmt: skip
    assert reading.values["peer.received_bytes_per_s{peer=db}"] == 1000
    assert reading.values["peer.sent_bytes_per_s{peer=db}"] == 0
    assert reading.values["peer.handshake_age_s{peer=db}"] == 10
    assert (reading.values["tailscale.peers"], reading.values["tailscale.peers_online"]) == (3, 1)
    assert "peer.handshake_age_s{peer=phone}" not in reading.values
    facts = {s.name: s.facts for s in reading.services}
    assert (facts["db"]["way"], facts["nas"]["way"]) == ("direct", "relay fra")
    assert troubles("tailscale", reading) == {("peer", "peer/nas"), ("peer", "peer/gone")}
    assert "Host: local-tailscaled.sock" in server.heads[0]


async def test_what_can_be_wrong(tmp_path: Path) -> None:
    async with tailscaled(tmp_path, {}, timeout=0.5) as (made, _, server):
        for told, seen in (
            (status(BackendState="NeedsLogin", Health=["you are logged out"]), ("NeedsLogin", False)),
            (status(BackendState="Stopped"), ("Stopped", False)),
            (status(Self={"Online": False}), ("Running, not connected", False)),
            (status() | {"Self": None, "Peer": None}, ("Running", True)),
            ((403, b"access denied"), ("not answering", False)),
            (b"<html>", ("not answering", False)),
            ([], ("not answering", False)),
            (None, ("not answering", False)),
        ):
            server.routes["/localapi/v0/status"] = told
            reading = named(await made.collect())
            assert states(reading)["tailscale/tailscale"] == seen
            assert (("connected", "tailscale/tailscale") in troubles("tailscale", reading)) is (seen[1] is False)
        expires = {"Online": True, "KeyExpiry": START.isoformat()}
        server.routes["/localapi/v0/status"] = status(
            peer("exit", ExitNode=True), Self=expires, ExitNodeStatus={"Online": False}
        )
        reading = named(await made.collect())
        assert troubles("tailscale", reading) == {("exit_node", "exit_node/exit"), ("key", "tailscale.key_expires_s")}
