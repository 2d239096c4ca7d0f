"""Push mode over real sockets: a probe that listens is asked as a location."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from msgspec.structs import replace

from builders import a_probe
from probe.hub import KEY, a_listener, a_worker, an_order, listener, raw
from tocsin.app.reach import Reaching
from tocsin.clock import SystemClock
from tocsin.core.result import Outcome
from tocsin.errors import Invalid, PeerLost
from tocsin.net import Net
from tocsin.probe.client import NotOurs, fingerprint, health, location
from tocsin.probe.link import Links
from tocsin.secret import Secret
from world import Web

CLOCK = SystemClock()


async def test_a_check_at_a_probe_says_what_a_check_here_would_say(tmp_path: Path) -> None:
    async with Net() as net, Web() as web, a_worker(net) as worker, a_listener(tmp_path, worker) as probe:
        there = location(probe.url, Secret(KEY), probe.fingerprint, net, CLOCK)
        before = CLOCK.now()
        up = await there(an_order(url=web.url))
        web.status = 500
        down = await there(an_order(url=web.url))
        there.close()
    assert isinstance(up, Outcome)
    assert (up.status, up.error, up.location, up.type, up.target) == ("up", None, "europe", "http", web.url)
    assert up.seen.status_code == 200
    assert up.seen.timing.total is not None
    assert up.seen.body == b""  # nobody looks at a good answer's body
    assert before <= up.started_at <= CLOCK.now()
    assert (down.status, down.seen.status_code, down.seen.body) == ("down", 500, b"hello")
    assert down.error is not None
    assert down.error.type == "assertion"


async def test_connections_are_kept_open_and_a_dead_one_is_replaced(tmp_path: Path) -> None:
    async with Net() as net, Web() as web, a_worker(net) as worker:
        async with a_listener(tmp_path, worker) as probe:
            there = location(probe.url, Secret(KEY), probe.fingerprint, net, CLOCK)
            await asyncio.gather(*(there(an_order(url=web.url)) for _ in range(3)))
            assert len(there._kept._idle) == 3
        with pytest.raises(PeerLost):
            await there(an_order(url=web.url))
        async with a_listener(tmp_path, worker, port=probe.port):  # the same certificate, after a restart
            assert (await there(an_order(url=web.url))).status == "up"
        there.close()


async def test_another_certificate_a_wrong_key_and_what_is_no_probe_are_told_apart(tmp_path: Path) -> None:
    async with Net() as net, Web() as web, a_worker(net) as worker, a_listener(tmp_path, worker) as probe:
        causes: list[str] = []
        for url, key, pin in (
            (probe.url, KEY, "0" * 64),
            (probe.url, "another key of some length", probe.fingerprint),
            (web.url, KEY, None),
        ):
            there = location(url, Secret(key), pin, net, CLOCK)
            with pytest.raises(NotOurs) as caught:
                await there(an_order(url=web.url))
            causes.append(caught.value.cause)
            there.close()
            with pytest.raises(NotOurs):
                await health(url, Secret(key), pin, net, CLOCK)
            assert KEY not in str(caught.value)
        unpinned = location(probe.url, Secret(KEY), None, net, CLOCK)
        with pytest.raises(PeerLost, match="self-signed"):
            await unpinned(an_order(url=web.url))
    assert causes == ["certificate", "key", "no_probe"]


async def test_the_fingerprint_to_pin_is_asked_without_a_secret(tmp_path: Path) -> None:
    async with Net() as net, a_worker(net) as worker, a_listener(tmp_path, worker) as probe:
        assert await fingerprint(probe.url, net) == probe.fingerprint
        assert await fingerprint(f"http://127.0.0.1:{probe.port}", net) is None
        said = await health(probe.url, Secret(KEY), probe.fingerprint.upper(), net, CLOCK)
    assert (said.status, said.region, said.wire) == ("ok", "europe", 1)
    assert "http" in said.types
    assert "push" not in said.types


async def test_a_certificate_that_nobody_vouches_for_is_told_with_the_fingerprint_to_pin(tmp_path: Path) -> None:
    async with Net() as net, a_worker(net) as worker, a_listener(tmp_path, worker) as probe:
        reaching = Reaching(net, CLOCK, Links(CLOCK))
        given = a_probe(code="europe", endpoint_url=probe.url, keys=(KEY,))
        with pytest.raises(NotOurs, match=f"self-signed.*{probe.fingerprint}") as caught:
            await reaching.prove(given, ask=True)
        assert caught.value.cause == "certificate"
        await reaching.prove(replace(given, pin=probe.fingerprint), ask=True)
        async with Web() as plain:
            with pytest.raises(PeerLost) as silent:
                await reaching.prove(replace(given, endpoint_url=plain.url.replace("http:", "https:")), ask=True)
        assert silent.value.cause is None, "no certificate was seen"


async def test_nobody_there_is_no_evidence_against_the_target() -> None:
    sock = listener()
    port = sock.getsockname()[1]
    async with Net() as net:
        there = location(f"https://127.0.0.1:{port}", Secret(KEY), "0" * 64, net, CLOCK)
        sock.close()
        with pytest.raises(PeerLost, match="cannot be asked"):
            await there(an_order(url="http://127.0.0.1:1/"))
        silent = listener()
        silent.listen()
        there = location(f"https://127.0.0.1:{silent.getsockname()[1]}", Secret(KEY), "0" * 64, net, CLOCK)
        with pytest.raises(PeerLost):
            async with asyncio.timeout(10):
                await there(an_order(timeout_s=-5.5, url="http://127.0.0.1:1/"))
        silent.close()


async def test_an_order_that_the_probe_does_not_understand_is_not_judged(tmp_path: Path) -> None:
    async with Net() as net, a_worker(net) as worker, a_listener(tmp_path, worker) as probe:
        there = location(probe.url, Secret(KEY), probe.fingerprint, net, CLOCK)
        outcome = await there(an_order("push", period_s=60, grace_s=5))
        there.close()
    assert outcome.status == "invalid"
    assert outcome.error is not None
    assert "a check type of this probe" in outcome.error.message


async def test_a_probe_that_is_busy_cannot_be_asked(tmp_path: Path) -> None:
    async with Net() as net, Web() as web, a_worker(net, most=1) as worker, a_listener(tmp_path, worker) as probe:
        web.hang = asyncio.Event()
        there = location(probe.url, Secret(KEY), probe.fingerprint, net, CLOCK)
        first = asyncio.create_task(there(an_order(url=web.url)))
        while not worker.in_flight:
            await asyncio.sleep(0.01)
        with pytest.raises(PeerLost, match="busy"):
            await there(an_order(url=web.url))
        web.hang.set()
        assert (await first).status == "up"
        there.close()


async def test_secrets_go_over_tls_only() -> None:
    async with Net() as net:
        with pytest.raises(Invalid, match="https"):
            location("http://probe.example.org", Secret(KEY), None, net, CLOCK)
        location("http://probe.example.org", Secret(KEY), None, net, CLOCK, plain=True)
        with pytest.raises(Invalid, match="fingerprint"):
            location("https://probe.example.org", Secret(KEY), "12", net, CLOCK)


async def test_half_an_answer_and_too_much_of_one_are_no_answer() -> None:
    async def serve(said: bytes) -> str:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(said)
            writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with Net() as net, server:
            there = location(f"http://127.0.0.1:{port}", Secret(KEY), None, net, CLOCK)
            with pytest.raises(PeerLost) as caught:
                await there(an_order(url="http://127.0.0.1:1/"))
            there.close()
            return str(caught.value)

    assert "in the middle" in await serve(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{}")
    assert "no HTTP" in await serve(b"hello\r\n\r\n")
    assert "more than" in await serve(b"HTTP/1.1 200 OK\r\nContent-Length: 2000000\r\n\r\n" + b" " * 2_000_000)
    assert "no probe" in await serve(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")


async def test_plain_bytes_get_an_answer_on_the_same_port(tmp_path: Path) -> None:
    async with Net() as net, a_worker(net) as worker, a_listener(tmp_path, worker) as probe:
        answer = await raw(probe.port, b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200")
    assert b'{"status":"ok"}' in answer
