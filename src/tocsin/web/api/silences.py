"""Silences: windows that begin when they are made and are no plan. Made, and ended before their time."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any

from msgspec import Struct

from tocsin.clock import new_id
from tocsin.core import shape
from tocsin.core.access import Principal
from tocsin.core.maintenance import Window, covering, ends_at
from tocsin.core.monitor import Monitor
from tocsin.core.result import iso
from tocsin.core.scope import Scope
from tocsin.core.shape import Help, Length, Range
from tocsin.errors import Invalid, Problem
from tocsin.web.api.given import as_object
from tocsin.web.api.windows import LONGEST_S, delete, keep_new, unknown
from tocsin.web.call import Call, Reply, Route
from tocsin.web.parts import Parts


class SilenceIn(Struct, frozen=True, kw_only=True):
    """From now on nobody is told of what opens; give `duration_s` or `until`."""

    scope: Annotated[Scope, Help("which monitors")]
    duration_s: Annotated[int | None, Range(60, LONGEST_S), Help("how long it lasts")] = None
    until: Annotated[datetime | None, Help("or when it ends")] = None
    reason: Annotated[str, Length(0, 2000), Help("shown where something is held back")] = ""


class SilenceOut(Struct, frozen=True, kw_only=True):
    """A silence that lasts."""

    id: str
    scope: Scope
    starts_at: str
    ends_at: str
    reason: str
    created_by: str


class SilenceList(Struct, frozen=True, kw_only=True):
    """A page of silences; `next_cursor` leads to the next, null at the end."""

    items: list[SilenceOut]
    next_cursor: str | None


def silence_json(silence: Window) -> dict[str, Any]:
    """A silence as JSON data."""
    return {
        "id": silence.id, "scope": shape.dump(silence.scope), "starts_at": iso(silence.starts_at),
        "ends_at": iso(silence.starts_at + timedelta(seconds=silence.duration_s)), "reason": silence.reason,
        "created_by": silence.created_by,
    }  # fmt: skip


def visible(parts: Parts, who: Principal) -> list[Window]:
    """The silences that last, the one that ends first in front."""
    known, now = parts.corridor.watchlist.telling(who.workspace_id).windows, parts.clock.now()
    lasting = [(end, w.id, w) for w in known if w.silence and (end := ends_at(w, now)) is not None]
    return [window for _, _, window in sorted(lasting, key=lambda found: found[:2])]


class Quiet(Struct, frozen=True, kw_only=True):
    """What is over a monitor now."""

    id: str
    name: str
    silence: bool
    reason: str
    end: datetime


def over(parts: Parts, monitor: Monitor) -> list[Quiet]:
    """The windows and silences that hold a monitor back now, the one that ends first in front."""
    now, known = parts.clock.now(), parts.corridor.watchlist.telling(monitor.workspace_id).windows
    lasting = [(end, w.id, w) for w in covering(known, monitor) if (end := ends_at(w, now)) is not None]
    return [
        Quiet(id=id, name=w.name, silence=w.silence, reason=w.reason, end=end) for end, id, w in sorted(
            lasting, key=lambda found: found[:2])
    ]  # fmt: skip


async def create(parts: Parts, who: Principal, data: dict[str, Any]) -> Window:
    """A new silence, from now on. Raises Invalid with everything wrong at once."""
    problems = unknown(parts, who, data)
    wanted: SilenceIn | None = None
    try:
        wanted = shape.read(SilenceIn, data)
    except Invalid as error:
        problems = [*error.problems, *problems]
    now, lasts = parts.clock.now(), 0.0
    if wanted is not None:
        lasts = float(wanted.duration_s or 0)
        if (wanted.duration_s is None) == (wanted.until is None):
            problems.append(Problem("duration_s", "duration_s or until", "both" if wanted.until else "neither"))
        elif wanted.until is not None:
            lasts = (wanted.until - now) / timedelta(seconds=1)
            if not 1 <= lasts <= LONGEST_S:
                problems.append(Problem("until", "a time to come, within a year", str(iso(wanted.until))))
    if wanted is None or problems:
        raise Invalid(*problems)
    said = " ".join(wanted.reason.split())
    return await keep_new(parts, who, Window(
        id=new_id(), workspace_id=who.workspace_id, name=said[:80] or f"by {who.name}"[:200], scope=wanted.scope,
        starts_at=now, duration_s=round(lasts), silence=True, reason=wanted.reason, created_by=who.name,
        created_at=now, updated_at=now,
    ))  # fmt: skip


async def _lasting(call: Call) -> Reply:
    items = [silence_json(w) for w in visible(call.parts, call.who)]
    return Reply(data={"items": items, "next_cursor": None})


async def _hush(call: Call) -> Reply:
    made = await create(call.parts, call.who, as_object(call.data))
    return Reply(data=silence_json(made), status=201, headers={"location": f"/api/v1/silences/{made.id}"})


async def _unhush(call: Call) -> Reply:
    await delete(call.parts, call.who, call.path["id"], silence=True)
    return Reply(status=204)


ROUTES = [
    Route(
        method="GET", path="/api/v1/silences", run=_lasting, permission="read", answer=SilenceList, tag="maintenance",
        summary="Silences that last",
    ),
    Route(
        method="POST", path="/api/v1/silences", run=_hush, permission="operate", body=SilenceIn, answer=SilenceOut,
        reads=False, status=201, tag="maintenance", summary="Tell nobody of what opens, from now on",
    ),
    Route(
        method="DELETE", path="/api/v1/silences/{id}", run=_unhush, permission="operate", status=204,
        tag="maintenance", summary="End a silence now",
    ),
]  # fmt: skip
