"""On call: who is on duty, the schedules and the escalation policies; the form of a schedule with its preview."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from msgspec import Struct

from tocsin.clock import new_id
from tocsin.core.on_call import OnCallSchedule, Shift, shifts
from tocsin.core.rhythm import is_zone
from tocsin.errors import Invalid
from tocsin.web.api import escalation, on_call
from tocsin.web.call import Call, Reply, Route
from tocsin.web.pages import form, records, view, words
from tocsin.web.pages.escalation import errors_of, steps_in_words

AHEAD = timedelta(days=14)
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MOST_SHOWN = 60


class Done(Struct, frozen=True, kw_only=True):
    """What was done just before."""

    did: str = ""


async def index(call: Call) -> Reply:
    """Who is on duty now, and what is told when nobody acknowledges."""
    done: Done = call.query or Done()
    people = on_call.people_of(call.parts, call.who)
    schedules = [_row(call, schedule, people) for schedule in on_call.visible(call.parts, call.who)]
    policies = [
        {
            "policy": policy,
            "steps": steps_in_words(call, policy),
            "used": len(escalation.used_by(call.parts, call.who, policy.id)),
            "warnings": escalation.warnings(call.parts, call.who, policy),
        }
        for policy in escalation.visible(call.parts, call.who)
    ]
    return view.page(
        call, "on_call.html", section="on-call", schedules=schedules, policies=policies, verdict=_verdict(schedules),
        did={"saved": "Saved.", "deleted": "Deleted."}.get(done.did, ""),
    )  # fmt: skip


def _row(call: Call, schedule: OnCallSchedule, people: Mapping[str, str]) -> dict[str, Any]:
    now = call.now
    first = shifts(schedule, now, now + AHEAD)[0]
    return {
        "schedule": schedule,
        "who": people.get(first.person or "", ""),
        "unheard": on_call.unheard(call.parts, call.who, first.person),
        "until": first.ends_at if first.ends_at < now + AHEAD else None,
        "warnings": on_call.warnings(call.parts, call.who, schedule),
    }


def _verdict(schedules: list[dict[str, Any]]) -> str:
    if not schedules:
        return "Nobody is on call yet."
    on_duty = sorted({row["who"] for row in schedules if row["who"]})
    if not on_duty:
        return "Nobody is on duty now."
    return f"{words.listed(on_duty)} {'is' if len(on_duty) == 1 else 'are'} on duty."


def typed(call: Call) -> dict[str, Any]:
    """The plain data of a schedule's form that was sent."""
    zone = view.first(call, "time_zone", "UTC")
    return {
        "name": view.first(call, "name"),
        "time_zone": zone,
        "rotations": [_rotation(call, key, zone) for key in view.every(call, "rotation")[:20]],
    }


def _rotation(call: Call, key: str, zone: str) -> dict[str, Any]:
    at = f"r.{key}."
    data: dict[str, Any] = {
        "name": view.first(call, at + "name"),
        "people": [person for person in view.every(call, at + "person") if person],
        "starts_at": moment(view.first(call, at + "starts_at"), zone),
        "unit": view.first(call, at + "unit", "week"),
        "every": form.number(view.first(call, at + "every", "1")),
        "days": sorted(int(day) for day in view.every(call, at + "day") if day in "0123456"),
    }
    for name in ("from_time", "until_time"):
        if text := view.first(call, at + name):
            data[name] = text
    return data


def moment(text: str, zone: str) -> str:
    """A wall-clock time of a form as the API takes it; what cannot be read stays as it is, to be refused by name."""
    try:
        wall = datetime.fromisoformat(text)
        if not is_zone(zone) or wall.tzinfo is not None:
            return text
        return wall.replace(tzinfo=ZoneInfo(zone)).isoformat()
    except (ValueError, OverflowError):
        return text


def wall(text: Any, zone: str) -> str:
    """The other way: what a datetime-local input shows of the API's time."""
    try:
        at = datetime.fromisoformat(str(text))
        return at.astimezone(ZoneInfo(zone if is_zone(zone) else "UTC")).strftime("%Y-%m-%dT%H:%M")
    except (ValueError, OverflowError):
        return str(text)


def rotation_row(data: Mapping[str, Any], zone: str, error: str = "") -> dict[str, Any]:
    """What a rotation's row of the form shows."""
    return {
        "key": new_id(), "name": data.get("name", ""), "people": list(data.get("people", ())),
        "starts_at": wall(data.get("starts_at", ""), zone), "unit": data.get("unit", "week"),
        "every": data.get("every", 1), "days": list(data.get("days", ())), "from_time": data.get("from_time") or "",
        "until_time": data.get("until_time") or "", "error": error,
    }  # fmt: skip


