"""A whole server in the test's own process, and questions to it over a real connection."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tocsin import settings
from tocsin.app.server import Running, start

FIRST = {"email": "alice@example.org", "password": "a long enough sentence", "workspace": "Home"}

"""The first account."""


def given(tmp_path: Path, **more: str) -> settings.Settings:
    """Settings with a data folder below `tmp_path` and a free port."""
    return settings.read({"TOCSIN_DATA_DIR": str(tmp_path / "data"), "TOCSIN_PORT": "0", **more})


@asynccontextmanager
async def running(made: settings.Settings) -> AsyncIterator[Running]:
    """A whole server in this process, stopped afterwards."""
    server = await start(made)
    try:
        yield server
    finally:
        await server.stop()


async def ask(port: int, method: str, path: str, body: Any = None, token: str = "") -> tuple[int, Any]:
    """Status and data of one request to a port of this machine."""
    payload = b"" if body is None else json.dumps(body).encode()
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\nContent-Length: {len(payload)}\r\n"
    )
    head += "Content-Type: application/json\r\n" if payload else ""
    head += f"Authorization: Bearer {token}\r\n" if token else ""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(head.encode() + b"\r\n" + payload)
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    top, _, rest = answer.partition(b"\r\n\r\n")
    return int(top.split()[1]), json.loads(rest) if rest else None
