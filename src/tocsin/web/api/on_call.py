"""On-call schedules: who has to answer, now and in the weeks to come."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from msgspec import Struct, field
from msgspec.structs import replace

from tocsin.clock import new_id
from tocsin.core import shape
from tocsin.core.access import Principal
from tocsin.core.alert import PERSON
from tocsin.core.on_call import OnCallSchedule, Override, Rotation, Shift, first_hole, on_duty, shifts
from tocsin.core.plain import found
from tocsin.core.result import iso
from tocsin.core.rhythm import is_zone
from tocsin.core.shape import Help, Length, Name
from tocsin.core.wording import listed
from tocsin.errors import Conflict, Invalid, NotFound, Problem
from tocsin.pipeline.telling import UNMAILED, Telling
from tocsin.store import Session
from tocsin.web.api import records
from tocsin.web.api.given import some_of, twice
from tocsin.web.call import Call, Reply, Route
from tocsin.web.parts import Parts

HOLES_WITHIN = timedelta(days=14)
"""So far ahead a hole in a schedule is warned of."""
_LONGEST_PREVIEW = timedelta(days=92)
_YEARS = (2000, 2200)
_MOST_OVERRIDES = 200


class ScheduleIn(Struct, frozen=True, kw_only=True):
    """Who has to answer when. The first rotation that covers a moment answers; the override made last goes before."""

    name: Annotated[Name, Length(1, 200), Help("what people call it")]
    time_zone: Annotated[str, Length(1, 64), Help("an IANA name such as Europe/Berlin")] = "UTC"
    rotations: Annotated[tuple[Rotation, ...], Length(1, 10), Help("the first that covers a moment answers")]
    overrides: Annotated[tuple[Override, ...], Length(0, _MOST_OVERRIDES), Help("the one made last wins")] = ()


class ScheduleOut(ScheduleIn, frozen=True, kw_only=True):
    """A schedule, what is odd about it in words, and what names it."""

    id: str
    on_duty: str | None
    warnings: list[str]
    used_by: list[dict[str, str]]
    created_at: str
    updated_at: str
    version: int


class ScheduleList(Struct, frozen=True, kw_only=True):
    """A page of schedules; `next_cursor` leads to the next, null at the end."""

    items: list[ScheduleOut]
    next_cursor: str | None


class OnDuty(Struct, frozen=True, kw_only=True):
    """Who has to answer now; nulls when nobody has to. `warning`: why that does not reach anybody."""

    person: str | None
    email: str | None
    until: str | None
    warning: str | None


class ShiftOut(Struct, frozen=True, kw_only=True):
    """One stretch with the same answer; no person for whom is no member any more. `rotation`: its place in the schedule,
    null for an override or nobody."""

    starts_at: str
    ends_at: str
    person: str | None
    email: str | None
    rotation: int | None


class ShiftList(Struct, frozen=True, kw_only=True):
    """Shifts without a gap between them; `next_cursor` is null."""

    items: list[ShiftOut]
    next_cursor: str | None


class Stretch(Struct, frozen=True, kw_only=True):
    """From when to when; two weeks from now when left out, 92 days at most."""

    from_: datetime | None = field(default=None, name="from")
    to: datetime | None = None


class TakeOver(Struct, frozen=True, kw_only=True):
    """An override: left out, the person is who asks."""

    person: Annotated[str | None, Length(1, 64), Help("id of a member; left out: yourself")] = None
    starts_at: datetime
    ends_at: datetime


def telling_of(parts: Parts, who: Principal) -> Telling:
    """What the caller's workspace wrote down of whom to tell."""
    return parts.corridor.watchlist.telling(who.workspace_id)


def schedule_of(parts: Parts, who: Principal, id: str) -> OnCallSchedule:
    """A schedule of the caller's workspace; raises NotFound for any other."""
    schedule = telling_of(parts, who).schedules.get(id)
    if schedule is None:
        raise NotFound(f"there is no on-call schedule {id[:64]}")
    return schedule


def visible(parts: Parts, who: Principal) -> list[OnCallSchedule]:
    """The workspace's schedules, by name."""
    return sorted(telling_of(parts, who).schedules.values(), key=lambda s: (s.name.casefold(), s.id))


