"""What `tocsin bench` checks: a page and a port on loopback, in a process of its own that ends with its stdin."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import cast

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 512\r\n\r\n" + b"ok " * 170 + b"ok"


class _Page(asyncio.Protocol):
    """Answers every request with the same page."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own, of another tree

    def data_received(self, data: bytes) -> None:
        if data.endswith(b"\r\n\r\n"):
            self._transport.write(ANSWER)


async def serve() -> None:
    """Print both ports as one JSON line and serve until standard input ends."""
    loop = asyncio.get_running_loop()
    http = await loop.create_server(_Page, "127.0.0.1", 0, backlog=4096)
    tcp = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0, backlog=4096)
    print(json.dumps({"http": http.sockets[0].getsockname()[1], "tcp": tcp.sockets[0].getsockname()[1]}), flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    import uvloop

    uvloop.run(serve())
