"""Parsers that read from a wire: whole checks against a real server on loopback that says the input, whatever it was asked.

An input is all that the server says in one conversation. A check sees something that can be told, or CheckFailed says why
not; nothing else comes out of it.
"""

# ruff: noqa: E501, PT017 (what is refused has to be looked at, too)

from __future__ import annotations

import base64
import hashlib
import json
import re
import socket
import struct
from collections.abc import Callable
from typing import Any

import msgspec

from fuzz.line import line
from fuzz.parser import Parser, Read
from fuzz.pure import given
from tocsin.checks import _usm, dns, grpc, mqtt
from tocsin.checks.dns import Target as DnsTarget
from tocsin.core import ber, kafka, snmp
from tocsin.core.ber import BrokenBer
from tocsin.core.plain import check_plain
from tocsin.core.result import Observation
from tocsin.errors import CheckFailed, EgressRefused, Problem
from tocsin.net import Egress, icmp, resp, smtp, starttls
from tocsin.net.icmp import Icmp

Make = Callable[[], bytes]


def _told(seen: object) -> None:
    """What was seen can be kept and sent."""
    assert isinstance(seen, Observation)
    problems: list[Problem] = []
    check_plain(json.loads(msgspec.json.encode(seen.facts)), "", problems)
    assert problems == []
    assert len(msgspec.json.encode(seen.facts)) < 200_000


def _check(kind: str, **target: Any) -> Read:
    """Run a check of this type against the server, and hold what it saw to what can be told."""

    def looked(data: bytes) -> object:
        place = {} if kind in ("http", "docker", "websocket") else {"host": "127.0.0.1", "port": line().port}
        more = {
            name: value.replace("PORT", str(line().port)) if isinstance(value, str) else value
            for name, value in target.items()
        }
        seen = line().check(kind, data, **place, **more)
        _told(seen)
        return seen

    return looked


def _parser(
    name: str,
    files: tuple[str, ...],
    read_: Read,
    *examples: bytes | Make,
    refused: tuple[type[Exception], ...] = (),
    ends: str = "",
) -> Parser:
    def made() -> tuple[bytes, ...]:
        return tuple(e if isinstance(e, bytes) else e() for e in examples)

    return Parser(
        name=name, files=files, read=read_, allowed=(CheckFailed, *refused), examples=made, slow=True, ends=ends
    )


# --- the answers of good servers, all of one conversation in a row ---


def _framed(number: int, body: bytes) -> bytes:
    return len(body).to_bytes(3, "little") + bytes([number]) + body


def _mysql(plugin: bytes, *after: bytes) -> bytes:
    offered = 0x200 | 0x8000 | 8 | 0x2000 | 0x80000
    greeting = (
        b"\x0a8.0.36\0" + bytes(4) + b"a" * 8 + b"\0" + struct.pack("<HBHH", offered & 0xFFFF, 45, 2, offered >> 16)
    )
    greeting += bytes([21]) + bytes(10) + b"b" * 12 + b"\0" + plugin + b"\0"
    ok, end = b"\0\0\0\2\0\0\0", b"\xfe\0\0\2\0"
    rows = (
        _framed(1, b"\1") + _framed(2, b"\3def" + bytes(20)) + _framed(3, end) + _framed(4, b"\0011") + _framed(5, end)
    )
    return _framed(0, greeting) + b"".join(after or (_framed(2, ok),)) + rows + _framed(1, ok) * 3 + rows


def _pg(kind: bytes, body: bytes) -> bytes:
    return kind + (len(body) + 4).to_bytes(4, "big") + body


_READY = _pg(b"Z", b"I")
_PG_ROW = _pg(b"1", b"") + _pg(b"2", b"") + _pg(b"D", b"\0\1\0\0\0\0011") + _pg(b"C", b"SELECT 1\0") + _READY
_POSTGRES = _pg(b"R", bytes(4)) + _pg(b"S", b"server_version\x0016.1\0") + _READY + _pg(b"C", b"SET\0") + _READY
_PG_ERROR = _pg(b"E", b"SERROR\0VFATAL\0C28P01\0Mno such user\0\0")


def _mongo(number: int, document: dict[str, Any]) -> bytes:
    import bson

    body = bytes(5) + bson.encode(document)
    return struct.pack("<iiii", 16 + len(body), 99, number, 2013) + body


