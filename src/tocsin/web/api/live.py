"""POST /live/ticket: a ticket for one live connection."""

from __future__ import annotations

from msgspec import Struct

from tocsin.web import tokens
from tocsin.web.call import Call, Reply, Route


class Ticket(Struct, frozen=True, kw_only=True):
    """Opens WS /api/v1/live?ticket=… once, within `expires_in` seconds."""

    ticket: str
    expires_in: int


async def _ticket(call: Call) -> Reply:
    made = tokens.new_secret()
    call.parts.memory.tickets.give(made, call.who, call.parts.clock.monotonic())
    return Reply(data=Ticket(ticket=made, expires_in=30))


ROUTES = [
    Route(
        method="POST", path="/api/v1/live/ticket", run=_ticket, permission="read", answer=Ticket, tag="live",
        summary="A ticket for one live connection",
    )
]  # fmt: skip
