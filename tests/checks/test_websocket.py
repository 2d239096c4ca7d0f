"""websocket: a real server in process (websockets), and ones that refuse, break the protocol or never stop."""

# ruff: noqa: E501

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Any

import pytest
from websockets.asyncio.server import Request, Response, ServerConnection, serve

import hostile
from checks.looking import look, why
from hostile import Talk, authority, issue, serving
from hostile.sound import shake
from tocsin.checks import kind
from tocsin.checks.websocket import Target
from tocsin.core.shape import fields, read
from tocsin.errors import Invalid


class Room:
    """What the server was asked, and how many sessions came to a proper end."""

    def __init__(self) -> None:
        self.port = 0
        self.requests: list[Request] = []
        self.closed: list[int] = []


@contextlib.asynccontextmanager
async def room(*, tls: ssl.SSLContext | None = None, greet: str = "", **more: Any) -> AsyncIterator[Room]:
    """An echo that wants a bearer token on /private and has gone from /old."""
    here = Room()

    def admit(connection: ServerConnection, request: Request) -> Response | None:
        here.requests.append(request)
        if request.path == "/private" and request.headers.get("Authorization") != "Bearer s3cret":
            return connection.respond(HTTPStatus.UNAUTHORIZED, "who?\n")
        if request.path == "/old":
            answer = connection.respond(HTTPStatus.FOUND, "")
            answer.headers["Location"] = "wss://127.0.0.1/new?key=s3cret"
            return answer
        return None if request.path != "/nowhere" else connection.respond(HTTPStatus.NOT_FOUND, "no\n")

    async def echo(connection: ServerConnection) -> None:
        if greet:
            await connection.send(greet)
        async for message in connection:
            await connection.send(f"you said {message!s}")
        here.closed.append(connection.close_code or 0)

    async with serve(echo, "127.0.0.1", 0, ssl=tls, process_request=admit, **more) as server:
        here.port = next(iter(server.sockets)).getsockname()[1]
        yield here


async def test_a_ping_is_answered_by_its_pong():
    async with room() as here:
        outcome = await look("websocket", url=f"ws://127.0.0.1:{here.port}/")
    assert here.closed == [1000]
    assert why(outcome) == ("up", "", None), outcome.error
    assert outcome.seen.status_code == 101
    assert outcome.seen.timing.ttfb is not None
    assert outcome.seen.facts["subprotocol"] is None
    assert outcome.seen.facts["round_trip_ms"] > 0
    assert ("upgrade", "websocket") in outcome.seen.headers
    assert here.requests[0].headers["User-Agent"].startswith("Tocsin/")


async def test_a_message_and_its_answer():
    async with room() as here:
        url = f"ws://localhost:{here.port}/chat?room=1"
        right = await look(
            "websocket",
            url=url,
            send="hällo",
            expect="said h.llo$",
            rules=[{"type": "body", "op": "contains", "value": "said"}],
            resolve=[f"localhost:{here.port}:127.0.0.1"],
            ip_version=4,
        )
        wrong = await look("websocket", url=url, send="hello", expect="^goodbye", timeout_s=1)
        any_ = await look("websocket", url=url, send="hello")
    assert why(right) == ("up", "", None), right.error
    assert right.seen.facts["answer"] == "you said hällo"
    assert (here.requests[0].path, here.requests[0].headers["Host"]) == ("/chat?room=1", f"localhost:{here.port}")
    assert why(wrong) == ("down", "assertion", "transfer")
    assert "expected an answer like ^goodbye, found you said hello (then nothing more came)" in str(wrong.error)
    assert wrong.seen.status_code == 101
    assert why(any_) == ("up", "", None)
    assert right.target == f"ws://localhost:{here.port}/chat?room=…"


async def test_a_server_that_speaks_first():
    async with room(greet="welcome") as here:
        url = f"ws://127.0.0.1:{here.port}/"
        assert why(await look("websocket", url=url, expect="^welcome$")) == ("up", "", None)
        assert why(await look("websocket", url=url)) == ("up", "", None)
        asked = await look("websocket", url=url, send="x", expect="said x")
    assert why(asked) == ("up", "", None)  # the greeting is passed over


