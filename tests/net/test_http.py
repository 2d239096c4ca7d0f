from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

import hostile
from hostile import Talk, serving
from tocsin.errors import CheckFailed, CheckInvalid, DeliveryFailed
from tocsin.net import Egress, Net
from tocsin.net.http import HttpRequest


@pytest.fixture
async def net() -> AsyncIterator[Net]:
    async with Net() as net:
        yield net


async def test_a_post_and_its_reply(net: Net) -> None:
    async def script(talk: Talk) -> None:
        await talk.answer("429 Slow down", b"x" * 100_000, "Retry-After: 7")

    async with serving(script) as server:
        reply = await net.http.post(server.url("/hook"), b'{"a":1}', {"Content-Type": "application/json"})
        talk = server.talks[0]
    assert (reply.status, reply.headers["retry-after"], len(reply.body)) == (429, "7", 65_536)
    assert json.loads(talk.body) == {"a": 1}
    assert talk.header("content-type") == "application/json"


async def test_a_post_follows_no_redirect_to_another_host_and_none_that_drops_the_body(net: Net) -> None:
    async def script(talk: Talk) -> None:
        match talk.path:
            case "/away":
                await talk.answer("307 x", b"", f"Location: http://localhost:{server.port}/in")
            case "/drop":
                await talk.answer("302 x", b"", "Location: /in")
            case "/stay":
                await talk.answer("308 x", b"", "Location: /in")
            case _:
                await talk.answer()

    async with serving(script) as server:
        assert (await net.http.post(server.url("/away"), b"b", {})).status == 307
        assert (await net.http.post(server.url("/drop"), b"b", {})).status == 302
        assert (await net.http.post(server.url("/stay"), b"b", {})).status == 200
    assert [t.path for t in server.talks] == ["/away", "/drop", "/stay", "/in"]
    assert server.talks[-1].body == b"b"


async def test_a_post_without_an_answer_is_a_failed_delivery(net: Net) -> None:
    with pytest.raises(DeliveryFailed, match="connection refused") as caught:
        await net.http.post(f"http://127.0.0.1:{hostile.refused_port()}/", b"", {})
    assert not caught.value.permanent
    async with serving(Talk.hang) as server:
        with pytest.raises(DeliveryFailed, match=r"no result within 0\.2 s"):
            await net.http.post(server.url(), b"", {}, timeout_s=0.2)
    with pytest.raises(DeliveryFailed, match="metadata") as caught:
        await net.http.post("http://169.254.169.254/", b"", {})
    assert caught.value.permanent
    async with Net(Egress("public")) as strict:
        with pytest.raises(DeliveryFailed, match="loopback"):
            await strict.http.post("http://localhost:1/", b"", {})


async def test_many_at_once(net: Net) -> None:
    async def script(talk: Talk) -> None:
        await talk.answer("200 OK", talk.path.encode())

    async with serving(script) as server:
        urls = [server.url(f"/{i}") for i in range(300)]
        seen = await asyncio.gather(*(net.http.fetch(HttpRequest(url=url)) for url in urls))
    assert [s.body for s in seen] == [f"/{i}".encode() for i in range(300)]


async def test_a_cancelled_fetch_hangs_up(net: Net) -> None:
    gone = asyncio.Event()

    async def script(talk: Talk) -> None:
        if talk.path == "/hang":
            asked.set()
            await talk.reader.read()
            gone.set()
        else:
            await talk.answer()

    asked = asyncio.Event()
    async with serving(script) as server:
        task = asyncio.ensure_future(net.http.fetch(HttpRequest(url=server.url("/hang"))))
        await asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(gone.wait(), 5)
        assert (await net.http.fetch(HttpRequest(url=server.url()))).status_code == 200


async def test_handles_keep_nothing_from_one_request_to_the_next(net: Net) -> None:
    async with serving(hostile.good) as server:
        await net.http.fetch(HttpRequest(url=server.url(), method="POST", body=b"secret", headers=[("X-Secret", "1")]))
        await net.http.fetch(HttpRequest(url=server.url("/"), headers=[("X-Other", "2")]))
        await net.http.fetch(HttpRequest(url=server.url("/")))
    _, second, third = server.talks
    assert (second.header("x-secret"), second.header("x-other"), second.body) == (None, "2", b"")
    assert (third.header("x-secret"), third.header("x-other")) == (None, None)
    assert third.head.startswith(b"GET / ")


async def test_the_answer_of_a_100_continue_is_not_the_answer(net: Net) -> None:
    async def script(talk: Talk) -> None:
        await talk.send(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n")
        await talk.answer("200 OK", b"ok", "A: b")

    async with serving(script) as server:
        seen = await net.http.fetch(HttpRequest(url=server.url()))
    assert (seen.status_code, dict(seen.headers)) == (200, {"content-length": "2", "a": "b"})


async def test_closing_ends_what_is_running_as_no_fault_of_the_target(net: Net) -> None:
    async with serving(Talk.hang) as server:
        tasks = [asyncio.ensure_future(net.http.fetch(HttpRequest(url=server.url()))) for _ in range(3)]
        while len(server.talks) < 3:
            await asyncio.sleep(0)
        await net.close()
        done = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(d, CheckInvalid) for d in done)


async def test_what_libcurl_refuses_hurts_nobody_else(net: Net) -> None:
    async with serving(hostile.good) as server:
        with pytest.raises(CheckInvalid):
            await net.http.fetch(HttpRequest(url=server.url(), http_version="4"))
        assert (await net.http.fetch(HttpRequest(url=server.url()))).status_code == 200


async def test_headers_beyond_ascii_go_as_utf_8(net: Net) -> None:
    async with serving(hostile.good) as server:
        await net.http.fetch(HttpRequest(url=server.url(), headers=[("X-Name", "Jürgen")]))
    assert (server.talks[0].header("x-name") or "").encode("latin-1") == "Jürgen".encode()


async def test_a_net_may_be_closed_and_used_again(net: Net) -> None:
    async with serving(hostile.good) as server:
        for _ in range(3):
            assert (await net.http.fetch(HttpRequest(url=server.url()))).status_code == 200
            await net.close()


async def test_a_url_that_cannot_be_is_a_protocol_error(net: Net) -> None:
    with pytest.raises(CheckFailed, match="does not start with http"):
        await net.http.fetch(HttpRequest(url="file:///etc/passwd"))
