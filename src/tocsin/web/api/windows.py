"""Maintenance windows: planned, changed, ended, and when they come. (Silences are kept as such windows too.)"""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import cache
from typing import Annotated, Any
from zoneinfo import ZoneInfo, available_timezones

from msgspec import Struct
from msgspec.structs import replace

from tocsin.clock import new_id
from tocsin.core import shape
from tocsin.core.access import Principal
from tocsin.core.maintenance import Window, ends_at, occurrences
from tocsin.core.plain import MAX_PROBLEMS, as_list, as_map, found
from tocsin.core.recurrence import check_rrule
from tocsin.core.result import iso
from tocsin.core.scope import Scope
from tocsin.core.shape import Help, Length, Name, Range
from tocsin.errors import Conflict, Invalid, NotFound, Problem
from tocsin.store import Session
from tocsin.web.api import records
from tocsin.web.api.given import as_object
from tocsin.web.call import Call, Reply, Route
from tocsin.web.parts import Parts

MOST = 500
"""So many windows and silences a workspace may have: each is looked at for each judgement."""
LONGEST_S = 31_622_400
OLDEST = timedelta(days=3700)
"""A recurrence is followed from its first start on; that must not be too long ago."""


class WindowIn(Struct, frozen=True, kw_only=True):
    """Planned trouble: when, how often, and of what."""

    name: Annotated[Name, Length(1, 200), Help("what people call it")]
    scope: Annotated[Scope, Help("which monitors")]
    starts_at: Annotated[datetime, Help("its first start")]
    duration_s: Annotated[int, Range(60, LONGEST_S), Help("how long it lasts each time, in real time")]
    rrule: Annotated[
        str | None, Length(1, 500), Help("how it comes again, as in RFC 5545: FREQ=WEEKLY;BYDAY=SA; null: once")
    ] = None
    time_zone: Annotated[str, Length(1, 64), Help("IANA name; it comes again at the same wall-clock time there")] = (
        "UTC"
    )
    enabled: bool = True
    reason: Annotated[str, Length(0, 2000)] = ""


class WindowOut(Struct, frozen=True, kw_only=True):
    """A window, and when it comes."""

    id: str
    name: str
    scope: Scope
    starts_at: str
    duration_s: int
    rrule: str | None
    time_zone: str
    enabled: bool
    reason: str
    running: Annotated[bool, Help("it lasts now")]
    ends_at: Annotated[str | None, Help("when what lasts now ends")]
    next_at: Annotated[str | None, Help("when it begins next; null: never again")]
    created_by: str
    created_at: str
    updated_at: str
    version: int


class WindowList(Struct, frozen=True, kw_only=True):
    """A page of windows; `next_cursor` leads to the next, null at the end."""

    items: list[WindowOut]
    next_cursor: str | None


class Occurrence(Struct, frozen=True, kw_only=True):
    """One time that a window lasts."""

    starts_at: str
    ends_at: str


class OccurrenceList(Struct, frozen=True, kw_only=True):
    """When a window lasts, next first; `next_cursor` is always null."""

    items: list[Occurrence]
    next_cursor: str | None


class Count(Struct, frozen=True, kw_only=True):
    """How many are wanted."""

    count: Annotated[int, Range(1, 50)] = 5


def window_json(window: Window, now: datetime) -> dict[str, Any]:
    """A window as JSON data."""
    data = {name: getattr(window, name) for name in WindowIn.__struct_fields__}
    end = ends_at(window, now) if window.enabled else None
    begins = [iso(begin) for begin, _ in occurrences(window, now, 1)] if window.enabled else []
    return data | {
        "id": window.id, "scope": shape.dump(window.scope), "starts_at": iso(window.starts_at),
        "running": end is not None, "ends_at": iso(end), "next_at": begins[0] if begins else None,
        "created_by": window.created_by, "created_at": iso(window.created_at), "updated_at": iso(window.updated_at),
        "version": window.version,
    }  # fmt: skip


