"""Servers that do everything right, one for each kind of check, written from the protocols' documents: what the bed then
breaks. Each is a script for one connection, and its words are there to be used in wrong places too."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
import ssl
import struct
from collections.abc import AsyncIterator, Callable
from functools import cache
from typing import Any

import asyncssh
import bson
from dnslib import RR, DNSRecord
from pamqp import body, commands, header
from pamqp import frame as amqp

from hostile import Identity, Script, Talk, authority, issue, serving
from kafka_scripts import ALL, fetched, metadata, produced, requests, versions
from tocsin.core import ber, snmp


@cache
def identity() -> Identity:
    """Who the sound servers are: a certificate for 127.0.0.1 by the tests' own authority."""
    return issue("127.0.0.1", by=authority())


# --- HTTP and what travels over it ---


async def http(talk: Talk) -> None:
    await talk.request()
    await talk.answer("200 OK", b"ok", "Connection: close")


CONTAINER = {"State": {"Status": "running"}, "Config": {"Image": "shop"}}


async def docker(talk: Talk) -> None:
    await talk.request()
    await talk.answer("200 OK", json.dumps(CONTAINER).encode(), "Connection: close")


def shake(talk: Talk, *headers: str, accept: str = "") -> bytes:
    """The right answer to a WebSocket handshake (RFC 6455, 4.2.2), unless another `accept` is given."""
    guid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    proof = base64.b64encode(hashlib.sha1(f"{talk.header('sec-websocket-key')}{guid}".encode()).digest()).decode()
    lines = ["HTTP/1.1 101 Go", "Upgrade: websocket", "Connection: Upgrade", f"Sec-WebSocket-Accept: {accept or proof}"]
    lines += headers
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


async def websocket(talk: Talk) -> None:
    await talk.request()
    await talk.send(shake(talk))
    while True:
        kind, size = await talk.reader.readexactly(2)
        mask = await talk.reader.readexactly(4)
        data = bytes(b ^ mask[i % 4] for i, b in enumerate(await talk.reader.readexactly(size & 0x7F)))
        answer = 0x8A if kind == 0x89 else kind  # a pong to a ping, a close to a close
        await talk.send(bytes([answer, len(data)]) + data)
        if kind == 0x88:
            return


