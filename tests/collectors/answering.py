"""A small HTTP server of a test's own, on a TCP port or a Unix socket, that answers each path with what it was given."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Route = Any
"""What a path is answered with: bytes, text, (status, bytes), None (silence), or anything else as JSON."""


@dataclass
class Answering:
    """Where it listens, what it answers (may be changed at any time), and what it was asked."""

    routes: dict[str, Route]
    port: int = 0
    asked: list[str] = field(default_factory=list)
    heads: list[str] = field(default_factory=list)
    silent: bool = False
    user: str = ""
    """Whoever shows no digest of this user is answered with 401."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def answer(self, target: str) -> tuple[int, bytes] | None:
        if self.user and f'Authorization: Digest username="{self.user}"' not in self.heads[-1]:
            return 401, b""
        path = target.partition("?")[0]
        route = self.routes.get(target, self.routes.get(path, (404, b'{"message":"no such thing"}')))
        if route is None or self.silent:
            return None
        if isinstance(route, tuple):
            return route
        if isinstance(route, str | bytes):
            return 200, route.encode() if isinstance(route, str) else route
        return 200, json.dumps(route).encode()


@contextlib.asynccontextmanager
async def answering(routes: dict[str, Route], socket: Path | None = None) -> AsyncIterator[Answering]:
    """The server, as long as it is wanted."""
    made = Answering(routes)
    writers: set[asyncio.StreamWriter] = set()

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.add(writer)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            made.heads.append(head)
            target = head.split(" ", 2)[1]
            made.asked.append(target)
            answer = made.answer(target)
            if answer is None:
                await reader.read()
            else:
                status, body = answer
                more = 'WWW-Authenticate: Digest realm="r", nonce="n", qop="auth"\r\n' if status == 401 else ""
                said = f"HTTP/1.1 {status} X\r\n{more}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
                writer.write(said.encode() + body)
                await writer.drain()
        writer.close()

    if socket is not None:
        server = await asyncio.start_unix_server(one, socket)
    else:
        server = await asyncio.start_server(one, "127.0.0.1", 0)
        made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()
