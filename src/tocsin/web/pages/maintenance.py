"""Maintenance: what lasts, what comes, what is over; the form with its preview; silences from other pages."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

from msgspec import Struct

from tocsin.core.maintenance import Window, ends_at
from tocsin.core.result import iso
from tocsin.errors import Invalid
from tocsin.web.api import monitors, silences, windows
from tocsin.web.call import Call, Reply, Route
from tocsin.web.pages import form, records, view, window_words, words

UNITS = {"minutes": 60, "hours": 3600, "days": 86_400}
OFTEN = {
    "once": "Once",
    "daily": "Every day",
    "weekly": "Every week",
    "monthly_day": "Every month, same day",
    "monthly_weekday": "Every month, same weekday",
    "own": "Own rule",
}


class Shown(Struct, frozen=True, kw_only=True):
    """What was done just before; `monitor`: what a new window is about."""

    did: str = ""
    monitor: str = ""


async def index(call: Call) -> Reply:
    """The list: what lasts now, what comes, what is over."""
    wanted: Shown = call.query or Shown()
    groups: dict[str, list[tuple[Window, window_words.When]]] = {"Now": [], "To come": [], "Over or off": []}
    watched = call.parts.corridor.watchlist.of(call.who.workspace_id)
    for window in windows.visible(call.parts, call.who):
        place, said = _stands(window, call.now)
        groups[place].append((window, said))
    quiet = silences.visible(call.parts, call.who)
    return view.page(
        call,
        "maintenance.html",
        section="maintenance",
        groups={name: found for name, found in groups.items() if found},
        silences=[(s, s.starts_at + timedelta(seconds=s.duration_s)) for s in quiet],
        verdict=_verdict(len(groups["Now"]), len(quiet)),
        often=window_words.often,
        covers=partial(window_words.covers, watched=watched),
        did={"saved": "Saved.", "deleted": "Deleted.", "ended": "Ended. What is down is told again."}.get(
            wanted.did, ""
        ),
    )


def _stands(window: Window, now: datetime) -> tuple[str, window_words.When]:
    if not window.enabled:
        return "Over or off", window_words.When("off")
    coming = windows.coming(window, now, 1)
    if not coming:
        return "Over or off", window_words.When("over")
    lasts = ends_at(window, now) is not None
    return ("Now" if lasts else "To come"), window_words.when(*coming[0], window.time_zone)


def _verdict(lasting: int, quiet: int) -> str:
    said = [words.count(lasting, "maintenance window")] if lasting else []
    said += [words.count(quiet, "silence")] if quiet else []
    return f"{words.listed(said)} now." if said else "Nothing is held back now."


def typed(call: Call) -> dict[str, Any]:
    """The plain data of a form that was sent; what cannot be read stays text, for the strict reader to say so."""
    zone = view.first(call, "time_zone", "UTC") or "UTC"
    given = view.first(call, "starts_at")
    amount, unit = view.first(call, "lasts"), UNITS.get(view.first(call, "unit"), 60)
    number = form.number(amount)
    start = moment(given, zone)
    return {
        "name": view.first(call, "name"),
        "scope": _scope(call),
        "starts_at": iso(start) if start is not None else given,
        "duration_s": round(number * unit) if isinstance(number, (int, float)) else amount,
        "rrule": _rrule(call, start, zone),
        "time_zone": zone,
        "enabled": view.ticked(call, "enabled"),
        "reason": view.first(call, "reason"),
    }


def _scope(call: Call) -> dict[str, Any]:
    mode = view.first(call, "scope", "monitors")
    tags = [t.strip() for t in view.first(call, "tags").split(",") if t.strip()]
    return {
        "everything": mode == "everything",
        "tags": tags if mode == "tags" else [],
        "monitors": view.every(call, "monitors") if mode == "monitors" else [],
    }


def moment(text: str, zone: str) -> datetime | None:
    """A wall-clock time of a zone as a moment; None when either cannot be read."""
    try:
        wall = datetime.fromisoformat(text)
        return wall.replace(tzinfo=ZoneInfo(zone)) if wall.tzinfo is None else wall
    except (ValueError, KeyError, OSError, OverflowError):  # a name that is no zone is a KeyError or an OSError
        return None


def _rrule(call: Call, start: datetime | None, zone: str) -> str | None:
    how = view.first(call, "often", "once")
    if how not in OFTEN or how == "once":
        return None
    if how == "own":
        return view.first(call, "rrule")
    days = list(window_words.DAYS)
    day = days[start.astimezone(ZoneInfo(zone)).weekday()] if start is not None else "MO"
    chosen = [d for d in days if d in view.every(call, "days")] or [day]
    number = (start.day - 1) // 7 + 1 if start is not None else 1
    rule = {
        "daily": "FREQ=DAILY",
        "weekly": f"FREQ=WEEKLY;BYDAY={','.join(chosen)}",
        "monthly_day": "FREQ=MONTHLY",
        "monthly_weekday": f"FREQ=MONTHLY;BYDAY={number if number < 5 else -1}{day}",
    }[how]
    last = view.first(call, "until").replace("-", "")
    return f"{rule};UNTIL={last}" if last else rule


def _fields(call: Call, data: Mapping[str, Any]) -> dict[str, Any]:
    """What the inputs of the form show."""
    how, days, rule, last = window_words.parts(data["rrule"])
    if call.method == "POST":
        how = view.first(call, "often", how)
    start, zone = str(data["starts_at"]), str(data["time_zone"])
    begins = moment(start, zone)
    lasts = data["duration_s"]
    unit = next(
        (u for u, s in reversed(UNITS.items()) if isinstance(lasts, int) and lasts and lasts % s == 0), "minutes"
    )
    amount = f"{lasts / UNITS[unit]:g}" if isinstance(lasts, int) else lasts
    scope = data["scope"]
    mode = "everything" if scope["everything"] else "tags" if scope["tags"] else "monitors"
    if call.method == "POST":
        mode = view.first(call, "scope", mode)
    return {
        "how": how, "days": days, "rule": rule, "last": last, "unit": unit, "amount": amount, "mode": mode,
        "start": start if begins is None else f"{begins.astimezone(ZoneInfo(zone)):%Y-%m-%dT%H:%M}",
    }  # fmt: skip


def _form(
    call: Call, data: Mapping[str, Any], errors: Mapping[str, str], *, thing: Window | None = None, said: str = "",
    status: int = 200,
) -> Reply:  # fmt: skip
    watched = call.parts.corridor.watchlist.of(call.who.workspace_id)
    chosen = set(data["scope"]["monitors"])
    return view.page(
        call,
        "maintenance_edit.html",
        section="maintenance",
        status=status,
        window=thing,
        data=data,
        errors=errors,
        said=said,
        shown=_fields(call, data),
        often=OFTEN,
        units=UNITS,
        weekdays=window_words.DAYS,
        zones=sorted(windows.zones()),
        tags=sorted({tag for w in watched for tag in w.monitor.tags}),
        monitors=sorted(
            ((w.monitor.id, w.monitor.name, w.monitor.id in chosen) for w in watched),
            key=lambda m: (not m[2], m[1].casefold()),
        ),
        **_seen_before(call, data),
    )


def _seen_before(call: Call, data: Mapping[str, Any]) -> dict[str, Any]:
    """When it would come, or what is missing for that."""
    data = {name: data[name] for name in windows.WindowIn.__struct_fields__}
    try:
        window = windows.read_window(call.parts, call.who, {**data, "name": data["name"] or "-"})
    except Invalid as error:
        said = [text for field, text in view.problems(error).items() if not field.startswith(("name", "scope"))]
        if said:
            return {"times": [], "missing": said[0]}
        try:
            everything = {**data, "name": "-", "scope": {"everything": True}}
            window = windows.read_window(call.parts, call.who, everything)
        except Invalid:
            return {"times": [], "missing": ""}
    times = windows.coming(window, call.now, 5)
    zone = window.time_zone
    return {"times": [window_words.when(*both, zone) for both in times], "missing": "", "time_zone": zone}


async def new(call: Call) -> Reply:
    """The form with a start in an hour, in the reader's zone (their browser fills it in)."""
    wanted: Shown = call.query or Shown()
    start = (call.now + timedelta(hours=1)).replace(minute=0, second=0, microsecond=0)
    data: dict[str, Any] = {
        "name": "", "scope": {"everything": False, "tags": [], "monitors": [wanted.monitor] if wanted.monitor else []},
        "starts_at": iso(start), "duration_s": 3600, "rrule": None, "time_zone": "UTC", "enabled": True, "reason": "",
    }  # fmt: skip
    return _form(call, data, {})