def visible(parts: Parts, who: Principal) -> list[Window]:
    """The workspace's maintenance windows, by name."""
    return [w for w in parts.corridor.watchlist.telling(who.workspace_id).windows if not w.silence]


def window_of(parts: Parts, who: Principal, id: str, *, silence: bool = False) -> Window:
    """A window of the caller's workspace; raises NotFound for any other."""
    for window in parts.corridor.watchlist.telling(who.workspace_id).windows:
        if window.id == id and window.silence == silence:
            return window
    raise NotFound(f"there is no {'silence' if silence else 'maintenance window'} {id[:64]}")


def read_window(parts: Parts, who: Principal, data: dict[str, Any], old: Window | None = None) -> Window:
    """The window that outside data means, not kept yet. Raises Invalid with everything wrong at once."""
    problems = unknown(parts, who, data, old)
    try:
        wanted = shape.read(WindowIn, data)
    except Invalid as error:
        raise Invalid(*error.problems, *problems, *_zone(data.get("time_zone", "UTC"))) from error
    problems += _zone(wanted.time_zone)
    now, fields = parts.clock.now(), {name: getattr(wanted, name) for name in WindowIn.__struct_fields__}
    fields |= {"name": wanted.name.strip(), "updated_at": now}
    window = Window(
        id=new_id(), workspace_id=who.workspace_id, created_by=who.name, created_at=now, **fields
    ) if old is None else replace(old, **fields)  # fmt: skip
    if not problems:
        problems = _times(window, old, now)
    if problems:
        raise Invalid(*problems)
    return window


def _times(window: Window, old: Window | None, now: datetime) -> list[Problem]:
    """What is wrong with when it comes: too far away, no rule, or over."""
    if abs(window.starts_at - now) > OLDEST and (old is None or window.starts_at != old.starts_at):
        return [Problem("starts_at", "a time less than ten years from now", str(iso(window.starts_at)))]
    if window.rrule is not None:
        try:
            check_rrule(window.rrule, window.starts_at.astimezone(ZoneInfo(window.time_zone)).replace(tzinfo=None))
        except Invalid as error:
            return list(error.problems)
    same = old is not None and _when(old) == _when(window)
    if same or ends_at(window, now) is not None or occurrences(window, now, 1):
        return []
    where = "starts_at" if window.rrule is None else "rrule"
    return [Problem(where, "a window that is not over yet", str(iso(window.starts_at)) if window.rrule is None
                    else window.rrule[:80])]  # fmt: skip


def _when(window: Window) -> tuple[datetime, int, str | None, str]:
    return window.starts_at, window.duration_s, window.rrule, window.time_zone


def _zone(name: object) -> list[Problem]:
    """A problem when there is no such time zone."""
    if not isinstance(name, str) or name in zones():
        return []
    return [Problem("time_zone", "an IANA time zone such as Europe/Berlin", found(name))]


@cache
def zones() -> frozenset[str]:
    """Every time zone there is, by its IANA name."""
    return frozenset(available_timezones()) | {"UTC"}


def unknown(parts: Parts, who: Principal, data: dict[str, Any], old: Window | None = None) -> list[Problem]:
    """A problem for every monitor and host in the scope that this workspace does not have, and for a scope of nothing."""
    given = as_map(data.get("scope"))
    if given is None:
        return []
    named = list(as_list(given.get("monitors")) or ())
    before = set(old.scope.monitors) if old is not None else set[str]()
    mine = {w.monitor.id for w in parts.corridor.watchlist.of(who.workspace_id)} | before
    problems = [
        Problem(f"scope.monitors[{i}]", "a monitor of this workspace", found(id))
        for i, id in enumerate(named[:1000]) if isinstance(id, str) and id not in mine
    ]  # fmt: skip
    hosts = list(as_list(given.get("hosts")) or ())
    ours = {now.host.id for now in parts.corridor.hosts.of(who.workspace_id)} | set(old.scope.hosts if old else ())
    problems += [
        Problem(f"scope.hosts[{i}]", "a host of this workspace", found(id))
        for i, id in enumerate(hosts[:1000]) if isinstance(id, str) and id not in ours
    ]  # fmt: skip
    if not (named or hosts or as_list(given.get("tags")) or given.get("everything")):
        problems.append(Problem("scope", "monitors, hosts, tags, or everything: true", "none of them"))
    return problems[:MAX_PROBLEMS]


