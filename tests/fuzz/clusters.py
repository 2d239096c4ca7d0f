"""Parsers between instances: each reads what another one, or whoever took its place, has to say."""

# ruff: noqa: E501

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import msgspec

from builders import an_outcome
from fuzz.parser import Parser, text
from fuzz.pure import given
from tocsin.cluster import api, clocks, disk, peers, proof, results, wire, work
from tocsin.cluster.routes import ROUTES
from tocsin.core.boots import Boots
from tocsin.core.membership import Member, Membership
from tocsin.errors import Denied, Invalid, PeerLost
from tocsin.net.kept import Reply

NOW = datetime(2026, 1, 1, tzinfo=UTC)
KEY = b"k" * 32
ZEROS = "0" * 64
REGISTRATION = f'{{"instanceId":"instance-b","instanceName":"b","location":"b","publicEndpoint":"https://127.0.0.1:3002","systemInfo":{{"cpu":2}},"capabilities":["vote"],"incarnation":"disk-of-b","nonce":"abcdefgh","proof":"{ZEROS}"}}'
HEARTBEAT = '{"instanceId":"instance-b","timestamp":"2026-01-01T00:00:00Z","status":"healthy","uptime":1.5,"systemMetrics":{"cpuUsage":5.0},"connectionStatus":{"primaryReachable":true}}'
APPEND = '{"sender":"instance-a","message":{"type":"append","epoch":1,"stamp":1.5,"prev":{"epoch":1,"index":1},"commit":1,"entries":[{"epoch":1,"index":2,"kind":"rows","payload":"AAAA"}]}}'
READ = (
    wire.Hello,
    wire.Welcome,
    wire.Registration,
    wire.Registered,
    wire.Renewed,
    wire.Heartbeat,
    wire.Said,
    wire.Answer,
    dict[str, str],
)


def _bodies(data: bytes) -> object:
    for kind in READ[:-1]:
        try:
            return wire.read(kind, data)
        except Invalid:
            continue
    return wire.read(READ[-1], data)


def _bodies_hold(value: object) -> None:
    assert isinstance(wire.write(value), bytes)


def _token(data: bytes) -> proof.Claims:
    return proof.claims_of(KEY, text(data), NOW)


def _outcome(data: bytes) -> object:
    return work.outcome_of(data)


def _results(data: bytes) -> object:
    return results.read(data)


def _membership(data: bytes) -> Membership:
    return disk.membership_of(data)


def _refusal(data: bytes) -> Exception:
    return peers.raised(Reply(data[0] if data else 500, {}, data[1:]), "https://a.example")


def _refusal_holds(error: Exception) -> None:
    assert len(str(error)) < 1000


class _Registry:
    """Of a cluster whose key is known here, so that tokens can be good."""

    def signed(self, headers: Any) -> proof.Claims:
        return proof.claims_of(KEY, headers.get("authorization", "").removeprefix("Bearer ").strip(), NOW)

    def must_belong(self, id: str) -> None:
        """Whoever has a token does."""

    async def who(self, headers: Any, may: str) -> proof.Claims:
        return self.signed(headers)


def _requests(data: bytes) -> tuple[int, bytes]:
    """The first line is method and path, further ones headers, and behind an empty line comes the body."""
    head, _, body = data.partition(b"\n\n")
    first, *rest = head.split(b"\n")
    method, _, path = text(first).partition(" ")
    headers = [(n.strip().lower(), v.strip()) for n, _, v in (line.partition(b":") for line in rest)]
    cluster = SimpleNamespace(
        registry=_Registry(),
        me=SimpleNamespace(id="instance-a"),
        boots=Boots(10, 60),
        clock=SimpleNamespace(monotonic=lambda: 0.0),
        folder=Path("/nowhere"),
        role="dependent",
        carrier=SimpleNamespace(node=SimpleNamespace(fence=lambda epoch: None, epoch=1)),
    )
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "scheme": "https",
        "headers": headers,
        "client": ("192.0.2.7", 1),
    }
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(event: dict[str, Any]) -> None:
        sent.append(event)

    asyncio.run(
        api.Api(cast(Any, cluster), tuple(r for r in ROUTES if r.path in ("/health", "/sync/api/snapshot/*/*")))(
            scope, receive, send
        )
    )
    return sent[0]["status"], sent[1]["body"]


def _requests_hold(answer: tuple[int, bytes]) -> None:
    status, body = answer
    assert status in (200, 401, 403, 404, 413), (status, body)
    msgspec.json.decode(body)


def _tokens() -> tuple[bytes, ...]:
    return (proof.token(KEY, "instance-b", ("sync",), NOW)[0].encode(),)


def _memberships() -> tuple[bytes, ...]:
    return (
        disk.membership_bytes(
            Membership(version=3, members=(Member(id="a", incarnation="d", url="https://a.example"),))
        ),
    )


def _asked() -> tuple[bytes, ...]:
    bearer = b"Authorization: Bearer " + _tokens()[0]
    return (
        b"GET /health\nAccept: */*\n\n",
        b"GET /sync/api/snapshot/abc/0\n" + bearer + b"\n\n{}",
        b"PUT /health\nContent-Length: 99999999\n\n{}",
    )


PARSERS = (
    Parser(
        name="bodies of the sync API", files=("cluster/wire.py",), read=_bodies, allowed=(Invalid,), holds=_bodies_hold,
        examples=given(
            REGISTRATION, HEARTBEAT, APPEND, '{"nonce":"abcdefgh","wire":1}', f'{{"nonce":"abcdefgh","proof":"{ZEROS}"}}',
            '{"message":{"type":"voted","epoch":1,"asked":2,"granted":true,"incarnation":"d"}}', '{"instanceId":"instance-b"}',
        ),
    ),
    Parser(name="tokens of instances", files=("cluster/proof.py",), read=_token, allowed=(Denied,), examples=_tokens),
    Parser(name="results of an instance", files=("cluster/results.py",), read=_results, allowed=(Invalid,), examples=lambda: (results.write(results.Exchange()),)),
    Parser(
        name="outcomes of an instance", files=("cluster/work.py",), read=_outcome, allowed=(PeerLost,),
        examples=lambda: (msgspec.msgpack.encode(an_outcome("up", at=NOW)),),
    ),
    Parser(
        name="clocks of instances", files=("cluster/clocks.py",), read=lambda data: clocks.off_s(text(data), NOW),
        examples=given("2026-01-01T01:00:00Z", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "2026-01-01"),
    ),
    Parser(name="memberships", files=("cluster/disk.py",), read=_membership, allowed=(Invalid,), examples=_memberships),
    Parser(
        name="refusals between instances", files=("cluster/peers.py",), read=_refusal, holds=_refusal_holds,
        examples=given('\x00{"detail":"no","epoch":3,"primary":"https://a.example"}'),
    ),
    Parser(name="requests to the sync API", files=("cluster/api.py",), read=_requests, holds=_requests_hold, examples=_asked, slow=True),
)  # fmt: skip
