"""How the HTTP engine treats many at once, what never ends, and what it offers in a handshake."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

import hostile
from hostile import Talk, serving
from tocsin import checks
from tocsin.clock import SystemClock
from tocsin.core.result import Outcome
from tocsin.core.shape import read
from tocsin.net import Net, multi
from tocsin.net.progress import Progress

ALERT = b"\x15\x03\x03\x00\x02\x02\x28"  # handshake failure
HYBRID = 1000  # bytes: a first message with a share for the hybrid key exchange is longer, one without it much shorter


@pytest.fixture
async def net() -> AsyncIterator[Net]:
    async with Net() as net:
        yield net


async def look(net: Net, url: str, *, timeout_s: float = 5.0, **target: Any) -> Outcome:
    made = read(checks.kind("http").target, {"url": url, **target})
    return await checks.run(checks.Order("http", made, timeout_s), net, SystemClock())


# Many at once


async def test_many_at_once_are_begun_in_turn_and_each_keeps_its_own_time(net: Net) -> None:
    async def script(talk: Talk) -> None:
        await asyncio.sleep(0.2)
        await talk.answer()

    async with serving(script) as server:
        outcomes = await asyncio.gather(*(look(net, server.url()) for _ in range(200)))
    assert {o.status for o in outcomes} == {"up"}
    assert max(o.seen.engine_wait_ms for o in outcomes) > 0
    assert all((o.seen.timing.ttfb or 0) >= 199 for o in outcomes)


async def test_a_check_that_the_engine_cannot_begin_is_invalid_never_down(
    net: Net, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(multi, "_BUSY", 1e-9)  # whatever it did, it has to rest for ever
    async with serving(hostile.good) as server:
        first = await look(net, server.url())
        second = await look(net, server.url(), timeout_s=0.2)
        assert len(server.talks) == 1
    assert first.status == "up"
    assert second.status == "invalid"
    assert second.error is not None
    assert "too busy" in second.error.message


async def test_what_we_made_it_wait_is_not_taken_from_the_targets_time() -> None:
    class Exchange:
        begun: float | None = None
        waited_s = 0.3

    here = Progress()
    here.begin(0.2)
    here.order = Exchange()
    began = here.loop.time()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.sleep(5)
    assert here.end()
    assert here.in_line()
    assert here.loop.time() - began >= 0.39  # as much again as the target has, and no more
    assert here.remaining_s() == 0


async def test_a_cancelled_check_in_the_line_is_never_begun(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(hostile.good) as server:
        await look(net, server.url())
        monkeypatch.setattr(multi, "_BEGIN_AT_ONCE", 1)
        running = [asyncio.create_task(look(net, server.url())) for _ in range(20)]
        await asyncio.sleep(0)
        for task in running[10:]:
            task.cancel()
        done = await asyncio.gather(*running, return_exceptions=True)
    assert [o.status for o in done[:10] if isinstance(o, Outcome)] == ["up"] * 10
    assert all(isinstance(o, asyncio.CancelledError) for o in done[10:])


# What never ends


async def test_blocks_of_nothing_without_end_are_cut(net: Net) -> None:
    packer = zlib.compressobj(wbits=31)
    first = packer.compress(b"x") + packer.flush(zlib.Z_SYNC_FLUSH)
    nothing = b"\x00\x00\x00\xff\xff" * 10_000

    async def script(talk: Talk) -> None:
        await talk.send(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + first)
        while True:
            await talk.send(nothing)

    async with serving(script) as server:
        outcome = await look(net, server.url(), max_body=1000, timeout_s=20)
    assert outcome.status == "down"
    assert outcome.error is not None
    assert outcome.error.type == "protocol"
    assert "far more came" in outcome.error.message
    assert (outcome.seen.timing.total or 0) < 15_000


# Handshakes


@asynccontextmanager
async def refusing() -> AsyncGenerator[tuple[str, list[int]]]:
    """A TLS port that breaks every handshake off; the lengths of the first messages it got."""
    seen: list[int] = []

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readexactly(5)
        seen.append(len(await reader.readexactly(int.from_bytes(head[3:5]))))
        writer.write(ALERT)
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/", seen


async def test_a_server_that_breaks_off_is_asked_once_more_with_the_hybrid_key_exchange(net: Net) -> None:
    async with refusing() as (url, seen):
        outcome = await look(net, url)
    assert outcome.status == "down"
    assert outcome.error is not None
    assert outcome.error.type == "tls"
    assert [length > HYBRID for length in seen] == [False, True]


@pytest.mark.parametrize(
    "private",
    [{"headers": {"X-Key": "1"}}, {"auth": "bearer", "token": "t"}, {"method": "POST", "body": "b"}, {"url": "?key=1"}],
)
async def test_what_may_be_a_secret_goes_with_the_hybrid_key_exchange(net: Net, private: dict[str, Any]) -> None:
    async with refusing() as (url, seen):
        assert (await look(net, url + private.pop("url", ""), **private)).status == "down"
    assert [length > HYBRID for length in seen] == [True]
