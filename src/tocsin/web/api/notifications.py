"""GET /notifications: what was told to whom, and every attempt."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Struct

from tocsin.core.access import Principal
from tocsin.core.result import iso
from tocsin.core.shape import Length, Range
from tocsin.store.outbox import Delivery
from tocsin.web.call import Call, Reply, Route
from tocsin.web.parts import Parts


class Filter(Struct, frozen=True, kw_only=True):
    """Which messages are listed."""

    incident: Annotated[str | None, Length(0, 64)] = None
    limit: Annotated[int, Range(1, 500)] = 100
    cursor: Annotated[str | None, Length(0, 1000)] = None


class NotificationOut(Struct, frozen=True, kw_only=True):
    """One message for one channel, from intent to outcome. `digest` is the key of the digest that carries it."""

    key: str
    channel_id: str
    incident_id: str | None
    monitor_id: str | None
    event: str
    title: str
    state: str
    attempts: list[dict[str, Any]]
    digest: str | None
    last_error: str | None
    created_at: str
    next_at: str | None
    done_at: str | None


class NotificationList(Struct, frozen=True, kw_only=True):
    """A page of messages; `next_cursor` leads to the next, null at the end."""

    items: list[NotificationOut]
    next_cursor: str | None


def notification_json(delivery: Delivery) -> dict[str, Any]:
    """A message and its attempts as JSON data."""
    row = delivery.row
    return {
        "key": row.key, "channel_id": row.channel_id, "incident_id": row.incident_id, "monitor_id": row.monitor_id,
        "event": row.message.event, "title": row.message.title, "state": row.state,
        "attempts": [
            {"at": iso(a.at), "ok": a.ok, "error": a.error, "took_ms": round(a.took_ms, 1)} for a in delivery.attempts
        ],
        "digest": row.digest, "last_error": row.last_error, "created_at": iso(row.created_at),
        "next_at": iso(row.next_at) if row.state == "pending" and row.digest is None else None, "done_at": iso(row.done_at),
    }  # fmt: skip


async def select(parts: Parts, who: Principal, wanted: Filter) -> tuple[list[Delivery], str | None]:
    """(a page of the delivery log, newest first, cursor of the next)."""
    return await parts.store.of(who.workspace_id).read(
        lambda s: s.outbox.list(incident=wanted.incident, limit=wanted.limit, cursor=wanted.cursor)
    )


async def _index(call: Call) -> Reply:
    found, cursor = await select(call.parts, call.who, call.query)
    return Reply(data={"items": [notification_json(d) for d in found], "next_cursor": cursor})


ROUTES = [
    Route(
        method="GET", path="/api/v1/notifications", run=_index, permission="read", query=Filter,
        answer=NotificationList, tag="channels", summary="The delivery log, newest first",
    )
]  # fmt: skip
