"""Fresh TCP connections, to addresses the guard allows, each phase timed and each failure named."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
import time
from collections.abc import Sequence
from types import TracebackType

from msgspec import Struct

from tocsin.core.result import Timing, TlsFacts
from tocsin.errors import CheckFailed, CheckInvalid
from tocsin.net.egress import Egress
from tocsin.net.lent import Lent
from tocsin.net.progress import Progress, progress
from tocsin.net.resolve import Address, Resolver
from tocsin.net.shortage import exhausted, shortage

_CHUNK = 65_536
_UNREACHABLE = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN)


def from_os_error(error: OSError, phase: str, where: str = "") -> CheckFailed | CheckInvalid:
    """The failure of a check that a socket error stands for: the target's, or ours when this machine is short."""
    if (ours := shortage(error)) is not None:
        return ours
    at = f" {where}" if where else ""
    if isinstance(error, ConnectionRefusedError):
        return CheckFailed("connection_refused", f"connection refused by{at or ' the target'}", phase=phase)
    if isinstance(error, (ConnectionResetError, BrokenPipeError, ConnectionAbortedError)):
        return CheckFailed("connection_reset", f"connection reset by{at or ' the target'}", phase=phase)
    if isinstance(error, TimeoutError):
        return CheckFailed("timeout", f"no answer from{at or ' the target'}", phase=phase)
    if error.errno in _UNREACHABLE:
        return CheckFailed("network", f"no route to{at or ' the target'}: {error.strerror}", phase=phase)
    return CheckFailed("network", f"{where}: {error.strerror or error}".removeprefix(": "), phase=phase)


class TlsWish(Struct, frozen=True, kw_only=True):
    """How to speak TLS. `ca_file`, `client_cert` and `client_key` are PEM text, never paths: whoever writes a monitor
    must not be able to make us read a file."""

    verify: bool = True
    server_name: str
    ca_file: str | None = None
    client_cert: str | None = None
    client_key: str | None = None
    alpn: tuple[str, ...] = ()