def people_of(parts: Parts, who: Principal) -> dict[str, str]:
    """The members of the workspace: e-mail addresses by id."""
    return {channel.id.removeprefix(PERSON): channel.name for channel in telling_of(parts, who).people}


def people_to_choose(parts: Parts, who: Principal) -> dict[str, str]:
    """The members by id as a form offers them: of viewers it says how they acknowledge."""
    viewers = telling_of(parts, who).viewers
    says = {True: " (viewer: acknowledges by the link in a message only)", False: ""}
    return {id: email + says[id in viewers] for id, email in people_of(parts, who).items()}


def schedule_json(parts: Parts, who: Principal, schedule: OnCallSchedule) -> dict[str, Any]:
    """A schedule as JSON data."""
    data = shape.dump(schedule)
    return {name: data[name] for name in ("id", *ScheduleIn.__struct_fields__)} | {
        "on_duty": present(people_of(parts, who), on_duty(schedule, parts.clock.now())),
        "warnings": warnings(parts, who, schedule), "used_by": used_by(parts, who, schedule.id),
        "created_at": iso(schedule.created_at), "updated_at": iso(schedule.updated_at), "version": schedule.version,
    }  # fmt: skip


def used_by(parts: Parts, who: Principal, id: str) -> list[dict[str, str]]:
    """The escalation policies that name a schedule."""
    policies = telling_of(parts, who).policies.values()
    users = [p for p in policies if any(id in step.schedules for step in p.steps)]
    return [
        {"type": "escalation policy", "id": p.id, "name": p.name}
        for p in sorted(users, key=lambda p: p.name.casefold())
    ]


def warnings(parts: Parts, who: Principal, schedule: OnCallSchedule) -> list[str]:
    """What may leave it without anybody who answers, in words."""
    now, people = parts.clock.now(), people_of(parts, who)
    hole = hole_words(schedule, people, now)
    named = {person for rotation in schedule.rotations for person in rotation.people}
    named |= {override.person for override in schedule.overrides if override.ends_at > now}
    gone = len(named - set(people))
    said = [] if hole is None else [hole]
    said += [f"{gone} of its people {'is no member' if gone == 1 else 'are no members'} any more"] if gone else []
    mute = [] if telling_of(parts, who).mails else sorted(people[person] for person in named & set(people))
    return [*said, *([f"{listed(tuple(mute))} {UNMAILED}"] if mute else [])]


def unheard(parts: Parts, who: Principal, person: str | None) -> str | None:
    """Why somebody on duty would not hear of anything, None when nothing is known against it."""
    people = people_of(parts, who)
    if person is None:
        return "nobody is on duty"
    if person not in people:
        return "whose turn it is, is no member any more"
    return None if telling_of(parts, who).mails else f"{people[person]} {UNMAILED}"


def present(people: Mapping[str, str], person: str | None) -> str | None:
    """That person, while a member."""
    return person if person in people else None


def hole_words(schedule: OnCallSchedule, people: Mapping[str, str], now: datetime) -> str | None:
    """The first hole of the coming two weeks in words, None when there is none. Where somebody who is no member any more
    would be on duty, nobody is."""
    hole = first_hole(schedule, now, now + HOLES_WITHIN, people)
    if hole is None:
        return None
    zone = ZoneInfo(schedule.time_zone)
    ends = hole.ends_at < now + HOLES_WITHIN
    until = f" to {hole.ends_at.astimezone(zone):%a %Y-%m-%d %H:%M}" if ends else " on"
    begins = f"{hole.starts_at.astimezone(zone):%a %Y-%m-%d %H:%M}"
    return f"nobody is on duty in “{schedule.name}” from {begins}{until} ({schedule.time_zone})"


