"""Parsers between server and probe: each reads what the other, or whoever took its place, has to say."""

# ruff: noqa: E501

from __future__ import annotations

import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from fuzz.parser import Parser, text
from fuzz.pure import given
from tocsin.checks import Order
from tocsin.core.plain import loads
from tocsin.core.result import Outcome
from tocsin.errors import Invalid, PeerLost, SettingsError
from tocsin.net.kept import Reply, _Parse
from tocsin.probe import api, client, enrol, joining, pull, wire, work
from tocsin.probe.answer import sound

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ORDER = '{"jobId": "j", "monitorId": 5, "monitorType": "tcp", "config": {"host": "127.0.0.1", "port": 1}, "validationRules": [{"type": "response_time_ms", "op": "lt", "value": 5}], "timeoutMs": 1000, "scheduledAt": "2026-01-01T00:00:00Z", "attempt": 1}'
OUTCOME = '{"type":"tcp","target":"127.0.0.1:1","status":"down","error":{"type":"connection_refused","message":"refused","phase":"connect"},"started_at":"2026-01-01T00:00:00Z","location":"x","seen":{"timing":{"dns":0.1,"total":0.2},"ip":"127.0.0.1","headers":[["a","b"]],"body":"aGVsbG8=","facts":{"a":[1]}},"assertions":[{"type":"body","ok":false,"expected":1,"actual":null}]}'
ANSWER = f'{{"jobId":"j","region":"x","status":"failure","responseTimeMs":0.2,"headers":{{"a":"b"}},"timing":{{"dnsMs":0.1}},"error":{{"message":"refused","type":"connection_refused"}},"monitorId":"m","scheduledAt":"2026-01-01T00:00:00Z","tookMs":3.5,"outcome":{OUTCOME}}}'
HEALTH = '{"status":"ok","version":"1","types":["http"],"uptimeS":1.0,"trouble":null}'


def _order(data: bytes) -> Order:
    return work.order_of(wire.read_execute(loads(data)), "here")


def _order_holds(order: Order) -> None:
    assert 0.05 <= order.timeout_s <= 300
    assert order.type in work.types_here()


def _answer(data: bytes) -> Outcome:
    return sound(wire.read_answer(data), NOW, 5.0)


def _answer_holds(outcome: Outcome) -> None:
    assert outcome.started_at <= NOW
    assert outcome.started_at > NOW - timedelta(days=1)
    assert (outcome.error is None) == (outcome.status == "up") or outcome.status == "degraded"
    if outcome.error is not None:
        assert outcome.error.message.isprintable()
        assert len(outcome.error.message) <= wire.MOST_TEXT + 1
    assert len(outcome.seen.body) <= wire.MOST_BODY
    assert all(v is None or 0 <= v <= 3_600_000 for v in msgspec.structs.astuple(outcome.seen.timing))


def _messages(data: bytes) -> object:
    try:
        return wire.read_from_probe(data)
    except Invalid:
        return wire.read_to_probe(data)


def _joins(data: bytes) -> object:
    said = text(data)
    for read in (enrol.split_join, enrol.pin_of):
        try:
            return read(said)
        except Invalid:
            continue
    try:
        return enrol.read_offer(data)
    except Invalid:
        return enrol.read_enrolled(data)


def _membership(data: bytes) -> object:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / joining.FILE
        file.write_bytes(data)
        file.chmod(0o600)
        return joining.read_membership(Path(folder))


def _reply(data: bytes) -> Reply:
    answer = _Parse(4096)
    for at in range(0, len(data), 700):
        if not answer.feed(data[at : at + 700]):
            break
    return answer.whole(ended=True)


def _reply_holds(reply: Reply) -> None:
    assert len(reply.body) <= 4096
    assert reply.status >= 0


def _refusals(data: bytes) -> tuple[str, str, str]:
    reply = Reply(422, {}, data)
    return client._detail(reply), joining._why(reply, "here"), pull._primary_of(data)


def _refusals_hold(said: tuple[str, str, str]) -> None:
    assert said[0].isprintable()
    assert said[1].isprintable()
    assert len(said[0]) <= 301


PARSERS = (
    Parser(name="orders to a probe", files=("probe/api.py", "probe/wire.py"), read=_order, allowed=(Invalid,), examples=given(ORDER), holds=_order_holds),
    Parser(name="answers of a probe", files=("probe/wire.py",), read=_answer, allowed=(Invalid,), examples=given(ANSWER), holds=_answer_holds),
    Parser(
        name="messages of a link", files=("probe/wire.py",), read=_messages, allowed=(Invalid,),
        examples=given(
            f'{{"type":"hello","health":{HEALTH},"wire":1}}', f'{{"type":"result","answer":{ANSWER},"ageMs":5}}',
            f'{{"type":"job","job":{ORDER}}}', '{"type":"taken","jobIds":["a","b"]}', '{"type":"key","key":"k"}',
            '{"type":"welcome","location":"x","urls":["https://a.example"],"heartbeatS":10}', '{"type":"moved","primary":"https://b.example"}',
            '{"type":"refused","jobId":"j","kind":"busy","message":"m"}',
        ),
    ),
    Parser(
        name="joining", files=("probe/enrol.py",), read=_joins, allowed=(Invalid,),
        examples=given(
            "https://watch.example.org#a1b2", "a" * 64, ":".join(["ab"] * 32), '{"token":"t","name":"n","version":"1","types":["http"],"fingerprint":null}',
            '{"probe_id":"p","location":"x","key":"k","urls":["https://a.example"]}',
        ),
    ),
    Parser(
        name="what joining left", files=("probe/joining.py",), read=_membership, allowed=(SettingsError,),
        examples=given('{"enrolled":{"probe_id":"p","location":"x","key":"k","urls":["https://a.example"]},"token_sha256":"00"}'),
    ),
    Parser(
        name="answers over kept connections", files=("net/kept.py",), read=_reply, allowed=(PeerLost,), holds=_reply_holds,
        examples=given(
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 401 No\r\nConnection: close\r\n\r\nbody",
        ),
    ),
    Parser(
        name="refusals between server and probe", files=("probe/client.py", "probe/joining.py", "probe/pull.py"), read=_refusals, holds=_refusals_hold,
        examples=given('{"detail":"no","errors":[{"field":"a","expected":"b","found":"c"}]}', '{"primary":"https://a.example"}'),
    ),
    Parser(name="who may ask a probe", files=("probe/api.py",), read=lambda data: api.read_allow(text(data)), allowed=(SettingsError,), examples=given("10.0.0.0/8, ::1,192.0.2.7")),
)  # fmt: skip
