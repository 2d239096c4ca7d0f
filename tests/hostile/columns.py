"""The columns of the table: every kind of check that speaks over a connection, with a server that is sound, and the words of
its protocol that can be misused."""

# ruff: noqa: E501

from __future__ import annotations

import contextlib
import struct
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import bson

from hostile import Script, Server, authority, sound
from hostile.behaviours import Cut, closes, cut, replying
from hostile.sound import amqp_frame, amqp_table, h2, ldap_message, mongo, packet, pg
from tocsin.core import ber

Target = dict[str, Any]


@dataclass(frozen=True)
class Words:
    """What is said in the place of a turn of the sound server, and what is said after it without end."""

    turn: int
    said: bytes
    then: bytes = b""


@dataclass(frozen=True)
class Column:
    """A kind of check. `turns`: how often the server must speak until the check has what it wants; what goes wrong later, in
    parting, changes nothing. `tls`: what makes the check speak TLS from the first byte on; `starttls`: later."""

    type: str
    script: Script
    target: Callable[[int], Target]
    turns: int
    tls: Target | None = None
    starttls: Target | None = None
    alpn: tuple[str, ...] = ()
    huge: Words | None = None
    negative: Words | None = None
    zero: Words | None = None
    deep: Words | None = None
    endless: dict[str, Words] = field(default_factory=dict)

    @property
    def label(self) -> str:
        return self.type

    def sound(self) -> contextlib.AbstractAsyncContextManager[Server]:
        """The sound server, through the relay that never cuts."""
        return cut(self.upstream(), Cut(0, within=False, then=closes))

    def upstream(self, secure: bool = False) -> Callable[[int], contextlib.AbstractAsyncContextManager[int]]:
        """The sound server, as it starts behind another port."""
        return lambda front: self._listening(front, secure)

    @contextlib.asynccontextmanager
    async def _listening(self, front: int, secure: bool) -> AsyncIterator[int]:
        if self.type == "ssh":
            async with sound.ssh() as port:
                yield port
            return
        context = sound.identity().context(alpn=self.alpn) if secure or self.type == "tls" else None
        async with sound.listening(self.script, context, front) as port:
            yield port


def here(port: int) -> Target:
    return {"host": "127.0.0.1", "port": port}


def at(**more: Any) -> Callable[[int], Target]:
    return lambda port: here(port) | more


def url(scheme: str, **more: Any) -> Callable[[int], Target]:
    return lambda port: {"url": f"{scheme}://127.0.0.1:{port}/"} | more