async def test_subprotocols_are_agreed_to_or_down():
    async with room(subprotocols=["mqtt"]) as here:
        url = f"ws://127.0.0.1:{here.port}/"
        agreed = await look("websocket", url=url, subprotocol="mqtt")
        other = await look("websocket", url=url, subprotocol="amqp")
    assert (why(agreed), agreed.seen.facts["subprotocol"]) == (("up", "", None), "mqtt")
    assert why(other)[:2] == ("down", "protocol")
    async with room() as here:
        none = await look("websocket", url=f"ws://127.0.0.1:{here.port}/", subprotocol="mqtt")
    assert why(none) == ("down", "protocol", "ttfb")
    assert "expected the subprotocol mqtt, found none" in str(none.error)


async def test_tls_and_its_certificate():
    async with room(tls=issue("127.0.0.1", by=authority()).context()) as here:
        url = f"wss://127.0.0.1:{here.port}/"
        days = [{"type": "certificate_days", "op": "gte", "value": 90, "on_fail": "degrade"}]
        outcome = await look("websocket", url=url, ca_file=authority().pem, rules=days)
        assert (outcome.status, outcome.seen.tls is not None) == ("degraded", True)
        assert why(await look("websocket", url=url)) == ("down", "tls", "tls")
        assert why(await look("websocket", url=url, verify_tls=False)) == ("up", "", None)


@pytest.mark.parametrize(
    ("path", "status", "says"),
    [("/private", 401, "found 401 Unauthorized (it wants a sign-in)"), ("/nowhere", 404, "found 404 Not Found"), ("/old", 302, "redirects are not followed: wss://127.0.0.1/new?key=…")],
)  # fmt: skip
async def test_a_refused_handshake_names_its_status(path: str, status: int, says: str):
    async with room() as here:
        url = f"ws://127.0.0.1:{here.port}{path}"
        outcome = await look("websocket", url=url)
        assert why(outcome) == ("down", "protocol", "ttfb")
        assert outcome.error is not None
        assert says in outcome.error.message
        assert outcome.seen.status_code == status
        assert "s3cret" not in str(outcome.error)
        if path == "/private":
            let_in = await look("websocket", url=url, headers={"authorization": "Bearer s3cret"})
            assert why(let_in) == ("up", "", None)


async def test_a_page_is_no_websocket():
    async with serving(hostile.good) as server:
        outcome = await look("websocket", url=f"ws://127.0.0.1:{server.port}/")
    assert why(outcome) == ("down", "protocol", "ttfb")
    assert "found 200 OK (no WebSocket is served there)" in str(outcome.error)


@pytest.mark.parametrize(
    ("said", "says"),
    [
        (b"", "ended in the middle"), (b"SSH-2.0-x\r\n", "expected an HTTP answer, found 'SSH-2.0-x'"), (b"HTTP/1.1 101 Go\r\n\r\n", "the handshake is broken"),
        (b"HTTP/1.1 101 Go\r\n" + b"a: b\r\n" * 500, "more than 128 header lines"), (b"x" * 20_000, "no end of a line"),
        (b"HTTP/1.1 101 Go\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n", "the handshake is broken"),
    ],
)  # fmt: skip
async def test_handshakes_that_are_none(said: bytes, says: str):
    async def script(talk: Talk) -> None:
        await talk.send(said)

    async with serving(script) as server:
        outcome = await look("websocket", url=f"ws://127.0.0.1:{server.port}/")
    assert why(outcome)[:2] == ("down", "protocol")
    assert says in str(outcome.error)


async def test_an_accept_that_is_wrong():
    async def script(talk: Talk) -> None:
        await talk.send(shake(talk, accept="bm90IHJpZ2h0"))

    async with serving(script) as server:
        outcome = await look("websocket", url=f"ws://127.0.0.1:{server.port}/")
    assert why(outcome) == ("down", "protocol", "ttfb")
    assert "Sec-WebSocket-Accept" in str(outcome.error)