def _blank(call: Call) -> dict[str, Any]:
    start = (call.now - timedelta(days=call.now.weekday())).replace(hour=8, minute=0, second=0, microsecond=0)
    mine = call.who.user_id
    return {"people": [mine] if mine else [], "starts_at": start.isoformat()}


def _form(
    call: Call, data: Mapping[str, Any], told: Mapping[str, str], *, thing: OnCallSchedule | None = None,
    said: str = "", status: int = 200,
) -> Reply:  # fmt: skip
    schedule, zone = thing, str(data.get("time_zone", "UTC"))
    rows = [
        rotation_row(row, zone, errors_of(told, f"rotations[{n}]")) for n, row in enumerate(data.get("rotations", ()))
    ]
    now = call.now
    overrides = [o for o in schedule.overrides if o.ends_at > now] if schedule is not None else []
    return view.page(
        call, "schedule_edit.html", section="on-call", status=status, schedule=schedule, data=data, errors=told,
        error=said, rows=rows, people=on_call.people_of(call.parts, call.who),
        choices=on_call.people_to_choose(call.parts, call.who), days=DAYS, overrides=overrides,
        shifts=[] if schedule is None else _shown(schedule, now), me=call.who.user_id, zone=zone,
        begin=wall(now.isoformat(), zone), end=wall((now + timedelta(hours=8)).isoformat(), zone),
        warnings=[] if schedule is None else on_call.warnings(call.parts, call.who, schedule),
        used=[] if schedule is None else on_call.used_by(call.parts, call.who, schedule.id),
    )  # fmt: skip


def _shown(schedule: OnCallSchedule, now: datetime) -> list[Shift]:
    return shifts(schedule, now, now + AHEAD)[:_MOST_SHOWN]


async def new(call: Call) -> Reply:
    """The empty form."""
    return _form(call, {"name": "", "time_zone": "UTC", "rotations": [_blank(call)]}, {})


async def rotation(call: Call) -> Reply:
    """The fragment of one more rotation."""
    zone = view.first(call, "time_zone", "UTC")
    row = rotation_row(_blank(call), zone)
    choices = on_call.people_to_choose(call.parts, call.who)
    return view.html(view.render("rotation.html", row=row, choices=choices, days=DAYS))


async def take_over(call: Call) -> Reply:
    """Somebody else for a while."""
    schedule = on_call.schedule_of(call.parts, call.who, call.path["id"])
    zone, data = schedule.time_zone, on_call.schedule_json(call.parts, call.who, schedule)
    given = {
        "person": view.first(call, "person") or None,
        "starts_at": moment(view.first(call, "starts_at"), zone),
        "ends_at": moment(view.first(call, "ends_at"), zone),
    }
    try:
        await on_call.take_over(call.parts, call.who, schedule.id, on_call.read_take_over(given))
    except Invalid as error:
        said = " ".join(view.problems(error).values())
        return _form(call, data, {}, thing=schedule, said=f"Not taken over. {said}", status=422)
    return view.see_other(f"/on-call/schedules/{schedule.id}#preview")


async def give_back(call: Call) -> Reply:
    """Take one override away."""
    schedule = on_call.schedule_of(call.parts, call.who, call.path["id"])
    await on_call.give_back(call.parts, call.who, schedule.id, view.first(call, "override"))
    return view.see_other(f"/on-call/schedules/{schedule.id}#preview")


_READ: dict[str, Any] = {"kind": "page", "permission": "read", "tag": "pages"}
_WRITE: dict[str, Any] = {"kind": "page", "permission": "write", "tag": "pages"}
_DO: dict[str, Any] = {"kind": "page", "permission": "operate", "tag": "pages"}
_ONE = "/on-call/schedules/{id}"
ROUTES = [
    Route(method="GET", path="/on-call", run=index, summary="On call", query=Done, loose=True, **_READ),
    Route(method="GET", path="/on-call/schedules/new", run=new, summary="New on-call schedule", **_WRITE),
    Route(method="POST", path="/on-call/schedules/new/rotation", run=rotation, summary="One more rotation", **_WRITE),
    *records.routes(
        records.Form(
            path="/on-call/schedules",
            gone="/on-call?did=deleted",
            seen_by="read",
            one=on_call.schedule_of,
            create=on_call.create,
            change=on_call.change,
            delete=on_call.delete,
            typed=typed,
            form=_form,
            shown=lambda call, schedule: on_call.schedule_json(call.parts, call.who, schedule),
            after=lambda schedule: f"/on-call/schedules/{schedule.id}#preview",
            says=(
                "Make an on-call schedule",
                "An on-call schedule",
                "Change an on-call schedule",
                "Delete an on-call schedule",
            ),
        )
    ),
    Route(method="POST", path=_ONE + "/take-over", run=take_over, summary="Take over for a while", **_DO),
    Route(method="POST", path=_ONE + "/give-back", run=give_back, summary="Take an override away", **_DO),
]
