"""A monitor as JSON and from JSON: its shape, its defaults, what its fields say about each other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

from msgspec import Struct

from tocsin import checks
from tocsin.checks import push
from tocsin.core import shape
from tocsin.core.monitor import Assertion, Monitor, tidy
from tocsin.core.plain import as_list, as_map, found
from tocsin.core.shape import Help, Length, Name, Range
from tocsin.errors import Invalid, NotFound, Problem
from tocsin.settings import Settings
from tocsin.web import tokens
from tocsin.web.api.given import check_kept_secrets, twice

Number = int | float
Id = Annotated[str, Length(1, 64)]
Tag = Annotated[Name, Length(1, 50)]


class MonitorIn(Struct, frozen=True, kw_only=True):
    """A monitor's configuration. Only name, type and target are required."""

    name: Annotated[Name, Length(1, 200), Help("what people call it")]
    type: Annotated[str, Length(1, 40), Help("check type; GET /check-types lists them")]
    target: Annotated[dict[str, Any], Help("what is looked at, as the check type says")]
    interval_s: Annotated[int | None, Range(1, 86_400), Help("seconds between checks; left out: by the settings")] = (
        None
    )
    timeout_s: Annotated[Number | None, Range(0.1, 300), Help("at most 0.8 of the interval when left out")] = None
    retries: Annotated[int, Range(0, 10), Help("how often a failure is looked at again before the next interval")] = 1
    retry_interval_s: Annotated[Number | None, Range(0.1, 3600), Help("seconds; at most half the interval")] = None
    failure_threshold: Annotated[int | None, Range(1, 100), Help("failures in a row until a location says down")] = None
    degraded_threshold: Annotated[int, Range(1, 100), Help("the same for degraded")] = 2
    recovery_threshold: Annotated[int, Range(1, 100), Help("successes in a row until it says up")] = 1
    recovery_s: Annotated[Number, Range(0, 86_400), Help("how long it must be well before an incident resolves")] = 0
    monitoring_type: Annotated[
        Literal["local", "global"],
        Help("checked here, or at the locations; left out: global where locations are given"),
    ] = "local"
    locations: Annotated[tuple[Id, ...], Length(0, 50), Help("where a global monitor is checked")] = ()
    quorum: Annotated[
        Literal["majority", "any", "all"] | Annotated[int, Range(1, 50)], Help("how many locations must say down")
    ] = "majority"
    paused: bool = False
    tags: Annotated[tuple[Tag, ...], Length(0, 30)] = ()
    parents: Annotated[
        tuple[Id | Annotated[tuple[Id, ...], Length(1, 30)], ...], Length(0, 30),
        Help("monitors it depends on; a list among them is a group of which one is enough"),
    ] = ()  # fmt: skip
    assertions: Annotated[tuple[dict[str, Any], ...], Length(0, 50), Help("assertions that a check must meet")] = ()
    channels: Annotated[tuple[Id, ...] | None, Length(0, 50), Help("left out: every default channel; []: nobody")] = (
        None
    )
    reminder_s: Annotated[int, Range(0, 604_800), Help("0: no reminders")] = 0
    notify_on_resolve: bool = True
    reopen_s: Annotated[int, Range(0, 86_400)] = 300
    flap_detection: bool = True
    escalation_policy: Annotated[str | None, Length(1, 64), Help("whom else to tell until somebody acknowledges")] = (
        None
    )


class LocationOut(Struct, frozen=True, kw_only=True):
    """What one location says. `stand_in`: who looked in its place, because it was lost."""

    location: str
    vote: str | None
    suspect: bool
    status: str | None
    at: str | None
    since: str | None
    reason: dict[str, Any] | None
    stand_in: str | None


class MonitorOut(MonitorIn, frozen=True, kw_only=True):
    """A monitor with its present verdict."""

    id: str
    shown: str
    verdict: Literal["up", "degraded", "partial", "down", "unknown"]
    pending: bool
    since: str | None
    reason: str | None
    locations_state: list[LocationOut]
    recent: Annotated[str, Help("the latest results, oldest first: u up, s degraded, p partly, d down, . not judged")]
    incident_id: str | None
    maintenance: Annotated[bool, Help("a maintenance window lasts: counted neither as up nor as down")]
    held_back: Annotated[str | None, Help("why nobody is told of its open incident for now, or null")]
    next_check_at: str | None
    created_at: str
    updated_at: str
    version: int
    push_url: Annotated[
        str | None, Help("where the job of a push monitor calls, for callers who may write; null for others")
    ]