def _mongo_talk() -> bytes:
    told = {
        "ok": 1.0,
        "isWritablePrimary": True,
        "setName": "rs0",
        "primary": "a:1",
        "saslSupportedMechs": ["SCRAM-SHA-256"],
    }
    return _mongo(1, told) + _mongo(2, {"ok": 1}) + _mongo(3, {"ok": 1, "version": "7.0.1"})


def _mongo_refusal() -> bytes:
    no = {"ok": 0.0, "code": 59, "codeName": "CommandNotFound", "errmsg": "no such command"}
    return (
        _mongo(1, no)
        + _mongo(2, {"ok": 1.0, "ismaster": True, "msg": "isdbgrid"})
        + _mongo(3, {"ok": 0, "errmsg": "no"})
    )


def _mongo_sign_in() -> bytes:
    """The server's nonce cannot continue ours, so this is where it ends."""
    return _mongo(1, {"ok": 1}) + _mongo(
        2, {"ok": 1, "conversationId": 1, "payload": b"r=x,s=QQ==,i=4096", "done": False}
    )


def _ldap(number: int, operation: bytes) -> bytes:
    return ber.encode(ber.SEQUENCE, ber.integer(number), operation)


def _result(tag: int, code: int = 0) -> bytes:
    return ber.encode(tag, ber.integer(code, ber.ENUMERATED), ber.octets(""), ber.octets("said"))


def _entry() -> bytes:
    values = ber.encode(ber.SET, ber.octets("dc=example"), ber.octets("dc=other"))
    attributes = ber.encode(ber.SEQUENCE, ber.encode(ber.SEQUENCE, ber.octets("namingContexts"), values))
    return ber.encode(0x64, ber.octets("cn=a"), attributes)


_LDAP_ROOT = _ldap(2, _entry()) + _ldap(2, _result(0x65))
_LDAP = (
    _ldap(2, _result(0x61))
    + _ldap(3, _entry())
    + _ldap(3, ber.encode(0x73, ber.octets("ldap://x")))
    + _ldap(3, _result(0x65))
)


def _amqp(frame: Any, channel: int) -> bytes:
    from pamqp import frame as frames

    return frames.marshal(frame, channel)


def _rabbit(*, queue: str = "amq.gen-1") -> bytes:
    from pamqp import body, commands, header

    start = commands.Connection.Start(
        0, 9, {"product": "RabbitMQ", "capabilities": {"a": True}, "version": "3.13"}, "PLAIN AMQPLAIN", "en_US"
    )
    signed_in = (
        (start, 0),
        (commands.Connection.Tune(2047, 131072, 60), 0),
        (commands.Connection.OpenOk(), 0),
        (commands.Channel.OpenOk(), 1),
    )
    named = commands.Queue.DeclareOk(queue, 3, 1)
    back = (
        commands.Basic.GetOk(1, False, "", queue, 0),
        header.ContentHeader(0, 32, commands.Basic.Properties()),
        body.ContentBody(b"0" * 32),
    )
    rest = [(f, 1) for f in (named, *back)] + [(commands.Connection.CloseOk(), 0)]
    return b"".join(_amqp(f, channel) for f, channel in (*signed_in, *rest))


def _rabbit_refusal() -> bytes:
    from pamqp import commands

    return _rabbit()[:400] + _amqp(commands.Connection.Close(403, "ACCESS_REFUSED", 10, 11), 0)


_VERSIONS = b"".join(struct.pack(">hhh", api, 0, 12) for api in (0, 1, 2, 3, 9, 10, 17, 18, 36))


def _kafka(*answers: bytes) -> bytes:
    first = struct.pack(">hi", 0, 9) + _VERSIONS
    return b"".join(struct.pack(">ii", len(a) + 4, n) + a for n, a in enumerate((first, *answers), 1))


def _metadata() -> bytes:
    broker = struct.pack(">i", 1) + kafka.text("127.0.0.1") + struct.pack(">ih", line().port, -1)
    partition = struct.pack(">hiiiiii", 0, 0, 1, 1, 1, 1, 1)
    return (
        bytes(4)
        + kafka.array([broker])
        + struct.pack(">hiih", -1, 1, 1, 0)
        + kafka.text("checks")
        + b"\0"
        + kafka.array([partition])
    )


def _of_topic(row: bytes) -> bytes:
    return kafka.array([kafka.text("checks") + kafka.array([row])])


def _produced() -> bytes:
    return _of_topic(struct.pack(">ihqq", 0, 0, 5, -1)) + bytes(4)


