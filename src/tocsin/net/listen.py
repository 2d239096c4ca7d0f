"""The listening end of a process of ours: a bare ASGI function on uvicorn, with TLS and without on one port.

The first byte of a connection tells which of the two it is. Whether plain HTTP is answered is the function's matter: the
scope says `scheme`, and whom it came from.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager, suppress
from typing import Any

import uvicorn

from tocsin.net import gate
from tocsin.net.mutual import CALLER

Application = Callable[[Any, Callable[[], Awaitable[Any]], Callable[[Any], Awaitable[None]]], Awaitable[None]]

FIRST_BYTE_S = 10.0
HANDSHAKE_S = 10.0
MOST_AT_THE_DOOR = 512
"""Connections that have not said a byte, or are in their handshake. One more is hung up on."""
_BEFORE_S = 0.3
"""So long before the grace is over nobody's good-bye is waited for any more: uvicorn would call that a failure."""
_HANDSHAKE = 0x16  # the first byte of a TLS record that begins one


class Server(uvicorn.Server):
    """uvicorn without its signal handling: the process is ours to stop, and a stop by signal is no failure."""

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


def configuration(app: Any, *, per_address: int, grace_s: int, max_message: int = 0) -> uvicorn.Config:
    """How all servers of ours are set: strict about what is read, quiet, and silent about what they are. `max_message` is
    the longest WebSocket message that is taken (0: none are opened)."""
    return uvicorn.Config(
        app,
        interface="asgi3",
        loop="none",
        http=gate.limited(per_address),
        ws=_websockets() if max_message else "none",
        ws_max_size=max_message,
        ws_per_message_deflate=False,
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=grace_s,
    )


def _websockets() -> type[asyncio.Protocol]:
    from tocsin.net.refusing import Refusing  # a process that opens none does not load them

    return Refusing


class Listening:
    """A server that answers at a bound socket. `port` is where."""

    def __init__(
        self, app: Application, sock: socket.socket, tls: ssl.SSLContext | None, config: uvicorn.Config
    ) -> None:
        self.port: int = sock.getsockname()[1]
        self._sock, self._tls, self._config = sock, tls, config
        self._server = Server(config)
        self._serving: asyncio.Task[None] | None = None
        self._door: asyncio.Task[None] | None = None
        self._waiting: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Begin to answer."""
        self._sock.listen(1024)
        self._sock.setblocking(False)
        self._serving = asyncio.create_task(self._server.serve(sockets=[]), name="http")
        while not self._server.started and not self._serving.done():  # noqa: ASYNC110 (uvicorn offers no event for it)
            await asyncio.sleep(0.005)
        if self._serving.done():
            await self._serving
        self._door = asyncio.create_task(self._open_door(), name="door")

    async def stop(self) -> None:
        """Take no more connections, let open requests end within the grace, hang up."""
        for task in (self._door, *self._waiting):
            if task is not None:
                task.cancel()
        await asyncio.gather(*(t for t in (self._door, *self._waiting) if t), return_exceptions=True)
        self._sock.close()
        self._server.should_exit = True
        if self._serving is not None:
            grace_s = self._config.timeout_graceful_shutdown or 0
            await asyncio.wait({self._serving}, timeout=max(0.0, grace_s - _BEFORE_S))
            for connection in list(self._server.server_state.connections):
                transport: Any = getattr(connection, "transport", None)
                if transport is not None and transport.is_closing():
                    transport.abort()  # answered and hung up on, over TLS: who called does not say good-bye
            await asyncio.wait({self._serving})

    async def _open_door(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                came, _ = await loop.sock_accept(self._sock)
            except OSError:  # it hung up before it was taken, or this machine has no descriptor left
                await asyncio.sleep(0.05)
                continue
            if len(self._waiting) >= MOST_AT_THE_DOOR:
                came.close()
                continue
            task = asyncio.create_task(self._let_in(came))
            self._waiting.add(task)
            task.add_done_callback(self._waiting.discard)

    async def _let_in(self, came: socket.socket) -> None:
        """Look at its first byte, and hand it to the protocol, over TLS when that begins a handshake."""
        loop = asyncio.get_running_loop()
        try:
            came.setblocking(False)
            with suppress(OSError):
                CALLER.set(str(came.getpeername()[0]))
                came.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            async with asyncio.timeout(FIRST_BYTE_S):
                secure = self._tls is not None and await _first_byte(loop, came) == _HANDSHAKE
            await loop.connect_accepted_socket(
                self._protocol,
                came,
                ssl=self._tls if secure else None,
                ssl_handshake_timeout=HANDSHAKE_S if secure else None,
            )
        except (OSError, TimeoutError, asyncio.CancelledError) as error:
            came.close()
            if isinstance(error, asyncio.CancelledError):
                raise

    def _protocol(self) -> asyncio.Protocol:
        made: Any = self._config.http_protocol_class
        return made(
            config=self._config,
            server_state=self._server.server_state,
            app_state=self._server.lifespan.state,
            _loop=asyncio.get_running_loop(),
        )


async def _first_byte(loop: asyncio.AbstractEventLoop, came: socket.socket) -> int:
    """The first byte, left where it is. Raises OSError when it hangs up without one."""
    while True:
        try:
            first = came.recv(1, socket.MSG_PEEK)
        except (BlockingIOError, InterruptedError):
            ready: asyncio.Future[None] = loop.create_future()
            loop.add_reader(came.fileno(), _wake, ready)
            try:
                await ready
            finally:
                loop.remove_reader(came.fileno())
            continue
        if not first:
            raise ConnectionResetError("it hung up")
        return first[0]


def _wake(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)