class MonitorList(Struct, frozen=True, kw_only=True):
    """A page of monitors; `next_cursor` leads to the next, null at the end."""

    items: list[MonitorOut]
    next_cursor: str | None


CONFIGURED = MonitorIn.__struct_fields__


def config_of(monitor: Monitor) -> dict[str, Any]:
    """The monitor's configuration as plain data, secrets in clear: what MonitorIn reads."""
    data = shape.dump(monitor)
    return {name: data[name] for name in CONFIGURED} | {"assertions": [assertion_json(a) for a in monitor.assertions]}


def assertion_json(a: Assertion) -> dict[str, Any]:
    """An assertion as plain data, without what was left out."""
    data: dict[str, Any] = {"type": a.type, "op": a.op}
    if a.name is not None:
        data["name"] = a.name
    if a.path is not None:
        data["path"] = a.path
    if a.value is not None:
        data["value"] = a.value
    if a.on_fail != "down":
        data["on_fail"] = a.on_fail
    return data


class Draft(Struct, frozen=True, kw_only=True):
    """What outside data says a monitor should be, and everything that is wrong with it. `fields` are a Monitor's, whole
    only when there is no problem; `target` is None when it cannot be read."""

    fields: dict[str, Any]
    target: dict[str, Any] | None
    problems: list[Problem]


def read_config(
    settings: Settings, data: dict[str, Any], old: Monitor | None = None, *, by_admin: bool = False
) -> Draft:
    """The fields of a Monitor from outside data, with every wrong field at once: of the monitor, of its target, of its
    assertions, and of what they say about each other. `old` is the monitor that is changed. An admin may choose a push
    monitor's token, as long as it is a random UUID."""
    problems: list[Problem] = []
    wanted, wrong = _readable(data, problems)
    target = _target(data, old, problems, by_admin=by_admin)
    given, kind_name = as_list(data.get("assertions")), data.get("type")
    if not isinstance(kind_name, str) or kind_name not in checks.REGISTRY:
        kind_name = None
    assertions: tuple[Assertion, ...] = ()
    if given:
        assertions = _tried(lambda: checks.check_assertions(given, kind_name), problems) or ()
    fields = {name: getattr(wanted, name) for name in CONFIGURED}
    fields |= {"target": target, "assertions": assertions, "name": wanted.name.strip()}
    fields |= {"tags": tuple(dict.fromkeys(wanted.tags)), "parents": tidy(wanted.parents)}
    for n, group in enumerate(wanted.parents):
        problems += twice(f"parents[{n}]", () if isinstance(group, str) else group)
    problems += twice("parents", wanted.parents)
    fields |= {"locations": tuple(dict.fromkeys(wanted.locations))}
    if "interval_s" not in wrong:
        fields |= _times(settings, wanted, problems)
    fields["failure_threshold"] = wanted.failure_threshold or (1 if wanted.type == "push" else 2)
    if not wrong & {"locations", "monitoring_type"}:
        problems += _wrong_places(wanted, len(fields["locations"]))
    return Draft(fields=fields, target=target, problems=problems)


def _wrong_places(wanted: MonitorIn, places: int) -> list[Problem]:
    """What type, locations and quorum say against each other."""
    if wanted.monitoring_type == "local" and wanted.locations:
        return [
            Problem(
                "locations",
                "none, as monitoring_type is local (global is checked at locations)",
                found(wanted.locations),
            )
        ]
    votes = max(1, places if wanted.monitoring_type == "global" else 1)
    if isinstance(wanted.quorum, int) and wanted.quorum > votes:
        return [Problem("quorum", f"at most {votes}, the number of locations", str(wanted.quorum))]
    return []


def placed(data: dict[str, Any], old: Monitor | None = None) -> dict[str, Any]:
    """These fields as they are meant: locations without a type mean global, and what becomes or stays local has none."""
    if "monitoring_type" not in data and data.get("locations"):
        return data | {"monitoring_type": "global"}
    if old is not None and "locations" not in data and data.get("monitoring_type", old.monitoring_type) == "local":
        return data | {"locations": []}
    return data