def _fetched(offset: int, value: bytes) -> bytes:
    batch = kafka.record_batch(b"k", value, 5)
    batch = struct.pack(">q", offset) + batch[8:]
    return bytes(4) + _of_topic(struct.pack(">ihqqi", 0, 0, 6, 6, -1) + kafka.blob(batch))


def _kafka_written() -> bytes:
    return _kafka(_metadata(), _produced())


def _kafka_read() -> bytes:
    ends = _of_topic(struct.pack(">ihqq", 0, 0, -1, 6))
    return _kafka(_metadata(), ends, _of_topic(struct.pack(">ihqq", 0, 0, -1, 0)), _fetched(5, b"x"))


def _kafka_lag() -> bytes:
    ends = _of_topic(struct.pack(">ihqq", 0, 0, -1, 6))
    coordinator = struct.pack(">ihhi", 0, 0, -1, 1) + kafka.text("127.0.0.1") + struct.pack(">i", line().port)
    committed = _of_topic(struct.pack(">iqhh", 0, 3, -1, 0)) + bytes(2)
    first = _of_topic(struct.pack(">ihqq", 0, 0, -1, 0))
    return _kafka(_metadata(), ends, first, _fetched(5, b"x"), coordinator, committed, ends)


def _kafka_signed_in() -> bytes:
    offered = bytes(2) + kafka.array([kafka.text("PLAIN"), kafka.text("SCRAM-SHA-256")])
    return _kafka(offered, struct.pack(">hh", 0, -1) + kafka.blob(b""), _metadata(), _produced())


def _mqtt(kind: int, body: bytes, flags: int = 0) -> bytes:
    return bytes([kind << 4 | flags]) + mqtt._varint(len(body)) + body


_MQTT = _mqtt(2, b"\0\0") + _mqtt(13, b"")
_MQTT_TOPIC = (
    _mqtt(2, b"\1\0\0")
    + _mqtt(9, b"\0\1\0\1")
    + _mqtt(3, b"\0\3a/b\0\7\0other", 2)
    + _mqtt(4, b"\0\2\0")
    + _mqtt(14, b"\x8b")
)
_INFO = b"# Server\r\nredis_version:7.2.4\r\nrole:slave\r\nmaster_link_status:down\r\nused_memory:1024\r\nx:y\r\n"
_REDIS = b"+OK\r\n+OK\r\n+PONG\r\n$%d\r\n%b\r\n:1\r\n" % (len(_INFO), _INFO)
_RESP = (
    b"*3\r\n:1\r\n$-1\r\n$2\r\nab\r\n", b"%1\r\n+a\r\n,1.5\r\n", b">1\r\n+m\r\n|1\r\n+a\r\n#t\r\n=5\r\ntxt:a\r\n", b"!5\r\nERR a\r\n", b"~2\r\n_\r\n(123\r\n",
)  # fmt: skip
_SMTP = b"220-mail\r\n220 ready\r\n250-mail\r\n250-AUTH PLAIN LOGIN\r\n250 STARTTLS\r\n235 in\r\n221 bye\r\n"
_SMTP_LOGIN = b"220 ready\r\n250-mail\r\n250 AUTH LOGIN\r\n334 VXNlcg==\r\n334 UGFzcw==\r\n535 no\r\n"
_STARTTLS = {
    "smtp": b"220 a\r\n250-a\r\n250 STARTTLS\r\n220 go\r\n", "imap": b"* OK hi\r\n* CAPABILITY X\r\nt1 OK go\r\n", "pop3": b"+OK hi\r\n+OK go\r\n",
    "postgres": b"S", "ldap": ber.encode(ber.SEQUENCE, ber.integer(1), _result(0x78)),
}  # fmt: skip


def _resp(data: bytes) -> object:
    return line().hear(data, lambda connection: resp.command(connection, "INFO"))


def _smtp_reply(data: bytes) -> object:
    reply = line().hear(data, smtp.reply)
    assert 0 <= reply.code <= 999
    assert reply.text.isprintable()
    return reply


def _start(protocol: str) -> Read:
    return lambda data: line().hear(data, lambda connection: starttls.ask(connection, protocol))


# --- protocols whose answers depend on what was asked ---