async def preview(call: Call) -> Reply:
    """The fragment with the next five times of a form as it stands."""
    return view.html(view.render("occurrences.html", **_seen_before(call, typed(call))))


async def hush(call: Call) -> Reply:
    """Silence one monitor, for some seconds or until a time of the reader's clock."""
    watched = monitors.watched(call.parts, call.who, call.path["id"])
    back = view.safe_path(view.first(call, "back"), f"/monitors/{watched.monitor.id}")
    wanted: dict[str, Any] = {"scope": {"monitors": [watched.monitor.id]}, "reason": view.first(call, "reason")}
    if seconds := view.first(call, "for"):
        wanted["duration_s"] = form.number(seconds)
    else:
        until = moment(view.first(call, "until"), view.first(call, "time_zone", "UTC") or "UTC")
        wanted["until"] = view.first(call, "until") if until is None else iso(until)
    await silences.create(call.parts, call.who, wanted)
    return view.see_other(back)


async def unhush(call: Call) -> Reply:
    """End a silence now."""
    await windows.delete(call.parts, call.who, call.path["id"], silence=True)
    return view.see_other(view.safe_path(view.first(call, "back"), "/maintenance?did=ended"))


_READ: dict[str, Any] = {"kind": "page", "permission": "read", "tag": "pages"}
_DO: dict[str, Any] = {"kind": "page", "permission": "operate", "tag": "pages"}
_WRITE: dict[str, Any] = {"kind": "page", "permission": "write", "tag": "pages"}
ROUTES = [
    Route(method="GET", path="/maintenance", run=index, summary="Maintenance", query=Shown, loose=True, **_READ),
    Route(method="GET", path="/maintenance/new", run=new, summary="New window", query=Shown, loose=True, **_WRITE),
    Route(method="POST", path="/maintenance/preview", run=preview, summary="When a window would come", **_WRITE),
    *records.routes(
        records.Form(
            path="/maintenance",
            gone="/maintenance?did=deleted",
            one=windows.window_of,
            create=windows.create,
            change=windows.change,
            delete=windows.delete,
            typed=typed,
            form=_form,
            shown=lambda call, window: windows.window_json(window, call.now),
            after=lambda _: "/maintenance?did=saved",
            says=("Plan maintenance", "Edit a window", "Change a window", "Delete a window"),
        )
    ),
    Route(method="POST", path="/monitors/{id}/silence", run=hush, summary="Silence a monitor", **_DO),
    Route(method="POST", path="/silences/{id}/end", run=unhush, summary="End a silence", **_DO),
]