_STAND_INS: dict[str, Any] = {"name": "-", "type": "-", "target": {}}


def _readable(data: dict[str, Any], problems: list[Problem]) -> tuple[MonitorIn, set[str]]:
    """(what can be read of it, which fields cannot): the wrong ones are as if left out, so that the others can still be
    compared with each other."""
    try:
        return shape.read(MonitorIn, data), set()
    except Invalid as error:
        problems.extend(error.problems)
    known = {name: value for name, value in data.items() if name in CONFIGURED}
    wrong = {name for name in known if not _fits(_STAND_INS | {name: known[name]})}
    return shape.read(MonitorIn, _STAND_INS | {n: v for n, v in known.items() if n not in wrong}), wrong


def _fits(data: dict[str, Any]) -> bool:
    try:
        shape.read(MonitorIn, data)
    except Invalid:
        return False
    return True


def _tried(read: Callable[[], Any], problems: list[Problem]) -> Any:
    try:
        return read()
    except Invalid as error:
        problems.extend(error.problems)
        return None


def once(problems: list[Problem]) -> list[Problem]:
    """The first problem of each field, in their order."""
    return list({p.field: p for p in reversed(problems)}.values())[::-1]


def _target(
    data: dict[str, Any], old: Monitor | None, problems: list[Problem], *, by_admin: bool
) -> dict[str, Any] | None:
    """The target as plain data, secrets that came back as *** filled in; its problems are collected."""
    name, typed = data.get("type"), as_map(data.get("target"))
    if not isinstance(name, str) or typed is None:
        return None
    given: dict[str, Any] = {str(k): v for k, v in typed.items()}
    try:
        kind = checks.kind(name)
    except NotFound:
        problems.append(Problem("type", "one of " + ", ".join(checks.names()), found(name)))
        return None
    if old is not None and old.type == name:
        kept = shape.keep_hidden(kind.target, given, old.target)
        typed_, given = given, old.target | kept
        _tried(lambda: check_kept_secrets(kind.target, typed_, given, old.target, "target"), problems)
    if name == "push":
        given = _tried(lambda: _with_token(given, old, by_admin=by_admin), problems) or given
    read = _tried(lambda: shape.read(kind.target, given, where="target"), problems)
    return None if read is None else given


def _with_token(given: dict[str, Any], old: Monitor | None, *, by_admin: bool) -> dict[str, Any]:
    """The target of a push monitor with the token it has, with a fresh one, or with the UUID that an admin brings from
    elsewhere. Raises Invalid for any other that somebody chose: it would be easy to guess, or another monitor's."""
    before = old.target.get("token") if old is not None and old.type == "push" else None
    token = given.get("token", "")
    if token == "":
        return given | {"token": push.new_token()}
    if isinstance(token, str) and not tokens.same(token, str(before or "")):
        if by_admin and push.is_uuid(token):
            return given
        what = "nothing, or an empty text for a new one: the server makes it (an admin may bring a random UUID)"
        raise Invalid(Problem("target.token", what, "***"))
    return given


def _times(settings: Settings, wanted: MonitorIn, problems: list[Problem]) -> dict[str, Any]:
    interval = wanted.interval_s if wanted.interval_s is not None else settings["DEFAULT_INTERVAL_S"]
    least = settings["MINIMUM_INTERVAL_S"]
    if interval < least:
        problems.append(Problem("interval_s", f"at least {least}, the smallest interval of this server", str(interval)))
    timeout = wanted.timeout_s
    if timeout is None:
        timeout = _plain(min(settings["CHECK_TIMEOUT_S"], 0.8 * interval))
    elif timeout >= interval:
        problems.append(Problem("timeout_s", f"less than interval_s ({interval})", str(timeout)))
    again = wanted.retry_interval_s
    if again is None:
        again = _plain(min(15, interval / 2))
    elif again > interval / 2 and wanted.retries > 0:
        problems.append(Problem("retry_interval_s", f"at most half of interval_s ({interval / 2:g})", str(again)))
    return {"interval_s": interval, "timeout_s": timeout, "retry_interval_s": again}


def _plain(number: float) -> int | float:
    return int(number) if number == int(number) else round(number, 3)