@pytest.mark.parametrize(
    ("frames", "type_", "says"),
    [
        (b"\x88\x0a\x03\xf0go away\x1b", "protocol", "1008 (policy violation) go away\\u001b"),
        (b"\x88\x00", "protocol", "the server closed the WebSocket"), (b"", "connection_reset", "ended without a close frame"),
        (b"\xff\xff garbage", "protocol", "WebSocket broke"), (b"\x81\x7f\x7f" + b"\xff" * 7, "protocol", "exceeds limit of 65536"),
        (b"\x81\x85aaaaaaaaa", "protocol", "WebSocket broke"), (b"\x80\x00", "protocol", "unexpected continuation"), (b"\x8a\x01x" * 100_000, "protocol", "no answer among them"),
        (b"\x01\x00" + b"\x00\x00" * 150_000, "protocol", "no answer among them"), (b"\x89\x02hi" * 80_000, "protocol", "no answer among them"),
    ],
)  # fmt: skip
async def test_servers_that_break_off(frames: bytes, type_: str, says: str):
    async def script(talk: Talk) -> None:
        await talk.send(shake(talk))
        if frames[:1] == b"\x89":
            drain = asyncio.ensure_future(talk.reader.read(-1))
            await talk.send(frames)
            await drain
        elif frames:
            await talk.send(frames)
            await talk.hang()

    async with serving(script) as server:
        outcome = await look("websocket", url=f"ws://127.0.0.1:{server.port}/", timeout_s=20)
    assert why(outcome)[:2] == ("down", type_), outcome.error
    assert outcome.error is not None
    assert says in outcome.error.message


async def test_a_wrong_answer_before_the_end_is_told():
    async def script(talk: Talk) -> None:
        await talk.send(shake(talk) + b"\x82\x02no\x88\x02\x03\xe8")
        await talk.hang()

    async with serving(script) as server:
        outcome = await look("websocket", url=f"ws://127.0.0.1:{server.port}/", expect="yes")
    assert why(outcome)[:2] == ("down", "assertion")
    assert "found no (then the server closed the WebSocket: 1000 (OK))" in str(outcome.error)


async def test_silence_and_nobody():
    url = f"ws://127.0.0.1:{hostile.refused_port()}/"
    assert why(await look("websocket", url=url))[1] == "connection_refused"

    async def opened(talk: Talk) -> None:
        await talk.send(shake(talk))
        await talk.hang()

    async def quiet(talk: Talk) -> None:
        await talk.hang()

    async with serving(quiet) as server:
        url = f"ws://127.0.0.1:{server.port}/"
        assert why(await look("websocket", url=url, timeout_s=0.3)) == ("down", "timeout", "ttfb")
    async with serving(opened) as server:
        url = f"ws://127.0.0.1:{server.port}/"
        assert why(await look("websocket", url=url, timeout_s=0.3)) == ("down", "timeout", "ttfb")
        heard = await look("websocket", url=url, send="hi", timeout_s=1)
    assert why(heard) == ("down", "timeout", "transfer")
    assert heard.seen.status_code == 101


async def test_a_server_slow_in_closing_is_up():
    async def script(talk: Talk) -> None:
        await talk.send(shake(talk) + b"\x81\x02hi")
        await talk.hang()

    async with serving(script) as server:
        began = time.perf_counter()
        outcome = await look("websocket", url=f"ws://127.0.0.1:{server.port}/", expect="hi", timeout_s=5)
        took_ms = (time.perf_counter() - began) * 1000
    assert why(outcome) == ("up", "", None)
    assert outcome.seen.timing.total is not None
    assert took_ms - outcome.seen.timing.total > 400  # it waited for half a second, in vain


def test_what_is_hidden():
    marks = {m.name: m.marks for m in fields(Target)}
    assert marks["headers"].hidden
    assert marks["url"].private
    assert kind("websocket").label == "A WebSocket that should open and answer"


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ({"url": "http://a/"}, "url"), ({"url": "ws://"}, "url"), ({"url": "ws://u:p@a/"}, "url"), ({"subprotocol": "a b"}, "subprotocol"), ({"expect": "("}, "expect"),
        ({"headers": {"a b": "c"}}, "headers"), ({"headers": {"Sec-WebSocket-Key": "c"}}, "headers"), ({"headers": {"Upgrade": "c"}}, "headers"),
        ({"resolve": ["a"]}, "resolve[0]"), ({"client_key": "-----BEGIN X"}, "client_cert"),
    ],
)  # fmt: skip
def test_targets_that_are_refused(data: dict[str, Any], field: str):
    with pytest.raises(Invalid) as caught:
        read(Target, {"url": "ws://a/", **data})
    assert [p.field for p in caught.value.problems] == [field]
