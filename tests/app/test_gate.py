"""Connections that drip, stall or flood are ended; good ones are served meanwhile."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from real import ask, given, running
from tocsin.app.gate import Gate
from tocsin.app.server import Running


@pytest.fixture
async def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Running]:
    monkeypatch.setattr(Gate, "head_s", 0.4)
    monkeypatch.setattr(Gate, "body_s", 0.4)
    async with running(given(tmp_path)) as made:
        yield made


async def says(server: Running, data: bytes) -> bytes:
    """What comes until the server closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(data)
    answer = await asyncio.wait_for(reader.read(), 20)
    writer.close()
    return answer


@pytest.mark.parametrize("data", [b"", b"GET /health HTTP/1.1\r\nHost: x\r\nX-Drip: "])
async def test_a_head_that_does_not_end_is_ended(server: Running, data: bytes) -> None:
    assert (await says(server, data)).startswith(b"HTTP/1.1 408 ")


async def test_a_body_that_does_not_come_ends_the_connection(server: Running) -> None:
    head = b"POST /api/v1/setup HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
    began = time.monotonic()
    await says(server, head)
    assert time.monotonic() - began < 15


async def test_a_head_that_is_too_long_is_refused(server: Running) -> None:
    flood = b"GET /health HTTP/1.1\r\nHost: x\r\n" + b"".join(b"X-%d: %s\r\n" % (n, b"y" * 4000) for n in range(200))
    try:
        answer = await says(server, flood)
    except ConnectionError:  # closed while we were still sending
        answer = b""
    assert answer == b"" or answer.startswith(b"HTTP/1.1 431 ")
    assert (await ask(server.port, "GET", "/health"))[0] == 200


async def test_a_kept_connection_serves_many_requests_and_long_bodies(server: Running) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    body = b'{"email": "' + b"x" * 100_000 + b'"}'
    for _ in range(3):
        writer.write(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b" 200 " in await reader.readline()
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.startswith(b"content-length"))
        await reader.readexactly(length)
    writer.write(
        b"POST /api/v1/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nConnection: close\r\n"
        b"Content-Length: %d\r\n\r\n" % len(body) + body
    )
    assert (await reader.readline()).split()[1] in (b"400", b"401", b"422")
    writer.close()


async def test_drips_do_not_slow_the_others(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Gate, "head_s", 30.0)
    drips = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(200)]
    for _, writer in drips:
        writer.write(b"GET /health HTTP/1.1\r\nX-Drip: ")
    answers = [(await ask(server.port, "GET", "/health"))[0] for _ in range(10)]
    for _, writer in drips:
        writer.close()
    assert answers == [200] * 10
