"""The relay for programs that connect by themselves: it goes only where the guard lets us, and says why not."""

# ruff: noqa: E501

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

import hostile
from hostile import Talk, serving
from tocsin.net.egress import Egress
from tocsin.net.relay import Relay, told
from tocsin.net.resolve import Resolver


@pytest.fixture
async def relay() -> AsyncIterator[Relay]:
    egress = Egress("private")
    resolver = Resolver(egress)
    async with Relay(resolver, egress, max_connections=4, max_bytes=1 << 20) as made:
        yield made
    resolver.close()


async def ask(relay: Relay, head: str, then: bytes = b"") -> bytes:
    """Everything that comes back."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(relay.url.rpartition(":")[2]))
    try:
        writer.write(head.encode() + b"\r\n\r\n" + then)
        async with asyncio.timeout(5):
            return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.transport.abort()


async def test_a_plain_request_goes_to_its_host_in_its_own_form(relay: Relay) -> None:
    async with serving(hostile.good) as server:
        head = f"POST {server.url('/p?q')} HTTP/1.1\r\nHost: x\r\nProxy-Connection: keep-alive\r\nContent-Length: 2"
        answer = await ask(relay, head, b"hiGET http://other/ HTTP/1.1\r\n\r\n")
        talk = server.talks[0]
    assert answer.endswith(b"\r\n\r\nok")
    assert talk.head.startswith(b"POST /p?q HTTP/1.1\r\n")
    assert (talk.body, talk.header("connection"), talk.header("proxy-connection")) == (b"hi", "close", None)
    assert relay.peers == {f"127.0.0.1:{server.port}": "127.0.0.1"}
    assert relay.bytes == len(answer)


async def test_a_tunnel_carries_both_ways(relay: Relay) -> None:
    async def echo(talk: Talk) -> None:
        await talk.send(b"you said " + await talk.reader.readexactly(5))

    async with serving(echo, read=False) as server:
        answer = await ask(relay, f"CONNECT 127.0.0.1:{server.port} HTTP/1.1", b"hello")
    assert answer == b"HTTP/1.1 200 OK\r\n\r\nyou said hello"


@pytest.mark.parametrize(
    "place", ["169.254.169.254:80", "metadata.google.internal:443", "[::ffff:169.254.169.254]:80", "0.0.0.0:80"]
)
async def test_what_the_guard_refuses_is_not_dialled(relay: Relay, place: str) -> None:
    assert await ask(relay, f"CONNECT {place} HTTP/1.1") == b""
    assert await ask(relay, f"GET http://{place}/ HTTP/1.1\r\nHost: good.example") == b""
    (trouble,) = relay.trouble.values()
    assert told(trouble).startswith("refused: ")
    assert relay.peers == {}


async def test_it_does_not_dial_itself_and_says_who_does_not_answer(relay: Relay) -> None:
    own, closed = relay.url.removeprefix("http://"), f"127.0.0.1:{hostile.refused_port()}"
    for place in (own, closed, "no-such-name.invalid:80"):
        assert await ask(relay, f"CONNECT {place} HTTP/1.1") == b""
    assert "a port of this server itself" in told(relay.trouble[own])
    assert told(relay.trouble[closed]).startswith("connection refused by")
    assert "no such name" in told(relay.trouble["no-such-name.invalid:80"])


@pytest.mark.parametrize(
    "head",
    ["", "GET / HTTP/1.1", "GET https://a.example/ HTTP/1.1", "GET file:///etc/passwd HTTP/1.1", "CONNECT x HTTP/1.1", "x" * 70_000, "GET http://a/ b HTTP/1.1",
     "POST http://127.0.0.1:9/ HTTP/1.1\r\nTransfer-Encoding: chunked", "POST http://127.0.0.1:9/ HTTP/1.1\r\nContent-Length: x", "CONNECT 127.0.0.1:0 HTTP/1.1"],
)  # fmt: skip
async def test_nonsense_is_hung_up_on(relay: Relay, head: str) -> None:
    assert await ask(relay, head) == b""
    assert relay.trouble == relay.peers == {}


async def test_a_flood_and_too_many_connections_end(relay: Relay) -> None:
    async def flood(talk: Talk) -> None:
        while True:
            await talk.send(b"x" * 65_536)

    async with serving(flood) as server:
        answer = await ask(relay, f"GET {server.url()} HTTP/1.1")
        assert len(answer) <= 1 << 20
        assert relay.flooded
        assert await ask(relay, f"GET {server.url()} HTTP/1.1") == b""
