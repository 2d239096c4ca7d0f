"""A proxy on loopback for a program that connects by itself, such as a browser: it dials only where the guard lets us.

The relay looks names up itself and connects to the very address that was judged, so a name that changes its mind in
between (DNS rebinding) changes nothing. What it may not or cannot reach, it says by hanging up, and remembers why.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
from types import TracebackType

from tocsin.core.plain import clip
from tocsin.errors import CheckFailed, CheckInvalid, EgressRefused
from tocsin.net.connect import Connecting, Connection
from tocsin.net.egress import Egress
from tocsin.net.progress import PROGRESS, Progress
from tocsin.net.resolve import Resolver
from tocsin.net.url import parse

_HEAD = 64 * 1024
_HEAD_S = 30.0
_CHUNK = 65_536
_HOP_BY_HOP = (b"proxy-authorization:", b"proxy-connection:", b"connection:", b"keep-alive:")
_REMEMBERED = 50

Trouble = CheckFailed | CheckInvalid | EgressRefused


class Relay:
    """`async with` it; then `url` is what the program is to use as its HTTP proxy. `trouble` says by "host:port" why there
    was no connection, `peers` by which address one was reached, `bytes` how much came in."""

    def __init__(
        self, resolver: Resolver, egress: Egress, *, max_connections: int = 64, max_bytes: int = 256 << 20
    ) -> None:
        self._resolver, self._egress = resolver, egress
        self._max_connections, self._max_bytes = max_connections, max_bytes
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._port = 0
        self.trouble: dict[str, Trouble] = {}
        self.peers: dict[str, str] = {}
        self.bytes = 0

    @property
    def url(self) -> str:
        """The proxy's address."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def flooded(self) -> bool:
        """Whether more came in than one check may load."""
        return self.bytes > self._max_bytes

    async def __aenter__(self) -> Relay:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, limit=_HEAD)
        self._port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._tasks) >= self._max_connections or self.flooded:
            writer.transport.abort()
            return
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        PROGRESS.set(Progress())  # this connection's own: the check around us has its phases to itself
        try:
            async with asyncio.timeout(_HEAD_S):
                head = await reader.readuntil(b"\r\n\r\n")
            order = _read_order(head)
            if order is not None:
                await self._carry(order, reader, writer)
        except (
            OSError,
            asyncio.IncompleteReadError,
            asyncio.LimitOverrunError,
            TimeoutError,
            CheckFailed,
            CheckInvalid,
        ):
            pass  # one of the two hung up: so do we
        finally:
            writer.transport.abort()

    async def _carry(self, order: _Order, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        place = f"{order.host}:{order.port}"
        try:
            connection = await self._dial(order)
        except (CheckFailed, CheckInvalid, EgressRefused) as trouble:
            self.trouble.pop(place, None)  # so that the latest stands last
            if len(self.trouble) < _REMEMBERED:
                self.trouble[place] = trouble
            return
        try:
            self.trouble.pop(place, None)
            if len(self.peers) < _REMEMBERED:
                self.peers.setdefault(place, connection.peer)
            if order.first is None:
                writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            else:
                await connection.write(order.first)
            await self._splice(connection, reader, writer, order.body)
        finally:
            connection.close()

    async def _dial(self, order: _Order) -> Connection:
        connection = await Connecting(self._resolver, self._egress, order.host, order.port, None, None, ()).__aenter__()
        if order.port == self._port and ipaddress.ip_address(connection.peer).is_loopback:
            connection.close()
            raise EgressRefused(
                f"{order.host} port {order.port} is a port of this server itself, which it does not contact"
            )
        return connection

    async def _splice(
        self, connection: Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, body: int | None
    ) -> None:
        """Carry bytes both ways until the other side ends; of a plain request only its body goes out (None: all)."""
        out = asyncio.create_task(_send(connection, reader, body))
        try:
            while data := await connection.read_some(_CHUNK):
                self.bytes += len(data)
                if self.flooded:
                    return
                writer.write(data)
                await writer.drain()
            with contextlib.suppress(OSError):
                writer.close()
                await writer.wait_closed()
        finally:
            out.cancel()
            await asyncio.gather(out, return_exceptions=True)


async def _send(connection: Connection, reader: asyncio.StreamReader, left: int | None) -> None:
    while left is None or left > 0:
        data = await reader.read(_CHUNK if left is None else min(left, _CHUNK))
        if not data:
            connection.close()
            return
        left = None if left is None else left - len(data)
        await connection.write(data)


class _Order:
    """Where to go, what is said first (None: nothing, it is a tunnel), and how long the body after it is."""

    __slots__ = ("body", "first", "host", "port")

    def __init__(self, host: str, port: int, first: bytes | None, body: int | None) -> None:
        self.host, self.port, self.first, self.body = host, port, first, body


def _read_order(head: bytes) -> _Order | None:
    """What a proxy is asked for: CONNECT host:port, or METHOD http://…; None for anything else."""
    lines = head[:-4].split(b"\r\n")
    words = lines[0].decode("latin-1").split(" ")
    if len(words) != 3:
        return None
    method, target, version = words
    try:
        if method == "CONNECT":
            url = parse(f"http://{target}/")
            port = int(target.rpartition(":")[2])
            return _Order(url.host, port, None, None)
        url = parse(target)
        if url.scheme != "http":
            return None
        length = 0
        for line in lines[1:]:
            if line.lower().startswith(b"content-length:"):
                length = int(line.partition(b":")[2])
            elif line.lower().startswith(b"transfer-encoding:"):
                return None  # browsers send no such body over plain http
    except (ValueError, CheckFailed):
        return None
    kept = [line for line in lines[1:] if not line.lower().startswith(_HOP_BY_HOP)]
    first = [f"{method} {url.path} {version}".encode("latin-1", "replace"), *kept, b"Connection: close", b"", b""]
    return _Order(url.host, url.port, b"\r\n".join(first), length)


def told(trouble: Trouble) -> str:
    """Why there was no connection, briefly."""
    return clip(f"refused: {trouble}" if isinstance(trouble, EgressRefused) else str(trouble), 200)