def read_schedule(parts: Parts, who: Principal, data: dict[str, Any], known: Sequence[Override] = ()) -> ScheduleIn:
    """A schedule from outside data; raises Invalid with everything wrong at once. `known` overrides may be over."""
    wanted, people = shape.read(ScheduleIn, data), people_of(parts, who)
    problems: list[Problem] = []
    if not is_zone(wanted.time_zone):
        problems.append(Problem("time_zone", "an IANA name such as Europe/Berlin", found(wanted.time_zone)))
    for n, rotation in enumerate(wanted.rotations):
        where = f"rotations[{n}]"
        problems += [_unknown(f"{where}.people[{i}]", p) for i, p in enumerate(rotation.people) if p not in people]
        problems += twice(f"{where}.people", rotation.people)
        problems += _far(f"{where}.starts_at", rotation.starts_at)
    for n, override in enumerate(wanted.overrides):
        where, late = f"overrides[{n}].", override not in known
        problems += _odd(override, people, where) or (_over(override, parts.clock.now(), where) if late else [])
    if problems:
        raise Invalid(*problems)
    return replace(wanted, name=wanted.name.strip())


def _odd(override: Override, people: dict[str, str], where: str) -> list[Problem]:
    problems = [] if override.person in people else [_unknown(f"{where}person", override.person)]
    problems += _far(f"{where}starts_at", override.starts_at) + _far(f"{where}ends_at", override.ends_at)
    if override.ends_at <= override.starts_at:
        problems.append(Problem(f"{where}ends_at", "later than starts_at", str(iso(override.ends_at))))
    return problems


def _over(override: Override, now: datetime, where: str = "") -> list[Problem]:
    """An override that would change nothing any more."""
    if override.ends_at > now:
        return []
    return [Problem(f"{where}ends_at", "a time to come: what is over cannot be taken over", str(iso(override.ends_at)))]


def _unknown(where: str, person: str) -> Problem:
    return Problem(where, "the id of a member of this workspace", found(person))


def _far(where: str, moment: datetime) -> list[Problem]:
    low, high = _YEARS
    return [] if low <= moment.year < high else [Problem(where, f"from {low} to {high}", str(iso(moment)))]


async def create(parts: Parts, who: Principal, data: dict[str, Any]) -> OnCallSchedule:
    """A new schedule."""
    wanted, now = read_schedule(parts, who, data), parts.clock.now()
    schedule = OnCallSchedule(
        id=new_id(), workspace_id=who.workspace_id, name=wanted.name, time_zone=wanted.time_zone,
        rotations=wanted.rotations, overrides=wanted.overrides, created_at=now, updated_at=now,
    )  # fmt: skip
    await records.write_down(parts, who, lambda s: s.on_call_schedules.add(schedule))
    return schedule


async def change(parts: Parts, who: Principal, id: str, data: dict[str, Any]) -> OnCallSchedule:
    """The schedule with the given fields changed."""
    old = schedule_of(parts, who, id)
    current = shape.dump(old)
    wanted = read_schedule(
        parts, who, {name: current[name] for name in ScheduleIn.__struct_fields__} | data, old.overrides
    )
    new = replace(
        old, name=wanted.name, time_zone=wanted.time_zone, rotations=wanted.rotations, overrides=wanted.overrides,
        updated_at=parts.clock.now(),
    )  # fmt: skip
    return await _keep(parts, who, new)


def read_take_over(data: dict[str, Any]) -> TakeOver:
    """An override from outside data; raises Invalid with everything wrong at once."""
    return shape.read(TakeOver, data)


async def take_over(parts: Parts, who: Principal, id: str, wanted: TakeOver) -> OnCallSchedule:
    """Somebody else is on duty for a while. Overrides that are over for a week make room."""
    old, now = schedule_of(parts, who, id), parts.clock.now()
    person = wanted.person or who.user_id
    if person is None:
        raise Invalid(Problem("person", "the id of a member (a key is nobody)", "nothing"))
    override = Override(person=person, starts_at=wanted.starts_at, ends_at=wanted.ends_at)
    problems = _odd(override, people_of(parts, who), "") or _over(override, now)
    if problems:
        raise Invalid(*problems)
    kept = tuple(o for o in old.overrides if o.ends_at > now - timedelta(days=7))
    if len(kept) >= _MOST_OVERRIDES:
        raise Conflict(f"a schedule has at most {_MOST_OVERRIDES} overrides: take some of them away first")
    return await _keep(parts, who, replace(old, overrides=(*kept, override), updated_at=now))


