"""A process that is watched: HTTP on one port, bare TCP on another, on a fast loop so that it is not what is measured.

Prints its ports as one JSON line. A line on stdin changes it: `down` (HTTP answers 503), `up`, `quit`. Paths under /wait/50
answer after 50 ms.
"""

from __future__ import annotations

import asyncio
import json
import sys
from functools import partial
from typing import cast

import uvloop

BODY = b'{"status":"ok","items":[1,2,3]}' + b" " * 480
OK = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(BODY) + BODY
BAD = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 4\r\n\r\ndown"


class Switch:
    """Whether the target is well, and how many connections it had."""

    well = True
    seen = 0


class Http(asyncio.Protocol):
    """Answers every request on a connection with the same page."""

    def __init__(self, switch: Switch) -> None:
        self.switch, self.buffer = switch, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's own, of another tree
        self.switch.seen += 1

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while b"\r\n\r\n" in self.buffer:
            head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
            path = head.split(b" ", 2)[1]
            if path.startswith(b"/wait/"):
                asyncio.get_running_loop().call_later(int(path[6:]) / 1000, self.answer)
            else:
                self.answer()

    def answer(self) -> None:
        if not self.transport.is_closing():
            self.transport.write(OK if self.switch.well else BAD)


class Tcp(asyncio.Protocol):
    """Accepts and says nothing."""

    def __init__(self, switch: Switch) -> None:
        self.switch = switch

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.switch.seen += 1


async def main() -> None:
    """Serve until stdin ends or says quit."""
    loop, switch = asyncio.get_running_loop(), Switch()
    http = await loop.create_server(partial(Http, switch), "127.0.0.1", 0, backlog=4096)
    tcp = await loop.create_server(partial(Tcp, switch), "127.0.0.1", 0, backlog=4096)
    print(json.dumps({"http": http.sockets[0].getsockname()[1], "tcp": tcp.sockets[0].getsockname()[1]}), flush=True)
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := (await reader.readline()).decode().strip():
        if line == "quit":
            break
        switch.well = line == "up"
        print(json.dumps({"now": line, "seen": switch.seen}), flush=True)


if __name__ == "__main__":
    uvloop.run(main())
