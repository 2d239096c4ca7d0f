"""GET /audit-log: who changed what."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Struct

from tocsin.core.access import Principal
from tocsin.core.account import Change
from tocsin.core.result import iso
from tocsin.core.shape import Length, Range
from tocsin.web.call import Call, Reply, Route
from tocsin.web.parts import Parts


class Page(Struct, frozen=True, kw_only=True):
    """Which part of a list."""

    limit: Annotated[int, Range(1, 500)] = 100
    cursor: Annotated[str | None, Length(0, 1000)] = None


class ChangeOut(Struct, frozen=True, kw_only=True):
    """One change: what it was before and after, secrets as ***."""

    number: int
    at: str
    by: str
    noun: str
    noun_id: str
    verb: str
    before: dict[str, Any]
    after: dict[str, Any]


class ChangeList(Struct, frozen=True, kw_only=True):
    """A page of changes; `next_cursor` leads to the next, null at the end."""

    items: list[ChangeOut]
    next_cursor: str | None


def change_json(change: Change) -> dict[str, Any]:
    """A change as JSON data."""
    return {
        "number": change.number, "at": iso(change.at), "by": change.by, "noun": change.noun, "noun_id": change.noun_id,
        "verb": change.verb, "before": change.before, "after": change.after,
    }  # fmt: skip


async def select(parts: Parts, who: Principal, wanted: Page) -> tuple[list[Change], str | None]:
    """(a page of the audit log, newest first, cursor of the next)."""
    return await parts.store.of(who.workspace_id).read(
        lambda s: s.changes.list(limit=wanted.limit, cursor=wanted.cursor)
    )


async def _index(call: Call) -> Reply:
    found, cursor = await select(call.parts, call.who, call.query)
    return Reply(data={"items": [change_json(c) for c in found], "next_cursor": cursor})


ROUTES = [
    Route(
        method="GET", path="/api/v1/audit-log", run=_index, permission="admin", query=Page, answer=ChangeList,
        tag="accounts", summary="Who changed what, newest first",
    )
]  # fmt: skip