async def create(parts: Parts, who: Principal, data: dict[str, Any]) -> Window:
    """A new window, in force."""
    window = read_window(parts, who, data)
    return await keep_new(parts, who, window)


async def change(parts: Parts, who: Principal, id: str, data: dict[str, Any]) -> Window:
    """The window with the given fields changed; what it did so far stays as it was."""
    old = window_of(parts, who, id)
    current: dict[str, Any] = {name: shape.dump(getattr(old, name)) for name in WindowIn.__struct_fields__}
    window = read_window(parts, who, current | {"starts_at": iso(old.starts_at)} | data, old)
    return await records.write_down(parts, who, lambda s: s.maintenance_windows.replace(window))


async def delete(parts: Parts, who: Principal, id: str, *, silence: bool = False) -> None:
    """Forget it; if it lasts, it ends now."""
    window_of(parts, who, id, silence=silence)
    await records.write_down(parts, who, lambda s: s.maintenance_windows.delete(id))


async def keep_new(parts: Parts, who: Principal, window: Window) -> Window:
    """Keep it, and forget silences that are long over."""
    over = window.created_at - timedelta(days=1)

    def keep(s: Session) -> None:
        known = s.maintenance_windows.list()
        for old in known:
            if old.silence and old.starts_at + timedelta(seconds=old.duration_s) < over:
                s.maintenance_windows.delete(old.id)
        if sum(old.silence == window.silence for old in known) >= MOST:
            raise Conflict(f"there are {MOST} of them already: delete some first")
        s.maintenance_windows.add(window)

    await records.write_down(parts, who, keep)
    return window


def coming(window: Window, now: datetime, count: int) -> list[tuple[datetime, datetime]]:
    """(begin, end) of what lasts now, if it does, and of what comes; `count` at most. Also of one switched off."""
    end, lasts = ends_at(window, now), timedelta(seconds=window.duration_s)
    running = [] if end is None else [(end - lasts, end)]
    return [*running, *occurrences(window, now, count)][:count]


def _listed(window: Window, now: datetime, count: int) -> Reply:
    items = [{"starts_at": iso(begin), "ends_at": iso(end)} for begin, end in coming(window, now, count)]
    return Reply(data={"items": items, "next_cursor": None})


async def _preview(call: Call) -> Reply:
    return _listed(read_window(call.parts, call.who, as_object(call.data)), call.now, (call.query or Count()).count)


async def _occurrences(call: Call) -> Reply:
    return _listed(window_of(call.parts, call.who, call.path["id"]), call.now, (call.query or Count()).count)


_ALL = "/api/v1/maintenance-windows"
_ONE = _ALL + "/{id}"
ROUTES = [
    *records.routes(
        records.Noun(
            path=_ALL, tag="maintenance", body=WindowIn, answer=WindowOut, listed=WindowList, visible=visible,
            one=window_of, create=create, change=change, delete=delete,
            json=lambda parts, _, window: window_json(window, parts.clock.now()),
            says=(
                "Maintenance windows", "Plan maintenance", "One maintenance window",
                "Change some of a window's fields", "Forget a window; if it lasts, it ends now",
            ),
        )
    ),
    Route(
        method="POST", path=_ALL + "/preview", run=_preview, permission="write", body=WindowIn, query=Count,
        answer=OccurrenceList, reads=False, tag="maintenance", summary="When a window would come, without keeping it",
    ),
    Route(
        method="GET", path=_ONE + "/occurrences", run=_occurrences, permission="read", query=Count,
        answer=OccurrenceList, tag="maintenance", summary="When a window comes next",
    ),
]  # fmt: skip