def h2(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """A frame of HTTP/2 (RFC 9113, 4.1)."""
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def literal(name: str, value: str) -> bytes:
    """A header field of HPACK that nobody keeps (RFC 7541, 6.2.2)."""
    return b"\0" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()


GRPC_HEAD = b"\x88" + literal("content-type", "application/grpc")  # :status 200
GRPC_END = h2(1, 5, 1, literal("grpc-status", "0"))
GRPC_ASKED = b"\0\0\5\0"  # the start of the frame with the request's five bytes
GRPC_SERVES = b"\0\0\0\0\2\x08\1"
H2_HELLO = h2(4, 0, 0, b"") + h2(4, 1, 0, b"")


async def grpc(talk: Talk) -> None:
    await talk.reader.readuntil(GRPC_ASKED)
    await talk.send(H2_HELLO + h2(1, 4, 1, GRPC_HEAD) + h2(0, 0, 1, GRPC_SERVES) + GRPC_END)
    await talk.hang()


# --- lines ---


async def tcp(talk: Talk) -> None:
    await talk.send(b"welcome\r\n")
    await talk.reader.readline()
    await talk.send(b"bye\r\n")


async def smtp(talk: Talk) -> None:
    await talk.send(b"220 mail.test\r\n")
    while line := (await talk.reader.readline()).upper():
        if line.startswith(b"EHLO"):
            await talk.send(b"250-mail.test\r\n250-STARTTLS\r\n250 SIZE 1000\r\n")
        elif line.startswith(b"STARTTLS"):
            await talk.send(b"220 go ahead\r\n")
            await talk.writer.start_tls(identity().context())
        else:
            await talk.send(b"221 bye\r\n" if line.startswith(b"QUIT") else b"502 what\r\n")


def bulk(text: str) -> bytes:
    """A text as Redis sends it."""
    return f"${len(text)}\r\n{text}\r\n".encode()


async def redis(talk: Talk) -> None:
    while head := await talk.reader.readline():
        words = [(await talk.reader.readline(), await talk.reader.readline())[1] for _ in range(int(head[1:]))]
        name = words[0].strip()
        await talk.send(b"+PONG\r\n" if name == b"PING" else bulk("redis_version:7.2.0\r\nrole:master\r\n"))


# --- databases ---


def pg(kind: bytes, body: bytes) -> bytes:
    """A message of PostgreSQL."""
    return kind + struct.pack(">I", len(body) + 4) + body


PG_LET_IN = pg(b"R", struct.pack(">I", 0))
PG_READY = pg(b"Z", b"I")
PG_ONE = pg(b"1", b"") + pg(b"2", b"") + pg(b"D", b"\0\1\0\0\0\1f") + pg(b"C", b"SELECT 1\0")


async def postgres(talk: Talk) -> None:
    size = struct.unpack(">I", await talk.reader.readexactly(4))[0]
    if size == 8:  # it asks for TLS
        await talk.reader.readexactly(4)
        await talk.send(b"S")
        await talk.writer.start_tls(identity().context())
        size = struct.unpack(">I", await talk.reader.readexactly(4))[0]
    await talk.reader.readexactly(size - 4)
    await talk.send(PG_LET_IN + PG_READY)
    while (kind := await talk.reader.readexactly(1)) != b"X":
        await talk.reader.readexactly(struct.unpack(">I", await talk.reader.readexactly(4))[0] - 4)
        if kind == b"Q":
            await talk.send(pg(b"C", b"BEGIN\0") + PG_READY)
        elif kind == b"S":
            await talk.send(PG_ONE + PG_READY)


MYSQL_SALT = bytes(range(33, 53))
MYSQL_OK = b"\0\0\0\2\0\0\0"
MYSQL_END = b"\xfe\0\0\2\0"
MYSQL_EVERY = 0xFFFF | 0x8 << 16 | 0x20 << 16


def packet(sequence: int, body: bytes) -> bytes:
    """A packet of MySQL."""
    return len(body).to_bytes(3, "little") + bytes([sequence]) + body


def greeting(
    way: str = "caching_sha2_password", offers: int = MYSQL_EVERY, version: bytes = b"8.4.0", salt: bytes = MYSQL_SALT
) -> bytes:
    """What a MySQL server says first."""
    low, high = (offers & 0xFFFF).to_bytes(2, "little"), (offers >> 16).to_bytes(2, "little")
    rest = bytes(4) + salt[:8] + b"\0" + low + b"\xff\2\0" + high + b"\x15" + bytes(10) + salt[8:] + b"\0"
    return packet(0, b"\x0a" + version + b"\0" + rest + way.encode() + b"\0")


MYSQL_ROW = (b"\1", b"\3def\0\0\0\x011\0\x0c?\0\1\0\0\0\x08\x81\0\0\0\0", MYSQL_END, b"\0011", MYSQL_END)


class Secured:
    """The same talk over TLS from here on; what came already is not lost."""

    def __init__(self, talk: Talk, context: ssl.SSLContext) -> None:
        self.talk, self.reader = talk, self
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_side=True)

    async def step(self, work: Callable[..., Any], *given: Any) -> Any:
        while True:
            try:
                done = work(*given)
            except ssl.SSLWantReadError:
                await self.talk.send(self.outgoing.read())
                came = await self.talk.reader.read(65_536)
                if not came:
                    raise asyncio.IncompleteReadError(b"", 1) from None
                self.incoming.write(came)
            else:
                await self.talk.send(self.outgoing.read())
                return done

    async def readexactly(self, n: int) -> bytes:
        came = b""
        while len(came) < n:
            came += await self.step(self.tls.read, n - len(came))
        return came

    async def send(self, data: bytes) -> None:
        await self.step(self.tls.write, data)


async def mysql(talk: Any) -> None:
    async def hear() -> tuple[int, bytes]:
        head = await talk.reader.readexactly(4)
        return head[3] + 1, await talk.reader.readexactly(int.from_bytes(head[:3], "little"))

    await talk.send(greeting("mysql_native_password"))
    number, said = await hear()
    if len(said) == 32:
        talk = secured = Secured(talk, identity().context())
        await secured.step(secured.tls.do_handshake)
        number, said = await hear()
    await talk.send(packet(number, MYSQL_OK))
    while (said := (await hear())[1])[:1] != b"\1":
        asked = said[1:].startswith(b"SELECT")
        await talk.send(b"".join(packet(i + 1, b) for i, b in enumerate(MYSQL_ROW if asked else (MYSQL_OK,))))


