"""Live connections against a real server on a port."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import uvicorn
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tocsin.pipeline.live import LIMIT, event
from tocsin.web import live
from web.conftest import Alice


@pytest.fixture
async def url(alice: Alice) -> AsyncIterator[str]:
    """Where Alice's server answers WebSockets."""
    config = uvicorn.Config(
        alice.house.app, port=0, lifespan="off", log_config=None, ws="websockets-sansio", timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    task = asyncio.create_task(server._serve())
    while not server.started:
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"ws://127.0.0.1:{port}/api/v1/live"
    server.should_exit = True
    await task


async def ticket(api: Any) -> str:
    answer = await api.post("/api/v1/live/ticket")
    assert answer.status == 200
    return answer.data["ticket"]


async def subscribed(socket: Any, *topics: str) -> list[str]:
    await socket.send(json.dumps({"subscribe": list(topics)}))
    return json.loads(await socket.recv())["data"]["topics"]


async def test_events_of_the_own_workspace_arrive_and_no_others(alice: Alice, url: str) -> None:
    _, token = await alice.house.person("charlie@example.org", "ADMIN")
    stranger = alice.house.caller(token)
    wanted = {"name": "x", "type": "http", "target": {"url": "http://127.0.0.1:9/"}, "paused": True}
    mine = (await alice.api.post("/api/v1/monitors", wanted)).data["id"]
    theirs = (await stranger.post("/api/v1/monitors", wanted)).data["id"]
    parts = alice.house.parts
    async with connect(f"{url}?ticket={await ticket(alice.api)}") as socket:
        assert await subscribed(socket, f"monitor:{mine}", f"monitor:{theirs}") == [f"monitor:{mine}"]
        now, stranger_id = parts.clock.now(), parts.corridor.watchlist.get(theirs).monitor.workspace_id
        parts.corridor.live.publish(stranger_id, event("check.completed", now, theirs))
        parts.corridor.live.publish(alice.workspace_id, event("check.completed", now, "another"))
        parts.corridor.live.publish(alice.workspace_id, event("verdict.changed", now, mine, verdict="down"))
        heard = json.loads(await socket.recv())
        assert heard["type"] == "verdict.changed"
        assert heard["monitor"] == mine
        assert heard["data"] == {"verdict": "down"}


async def test_a_ticket_opens_once_and_only_from_our_pages(alice: Alice, url: str) -> None:
    used = await ticket(alice.api)
    async with connect(f"{url}?ticket={used}", origin="http://tocsin.test") as socket:  # type: ignore[arg-type]
        assert await subscribed(socket, "workspace") == ["workspace"]
    fresh = await ticket(alice.api)
    for query, origin in ((used, None), ("", None), ("x", None), (fresh, "https://evil.example"), (fresh, "null")):
        with pytest.raises(InvalidStatus):
            async with connect(f"{url}?ticket={query}", origin=origin):  # type: ignore[arg-type]
                pass
    assert (await alice.house.caller().post("/api/v1/live/ticket")).status == 401


async def test_who_signs_out_hears_no_more(alice: Alice, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert live.LOOK_AGAIN_S < 5
    monkeypatch.setattr(live, "LOOK_AGAIN_S", 0.05)
    async with connect(f"{url}?ticket={await ticket(alice.api)}") as socket:
        await subscribed(socket, "workspace")
        await alice.api.post("/api/v1/auth/logout")
        async with asyncio.timeout(4):
            with pytest.raises(ConnectionClosed) as closed:
                await socket.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1008


async def test_who_says_nonsense_is_let_go(alice: Alice, url: str) -> None:
    async with connect(f"{url}?ticket={await ticket(alice.api)}") as socket:
        await socket.send('{"subscribe": 5}')
        with pytest.raises(ConnectionClosed) as closed:
            await socket.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1007


async def test_an_address_has_so_many_connections(alice: Alice, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "PER_ADDRESS", 2)
    async with connect(f"{url}?ticket={await ticket(alice.api)}"), connect(f"{url}?ticket={await ticket(alice.api)}"):
        with pytest.raises(InvalidStatus):
            async with connect(f"{url}?ticket={await ticket(alice.api)}"):
                pass
    assert LIMIT == 256


@pytest.mark.parametrize("gone", [RuntimeError("Unexpected ASGI message 'websocket.send'"), ConnectionResetError()])
@pytest.mark.parametrize("at", ["websocket.accept", "websocket.send"])
async def test_a_browser_that_leaves_while_it_is_told_is_no_error(
    alice: Alice, caplog: pytest.LogCaptureFixture, gone: Exception, at: str
) -> None:
    said = iter([{"type": "websocket.connect"}, {"type": "websocket.receive", "text": '{"subscribe":["workspace"]}'}])
    tried: list[str] = []

    async def receive() -> dict[str, str]:
        if (message := next(said, None)) is None:
            await asyncio.Event().wait()
        return message or {}

    async def send(message: dict[str, str]) -> None:
        tried.append(message["type"])
        if message["type"] == at:
            raise gone

    asked = live.Asked({}, f"ticket={await ticket(alice.api)}".encode(), "203.0.113.9", "ws")
    await live.serve(alice.house.parts, asked, receive, send)
    assert tried[-1] == at
    assert [r for r in caplog.records if r.levelname in ("ERROR", "CRITICAL")] == []
