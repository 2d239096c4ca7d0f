"""The audit log: who changed what, newest first, in sentences; on request every entry as it was written."""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from msgspec import Struct

from tocsin.core.account import Change
from tocsin.core.alert import PERSON
from tocsin.core.quarantine import SUBJECT
from tocsin.errors import NotFound
from tocsin.store import Session
from tocsin.web.api import audit
from tocsin.web.call import Call, Reply, Route
from tocsin.web.pages import audit_words, view

LINES, PAGE, MOST = 50, 100, 10


class Page(Struct, frozen=True, kw_only=True):
    """Which part of the log; `all` shows bookkeeping, too."""

    cursor: str | None = None
    all: str = ""


async def index(call: Call) -> Reply:
    """A page of the log."""
    wanted: Page = call.query or Page()
    if wanted.all:
        found, cursor = await audit.select(call.parts, call.who, audit.Page(limit=LINES, cursor=wanted.cursor))
        lines = [audit_words.Line(c.at, c.by, _as_written(c)) for c in found]
        return _page(call, lines, cursor, whole=True)
    lines, cursor = list[audit_words.Line](), wanted.cursor
    for _ in range(MOST):  # bookkeeping can fill pages
        found, cursor = await audit.select(call.parts, call.who, audit.Page(limit=PAGE, cursor=cursor))
        names = await _names(call, found)
        lines += [told for c in found if (told := audit_words.line(c, names)) is not None]
        if cursor is None or len(lines) >= LINES:
            break
    return _page(call, lines, cursor, whole=False)


def _page(call: Call, lines: list[audit_words.Line], cursor: str | None, *, whole: bool) -> Reply:
    return view.page(call, "audit.html", section="audit", lines=lines, cursor=cursor, whole=whole)


async def _names(call: Call, changes: Iterable[Change]) -> audit_words.Names:
    watchlist, workspace = call.parts.corridor.watchlist, call.who.workspace_id
    monitors = {w.monitor.id: w.monitor.name for w in watchlist.of(workspace)}
    wanted = sorted({c.noun_id for c in changes if c.noun == "incident"})

    def subjects(s: Session) -> dict[str, str]:
        found: dict[str, str] = {}
        for id in wanted:
            with suppress(NotFound):  # incidents are forgotten in time, the log is not
                incident = s.incidents.get(id)
                place = incident.subject.removeprefix(SUBJECT)
                known = monitors.get(incident.monitor_id or "", incident.name or "a deleted monitor")
                found[id] = known if place == incident.subject else f"location {place}"
        return found

    incidents = await call.parts.store.of(workspace).read(subjects) if wanted else {}
    telling = watchlist.telling(workspace)
    people = {c.id.removeprefix(PERSON): c.name for c in telling.people}
    return audit_words.Names(monitors, {c.id: c.name for c in telling.hearers}, incidents, people)


def _as_written(change: Change) -> str:
    """What changed, field by field."""
    fields = {n: (change.before.get(n), v) for n, v in change.after.items() if change.before.get(n) != v}
    told = "; ".join(f"{n}: {_short(old)} → {_short(new)}" for n, (old, new) in fields.items())
    return f"{change.noun} {change.verb}. {told if change.verb == 'changed' else ''}".strip()


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
