"""MQTT 3.1.1 and 5: sign in to the broker, then a message there and back by a topic, or a ping; goodbye."""

from __future__ import annotations

import asyncio
import secrets
import time
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from msgspec.structs import replace

from tocsin.checks._terms import (
    CaFile,
    ClientCert,
    ClientKey,
    Host,
    IpVersion,
    Password,
    Port,
    ServerName,
    Tls,
    User,
    VerifyTls,
    wish,
)
from tocsin.core.plain import clip
from tocsin.core.result import Observation
from tocsin.core.shape import Front, Help, Length, Pattern
from tocsin.errors import CheckFailed, Invalid, Problem
from tocsin.net import Connection, Net
from tocsin.net.progress import progress

TITLE, SAYS = "MQTT", "sign-in, a message there and back"

OFFERS = ("certificate_days",)

_MOST_PACKET = 1 << 18
_MOST_RECEIVED = 1 << 20
_FAREWELL_S = 0.5
_CONNECT, _CONNACK, _PUBLISH, _PUBACK, _SUBSCRIBE, _SUBACK, _UNSUBSCRIBE, _UNSUBACK = 1, 2, 3, 4, 8, 9, 10, 11
_PINGREQ, _PINGRESP, _DISCONNECT = 12, 13, 14
_NAMES = ("packet 0", "CONNECT", "CONNACK", "PUBLISH", "PUBACK", "PUBREC", "PUBREL", "PUBCOMP", "SUBSCRIBE", "SUBACK",
          "UNSUBSCRIBE", "UNSUBACK", "PINGREQ", "PINGRESP", "DISCONNECT", "AUTH")  # fmt: skip
