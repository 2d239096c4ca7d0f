"""A wire for parsers that read from one: a real server on loopback that says what it is told to, and checks against it."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from tocsin import checks
from tocsin.core.shape import read
from tocsin.net import Connection, Net
from tocsin.net.progress import PROGRESS, Progress

T = TypeVar("T")
Answer = Callable[[bytes, bytes], bytes]
"""What is sent, from the input and from what was asked first."""
_PATIENCE_S = 5.0
_HARD = struct.pack("ii", 1, 0)


class Line:
    """A server that says an input to whoever comes and then says no more, and what may look at it."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._listener.setblocking(False)
        self.port: int = self._listener.getsockname()[1]
        self._says, self._asked = b"", None
        self._net = Net()
        self._open: set[asyncio.Task[None]] = set()
        self._accepting = self.loop.create_task(self._accept())

    def check(self, kind: str, says: bytes, *, after: Answer | None = None, **target: Any) -> Any:
        """What a check of this type sees of a server that says this. With `after` it first waits for a request, and says
        what that makes of it."""
        chosen = checks.kind(kind)
        wanted = read(chosen.target, target)
        return self._run(says, after, lambda: chosen.check(wanted, self._net))

    def hear(self, says: bytes, use: Callable[[Connection], Awaitable[T]]) -> T:
        """What `use` makes of a connection to a server that says this."""

        async def heard() -> T:
            async with self._net.connect("127.0.0.1", self.port) as connection:
                return await use(connection)

        return self._run(says, None, heard)

    def close(self) -> None:
        """End it, and everything on it."""
        self._accepting.cancel()
        self.loop.run_until_complete(self._end())
        self.loop.run_until_complete(self._net.close())
        self._listener.close()
        self.loop.close()

    def _run(self, says: bytes, after: Answer | None, work: Callable[[], Awaitable[T]]) -> T:
        self._says, self._asked = says, after
        return self.loop.run_until_complete(self._patiently(work))

    async def _patiently(self, work: Callable[[], Awaitable[T]]) -> T:
        here = Progress()
        here.timeout_s, here.deadline = _PATIENCE_S, self.loop.time() + _PATIENCE_S
        token = PROGRESS.set(here)
        try:
            async with asyncio.timeout(_PATIENCE_S + 1):
                return await work()
        finally:
            PROGRESS.reset(token)
            await self._end()

    async def _end(self) -> None:
        for task in tuple(self._open):
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _accept(self) -> None:
        while True:
            sock, _ = await self.loop.sock_accept(self._listener)
            task = self.loop.create_task(self._serve(sock))
            self._open.add(task)
            task.add_done_callback(self._open.discard)

    async def _serve(self, sock: socket.socket) -> None:
        """Say it, and read what comes until the other side ends: bytes that nobody reads would cut off our own."""
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _HARD)  # thousands of connections leave nothing behind
            first = b"" if self._asked is None else await self.loop.sock_recv(sock, 65_536)
            await self.loop.sock_sendall(sock, self._says if self._asked is None else self._asked(self._says, first))
            sock.shutdown(socket.SHUT_WR)
            while await self.loop.sock_recv(sock, 65_536):
                pass
        except OSError:
            pass  # it has hung up already
        finally:
            sock.close()


_lines: list[Line] = []


def line() -> Line:
    """The line of this process."""
    if not _lines:
        _lines.append(Line())
    return _lines[0]


def close() -> None:
    """End the line of this process, if there is one."""
    while _lines:
        _lines.pop().close()