TRUST = {"ca_file": authority().pem}
TLS = {"tls": True, **TRUST}
BIG, MINUS, ZEROS = b"\x7f\xff\xff\xff", b"\xff\xff\xff\xff", b"\0" * 4096
HTTP_HEAD = b"HTTP/1.1 200 OK\r\n"
HTTP_ENDLESS = {
    "headers": Words(1, HTTP_HEAD, b"X-More: of the same\r\n"),
    "a header that has no end": Words(1, HTTP_HEAD + b"X-Long: ", b"a"),
    "interim answers": Words(1, b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "a body": Words(1, HTTP_HEAD + b"\r\n", b"x"),
    "chunks of one byte": Words(1, HTTP_HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    "the name of one chunk": Words(1, HTTP_HEAD + b"Transfer-Encoding: chunked\r\n\r\n1;", b"a=b;"),
    "trailers": Words(1, HTTP_HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X-More: of the same\r\n"),
}
HTTP_HUGE = Words(1, HTTP_HEAD + b"Content-Length: 2147483648\r\n\r\n", ZEROS)
HTTP_NEGATIVE = Words(1, HTTP_HEAD + b"Content-Length: -1\r\n\r\nok")
HTTP_ZERO = Words(1, HTTP_HEAD + b"Content-Length: 0\r\n\r\n")


def nested(depth: int) -> bytes:
    """A BSON document in a document, and so on."""
    made = bson.encode({"ok": 1.0})
    for _ in range(depth):
        made = struct.pack("<i", len(made) + 8) + b"\x03a\0" + made + b"\0"
    return made


def mysql_rows(count: int) -> bytes:
    """Rows without end: the numbers of packets begin anew after 256."""
    return b"".join(packet((i + 4) & 0xFF, b"\0011") for i in range(count))


H2_BEGUN = sound.H2_HELLO + h2(1, 4, 1, sound.GRPC_HEAD)

COLUMNS = [
    Column("http", sound.http, url("http"), 1, huge=HTTP_HUGE, negative=HTTP_NEGATIVE, zero=HTTP_ZERO, endless=HTTP_ENDLESS,
           tls=TRUST),
    Column("transaction", sound.http, lambda port: {"steps": [url("http")(port), url("http")(port)]}, 1, huge=HTTP_HUGE,
           negative=HTTP_NEGATIVE, zero=HTTP_ZERO, endless=HTTP_ENDLESS, tls=TRUST),
    Column("docker", sound.docker, lambda port: {"container": "shop", "url": f"http://127.0.0.1:{port}"}, 1, huge=HTTP_HUGE,
           negative=HTTP_NEGATIVE, zero=HTTP_ZERO, endless=HTTP_ENDLESS, tls=TRUST,
           deep=Words(1, HTTP_HEAD + b"Content-Length: 200000\r\n\r\n" + b"[" * 200_000)),
    Column("websocket", sound.websocket, url("ws"), 2, tls=TRUST,
           huge=Words(2, b"\x82\x7f" + bytes(4) + BIG, ZEROS), negative=Words(2, b"\x82\x7f" + MINUS * 2), zero=Words(2, b"\x82\0" * 20_000),
           endless={"headers": Words(1, b"HTTP/1.1 101 Go\r\n", b"X-More: of the same\r\n"), "pings": Words(2, b"", b"\x89\0"),
                    "messages": Words(2, b"", b"\x82\x05hello"), "parts of one message": Words(2, b"\x02\x05hello", b"\0\x05hello")}),
    Column("grpc", sound.grpc, at(), 1, tls=TLS, alpn=("h2",),
           huge=Words(1, H2_BEGUN + h2(0, 0, 1, b"\0" + BIG), h2(0, 0, 1, bytes(16_384))), negative=Words(1, H2_BEGUN + h2(0, 0, 1, b"\0" + MINUS) + sound.GRPC_END),
           zero=Words(1, H2_BEGUN + h2(0, 0, 1, bytes(5)) + sound.GRPC_END),
           endless={"pings": Words(1, sound.H2_HELLO, h2(6, 0, 0, bytes(8))), "settings": Words(1, sound.H2_HELLO, h2(4, 0, 0, b"")),
                    "headers": Words(1, sound.H2_HELLO + h2(1, 0, 1, sound.GRPC_HEAD), h2(9, 0, 1, sound.literal("x-more", "of the same"))),
                    "empty data": Words(1, H2_BEGUN, h2(0, 0, 1, b"")), "resets": Words(1, sound.H2_HELLO, h2(3, 0, 3, bytes(4)))}),
    Column("tcp", sound.tcp, at(send=["", r"hello\r\n"], expect=["^welcome", "bye"]), 2, tls=TLS,
           endless={"lines": Words(1, b"", b"hello\r\n")}),
    Column("tls", sound.tls, at(**TRUST), 1,
           huge=Words(1, b"\x16\x03\x03\x40\0\x02\xff\xff\xff", ZEROS), negative=Words(1, b"\x16\x03\x03\xff\xff", ZEROS), zero=Words(1, b"\x16\x03\x03\0\0" * 100),
           endless={"warnings": Words(1, b"", b"\x15\x03\x03\0\x02\x01\x5a"), "empty records": Words(1, b"", b"\x16\x03\x03\0\0")}),
    Column("dns", sound.dns, lambda port: {"name": "a.test", "server": f"127.0.0.1:{port}", "protocol": "tcp"}, 1,
           tls={"protocol": "tls", **TRUST}, huge=Words(1, b"\xff\xff", ZEROS), zero=Words(1, b"\0\0")),
    Column("smtp", sound.smtp, at(), 2, tls=TLS, starttls={"starttls": True, **TRUST},
           endless={"lines of a banner": Words(1, b"", b"220-hello\r\n"), "a line that has no end": Words(1, b"220 ", b"a"),
                    "offers": Words(2, b"", b"250-MORE of the same\r\n")}),
    Column("ssh", sound.tcp, at(), 3, huge=Words(2, BIG, ZEROS), negative=Words(2, MINUS, ZEROS), zero=Words(2, bytes(64)),
           endless={"lines before the version": Words(1, b"", b"hello\r\n"), "a line that has no end": Words(1, b"SSH-2.0-", b"a"),
                    "packets to be ignored": Words(2, b"", b"\0\0\0\x0c\x06\x02\0\0\0\0" + bytes(6))}),
    Column("postgres", sound.postgres, at(user="me"), 5, starttls=TLS,
           huge=Words(1, b"R" + BIG, ZEROS), negative=Words(1, b"R" + MINUS, ZEROS), zero=Words(1, b"R" + bytes(4), ZEROS),
           endless={"notices": Words(1, b"", pg(b"N", b"x" * 500)), "parameters": Words(1, sound.PG_LET_IN, pg(b"S", b"a\0b\0")),
                    "rows": Words(5, b"", pg(b"D", b"\0\1\0\0\0\1x"))}),
    Column("mysql", sound.mysql, at(user="me"), 7, starttls=TLS,
           huge=Words(1, b"\xff\xff\xff\0", ZEROS), zero=Words(1, bytes(4), ZEROS),
           endless={"rows": Words(7, b"".join(packet(i + 1, b) for i, b in enumerate(sound.MYSQL_ROW[:3])), mysql_rows(2560))}),
    Column("redis", sound.redis, at(), 2, tls=TLS,
           huge=Words(1, b"$2147483647\r\n", ZEROS), negative=Words(1, b"$-2147483648\r\n"), zero=Words(1, b"$0\r\n\r\n"), deep=Words(1, b"*1\r\n" * 20_000),
           endless={"pushes": Words(1, b"", b">0\r\n"), "pushes of many parts": Words(1, b"", b">9000\r\n" + b"_\r\n" * 9000),
                    "attributes": Words(1, b"", b"|0\r\n"), "a line that has no end": Words(1, b"+", b"a")}),
    Column("mongodb", sound.mongodb, at(), 3, tls=TLS,
           huge=Words(1, struct.pack("<iiii", 0x7FFFFFFF, 1, 1, 2013), ZEROS), negative=Words(1, struct.pack("<iiii", -1, 1, 1, 2013), ZEROS),
           zero=Words(1, struct.pack("<iiii", 0, 1, 1, 2013), ZEROS), deep=Words(1, mongo(nested(20_000)))),
    Column("mqtt", sound.mqtt, at(), 2, tls=TLS,
           huge=Words(1, b"\x20\xff\xff\xff\x7f", ZEROS), negative=Words(1, b"\x20" + b"\xff" * 8, ZEROS), zero=Words(1, b"\x20\0"),
           endless={"messages": Words(2, b"", b"\x30\x03\0\1a")}),
    Column("rabbitmq", sound.rabbitmq, at(), 6, tls=TLS,
           huge=Words(1, b"\x01\0\0" + BIG, ZEROS), negative=Words(1, b"\x01\0\0" + MINUS, ZEROS), zero=Words(1, amqp_frame(b"")),
           deep=Words(1, amqp_frame(b"\0\x0a\0\x0a\0\x09" + amqp_table(1500))), endless={"heartbeats": Words(1, b"", b"\x08\0\0\0\0\0\0\xce")}),
    Column("kafka_producer", sound.kafka, at(topic="checks"), 3, tls=TLS,
           huge=Words(1, BIG, ZEROS), negative=Words(1, MINUS, ZEROS), zero=Words(1, bytes(4), ZEROS)),
    Column("kafka_consumer", sound.kafka, at(topic="checks"), 4, tls=TLS,
           huge=Words(1, BIG, ZEROS), negative=Words(1, MINUS, ZEROS), zero=Words(1, bytes(4), ZEROS)),
    Column("ldap", sound.ldap, at(), 1, tls=TLS, starttls={"starttls": True, **TRUST},
           huge=Words(1, b"\x30\x84" + BIG, ZEROS), negative=Words(1, b"\x30\x84" + MINUS, ZEROS), zero=Words(1, b"\x30\0"),
           deep=Words(1, b"\x30\x82\xff\xf0" + b"\x30\x82\xff\xf0" * 16_380),
           endless={"entries": Words(1, b"", ldap_message(2, sound.LDAP_ENTRY)),
                    "words in between": Words(1, b"", ldap_message(2, ber.encode(0x79, b"\x80" + b"\x82\xe0\x00" + bytes(0xE000))))}),
]  # fmt: skip


@dataclass(frozen=True)
class Datagrams:
    """A kind of check that asks by datagrams, and what answers it rightly."""

    type: str
    label: str
    answer: Callable[[bytes], bytes]
    target: Callable[[int], Target]

    def sound(self) -> contextlib.AbstractAsyncContextManager[Server]:
        return replying(lambda asked, say: say(self.answer(asked)))


DATAGRAMS = [
    Datagrams("udp", "udp", sound.udp_answer, at(send="hello", expect="^you said hello$")),
    Datagrams("dns", "dns", sound.dns_answer, lambda port: {"name": "a.test", "server": f"127.0.0.1:{port}"}),
    Datagrams("snmp", "snmp", sound.snmp_answer, at()),
    Datagrams("snmp", "snmp_3", sound.snmp_engine, at(version="3", user="nobody")),
]
