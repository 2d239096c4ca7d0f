"""The server's doors for probes, as plain functions: joining with a single-use token, and the link of a probe with a key."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec
from msgspec import Struct

from tocsin import telemetry
from tocsin.probe.enrol import Enrolled, Offer, read_offer
from tocsin.probe.link import Links
from tocsin.probe.session import Receive, Send
from tocsin.probe.wire import Linked

log = telemetry.logger("tocsin.link")

JOIN_PATH, LINK_PATH = "/probe/api/join", "/probe/api/link"


class Seat(Struct, frozen=True, kw_only=True):
    """The probe that a key belongs to: the seat it stands for, and its id."""

    who: Linked
    probe_id: str


class Probes(Protocol):
    """Who knows the probes."""

    async def authenticate(self, key: str) -> Seat | None:
        """The probe of this key; None when there is none, or it may not link."""
        ...

    async def redeem(self, token: str, offer: Offer) -> Enrolled:
        """Use up a token. Raises Denied, in words that say whether it is wrong, used or too old."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """What a link needs of the server. `urls` are where the server can be reached, in the order to try; `primary` is the
    URL of the server that leads, None when it is this one."""

    probes: Probes
    links: Links
    urls: Callable[[], Sequence[str]]
    primary: Callable[[], str | None] = lambda: None


async def join(body: bytes, probes: Probes) -> dict[str, Any]:
    """The answer to POST /probe/api/join: {probe_id, location, key, urls}. Raises Invalid for what cannot be read, Denied
    for a token that is not good."""
    offer = read_offer(body)
    enrolled = await probes.redeem(offer.token, offer)
    log.info("probe.joined", probe=enrolled.probe_id, location=enrolled.location, version=offer.version)
    return msgspec.to_builtins(enrolled)


async def answer_link(headers: Mapping[str, str], receive: Receive, send: Send, door: Door, address: str = "") -> None:
    """Speak with whoever opens the WebSocket at /probe/api/link: 409 {primary} where another server leads, 401 without a
    probe's key, else a link until it ends. `headers` by lower-case names, `address` is where it comes from."""
    await receive()  # websocket.connect
    primary = door.primary()
    if primary is not None:
        await _refuse(send, 409, {"primary": primary, "urls": list(door.urls())})
        return
    scheme, _, key = headers.get("authorization", "").partition(" ")
    seat = await door.probes.authenticate(key.strip()) if scheme.lower() == "bearer" and 0 < len(key) <= 500 else None
    if seat is None:
        telemetry.probe_messages_refused.labels("key").inc()
        log.warning("link.refused", address=address)
        await _refuse(send, 401, {"detail": "expected Authorization: Bearer with the key of a probe of this server"})
        return
    await door.links.serve(receive, send, seat.who, urls=door.urls(), address=address)


async def _refuse(send: Send, status: int, said: dict[str, Any]) -> None:
    body = msgspec.json.encode({"status": status} | said)
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "websocket.http.response.start", "status": status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": body})