_REFUSED = {
    1: "it does not speak this version of MQTT",
    2: "client identifier not allowed",
    3: "server unavailable",
    4: "bad user name or password",
    5: "not authorized",
}
_REASONS = {
    0x80: "unspecified error", 0x81: "malformed packet", 0x82: "protocol error", 0x83: "not accepted by this server",
    0x84: "it does not speak this version of MQTT", 0x85: "client identifier not valid",
    0x86: "bad user name or password", 0x87: "not authorized", 0x88: "server unavailable", 0x89: "server busy",
    0x8A: "banned", 0x8B: "server shutting down", 0x8C: "bad authentication method", 0x8D: "keep alive timeout",
    0x8E: "another client with the same identifier took over", 0x8F: "topic filter invalid",
    0x90: "topic name invalid", 0x93: "receive maximum exceeded", 0x95: "packet too large",
    0x96: "message rate too high", 0x97: "quota exceeded", 0x98: "administrative action",
    0x99: "payload format invalid", 0x9A: "retain not supported", 0x9B: "QoS not supported",
    0x9C: "use another server", 0x9D: "server moved", 0x9F: "connection rate exceeded",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """An MQTT broker that should let us in and carry a message."""

    host: Host
    port: Port = 1883
    topic: Annotated[
        str | None,
        Front,
        Pattern(r"[^+#\r\n\t]{1,500}", "a topic without + and #"),
        Help("Topic to send a message there and back by; without one, a ping"),
    ] = None
    qos: Annotated[Literal[0, 1], Help("Quality of service of that message")] = 1
    user: User = None
    password: Password = None
    client_id: Annotated[str | None, Length(1, 200), Help("Client identifier; else a new one each time")] = None
    mqtt_version: Annotated[Literal["3.1.1", "5"], Help("Version of MQTT")] = "3.1.1"
    tls: Tls = False
    verify_tls: VerifyTls = True
    server_name: ServerName = None
    ca_file: CaFile = None
    client_cert: ClientCert = None
    client_key: ClientKey = None
    ip_version: IpVersion = None

    def __post_init__(self) -> None:
        """What the marks cannot say. Raises Invalid."""
        problems: list[Problem] = []
        if self.password is not None and self.user is None:
            problems.append(Problem("user", "whose password it is", "nothing"))
        if self.client_key and not self.client_cert:
            problems.append(Problem("client_cert", "a certificate for the key", "nothing"))
        if problems:
            raise Invalid(*problems)


async def check(target: Target, net: Net) -> Observation:
    """Sign in, send something there and back, leave."""
    came = time.perf_counter()
    wanted = wish(target) if target.tls else None
    async with net.connect(target.host, target.port, tls=wanted, ip_version=target.ip_version) as connection:
        session = _Session(target, connection)
        await _sign_in(session)
        if target.topic is not None:
            await _subscribe(session, target.topic)
            await _there_and_back(session, target.topic)
        else:
            began = time.perf_counter()
            await session.send(_PINGREQ, 0, b"")
            _, _, body = await session.wait_for(_PINGRESP)
            if body:
                raise session.failed(f"expected PINGRESP, found one of {len(body)} bytes")
            session.round_trip(began)
        session.total = (time.perf_counter() - came) * 1000  # parting is none of it
        await _goodbye(session)
        return session.seen()


class _Session:
    """MQTT over our connection: packets in and out, and what was seen so far."""

    def __init__(self, target: Target, connection: Connection) -> None:
        self.target, self.connection = target, connection
        self.v5 = target.mqtt_version == "5"
        self.ttfb: float | None = None
        self.total: float | None = None
        self.facts: dict[str, Any] = {}
        self._received = 0

    def seen(self) -> Observation:
        timing = replace(self.connection.timing, ttfb=self.ttfb, total=self.total)
        return Observation(timing=timing, ip=self.connection.peer, tls=self.connection.tls, facts=self.facts)

    def round_trip(self, began: float) -> None:
        self.facts["round_trip_ms"] = round((time.perf_counter() - began) * 1000, 3)

    def failed(self, message: str, type_: str = "protocol", phase: str = "transfer") -> CheckFailed:
        return CheckFailed(type_, message, phase=phase, observation=self.seen())

    def properties(self) -> bytes:
        """No properties, which only version 5 says."""
        return b"\0" if self.v5 else b""

    async def send(self, kind: int, flags: int, body: bytes) -> None:
        await self.connection.write(bytes([kind << 4 | flags]) + _varint(len(body)) + body)

    async def packet(self, only: int | None = None) -> tuple[int, int, bytes]:
        """Kind, flags and body of the next packet. CheckFailed when there is none, it is too large, or not of the only
        kind that may come."""
        await asyncio.sleep(0)  # a flood must not hold up the other checks
        head = (await self.connection.read(1))[0]
        if only is not None and head >> 4 != only:
            raise self.failed(f"expected {_NAMES[only]}, found {_NAMES[head >> 4]} ({head:#04x})", phase="ttfb")
        size = shift = 0
        while True:
            byte = (await self.connection.read(1))[0]
            size |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
            shift += 7
            if shift > 21:
                raise self.failed("expected an MQTT packet, found a length without end")
        kind, flags = head >> 4, head & 15
        if size > _MOST_PACKET:
            raise self.failed(f"{_NAMES[kind]} of {size} bytes, more than {_MOST_PACKET}")
        self._received += size + 2
        if self._received > _MOST_RECEIVED:
            raise self.failed(f"{_MOST_RECEIVED} bytes came, and not what was waited for")
        return kind, flags, await self.connection.read(size) if size else b""

    async def wait_for(self, *wanted: int) -> tuple[int, int, bytes]:
        """The next packet of these kinds; messages that come in between are acknowledged and passed over. CheckFailed for
        every other kind."""
        while True:
            kind, flags, body = await self.packet()
            if kind == _PUBLISH:
                await self._acknowledge(flags, body)
            if kind in wanted:
                return kind, flags, body
            if kind == _DISCONNECT and self.v5:
                raise self.failed(f"the broker hung up: {_reason(body[0]) if body else 'no reason given'}")
            if kind != _PUBLISH:
                raise self.failed(f"expected {_NAMES[wanted[0]]}, found {_NAMES[kind]}")

    async def _acknowledge(self, flags: int, body: bytes) -> None:
        if flags >> 1 & 3 == 1:
            at = 2 + int.from_bytes(body[:2], "big")
            await self.send(_PUBACK, 0, body[at : at + 2])

    def payload(self, flags: int, body: bytes) -> bytes:
        """The payload of a PUBLISH. CheckFailed when it is cut short."""
        at = 2 + int.from_bytes(body[:2], "big") + (2 if flags >> 1 & 3 else 0)
        if self.v5 and at < len(body):
            size, at = _read_varint(body, at)
            at += size
        if at > len(body):
            raise self.failed("expected a whole PUBLISH, found one that is cut short")
        return body[at:]


def _varint(value: int) -> bytes:
    made = bytearray()
    while value > 0x7F:
        made.append(value & 0x7F | 0x80)
        value >>= 7
    made.append(value)
    return bytes(made)


def _read_varint(body: bytes, at: int) -> tuple[int, int]:
    """A number of at most four bytes, and where it ends; beyond the body when it is cut short."""
    value = 0
    for i in range(4):
        if at + i >= len(body):
            break
        value |= (body[at + i] & 0x7F) << 7 * i
        if body[at + i] < 0x80:
            return value, at + i + 1
    return 0, len(body) + 1


def _text(text: str) -> bytes:
    data = text.encode()
    return len(data).to_bytes(2, "big") + data


def _reason(code: int) -> str:
    return f"{_REASONS.get(code, 'unknown reason')} ({code:#04x})"


async def _sign_in(session: _Session) -> None:
    """CONNECT, and what CONNACK says to it (MQTT 3.1.1, section 3.2; MQTT 5, section 3.2)."""
    target = session.target
    flags = 0x02 | (0x80 if target.user is not None else 0) | (0x40 if target.password is not None else 0)
    body = _text("MQTT") + bytes([5 if session.v5 else 4, flags, 0, 60]) + session.properties()
    body += _text(target.client_id or f"tocsin{secrets.token_hex(6)}")
    for text in (target.user, target.password):
        body += _text(text) if text is not None else b""
    began = time.perf_counter()
    await session.send(_CONNECT, 0, body)
    _, _, answer = await session.packet(only=_CONNACK)
    session.ttfb = (time.perf_counter() - began) * 1000
    if len(answer) < 2:
        raise session.failed(f"expected CONNACK, found one of {len(answer)} bytes", phase="ttfb")
    code = answer[1]
    if code:
        known = _REFUSED.get(code) if code < 0x80 else None
        said = f"{known} ({code})" if known else _reason(code)
        raise session.failed(f"the broker did not let us in: {said}", phase="ttfb")
    session.facts["session_present"] = bool(answer[0] & 1)


async def _subscribe(session: _Session, topic: str) -> None:
    body = b"\0\1" + session.properties() + _text(topic) + bytes([session.target.qos])
    await session.send(_SUBSCRIBE, 2, body)
    _, _, answer = await session.wait_for(_SUBACK)
    if answer[:2] != b"\0\1" or len(answer) < 3:
        raise session.failed("expected SUBACK to our SUBSCRIBE, found another one")
    if answer[-1] >= 0x80:
        said = _reason(answer[-1]) if session.v5 else "failure (0x80)"
        raise session.failed(f"the broker does not let us subscribe to {clip(topic)}: {said}")


async def _there_and_back(session: _Session, topic: str) -> None:
    """Publish something that nobody else says, and wait until it comes back (and is acknowledged, with QoS 1)."""
    qos = session.target.qos
    mark = f"tocsin check {secrets.token_hex(8)}".encode()
    began = time.perf_counter()
    await session.send(_PUBLISH, qos << 1, _text(topic) + (b"\0\2" if qos else b"") + session.properties() + mark)
    back, acknowledged = False, qos == 0
    try:
        # A little before the run's own deadline, so that the error can say what is missing.
        async with asyncio.timeout(progress().remaining_s() * 0.95):
            while not (back and acknowledged):
                kind, flags, body = await session.wait_for(*((_PUBLISH,) if acknowledged else (_PUBACK, _PUBLISH)))
                if kind == _PUBACK:
                    acknowledged = True
                    if len(body) > 2 and body[2] >= 0x80:
                        raise session.failed(f"the broker does not take our message: {_reason(body[2])}")
                elif not back and session.payload(flags, body) == mark:
                    back = True
                    session.round_trip(began)
    except TimeoutError:
        lacks = "it was not acknowledged" if back else "it did not come back (perhaps we may not publish or read there)"
        raise session.failed(f"a message was published to {clip(topic)}, but {lacks}", "timeout") from None


async def _goodbye(session: _Session) -> None:
    """UNSUBSCRIBE and DISCONNECT; a broker that is slow in parting has still done its work."""
    try:
        async with asyncio.timeout(min(_FAREWELL_S, progress().remaining_s() / 2)):
            if session.target.topic is not None:
                await session.send(_UNSUBSCRIBE, 2, b"\0\3" + session.properties() + _text(session.target.topic))
                await session.wait_for(_UNSUBACK)
            await session.send(_DISCONNECT, 0, b"")
    except (CheckFailed, TimeoutError):
        return
