"""HTTP/1.1 to a peer of ours over connections that are kept open: a question costs one way there and back.

Checks and channels never use it: they want a fresh connection each time (net/http.py).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import httptools
from msgspec import Struct

from tocsin import __version__
from tocsin.core.plain import clip
from tocsin.errors import CheckFailed, CheckInvalid, EgressRefused, PeerLost
from tocsin.net.connect import Connection, TlsWish
from tocsin.net.url import Url

if TYPE_CHECKING:
    from tocsin.net import Net

IDLE_S = 50.0
"""Less than the 75 s after which the peers of ours hang up."""
MOST_IDLE = 16
_CHUNK = 65_536
_MOST_HEAD = 65_536


class Reply(Struct, frozen=True):
    """What was answered."""

    status: int
    headers: dict[str, str]
    body: bytes


class OtherCertificate(PeerLost):
    """What answers shows another certificate than the pinned one."""


class CertificateRefused(PeerLost):
    """What answers does not accept the certificate that we show."""


class TlsFailed(PeerLost):
    """What answers does not speak TLS with us: its certificate is not accepted, or it speaks something else."""


class Kept:
    """One peer and the connections to it. `pin` is the SHA-256 of the one certificate that is accepted; without it the
    authorities in `ca` (PEM text) count, or the usual ones. `shows` is our own certificate and its key (PEM), for who asks
    for one."""

    def __init__(
        self,
        net: Net,
        url: Url,
        *,
        pin: str | None = None,
        ca: str | None = None,
        most_body: int = 1 << 20,
        shows: tuple[str, str] | None = None,
    ) -> None:
        self._net, self._url, self._pin, self._ca, self._most = net, url, pin, ca, most_body
        self._shows = shows or (None, None)
        self._idle: list[tuple[Connection, float]] = []
        self._closed = False
        self.fingerprint: str | None = None

    async def ask(
        self, method: str, path: str, headers: Sequence[tuple[str, str]] = (), body: bytes = b"", *, timeout_s: float
    ) -> Reply:
        """The answer, whatever its status. Raises PeerLost when there is none in time, or one that is no HTTP. A kept
        connection that turns out to be dead is replaced once: the question may then arrive twice."""
        said = self._said(method, path, headers, body)
        try:
            async with asyncio.timeout(timeout_s):
                while (kept := self._take()) is not None:
                    try:
                        return await self._exchange(kept, said)
                    except _Stale:
                        continue
                return await self._exchange(await self._open(), said)
        except TimeoutError:
            raise PeerLost(f"no answer from {self._url.authority} within {timeout_s:g} s") from None
        except (CheckFailed, CheckInvalid, EgressRefused, OSError, _Stale) as error:
            kind = TlsFailed if isinstance(error, CheckFailed) and error.type == "tls" else PeerLost
            raise kind(f"{self._url.authority} cannot be asked: {clip(str(error), 200)}") from None

    def close(self) -> None:
        """Hang up all; what is under way is hung up when it ends."""
        self._closed = True
        while self._idle:
            self._idle.pop()[0].close()

    def _said(self, method: str, path: str, headers: Sequence[tuple[str, str]], body: bytes) -> bytes:
        base = self._url.path.partition("?")[0].rstrip("/")
        lines = [f"{method} {base}{path} HTTP/1.1", f"Host: {self._url.authority}", f"User-Agent: Tocsin/{__version__}"]
        lines += [f"{name}: {value}" for name, value in headers]
        if body or method == "POST":
            lines.append(f"Content-Length: {len(body)}")
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + body

    def _take(self) -> Connection | None:
        oldest = time.monotonic() - IDLE_S
        while self._idle:
            connection, since = self._idle.pop()
            if since > oldest:
                return connection
            connection.close()
        return None

    async def _open(self) -> Connection:
        wish = None
        if self._url.scheme == "https":
            cert, key = self._shows
            wish = TlsWish(
                verify=self._pin is None,
                server_name=self._url.host,
                ca_file=self._ca,
                alpn=("http/1.1",),
                client_cert=cert,
                client_key=key,
            )
        connecting = self._net.connect(self._url.host, self._url.port, tls=wish)
        connection = await connecting.__aenter__()
        if connection.tls is not None:
            self.fingerprint = connection.tls.fingerprint_sha256
            if self._pin is not None and self.fingerprint != self._pin:
                connection.close()
                raise OtherCertificate(
                    f"{self._url.authority} shows another certificate than the pinned one"
                    f" (SHA-256 {self.fingerprint[:16]}…)"
                )
        return connection

    async def _exchange(self, connection: Connection, said: bytes) -> Reply:
        answer, clean = _Parse(self._most), False
        try:
            try:
                await connection.write(said)
                data = await connection.read_some(_CHUNK)
            except CheckFailed as failure:
                if self._shows[0] is not None and " alert " in str(failure):  # TLS 1.3 says so after the handshake
                    raise CertificateRefused(
                        f"{self._url.authority} does not accept the certificate it was shown: {failure}"
                    ) from None
                raise _Stale(str(failure)) from None
            if not data:
                raise _Stale("it closed the connection")
            while data and answer.feed(data):
                data = await connection.read_some(_CHUNK)
            reply = answer.whole(ended=not data)
            clean = answer.keeps
        finally:
            if clean and not self._closed and len(self._idle) < MOST_IDLE:
                self._idle.append((connection, time.monotonic()))
            else:
                connection.close()
        return reply


class _Stale(Exception):
    """The connection ended before a byte of the answer came."""


class _Parse:
    """An answer on its way in. httptools calls the `on_…` methods."""

    def __init__(self, most: int) -> None:
        self._parser: Any = httptools.HttpResponseParser(self)
        self._most, self._head, self._size = most, 0, 0
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []
        self._done = False
        self.keeps = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self._head += len(name) + len(value)
        if self._head <= _MOST_HEAD:
            self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, data: bytes) -> None:
        self._size += len(data)
        if self._size <= self._most:
            self._body.append(data)

    def on_message_complete(self) -> None:
        if self._parser.get_status_code() >= 200:
            self._done = True
            self.keeps = self._parser.should_keep_alive()

    def feed(self, data: bytes) -> bool:
        """Take in what came: whether more is to come. PeerLost for what is no HTTP, or too much of it."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            if not self._done:
                raise PeerLost(f"what answers speaks no HTTP/1.1: {clip(str(error), 120)}") from None
            self.keeps = False  # something follows that nobody asked for
        if self._size > self._most or self._head > _MOST_HEAD:
            raise PeerLost(f"an answer of more than {self._most} bytes")
        return not self._done

    def whole(self, *, ended: bool) -> Reply:
        """The answer. PeerLost when it is not all there."""
        if not self._done:
            ends_it = ended and "content-length" not in self._headers and "transfer-encoding" not in self._headers
            if not ends_it or not self._headers:
                raise PeerLost("the answer ended in the middle")
        return Reply(self._parser.get_status_code(), self._headers, b"".join(self._body))
