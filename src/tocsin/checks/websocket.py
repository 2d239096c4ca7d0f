"""WebSocket: the handshake, then a message and its answer, or a ping and its pong, then goodbye."""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

from msgspec.structs import replace

from tocsin import __version__
from tocsin.checks._terms import (
    CaFile,
    ClientCert,
    ClientKey,
    Headers,
    IpVersion,
    Pins,
    VerifyTls,
    wrong_headers,
    wrong_pins,
)
from tocsin.core.pattern import check_pattern, search
from tocsin.core.plain import clip, found, quiet_url
from tocsin.core.result import Observation
from tocsin.core.shape import Front, Help, Length, Long, Pattern, Private
from tocsin.errors import CheckFailed, Invalid, Problem
from tocsin.net import Connection, Net, TlsWish
from tocsin.net import url as urls
from tocsin.net.progress import progress

TITLE, SAYS = "WebSocket", "open, message or ping, close"

if TYPE_CHECKING:
    from websockets.client import ClientProtocol
    from websockets.frames import Frame

OFFERS = ("body", "body_bytes", "json_path", "header", "certificate_days")

_LINE = 8192
_CHUNK = 2048  # so that thousands of tiny frames are not read in one go
_MOST_LINES = 128
_MOST_MESSAGE = 65_536
_MOST_RECEIVED = 1 << 18
_MOST_FRAMES = 10_000
_FAREWELL_S = 0.5
_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})(?: ([^\r\n]*))?\r?\n")
_OURS = ("host", "connection", "upgrade", "content-length", "transfer-encoding")
_WHY_NOT = {
    200: "no WebSocket is served there",
    401: "it wants a sign-in",
    403: "it is not allowed",
    404: "there is nothing at that path",
    426: "it wants another protocol or version",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A WebSocket that should open and answer."""

    url: Annotated[str, Private, Length(1, 8192), Help("The ws or wss URL to open")]
    headers: Headers = field(default_factory=dict[str, str])
    subprotocol: Annotated[
        str | None,
        Pattern(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}", "one word"),
        Help("Subprotocol that the server must agree to"),
    ] = None
    send: Annotated[
        str | None, Private, Front, Long, Length(1, 65_536), Help("Message to send; without one, a ping")
    ] = None
    expect: Annotated[str | None, Front, Length(1, 1000), Help("Regular expression that an answer must match")] = None
    verify_tls: VerifyTls = True
    ca_file: CaFile = None
    client_cert: ClientCert = None
    client_key: ClientKey = None
    ip_version: IpVersion = None
    resolve: Pins = field(default_factory=list[str])

    def __post_init__(self) -> None:
        """What the marks cannot say. Raises Invalid."""
        problems: list[Problem] = []
        try:
            _place(self.url)
        except ValueError as error:
            problems.append(Problem("url", "a ws or wss URL", f"one that {error}"))
        problems += wrong_headers(self.headers) + wrong_pins(self.resolve)
        problems += [
            Problem("headers", "headers that are not part of the handshake", found(name))
            for name in self.headers
            if name.lower() in _OURS[1:] or name.lower().startswith("sec-websocket-")
        ]
        if self.expect is not None:
            problems += check_pattern(self.expect, "expect")
        if self.client_key and not self.client_cert:
            problems.append(Problem("client_cert", "a certificate for the key", "nothing"))
        if problems:
            raise Invalid(*problems)


def summary(target: Target) -> str:
    """The URL without the values of its query."""
    return quiet_url(target.url)


async def check(target: Target, net: Net) -> Observation:
    """Open it, say something and hear the answer, close it."""
    came = time.perf_counter()
    place = _place(target.url)
    wish = None
    if place.scheme == "https":
        wish = TlsWish(
            verify=target.verify_tls, server_name=place.host, ca_file=target.ca_file,
            client_cert=target.client_cert, client_key=target.client_key, alpn=("http/1.1",),
        )  # fmt: skip
    async with net.connect(
        place.host, place.port, tls=wish, ip_version=target.ip_version, pins=target.resolve
    ) as connection:
        session = await _open(target, place, connection)
        began = time.perf_counter()
        if target.send is None and target.expect is None:
            await _ping(session)
        else:
            await _converse(session, target.send, target.expect)
        session.facts["round_trip_ms"] = round((time.perf_counter() - began) * 1000, 3)
        session.total = (time.perf_counter() - came) * 1000  # parting is none of it
        await _goodbye(session)
        return session.seen()


def _place(url: str) -> urls.Url:
    """The place as an http URL, which has the same parts. Raises ValueError with words that follow "the URL "."""
    scheme, mark, rest = url.partition("://")
    if not mark or scheme.lower() not in ("ws", "wss"):
        raise ValueError("does not start with ws:// or wss://")
    return urls.parse(f"http{scheme.lower()[2:]}://{rest}")


class _Session:
    """A WebSocket over our connection: the protocol's state, and what was seen so far."""

    def __init__(self, connection: Connection, protocol: ClientProtocol) -> None:
        self.connection, self.protocol = connection, protocol
        self.status: int | None = None
        self.headers: tuple[tuple[str, str], ...] = ()
        self.ttfb: float | None = None
        self.total: float | None = None
        self.facts: dict[str, Any] = {}
        self.answer: bytes | None = None
        self._received = self._seen_frames = 0
        self._frames: deque[Frame] = deque()

    def seen(self) -> Observation:
        answer = self.answer
        return Observation(
            status_code=self.status,
            timing=replace(self.connection.timing, ttfb=self.ttfb, total=self.total),
            ip=self.connection.peer,
            headers=self.headers,
            body=answer or b"",
            body_bytes=None if answer is None else len(answer),
            tls=self.connection.tls,
            facts=self.facts,
        )

    def failed(self, message: str, type_: str = "protocol", phase: str = "transfer") -> CheckFailed:
        return CheckFailed(type_, message, phase=phase, observation=self.seen())

    async def flush(self) -> None:
        """Send what the protocol has to say."""
        for data in self.protocol.data_to_send():
            if data:
                await self.connection.write(data)

    async def frame(self) -> Frame:
        """The next frame. CheckFailed when the server closes, breaks the protocol, or sends far too much."""
        while not self._frames:
            if self.protocol.parser_exc is not None:
                raise self.failed(f"WebSocket broke: {clip(str(self.protocol.parser_exc), 120)}")
            if (closed := self.protocol.close_rcvd) is not None:
                raise self.failed(f"the server closed the WebSocket: {clip(str(closed), 160)}")
            data = await self.connection.read_some(_CHUNK)
            if not data:
                raise self.failed("the connection ended without a close frame", "connection_reset")
            self._received += len(data)
            if self._received > _MOST_RECEIVED or self._seen_frames > _MOST_FRAMES:
                raise self.failed(
                    f"{self._received} bytes in {self._seen_frames} frames came, and no answer among them"
                )
            await self.take(data)
            await asyncio.sleep(0)  # a flood must not hold up the other checks
        return self._frames.popleft()

    async def take(self, data: bytes) -> None:
        """Let the protocol read this."""
        from websockets.frames import Frame

        self.protocol.receive_data(data)
        frames = [event for event in self.protocol.events_received() if isinstance(event, Frame)]
        self._seen_frames += len(frames)
        self._frames.extend(frames)
        if self.protocol.parser_exc is None and self.protocol.close_rcvd is None:
            await self.flush()  # pongs

    async def message(self) -> bytes:
        """The next message, text or binary, put together of its frames."""
        parts: list[bytes] = []
        while True:
            frame = await self.frame()
            if frame.opcode in (0, 1, 2):
                parts.append(bytes(frame.data))
                if frame.fin:
                    return b"".join(parts)


async def _open(target: Target, place: urls.Url, connection: Connection) -> _Session:
    """The handshake (RFC 6455, section 4). CheckFailed (protocol) names the status when it is refused."""
    from websockets.client import ClientProtocol
    from websockets.uri import WebSocketURI

    path, _, query = place.path.partition("?")
    uri = WebSocketURI(place.scheme == "https", place.host, place.port, path, query)
    wanted: list[Any] | None = None if target.subprotocol is None else [target.subprotocol]
    protocol = ClientProtocol(uri, subprotocols=wanted, max_size=_MOST_MESSAGE)
    session = _Session(connection, protocol)
    request = protocol.connect()
    for name, value in {"User-Agent": f"Tocsin/{__version__}", **target.headers}.items():
        if name in request.headers:
            del request.headers[name]
        request.headers[name] = value
    protocol.send_request(request)
    began = time.perf_counter()
    await session.flush()
    first = await _status_line(session)
    session.ttfb = (time.perf_counter() - began) * 1000
    head = await _head(session, first)
    if session.status != 101:
        raise session.failed(_refused(session, first), phase="ttfb")
    await session.take(head)
    if (wrong := protocol.handshake_exc) is not None:
        cause = f" ({wrong.__cause__})" if wrong.__cause__ is not None else ""
        raise session.failed(f"the handshake is broken: {clip(f'{wrong}{cause}', 160)}", phase="ttfb")
    if target.subprotocol is not None and protocol.subprotocol is None:
        raise session.failed(f"expected the subprotocol {target.subprotocol}, found none agreed to", phase="ttfb")
    session.facts["subprotocol"] = protocol.subprotocol
    return session


async def _status_line(session: _Session) -> bytes:
    line = await session.connection.read_until(b"\n", _LINE)
    match = _STATUS.fullmatch(line)
    if match is None:
        shown = clip(line.decode("utf-8", "replace").strip(), 80)
        raise session.failed(f"expected an HTTP answer, found {shown!r}", phase="ttfb")
    session.status = int(match[1])
    return line


async def _head(session: _Session, first: bytes) -> bytes:
    """All lines of the answer's head; nothing beyond it is read."""
    lines = [first]
    while lines[-1] not in (b"\r\n", b"\n"):
        if len(lines) > _MOST_LINES:
            raise session.failed(f"an answer of more than {_MOST_LINES} header lines", phase="ttfb")
        lines.append(await session.connection.read_until(b"\n", _LINE))
    pairs = [line.decode("latin-1").partition(":") for line in lines[1:-1]]
    session.headers = tuple((name.strip().lower(), value.strip()) for name, colon, value in pairs if colon)
    return b"".join(lines)


def _refused(session: _Session, first: bytes) -> str:
    status = session.status or 0
    said = clip(first.decode("latin-1").partition(" ")[2].strip(), 60)
    why = _WHY_NOT.get(status, "")
    if 300 <= status < 400:
        to = next((value for name, value in session.headers if name == "location"), "")
        why = f"redirects are not followed{': ' + clip(quiet_url(to), 100) if to else ''}"
    return f"expected 101 (the change to WebSocket), found {said}{f' ({why})' if why else ''}"


async def _ping(session: _Session) -> None:
    """A ping that must be answered by its own pong."""
    mark = secrets.token_bytes(8)
    session.protocol.send_ping(mark)
    await session.flush()
    while True:
        frame = await session.frame()
        if frame.opcode == 0xA and bytes(frame.data) == mark:
            return


async def _converse(session: _Session, send: str | None, expect: str | None) -> None:
    """Send the message, if there is one, and wait for an answer that is right. CheckFailed (assertion) names the last
    one that was not."""
    if send is not None:
        session.protocol.send_text(send.encode())
        await session.flush()
    try:
        # A little before the run's own deadline, so that the error can say what did come.
        async with asyncio.timeout(progress().remaining_s() * 0.95):
            while True:
                session.answer = await session.message()
                session.facts["answer"] = clip(session.answer[:800].decode("utf-8", "replace"), 200)
                if expect is None or search(expect, session.answer).hit:
                    return
    except TimeoutError:
        if session.answer is None:
            raise session.failed("the WebSocket opened, but no message came", "timeout") from None
        raise _unlike(session, expect or "", "then nothing more came") from None
    except CheckFailed as failure:
        if session.answer is None or expect is None:
            raise
        raise _unlike(session, expect, f"then {failure.message}") from None


def _unlike(session: _Session, expect: str, then: str) -> CheckFailed:
    got = clip((session.answer or b"")[:400].decode("utf-8", "replace"), 100)
    return session.failed(f"expected an answer like {clip(expect)}, found {got} ({clip(then, 200)})", "assertion")


async def _goodbye(session: _Session) -> None:
    """Close as one should; a server that is slow in closing has still done its work."""
    try:
        async with asyncio.timeout(min(_FAREWELL_S, progress().remaining_s() / 2)):
            if session.protocol.close_rcvd is None and session.protocol.parser_exc is None:
                session.protocol.send_close(1000)
                await session.flush()
                while True:
                    await session.frame()
    except (CheckFailed, TimeoutError):
        return