class Connection:
    """An open TCP connection, TLS once `start_tls` was called. Every failure of it is a CheckFailed with its phase."""

    __slots__ = (
        "_buffer", "_eof", "_in", "_loop", "_out", "_progress", "_prompt", "_reads", "_sock", "_tls", "peer", "tls",
    )  # fmt: skip

    def __init__(self, sock: socket.socket, peer: str, here: Progress) -> None:
        self._sock = sock
        self._loop = here.loop
        self._progress = here
        self._buffer = bytearray()
        self._eof = False
        self._prompt = False
        self._reads = 0
        self._tls: ssl.SSLObject | None = None
        self._in: ssl.MemoryBIO | None = None
        self._out: ssl.MemoryBIO | None = None
        self.peer = peer
        self.tls: TlsFacts | None = None

    @property
    def timing(self) -> Timing:
        """dns, connect and tls in ms, as far as they happened."""
        return self._progress.timing()

    async def write(self, data: bytes) -> None:
        """Send all of it."""
        self._progress.phase = "send"
        if not self._prompt:
            self._prompt = True
            self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._tls is not None:
            try:
                self._tls.write(data)
            except ssl.SSLError as error:
                raise _broken(error, "send") from None
            await self._flush("send")
        else:
            await self._send(data, "send")

    async def read_some(self, limit: int = _CHUNK) -> bytes:
        """What has come, at most `limit` bytes; b"" when the other side has finished."""
        if self._buffer:
            return self._take(min(limit, len(self._buffer)))
        self._progress.phase = "ttfb"
        return await self._receive(limit)

    async def read(self, n: int) -> bytes:
        """Exactly `n` bytes; CheckFailed (protocol) when the other side ends before."""
        if self._is_turn():
            await asyncio.sleep(0)
        while len(self._buffer) < n:
            await self._fill(n - len(self._buffer))
        return self._take(n)

    async def read_until(self, separator: bytes, limit: int = _CHUNK) -> bytes:
        """Everything up to and with `separator`; CheckFailed (protocol) when it does not come within `limit` bytes."""
        if self._is_turn():
            await asyncio.sleep(0)
        start = 0
        while (at := self._buffer.find(separator, start)) < 0:
            if len(self._buffer) >= limit:
                raise CheckFailed("protocol", f"no end of a line within {limit} bytes", phase="ttfb")
            start = max(0, len(self._buffer) - len(separator) + 1)
            await self._fill(limit)
        if at + len(separator) > limit:
            raise CheckFailed("protocol", f"no end of a line within {limit} bytes", phase="ttfb")
        return self._take(at + len(separator))

    def _is_turn(self) -> bool:
        """Whether the other checks are to have their turn now: a flood of small pieces, or of records with nothing in
        them, would hold them up for long."""
        self._reads += 1
        return self._reads & 63 == 0

    async def start_tls(self, wish: TlsWish) -> TlsFacts:
        """Speak TLS from here on, and give its facts.

        Verified by OpenSSL in the handshake itself (chain, dates, host name). When that fails CheckFailed (tls) is
        raised; the facts are in its observation's place all the same: `connection.tls`."""
        from tocsin.net.tls import context, facts_of, why_refused  # for those who speak TLS

        here = self._progress
        here.phase = "tls"
        began = time.perf_counter()
        if self._buffer:
            raise CheckFailed("protocol", "data came before the TLS handshake", phase="tls")
        made = context(wish.verify, wish.ca_file, wish.client_cert, wish.client_key, wish.alpn)
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        try:
            tls = made.wrap_bio(incoming, outgoing, server_hostname=wish.server_name or None)
        except ValueError as error:
            raise CheckFailed("tls", f"{wish.server_name!r} is no name for TLS: {error}", phase="tls") from None
        self._in, self._out = incoming, outgoing
        try:
            try:
                await self._handshake(tls)
            finally:
                here.tls_ms = (time.perf_counter() - began) * 1000
        except ssl.SSLError as error:
            self.tls = here.tls = facts_of(tls, verified=False)
            if isinstance(error, ssl.SSLCertVerificationError):
                text = why_refused(self.tls, wish.server_name, error.verify_code, error.verify_message)
                raise CheckFailed("tls", text, phase="tls") from None
            raise _broken(error, "tls") from None
        self._tls = tls
        self.tls = here.tls = facts_of(tls, verified=wish.verify)
        return self.tls

    async def _handshake(self, tls: ssl.SSLObject) -> None:
        while True:
            try:
                tls.do_handshake()
            except ssl.SSLWantReadError:
                await self._flush("tls")
                await self._receive_raw("tls", "the TLS handshake")
                continue
            except ssl.SSLError:
                await self._say_goodbye()
                raise
            await self._flush("tls")
            return

    async def _say_goodbye(self) -> None:
        """Send the alert that tells the other side why; whether it arrives is no matter."""
        try:
            await self._flush("tls")
        except CheckFailed:
            return

    async def _fill(self, limit: int) -> None:
        self._progress.phase = "transfer" if self._buffer else "ttfb"
        data = await self._receive(max(1, min(limit, _CHUNK)))
        if not data:
            raise CheckFailed("protocol", "the connection ended in the middle of an answer", phase=self._progress.phase)
        self._buffer += data

    def _take(self, n: int) -> bytes:
        data = bytes(self._buffer[:n])
        del self._buffer[:n]
        return data

    async def _receive(self, limit: int) -> bytes:
        if self._is_turn():
            await asyncio.sleep(0)
        if self._tls is None:
            try:
                return await self._loop.sock_recv(self._sock, limit)
            except OSError as error:
                raise from_os_error(error, self._progress.phase or "ttfb", self.peer) from None
        while True:
            try:
                return self._tls.read(limit)
            except ssl.SSLWantReadError:
                await self._flush("transfer")
                if self._eof:
                    return b""
                await self._receive_raw(self._progress.phase or "ttfb", None)
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                return b""
            except ssl.SSLError as error:
                raise _broken(error, self._progress.phase or "transfer") from None

    async def _receive_raw(self, phase: str, in_middle_of: str | None) -> None:
        assert self._in is not None
        if self._is_turn():
            await asyncio.sleep(0)
        try:
            data = await self._loop.sock_recv(self._sock, _CHUNK)
        except OSError as error:
            raise from_os_error(error, phase, self.peer) from None
        if data:
            self._in.write(data)
            return
        if in_middle_of is not None:
            raise CheckFailed(
                "connection_reset", f"{self.peer} closed the connection during {in_middle_of}", phase=phase
            )
        self._eof = True
        self._in.write_eof()

    async def _flush(self, phase: str) -> None:
        assert self._out is not None
        if data := self._out.read():
            await self._send(data, phase)

    async def _send(self, data: bytes, phase: str) -> None:
        try:
            await self._loop.sock_sendall(self._sock, data)
        except OSError as error:
            raise from_os_error(error, phase, self.peer) from None

    def detach(self) -> socket.socket:
        """The plain socket, for a library that speaks its protocol over it by itself and closes it. Nothing may have
        been read before; this connection is of no use afterwards."""
        assert self._tls is None
        assert not self._buffer
        taken = Lent(self._sock.detach())
        taken.setblocking(False)
        return taken

    def close(self) -> None:
        """Hang up."""
        self._sock.close()


