"""The audit log: who changed what, newest first."""

from __future__ import annotations

import json
from typing import Any

from msgspec import Struct

from tocsin.core.account import Change
from tocsin.web.api import audit
from tocsin.web.call import Call, Reply, Route
from tocsin.web.pages import view


class Page(Struct, frozen=True, kw_only=True):
    """Which part of the log."""

    cursor: str | None = None


async def index(call: Call) -> Reply:
    """A page of the log."""
    wanted: Page = call.query or Page()
    found, cursor = await audit.select(call.parts, call.who, audit.Page(limit=50, cursor=wanted.cursor))
    return view.page(call, "audit.html", section="audit", changes=found, cursor=cursor, told=told)


def told(change: Change) -> str:
    """What changed, field by field, short."""
    if change.verb == "changed":
        names = [n for n in change.after if change.after.get(n) != change.before.get(n)]
        return "; ".join(f"{n}: {_short(change.before.get(n))} → {_short(change.after.get(n))}" for n in names[:4])
    name = (change.after or change.before).get("name")
    return str(name) if isinstance(name, str) else ""


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 80 else text[:79] + "…"


ROUTES = [
    Route(
        method="GET",
        path="/settings/audit",
        run=index,
        permission="admin",
        summary="Audit log",
        query=Page,
        loose=True,
        kind="page",
        tag="pages",
    )
]
