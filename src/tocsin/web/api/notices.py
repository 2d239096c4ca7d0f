"""GET /notices: what the people who run a workspace must know though no incident says it."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Struct

from tocsin.core.access import Principal
from tocsin.core.notice import Notice
from tocsin.core.result import iso
from tocsin.core.shape import Range
from tocsin.web.call import Call, Reply, Route
from tocsin.web.parts import Parts


class Wanted(Struct, frozen=True, kw_only=True):
    """Which notices are listed."""

    unseen: bool = False
    limit: Annotated[int, Range(1, 500)] = 100


class NoticeOut(Struct, frozen=True, kw_only=True):
    """A notice; `seen_at` says when somebody put it away."""

    id: str
    kind: str
    text: str
    channel_id: str | None
    location: str | None
    at: str
    seen_at: str | None


class NoticeList(Struct, frozen=True, kw_only=True):
    """The newest notices; there is no next page."""

    items: list[NoticeOut]
    next_cursor: str | None


def notice_json(notice: Notice) -> dict[str, Any]:
    """A notice as JSON data."""
    return {
        "id": notice.id, "kind": notice.kind, "text": notice.text, "channel_id": notice.channel_id,
        "location": notice.location,
        "at": iso(notice.at), "seen_at": iso(notice.seen_at),
    }  # fmt: skip


async def newest(parts: Parts, who: Principal, *, unseen: bool = False, limit: int = 100) -> list[Notice]:
    """The workspace's notices, newest first."""
    return await parts.store.of(who.workspace_id).read(lambda s: s.notices.list(unseen=unseen, limit=limit))


async def put_away(parts: Parts, who: Principal, notice_id: str) -> None:
    """It was seen; NotFound when there is none."""
    now = parts.clock.now()
    await parts.store.of(who.workspace_id, by=who.name).write(lambda s: s.notices.see(notice_id, now))


async def _index(call: Call) -> Reply:
    wanted: Wanted = call.query
    found = await newest(call.parts, call.who, unseen=wanted.unseen, limit=wanted.limit)
    return Reply(data={"items": [notice_json(n) for n in found], "next_cursor": None})


async def _see(call: Call) -> Reply:
    await put_away(call.parts, call.who, call.path["id"])
    return Reply(status=204)


ROUTES = [
    Route(
        method="GET", path="/api/v1/notices", run=_index, permission="admin", query=Wanted, answer=NoticeList,
        tag="channels", summary="What has to be known: a channel switched off, an instance that runs twice …",
    ),
    Route(
        method="POST", path="/api/v1/notices/{id}/seen", run=_see, permission="admin", status=204, tag="channels",
        summary="Put a notice away",
    ),
]  # fmt: skip