async def give_back(parts: Parts, who: Principal, id: str, named: str) -> OnCallSchedule:
    """Take overrides away: `named` is their person, start and end. None of that name changes nothing."""
    old = schedule_of(parts, who, id)
    kept = tuple(o for o in old.overrides if f"{o.person} {iso(o.starts_at)} {iso(o.ends_at)}" != named)
    if len(kept) == len(old.overrides):
        return old
    return await _keep(parts, who, replace(old, overrides=kept, updated_at=parts.clock.now()))


async def _keep(parts: Parts, who: Principal, new: OnCallSchedule) -> OnCallSchedule:
    return await records.write_down(parts, who, lambda s: s.on_call_schedules.replace(new))


async def delete(parts: Parts, who: Principal, id: str) -> None:
    """Forget a schedule; Conflict while a policy names it."""
    schedule_of(parts, who, id)

    def forget(s: Session) -> None:
        users = [p.name for p in s.escalation_policies.list() if any(id in step.schedules for step in p.steps)]
        if users:
            raise Conflict(f"it is still used by {some_of([f'escalation policy “{name}”' for name in users])}")
        s.on_call_schedules.delete(id)

    await records.write_down(parts, who, forget)


def preview(parts: Parts, who: Principal, id: str, start: datetime | None, end: datetime | None) -> list[Shift]:
    """Who answers when; raises Invalid for a stretch that is none."""
    schedule = schedule_of(parts, who, id)
    begin = start or parts.clock.now()
    until = end or begin + timedelta(days=14)
    if problems := _far("from", begin) + _far("to", until):
        raise Invalid(*problems)
    if not begin < until <= begin + _LONGEST_PREVIEW:
        raise Invalid(Problem("to", "later than from, by 92 days at most", str(iso(until))))
    return shifts(schedule, begin, until)


def shifts_json(parts: Parts, who: Principal, found: Sequence[Shift]) -> list[dict[str, Any]]:
    """Shifts as JSON data."""
    people = people_of(parts, who)
    return [
        {
            "starts_at": iso(s.starts_at), "ends_at": iso(s.ends_at), "person": present(people, s.person),
            "email": people.get(s.person or ""), "rotation": s.rotation,
        }
        for s in found
    ]  # fmt: skip


async def _now(call: Call) -> Reply:
    now = call.now.astimezone(UTC)
    (first, *_) = preview(call.parts, call.who, call.path["id"], now, now + HOLES_WITHIN)
    people = people_of(call.parts, call.who)
    person = present(people, first.person)
    until = iso(first.ends_at) if first.ends_at < now + HOLES_WITHIN else None
    warning = unheard(call.parts, call.who, first.person)
    return Reply(data={"person": person, "email": people.get(person or ""), "until": until, "warning": warning})


async def _shifts(call: Call) -> Reply:
    found = preview(call.parts, call.who, call.path["id"], call.query.from_, call.query.to)
    return Reply(data={"items": shifts_json(call.parts, call.who, found), "next_cursor": None})


async def _override(call: Call) -> Reply:
    schedule = await take_over(call.parts, call.who, call.path["id"], call.body)
    return Reply(data=schedule_json(call.parts, call.who, schedule))


_ALL, _ONE = "/api/v1/on-call-schedules", "/api/v1/on-call-schedules/{id}"
ROUTES = [
    *records.routes(
        records.Noun(
            path=_ALL, tag="on-call", body=ScheduleIn, answer=ScheduleOut, listed=ScheduleList, visible=visible,
            one=schedule_of, create=create, change=change, delete=delete, json=schedule_json,
            says=(
                "On-call schedules and who is on duty", "Add an on-call schedule", "One on-call schedule",
                "Change some of an on-call schedule's fields", "Forget an on-call schedule that no policy names",
            ),
        )
    ),
    Route(
        method="GET", path=_ONE + "/now", run=_now, permission="read", answer=OnDuty, tag="on-call",
        summary="Who is on duty now",
    ),
    Route(
        method="GET", path=_ONE + "/shifts", run=_shifts, permission="read", query=Stretch, answer=ShiftList,
        tag="on-call", summary="Who is on duty when, two weeks from now unless asked otherwise",
    ),
    Route(
        method="POST", path=_ONE + "/overrides", run=_override, permission="operate", body=TakeOver,
        answer=ScheduleOut, tag="on-call", summary="Take over for a while, or give it to somebody",
    ),
]  # fmt: skip