class Connecting:
    """`async with` it to get the Connection; it is closed at the end."""

    __slots__ = ("_connection", "_egress", "_host", "_ip_version", "_pins", "_port", "_resolver", "_wish")

    def __init__(
        self,
        resolver: Resolver,
        egress: Egress,
        host: str,
        port: int,
        wish: TlsWish | None,
        ip_version: int | None,
        pins: Sequence[str],
    ) -> None:
        self._resolver, self._egress = resolver, egress
        self._host, self._port, self._wish = host, port, wish
        self._ip_version, self._pins = ip_version, pins
        self._connection: Connection | None = None

    async def __aenter__(self) -> Connection:
        here = progress()
        here.phase = "dns"
        began = time.perf_counter()
        addresses = await self._resolver.resolve(self._host, self._port, ip_version=self._ip_version, pins=self._pins)
        here.dns_ms = (time.perf_counter() - began) * 1000
        here.phase = "connect"
        sock, address = await _connect_any(addresses, here)
        try:
            self._egress.check(sock.getpeername()[0], address.port)
            self._connection = connection = Connection(sock, address.ip, here)
            if self._wish is not None:
                await connection.start_tls(self._wish)
        except BaseException:
            sock.close()
            raise
        return connection

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._connection is not None:
            self._connection.close()


async def _connect_any(addresses: Sequence[Address], here: Progress) -> tuple[socket.socket, Address]:
    """A socket connected to the first address that answers; the first failure when none does. An address that keeps
    silent may use half of the time that is left, as long as there is another one. A machine that has run out of something
    is told at once; an address that it merely cannot reach from here counts only when no other one failed."""
    first: CheckFailed | CheckInvalid | None = None
    for i, address in enumerate(addresses):
        here.ip = address.ip
        began = time.perf_counter()
        try:
            if i == len(addresses) - 1:
                sock = await _connect(address, here.loop)
            else:
                async with asyncio.timeout(here.remaining_s() / 2):
                    sock = await _connect(address, here.loop)
        except OSError as error:
            failure = from_os_error(error, "connect", f"{address.ip} port {address.port}")
            if exhausted(error):
                raise failure from None
            if first is None or isinstance(first, CheckInvalid):
                first = failure
            continue
        here.connect_ms = (time.perf_counter() - began) * 1000
        return sock, address
    raise first or CheckFailed("dns", "no address", phase="dns")


async def _connect(address: Address, loop: asyncio.AbstractEventLoop) -> socket.socket:
    """A connected socket, or OSError. The loop's own `sock_connect` takes twice the CPU: it reads the address again.

    On this machine the handshake is over when the first call returns, which says "in progress" all the same: asked once
    more it tells, and the loop need not watch the socket."""
    sock = socket.socket(address.family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        place = (address.ip.encode(), address.port)  # bytes: text would be IDNA-encoded each time
        code = sock.connect_ex(place)
        if code == errno.EINPROGRESS:
            code = sock.connect_ex(place)
            code = 0 if code == errno.EISCONN else code  # what other systems say then
        if code == errno.EALREADY:
            await _writable(sock.fileno(), loop)
            code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    except BaseException:
        sock.close()
        raise
    if code:
        sock.close()
        raise OSError(code, os.strerror(code))
    return sock


async def _writable(fd: int, loop: asyncio.AbstractEventLoop) -> None:
    ready: asyncio.Future[None] = loop.create_future()
    loop.add_writer(fd, _wake, ready)
    try:
        await ready
    finally:
        loop.remove_writer(fd)


def _wake(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)


def _broken(error: ssl.SSLError, phase: str) -> CheckFailed:
    from tocsin.net.tls import broken

    return broken(error, phase)