def mongo(document: bytes, answers: int = 1, flags: int = 0, code: int = 2013, after: bytes = b"") -> bytes:
    """A message of MongoDB around a BSON document."""
    made = struct.pack("<I", flags) + b"\0" + document + after
    return struct.pack("<iiii", 16 + len(made), 77, answers, code) + made


async def mongodb(talk: Talk) -> None:
    while head := await talk.reader.read(16):
        size, number, _, _ = struct.unpack("<iiii", head)
        await talk.reader.readexactly(size - 16)
        await talk.send(mongo(bson.encode({"isWritablePrimary": True, "version": "7.0.1", "ok": 1.0}), number))


def ldap_message(number: int, operation: bytes) -> bytes:
    """A message of LDAP."""
    return ber.encode(ber.SEQUENCE, ber.integer(number), operation)


def ldap_result(code: int, said: str = "", tag: int = 0x65) -> bytes:
    """What ends a request: a search, unless the tag says otherwise."""
    return ber.encode(tag, ber.integer(code, ber.ENUMERATED), ber.octets(""), ber.octets(said))


LDAP_ENTRY = ber.encode(0x64, ber.octets("dc=x"), ber.encode(ber.SEQUENCE))


async def ldap(talk: Talk) -> None:
    while head := await talk.reader.read(2):
        size = head[1] if head[1] < 0x80 else int.from_bytes(await talk.reader.readexactly(head[1] & 0x7F), "big")
        asked = await talk.reader.readexactly(size)
        number, tag = asked[2:4] if size > 3 else (0, 0)
        if tag == 0x77:
            await talk.send(ldap_message(number, ldap_result(0, tag=0x78)))
            await talk.writer.start_tls(identity().context())
        elif tag == 0x63:
            await talk.send(ldap_message(number, LDAP_ENTRY) + ldap_message(number, ldap_result(0)))
        elif tag == 0x42:
            return


# --- brokers ---

MQTT_LET_IN = b"\x20\x02\0\0"


async def mqtt(talk: Talk) -> None:
    while True:
        head = await talk.reader.readexactly(2)
        await talk.reader.readexactly(head[1])
        if head[0] >> 4 == 14:
            return
        await talk.send(MQTT_LET_IN if head[0] >> 4 == 1 else b"\xd0\0")


def amqp_frame(payload: bytes, kind: int = 1, channel: int = 0, end: bytes = b"\xce") -> bytes:
    """A frame of AMQP, whatever is in it."""
    return struct.pack(">BHI", kind, channel, len(payload)) + payload + end


def amqp_table(depth: int) -> bytes:
    """Server properties nested so deep."""
    inner = b""
    for _ in range(depth):
        inner = b"\x01aF" + struct.pack(">I", len(inner)) + inner
    return struct.pack(">I", len(inner)) + inner


AMQP_HELLO = b"AMQP\x00\x00\x09\x01"
AMQP_START = amqp.marshal(commands.Connection.Start(0, 9, {"product": "Toy"}, "PLAIN AMQPLAIN", "en_US"), 0)
AMQP_TUNE = amqp.marshal(commands.Connection.Tune(2047, 131072, 60), 0)
AMQP_DECLARED = amqp.marshal(commands.Queue.DeclareOk("amq.gen-1", 0, 0), 1)
AMQP_GOT = amqp.marshal(commands.Basic.GetOk(1, False, "", "amq.gen-1", 0), 1)


async def rabbitmq(talk: Talk) -> None:
    async def hear(kind: type[Any]) -> Any:
        while True:
            head = await talk.reader.readexactly(7)
            got = amqp.unmarshal(head + await talk.reader.readexactly(struct.unpack(">BHI", head)[2] + 1))[2]
            if isinstance(got, kind):
                return got

    await talk.reader.readexactly(8)
    await talk.send(AMQP_START)
    await hear(commands.Connection.StartOk)
    await talk.send(AMQP_TUNE)
    await hear(commands.Connection.Open)
    await talk.send(amqp.marshal(commands.Connection.OpenOk(), 0))
    await hear(commands.Channel.Open)
    await talk.send(amqp.marshal(commands.Channel.OpenOk(), 1))
    await hear(commands.Queue.Declare)
    await talk.send(AMQP_DECLARED)
    message = (await hear(body.ContentBody)).value
    await hear(commands.Basic.Get)
    about = header.ContentHeader(0, len(message), commands.Basic.Properties())
    await talk.send(AMQP_GOT + amqp.marshal(about, 1) + amqp.marshal(body.ContentBody(message), 1))
    await hear(commands.Connection.Close)
    await talk.send(amqp.marshal(commands.Connection.CloseOk(), 0))


