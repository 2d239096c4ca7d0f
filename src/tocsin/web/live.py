"""WS /api/v1/live: events of a workspace as they happen, to whoever brought a ticket.

A page of ours or a program connects with `?ticket=…` (POST /live/ticket), says
{"subscribe":["monitor:<id>","workspace"]} and is sent events {type, at, monitor, data}. Who signed
out, changed role or password is cut off within five seconds; who reads too slowly is let go.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import Struct

from tocsin.core import limits
from tocsin.core.access import Principal, may
from tocsin.core.shape import Length, loads, read
from tocsin.errors import Invalid, StoreUnavailable
from tocsin.telemetry import logger
from tocsin.web import auth, site
from tocsin.web.query import pairs

if TYPE_CHECKING:
    from tocsin.pipeline.live import Subscription
    from tocsin.web.parts import Parts

log = logger(__name__)
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]

PER_ADDRESS, PER_WORKSPACE = 50, 200
LOOK_AGAIN_S = 3.0
SEND_S = 10.0
_LARGEST, _MOST_TOPICS, _MOST_MESSAGES = 65_536, 1000, 300
_POLICY, _TRY_LATER, _BAD_DATA = 1008, 1013, 1007


class Wanted(Struct, frozen=True, kw_only=True):
    """What a caller wants to hear of: `workspace`, or `monitor:<id>` for each."""

    subscribe: Annotated[tuple[Annotated[str, Length(1, 80)], ...], Length(0, _MOST_TOPICS)]


@dataclass(frozen=True, slots=True)
class Asked:
    """A live connection as it was asked for."""

    headers: Mapping[str, str]
    query: bytes
    peer: str
    scheme: str


async def serve(parts: Parts, asked: Asked, receive: Receive, send: Send) -> None:
    """Speak with one live connection until it ends."""
    headers = asked.headers
    client = limits.client_address(asked.peer, headers, parts.settings["TRUSTED_PROXIES"])
    await receive()  # websocket.connect
    origin = headers.get("origin")
    if origin is not None and not site.is_own_origin(parts, origin, asked.scheme, headers):
        await _close(send, _POLICY, "another site's page")
        return
    who = _bearer_of(parts, asked.query)
    if who is None or not may(who, "read"):
        await _close(send, _POLICY, "no ticket, or one that was used or is too old")
        return
    async with _place(parts, limits.address_name(client), who.workspace_id) as granted:
        if not granted:
            await _close(send, _TRY_LATER, "too many live connections")
            return
        with suppress(OSError, RuntimeError):  # gone before it began
            await send({"type": "websocket.accept"})
            await _speak(parts, who, receive, send)


def _bearer_of(parts: Parts, query: bytes) -> Principal | None:
    try:
        given = dict(pairs(query))
    except Invalid:
        return None
    return parts.memory.tickets.take(given.get("ticket", ""), parts.clock.monotonic())


@asynccontextmanager
async def _place(parts: Parts, address: str, workspace_id: str) -> AsyncGenerator[bool]:
    """A seat for one more connection of this address and workspace, or False."""
    memory = parts.memory
    counts = (
        (memory.sockets_by_address, address, PER_ADDRESS),
        (memory.sockets_by_workspace, workspace_id, PER_WORKSPACE),
    )
    if any(held.get(name, 0) >= most for held, name, most in counts):
        yield False
        return
    for held, name, _ in counts:
        held[name] = held.get(name, 0) + 1
    try:
        yield True
    finally:
        for held, name, _ in counts:
            held[name] -= 1
            if not held[name]:
                del held[name]


async def _speak(parts: Parts, who: Principal, receive: Receive, send: Send) -> None:
    subscription = parts.corridor.live.subscribe(who.workspace_id, ())
    tasks = {
        asyncio.create_task(_listen(parts, who, subscription, receive, send), name="live-listen"),
        asyncio.create_task(_tell(subscription, send), name="live-tell"),
        asyncio.create_task(_watch(parts, who), name="live-watch"),
    }
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        subscription.close()
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
    for error in ended:
        if isinstance(error, Exception) and not isinstance(error, (OSError, TimeoutError)):
            log.error("live.failed", exc_info=error)
    closing = next((task.result() for task in done if not task.cancelled() and task.exception() is None), None)
    if closing is not None:
        await _close(send, *closing)


Closing = tuple[int, str]


async def _listen(
    parts: Parts, who: Principal, subscription: Subscription, receive: Receive, send: Send
) -> Closing | None:
    """Take what the caller wants to hear of, until it hangs up (None) or says something wrong."""
    for _ in range(_MOST_MESSAGES):
        message = await receive()
        if message["type"] != "websocket.receive":
            return None
        text = message.get("text") or message.get("bytes") or ""
        try:
            wanted = read(Wanted, loads(text, max_bytes=_LARGEST))
        except Invalid as error:
            return _BAD_DATA, str(error)[:100]
        topics = {topic for topic in wanted.subscribe if _is_theirs(parts, who, topic)}
        subscription.topics.clear()
        subscription.topics.update(topics)
        await _send(send, {"type": "subscribed", "data": {"topics": sorted(topics)}})
    return _POLICY, "too many messages"


def _is_theirs(parts: Parts, who: Principal, topic: str) -> bool:
    """Whether the topic is of the caller's workspace; the rest is passed over in silence."""
    kind, _, name = topic.partition(":")
    if kind == "workspace":
        return name in ("", who.workspace_id)
    found = parts.corridor.watchlist.find(name) if kind == "monitor" else None
    return found is not None and found.monitor.workspace_id == who.workspace_id


async def _tell(subscription: Subscription, send: Send) -> Closing:
    """Pass events on until there are none or the caller does not read."""
    async for event in subscription:
        await _send(send, event)
    return (_TRY_LATER, "too slow") if subscription.too_slow else (1001, "the server stops")


async def _send(send: Send, event: dict[str, Any]) -> None:
    """Send one event; raises OSError or TimeoutError when the caller is gone or does not take it."""
    try:
        async with asyncio.timeout(SEND_S):
            await send({"type": "websocket.send", "text": msgspec.json.encode(event).decode()})
    except RuntimeError as error:  # what the server says of a connection that has been closed meanwhile
        raise ConnectionResetError(str(error)) from error


async def _watch(parts: Parts, who: Principal) -> Closing:
    """Look every few seconds whether the caller is still who they were."""
    while True:
        await parts.clock.sleep(LOOK_AGAIN_S)
        try:
            if not await auth.still(parts, who, parts.clock.now()):
                return _POLICY, "signed out, or another role"
        except StoreUnavailable:
            log.warning("live.not_checked", reason="the database cannot be used now")


async def _close(send: Send, code: int, reason: str) -> None:
    try:
        async with asyncio.timeout(SEND_S):
            await send({"type": "websocket.close", "code": code, "reason": reason[:100]})
    except (OSError, TimeoutError, RuntimeError) as error:  # already gone
        log.debug("live.gone", error=str(error))