def _upgraded(says: bytes, asked: bytes) -> bytes:
    key = re.search(rb"Sec-WebSocket-Key: (\S+)", asked)
    sum_ = hashlib.sha1((key[1] if key else b"") + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
    return says.replace(b"ACCEPT", base64.b64encode(sum_))


def _websocket(send: str | None) -> Read:
    def looked(data: bytes) -> object:
        seen = line().check(
            "websocket",
            data,
            after=_upgraded,
            url=f"ws://127.0.0.1:{line().port}/",
            send=send,
            expect=send and "a.c",
            subprotocol="chat",
        )
        _told(seen)
        return seen

    return looked


_OPEN = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ACCEPT\r\nSec-WebSocket-Protocol: chat\r\n\r\n"
_FRAMES = b"\x89\1x\x81\3xyz\1\2ab\x80\1c\x88\2\3\xe8"


_DNS = DnsTarget(name="example.org", server="127.0.0.1", record_type="TXT", expect=("a",), expect_mode="subset")


def _dns(data: bytes) -> object:
    """An answer, its number left out."""
    exchange = dns._Exchange(_DNS, None, "127.0.0.1", 53)  # pyright: ignore[reportArgumentType]
    message = exchange._read(exchange.number + data)
    seen = dns._seen(_DNS, message, exchange)
    _told(seen)
    dns._require(_DNS, message, seen)
    return seen


def _dns_answers() -> tuple[bytes, ...]:
    import dns.message
    import dns.rrset

    asked = dns.message.make_query("example.org", "TXT", want_dnssec=True)
    made: list[bytes] = []
    for rows in (
        ("TXT", '"a"', '"b" "c"'),
        ("CNAME", "a.example."),
        ("SOA", "a. b. 5 1 1 1 1"),
        ("CAA", '0 issue "x"'),
        ("SRV", "0 0 1 a."),
    ):
        answer = dns.message.make_response(asked)
        answer.answer.append(dns.rrset.from_text("example.org.", 60, "IN", *rows))
        made.append(answer.to_wire()[2:])
    return tuple(made)


def _usm_security(privacy: str) -> _usm.Security:
    made = _usm.Security(user="u", authentication="sha1", privacy=privacy, engine=_usm.Engine(b"engine id", 3, 1000))
    made._auth_key, made._privacy_key = b"k" * 20, b"p" * 20
    return made


_SECURE = {privacy: _usm_security(privacy) for privacy in ("aes", "des")}


def _usm_open(data: bytes) -> object:
    """An answer by version 3. To get past the check of its digest, that is set anew where there is a place for it."""
    found: list[object] = []
    for privacy, security in _SECURE.items():
        security.engine = _usm.Engine(b"engine id", 3, 1000)
        for wire in (data, _signed(security, data)):
            try:
                found.append(snmp.read_pdu(security.open(wire, 7)))
            except BrokenBer as broken:
                assert str(broken), privacy
    if not found:
        raise BrokenBer("neither way")
    return found


def _signed(security: _usm.Security, wire: bytes) -> bytes:
    try:
        end = _usm._end_of_digest(wire)
    except (BrokenBer, IndexError):
        return wire
    if end < 12:
        return wire
    zeroed = wire[: end - 12] + bytes(12) + wire[end:]
    return wire[: end - 12] + security._digest(zeroed) + wire[end:]


def _usm_answers() -> tuple[bytes, ...]:
    pair = ber.encode(ber.SEQUENCE, ber.oid("1.3.6.1.2.1.1.3.0"), ber.integer(5, 0x43))
    pdu = ber.encode(snmp.RESPONSE, ber.integer(9), ber.integer(0), ber.integer(0), ber.encode(ber.SEQUENCE, pair))
    report = ber.encode(snmp.REPORT, ber.integer(9), ber.integer(0), ber.integer(0), ber.encode(ber.SEQUENCE, pair))
    plain = _usm.Security(user="u", engine=_usm.Engine(b"engine id", 3, 1000))
    return (*(security.seal(7, pdu) for security in _SECURE.values()), plain.seal(7, report))


def _grpc(data: bytes) -> object:
    seen = Observation(
        status_code=200,
        http_version="2",
        headers=(("grpc-status", "0"), ("content-type", "application/grpc")),
        body=data,
    )
    return grpc._answer(seen)


def _grpc_status(data: bytes) -> None:
    status, _, said = data.decode("latin-1").partition("\n")
    headers = (("content-type", "application/grpc"), ("grpc-status", status), ("grpc-message", said))
    grpc._require_ok(Observation(status_code=200, http_version="2", headers=headers))


def _echo(data: bytes) -> None:
    """A datagram that comes in where echoes are waited for: way and family by its first byte, the sender is who it must be."""

    async def taken() -> None:
        pings = Icmp(Egress())
        shared = pings._open(socket.AF_INET6 if data[:1] == b"6" else socket.AF_INET)
        if shared is None:
            return  # this machine lets us open none
        try:
            run = icmp._Run(1, line().loop.create_future())
            waiting = icmp._Waiting(b"12345678", "127.0.0.1", 0.0, 0, run)
            shared.identity, shared.waiting[7] = 5, waiting
            stamp = [(socket.SOL_SOCKET, icmp._SO_TIMESTAMPNS, data[1:17]), (0, 0, b"")]
            for way in ("raw", "dgram"):
                shared.way = way
                shared._take(data[1:], stamp, "127.0.0.1")
            assert run.done.done() == (not waiting.open)
        finally:
            shared.close()

    line().loop.run_until_complete(taken())


_REPLY = struct.pack("!BBHHH", 0, 0, 0, 5, 7) + b"12345678" + bytes(40)
_ASKED = struct.pack("!BBHHH", 8, 0, 0, 5, 7) + b"12345678"


def _ping_program(data: bytes) -> None:
    assert all(0 <= t < 1e9 for t in icmp.times_in(data, 3))


def _http(kind: bytes, body: bytes, *more: bytes) -> bytes:
    lines = [b"HTTP/1.1 200 OK", b"Content-Type: " + kind, b"Content-Length: %d" % len(body), *more]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


_CONTAINER = json.dumps({
    "State": {"Status": "exited", "ExitCode": 137, "OOMKilled": True, "Error": "no", "StartedAt": "2026", "Health": {"Status": "unhealthy", "Log": [{"Output": "a\nb"}]}},
    "Config": {"Image": "web:1"}, "RestartCount": 5,
}).encode()  # fmt: skip
_SSH = b"SSH-2.0-OpenSSH_9.6\r\n" + bytes([0, 0, 0, 12, 10, 20]) + b"a" * 10
_HTTP_FILES = ("net/journey.py", "net/transfer.py", "net/http.py")

PARSERS = (
    _parser("RESP", ("net/resp.py",), _resp, *_RESP),
    _parser("redis", ("net/resp.py",), _check("redis", user="u", password="p", database=1, key="k"), _REDIS, b"-ERR no\r\n"),
    _parser("SMTP reply", ("net/smtp.py",), _smtp_reply, b"250-a\r\n250-b c\r\n250 d\r\n", b"421\n"),
    _parser("smtp", ("net/smtp.py",), _check("smtp", user="u", password="p"), _SMTP, _SMTP_LOGIN),
    *(_parser(f"STARTTLS of {name}", ("net/starttls.py",), _start(name), says) for name, says in _STARTTLS.items()),
    _parser("TLS after STARTTLS", ("net/connect.py",), _check("tls", starttls="postgres"), b"S\x16\3\3\0\4\2\0\0\0", b"S\x15\3\3\0\2\2\x28", ends="TLS failed"),
    _parser("mysql", ("net/mysql.py",), _check("mysql", user="u", password="p", expect="1"), _mysql(b"mysql_native_password"),
            _mysql(b"x", _framed(2, b"\xfecaching_sha2_password\0" + b"c" * 20 + b"\0"), _framed(4, b"\1\3"), _framed(5, b"\0\0\0\2\0"))),
    _parser("mysql's key", ("net/mysql_auth.py",), _check("mysql", user="u", password="p"),
            _mysql(b"caching_sha2_password", _framed(2, b"\1\4"), _framed(4, b"\1-----BEGIN PUBLIC KEY-----\nMFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBAKj34GkxFhD90vcNLYLInFEX6Ppy1tPf9Cnzj4p4WGeKLs1Pt8Qu\nKUpRKfFLfRYC9AIKjbJTWit+CqvjWYzvQwECAwEAAQ==\n-----END PUBLIC KEY-----\n"), _framed(6, b"\0\0\0\2\0"))),
    _parser("postgres", ("net/postgres.py",), _check("postgres", user="u", password="p", expect="1"), _POSTGRES + _PG_ROW * 3, _PG_ERROR,
            _pg(b"R", b"\0\0\0\5salt") + _POSTGRES + _PG_ROW * 2, _pg(b"R", b"\0\0\0\x0aSCRAM-SHA-256\0\0") + _pg(b"R", b"\0\0\0\x0br=a,s=b,i=1")),
    _parser("mongodb", ("net/mongo.py",), _check("mongodb", role="primary"), _mongo_talk, _mongo_refusal),
    _parser("mongodb signs in", ("net/mongo.py", "net/scram.py"), _check("mongodb", user="u", password="p"), _mongo_sign_in, ends="nonce"),
    _parser("ldap", ("checks/ldap.py",), _check("ldap", user="cn=a", password="p", base="dc=x"), _LDAP, refused=()),
    _parser("ldap's own entry", ("checks/ldap.py",), _check("ldap"), _LDAP_ROOT),
    _parser("rabbitmq", ("checks/rabbitmq.py",), _check("rabbitmq", queue="jobs"), _rabbit, _rabbit_refusal),
    _parser("rabbitmq's queue", ("checks/rabbitmq.py",), _check("rabbitmq"), _rabbit, lambda: _rabbit(queue="a" * 100), ends="another message"),
    _parser("kafka, write", ("net/kafka.py",), _check("kafka_producer", topic="checks"), _kafka_written, refused=(EgressRefused,)),
    _parser("kafka, sign-in", ("net/kafka.py",), _check("kafka_producer", topic="checks", user="u", password="p"), _kafka_signed_in, refused=(EgressRefused,)),
    _parser("kafka, read", ("net/kafka.py", "checks/_kafka.py"), _check("kafka_consumer", topic="checks", write=False), _kafka_read, refused=(EgressRefused,)),
    _parser("kafka, lag", ("net/kafka.py",), _check("kafka_consumer", topic="checks", write=False, group="g"), _kafka_lag, refused=(EgressRefused,)),
    _parser("mqtt", ("checks/mqtt.py",), _check("mqtt"), _MQTT),
    _parser("mqtt 5", ("checks/mqtt.py",), _check("mqtt", topic="a/b", mqtt_version="5", qos=1), _MQTT_TOPIC, ends="the broker hung up"),
    _parser("websocket", ("checks/websocket.py",), _websocket("hello"), _OPEN + _FRAMES, b"HTTP/1.1 302 Found\r\nLocation: https://a/?b=c\r\n\r\n"),
    _parser("websocket, ping", ("checks/websocket.py",), _websocket(None), _OPEN + _FRAMES, ends="closed the WebSocket"),
    _parser("ssh", ("checks/ssh.py",), _check("ssh"), _SSH, ends="during the key exchange"),
    _parser("tcp", ("checks/tcp.py",), _check("tcp", expect=["a+b", ""]), b"aab\r\nc"),
    _parser("http", _HTTP_FILES, _check("http", url="http://127.0.0.1:PORT/"), _http(b"text/plain", b"hello", b"Set-Cookie: a=b", b"X: y"),
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 302 Found\r\nLocation: /x?y\r\nContent-Length: 0\r\n\r\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nT: u\r\n\r\n"),
    _parser("docker", ("checks/docker.py",), _check("docker", container="web", url="http://127.0.0.1:PORT"), _http(b"application/json", _CONTAINER), _http(b"application/json", _CONTAINER.replace(b"exited", b"running").replace(b"unhealthy", b"starting"))),
    Parser(name="dns", files=("checks/dns.py", "core/dns_answer.py"), read=_dns, allowed=(CheckFailed,), examples=_dns_answers),
    Parser(name="SNMP 3", files=("checks/_usm.py",), read=_usm_open, allowed=(BrokenBer,), examples=_usm_answers),
    Parser(name="gRPC message", files=("checks/grpc.py",), read=_grpc, allowed=(CheckFailed,), examples=given(b"\0\0\0\0\2\x08\1", b"\0\0\0\0\0", b"\0\0\0\0\x09\x08\2\x12\1a\x19\0\0\0\0")),
    Parser(name="gRPC status", files=("checks/grpc.py",), read=_grpc_status, allowed=(CheckFailed,), examples=given("0\n", "5\nno such service%20%C3%A4", "16\n")),
    Parser(name="echo", files=("net/icmp.py",), read=_echo, slow=True,
           examples=given(b"4" + _REPLY, b"4\x45" + bytes(19) + _REPLY, b"4\3\1\0\0\0\0\0\0\x45" + bytes(19) + _ASKED, b"6\x81" + _REPLY[1:], b"6\1" + bytes(47) + b"\x80" + _ASKED[1:])),
    Parser(name="ping's output", files=("net/icmp.py",), read=_ping_program, examples=given(b"64 bytes from ::1: icmp_seq=1 ttl=64 time=0.045 ms\ntime<1 ms", b"time=1.2.3 ms")),
)  # fmt: skip