async def kafka(talk: Talk) -> None:
    """A broker that names itself as the leader, at the port it was reached by."""
    kept = b""
    place = talk.front or talk.writer.get_extra_info("sockname")[1]

    def answer(api: int, asked: bytes) -> bytes | None:
        nonlocal kept
        if api == 0:  # the batch stands at the end, behind topic and partition
            kept = asked[asked.index(b"\0\6checks") + 8 + 4 + 4 + 4 :]
        batch = struct.pack(">q", 5) + kept[8:]
        return {18: versions(ALL), 3: metadata("127.0.0.1", place), 0: produced(5), 1: fetched(batch)}[api]

    await requests(talk, answer)


# --- others ---


async def dns(talk: Talk) -> None:
    size = int.from_bytes(await talk.reader.readexactly(2), "big")
    made = dns_answer(await talk.reader.readexactly(size))
    await talk.send(len(made).to_bytes(2, "big") + made)


def dns_answer(asked: bytes) -> bytes:
    """The address of a.test."""
    reply = DNSRecord.parse(asked).reply()
    reply.add_answer(*RR.fromZone("a.test. 300 A 192.0.2.1"))
    return reply.pack()


def udp_answer(asked: bytes) -> bytes:
    return b"you said " + asked


def snmp_answer(
    asked: bytes, value: bytes = ber.integer(1), *, version: str = "2c", more: int = 0, tag: int = snmp.RESPONSE
) -> bytes:
    """The value that was asked for by a community. `more` makes it the answer to another request."""
    pdu = ber.read(asked)[0].parts()[2].parts()
    return snmp.message(version, "public", snmp_pdu(tag, pdu[0].number() + more, "1.3", value))


def snmp_pdu(tag: int, number: int, oid: str, value: bytes) -> bytes:
    """What an agent says of one object."""
    objects = ber.encode(ber.SEQUENCE, ber.encode(ber.SEQUENCE, ber.oid(oid), value))
    return ber.encode(tag, ber.integer(number), ber.integer(0), ber.integer(0), objects)


def snmp_engine(asked: bytes) -> bytes:
    """What an agent of version 3 says: first who its engine is, then a value, to a user without passwords."""
    _, head, _, scoped = ber.read(asked)[0].parts()
    engine, user = ber.octets(b"e" * 12), ber.octets("nobody")
    if scoped.parts()[0].content:  # it knows the engine
        pdu = snmp_pdu(snmp.RESPONSE, scoped.parts()[2].parts()[0].number(), "1.3", ber.integer(1))
    else:
        pdu = snmp_pdu(snmp.REPORT, 0, "1.3.6.1.6.3.15.1.1.4.0", ber.integer(1, 0x41))
    about = ber.encode(ber.SEQUENCE, engine, ber.integer(1), ber.integer(5), user, ber.octets(""), ber.octets(""))
    number = ber.integer(head.parts()[0].number())
    top = ber.encode(ber.SEQUENCE, number, ber.integer(65507), ber.octets(b"\0"), ber.integer(3))
    whole = ber.encode(ber.SEQUENCE, engine, ber.octets(""), pdu)
    return ber.encode(ber.SEQUENCE, ber.integer(3), top, ber.octets(about), whole)


async def tls(talk: Talk) -> None:
    await talk.hang()


@contextlib.asynccontextmanager
async def ssh() -> AsyncIterator[int]:
    """A real server: nobody writes SSH down in a few lines."""
    key = asyncssh.generate_private_key("ssh-ed25519")
    async with asyncssh.listen("127.0.0.1", 0, server_host_keys=[key], config=None) as server:
        yield server.get_port()


@contextlib.asynccontextmanager
async def listening(script: Script, secure: ssl.SSLContext | None, front: int) -> AsyncIterator[int]:
    """A server with that script; it knows that it is reached by the port `front`."""

    async def told(talk: Talk) -> None:
        talk.front = front
        await script(talk)

    async with serving(told, read=False, tls=secure) as server:
        yield server.port
        await asyncio.sleep(0)
