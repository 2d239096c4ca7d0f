"""Connections that drip, stall or flood are ended; good ones are served meanwhile."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from websockets.asyncio.client import connect

from real import FIRST, ask, given, running
from tocsin.app.server import Running
from tocsin.net.gate import Gate


@pytest.fixture
async def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Running]:
    monkeypatch.setattr(Gate, "head_s", 0.4)
    monkeypatch.setattr(Gate, "body_s", 0.4)
    async with running(given(tmp_path)) as made:
        yield made


async def says(server: Running, data: bytes, *then: bytes) -> bytes:
    """What comes until the server closes the connection. Each of `then` is sent when something was heard."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(data)
    for more in then:
        await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)
        writer.write(more)
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


@pytest.mark.parametrize("more", [b"\r\n", b"GET /health HTTP/1.1\r\nX-Drip: "])
async def test_the_next_head_on_a_kept_connection_has_the_same_time(server: Running, more: bytes) -> None:
    assert b"HTTP/1.1 408 " in await says(server, b"HEAD /health HTTP/1.1\r\nHost: x\r\n\r\n", more)


async def test_a_late_head_never_breaks_into_the_answer_before_it(server: Running) -> None:
    stalled = b"POST /api/v1/setup HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n"
    assert b" 408 " not in await says(server, stalled)


@pytest.mark.parametrize(
    "head",
    [b"X-Long: " + b"y" * 20_000 + b"\r\n", b"".join(b"X-%d: y\r\n" % n for n in range(101))],
    ids=["bytes", "lines"],
)
async def test_a_complete_head_that_is_too_long_is_refused(server: Running, head: bytes) -> None:
    answer = await says(server, b"GET /health HTTP/1.1\r\nHost: x\r\n" + head + b"\r\n")
    assert answer.startswith(b"HTTP/1.1 431 ")
    assert answer.count(b"HTTP/1.1") == 1


async def test_a_head_of_a_hundred_lines_and_a_pipelined_body_are_fine(server: Running) -> None:
    head = b"GET /health HTTP/1.1\r\n" + b"".join(b"X-%d: y\r\n" % n for n in range(98))
    body = b"x" * 30_000
    post = b"POST /api/v1/setup HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    answer = await says(server, post + head + b"Host: x\r\nConnection: close\r\n\r\n")
    assert answer.count(b"HTTP/1.1 ") == 2
    assert b" 431 " not in answer
    assert b"HTTP/1.1 200 " in answer


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


async def held(server: Running, count: int, source: str) -> list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """So many connections from one address that were answered and stay open."""
    made = [await asyncio.open_connection("127.0.0.1", server.port, local_addr=(source, 0)) for _ in range(count)]
    for reader, writer in made:
        writer.write(b"HEAD /health HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b" 200 " in await reader.readuntil(b"\r\n\r\n")
    return made


async def test_one_address_has_a_limit_that_others_do_not_feel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Gate, "loopback_too", True)
    async with running(given(tmp_path, TOCSIN_CONNECTIONS_PER_ADDRESS="3")) as server:
        mine = await held(server, 3, "127.0.0.1")
        assert (await says(server, b"")).startswith(b"HTTP/1.1 429 ")
        others = await held(server, 3, "127.0.0.2")
        reader, writer = mine.pop()
        writer.write(b"HEAD /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert b" 200 " in await reader.read()
        writer.close()
        mine += await held(server, 1, "127.0.0.1")
        for _, open_ in mine + others:
            open_.close()


@pytest.mark.parametrize("more", [{}, {"TOCSIN_TRUSTED_PROXIES": "1"}, {"TOCSIN_CONNECTIONS_PER_ADDRESS": "0"}])
async def test_loopback_and_proxies_are_not_limited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: dict[str, str]
) -> None:
    monkeypatch.setattr(Gate, "loopback_too", bool(more))
    async with running(given(tmp_path, **{"TOCSIN_CONNECTIONS_PER_ADDRESS": "2", **more})) as server:
        mine = await held(server, 5, "127.0.0.1")
        assert (await ask(server.port, "GET", "/health"))[0] == 200
        for _, writer in mine:
            writer.close()


async def test_a_live_connection_counts_until_it_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Gate, "loopback_too", True)
    async with running(given(tmp_path, TOCSIN_CONNECTIONS_PER_ADDRESS="1")) as server:
        token = (await ask(server.port, "POST", "/api/v1/setup", FIRST))[1]["access_token"]
        ticket = (await ask(server.port, "POST", "/api/v1/live/ticket", None, token))[1]["ticket"]
        async with connect(f"ws://127.0.0.1:{server.port}/api/v1/live?ticket={ticket}", proxy=None) as live:
            await (await live.ping())
            assert (await says(server, b"")).startswith(b"HTTP/1.1 429 ")
        assert (await ask(server.port, "GET", "/health"))[0] == 200
