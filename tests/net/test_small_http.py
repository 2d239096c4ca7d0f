"""The small HTTP server, byte by byte over real sockets: what it answers, and what it does with who is rude."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from builders import until
from tocsin.net import small_http
from tocsin.net.small_http import SmallServer

GET = b"GET /a%20b?x=1 HTTP/1.1\r\nhost: here\r\n\r\n"


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Echoes a body; / tells what was asked; /fault breaks, /half breaks in the middle, /big does not read."""
    path = scope["path"]
    if path == "/fault":
        raise RuntimeError("on purpose")
    body = f"{scope['method']} {path} {scope['query_string'].decode()}".encode()
    if path == "/echo":
        body, more = b"", True
        while more:
            event = await receive()
            if event["type"] == "http.disconnect":
                return
            body, more = body + event["body"], event.get("more_body", False)
    if path == "/slow":
        await asyncio.sleep(0.3)
    status = 413 if path == "/big" else 200
    length = str(len(body) + (5 if path == "/half" else 0)).encode()
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", length)]})
    if path == "/half":
        await send({"type": "http.response.body", "body": body, "more_body": True})
        raise RuntimeError("on purpose")
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})


@asynccontextmanager
async def serving(grace_s: float = 1.0) -> AsyncIterator[SmallServer]:
    server = SmallServer(app, socket.create_server(("127.0.0.1", 0)), grace_s=grace_s)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


async def said(server: SmallServer, *parts: bytes, wait_s: float = 0.0, ends: bool = True) -> bytes:
    """All that comes back for these bytes, until it hangs up."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(wait_s)
        if ends:
            writer.write_eof()
        async with asyncio.timeout(20):
            return await reader.read()
    except ConnectionError:
        return b"reset"
    finally:
        writer.close()


async def test_one_connection_serves_one_request_after_another() -> None:
    async with serving() as server:
        answers = await said(server, GET, GET + GET, wait_s=0.05)
    assert answers.count(b"HTTP/1.1 200") == 3
    assert answers.count(b"GET /a b x=1") == 3


@pytest.mark.parametrize(
    ("head", "body"),
    [
        (b"content-length: 5\r\n", b"hello"),
        (b"transfer-encoding: chunked\r\n", b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"),
        (b"content-length: 5\r\nexpect: 100-continue\r\n", b"hello"),
    ],
)
async def test_bodies(head: bytes, body: bytes) -> None:
    async with serving() as server:
        answer = await said(server, b"POST /echo HTTP/1.1\r\nhost: here\r\n" + head + b"\r\n", body, GET, wait_s=0.05)
    assert answer.count(b"hello") == 1
    assert answer.count(b"HTTP/1.1 200") == 2
    assert (b"HTTP/1.1 100" in answer) == (b"expect" in head)


async def test_the_answer_to_head_has_no_body() -> None:
    async with serving() as server:
        answer = await said(server, GET.replace(b"GET", b"HEAD") + GET)
    assert answer.count(b"content-length: 12") == 1
    assert answer.endswith(b"GET /a b x=1")
    assert b"HEAD /a" not in answer


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nhost: here\r\nx: " + b"y" * 20_000 + b"\r\n\r\n", b"431"),
        (b"POST /echo HTTP/1.1\r\nhost: here\r\ncontent-length: 3\r\ntransfer-encoding: x\r\n\r\nabc", b"501"),
        (b"GET /fault HTTP/1.1\r\nhost: here\r\n\r\n", b"500"),
    ],
)
async def test_what_is_not_answered(sent: bytes, status: bytes) -> None:
    async with serving() as server:
        answer = await said(server, sent)
    assert answer.startswith(b"HTTP/1.1 " + status)
    assert answer.count(b"HTTP/1.1") == 1


async def test_who_sends_too_much_can_read_why() -> None:
    async with serving() as server:
        head = b"POST /big HTTP/1.1\r\nhost: here\r\ncontent-length: 3000000\r\n\r\n"
        answer = await said(server, head, *[b"x" * 100_000] * 30)
    assert answer.startswith(b"HTTP/1.1 413")


async def test_half_an_answer_does_not_look_whole() -> None:
    async with serving() as server:
        answer = await said(server, b"GET /half HTTP/1.1\r\nhost: here\r\n\r\n", GET, ends=False)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert (head.split(b"\r\n")[1], body) == (b"content-length: 15", b"GET /half ")


@pytest.mark.parametrize(
    ("name", "parts", "status"),
    [
        ("HEAD_S", (b"GET / HTT",), b"HTTP/1.1 408"),
        ("BODY_S", (b"POST /echo HTTP/1.1\r\nhost: here\r\ncontent-length: 9\r\n\r\nabc",), b"HTTP/1.1 408"),
        ("IDLE_S", (), b""),
    ],
)
async def test_who_stalls_is_sent_away(
    monkeypatch: pytest.MonkeyPatch, name: str, parts: tuple[bytes, ...], status: bytes
) -> None:
    monkeypatch.setattr(small_http, name, 0.3)
    async with serving() as server:
        answer = await said(server, *parts, ends=False)
    assert answer[:12] == status


async def test_one_connection_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(small_http, "MOST", 2)
    async with serving() as server:
        kept = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(2)]
        await until(lambda: len(server._open) == 2)
        assert (await said(server, ends=False)).startswith(b"HTTP/1.1 503")
        for _, writer in kept:
            writer.close()
        await until(lambda: not server._open)
        assert (await said(server, GET)).startswith(b"HTTP/1.1 200")


async def test_a_stop_lets_an_answer_end_and_hangs_up_on_who_is_idle() -> None:
    async with serving(grace_s=10.0) as server:
        slow = asyncio.create_task(said(server, b"GET /slow HTTP/1.1\r\nhost: here\r\n\r\n", ends=False))
        idle = asyncio.create_task(said(server, GET, ends=False))
        await until(lambda: sorted(visit.idle for visit in server._open.values()) == [False, True])
    assert (await slow).endswith(b"GET /slow ")
    assert (await idle).endswith(b"GET /a b x=1")
