"""Alert rules as outsiders write and read them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

from msgspec import Struct, field

from tocsin.core import shape
from tocsin.core.access import Principal
from tocsin.core.condition import CONDITIONS, ON_HOSTS, Condition, HostConditions, condition_name
from tocsin.core.host_rule import OnSample, wrong_limits
from tocsin.core.plain import MAX_PROBLEMS, as_list, as_map, found
from tocsin.core.rule import AlertRule, RuleSeverity
from tocsin.core.scope import Scope
from tocsin.core.shape import Help, Length, Name, Range
from tocsin.errors import Invalid, Problem
from tocsin.web.parts import Parts


class RuleIn(Struct, frozen=True, kw_only=True):
    """When something beyond "down" is trouble, and who hears of it."""

    name: Annotated[Name, Length(1, 200), Help("what people call it")]
    scope: Annotated[Scope, Help("which monitors or hosts it covers")]
    condition: Annotated[dict[str, Any], Help("{type, …}; GET /alert-rule-conditions lists the types and their fields")]
    severity: RuleSeverity = "warning"
    enabled: bool = True
    for_s: Annotated[int, Range(0, 30 * 86_400), Help("so long the condition must hold before it is told")] = 0
    recovery_s: Annotated[int, Range(0, 30 * 86_400), Help("so long it must be over")] = 0
    reminder_s: Annotated[int, Range(0, 30 * 86_400), Help("remind so often until acknowledged; 0: never")] = 0
    channels: Annotated[
        tuple[str, ...] | None, Length(0, 100), Help("ids of channels; null: those the monitor tells, []: nobody")
    ] = None
    policy: Annotated[str | None, Length(1, 64), Help("id of an escalation policy")] = None
    direct: Annotated[bool, Help("of a rule that agents judge: the agent tells at once by itself")] = False


class RuleOut(RuleIn, frozen=True, kw_only=True):
    """A rule. `warnings`: why it may never fire, in sentences; `firing`: its incidents that are open."""

    id: str
    warnings: list[str]
    firing: int
    last_fired_at: str | None
    created_at: str
    updated_at: str
    version: int


class RuleList(Struct, frozen=True, kw_only=True):
    """Every rule, by name; there is one page, `next_cursor` is null."""

    items: list[RuleOut]
    next_cursor: str | None


class ConditionOut(Struct, frozen=True, kw_only=True):
    """A kind of condition, with the JSON Schema of its fields beside `type`."""

    type: str
    summary: str
    fields: dict[str, Any]


class ConditionList(Struct, frozen=True, kw_only=True):
    """Every kind of condition."""

    items: list[ConditionOut]
    next_cursor: str | None


class TryIn(Struct, frozen=True, kw_only=True):
    """A rule to try on what is stored, and the stretch of time."""

    rule: Annotated[dict[str, Any], Help("a rule as it would be written; with `id` only what would change")]
    id: Annotated[str | None, Length(1, 64), Help("the stored rule it is compared with; left out: with none")] = None
    hours: Annotated[int | float | None, Range(0.1, 720), Help("the last so many hours; 24 when nothing is said")] = (
        None
    )
    start: datetime | None = field(name="from", default=None)
    end: datetime | None = field(name="to", default=None)
    monitor: Annotated[str | None, Length(1, 64), Help("id of the one monitor to try it on")] = None
    host: Annotated[str | None, Length(1, 64), Help("id of the one host to try it on, for a rule on hosts")] = None


class MessageOut(Struct, frozen=True, kw_only=True):
    """A message that would have been told. `what`: opened, reopened, escalated, reminder, unstable, calm, resolved."""

    at: str
    monitor: dict[str, str] | None
    host: dict[str, str] | None
    what: str
    severity: str
    reason: str


class HostTried(Struct, frozen=True, kw_only=True):
    """A host that the rule would cover, and the things (series, services) it would fire for at the end of the stretch."""

    id: str
    name: str
    firing: list[str]


class Tried(Struct, frozen=True, kw_only=True):
    """What the rule would have told (`would`) and the stored one (`now`); which messages would come or go. `notes`:
    what could not be tried, in sentences."""

    start: str = field(name="from")
    to: str
    monitors: int
    hosts: list[HostTried]
    would: list[MessageOut]
    now: list[MessageOut]
    appear: list[MessageOut]
    vanish: list[MessageOut]
    warnings: list[str]
    notes: list[str]


def rule_fields(rule: AlertRule) -> dict[str, Any]:
    """The fields of RuleIn as plain data, as `read_rule` takes them back."""
    data = shape.dump(rule)
    return {name: data[name] for name in RuleIn.__struct_fields__ if name != "condition"} | {
        "condition": condition_json(rule.condition)
    }


def condition_json(condition: Condition) -> dict[str, Any]:
    """A condition as plain data, its `type` first."""
    return {"type": condition_name(condition)} | shape.dump(condition)


def read_rule(parts: Parts, who: Principal, data: Mapping[str, Any], old: AlertRule | None = None) -> dict[str, Any]:
    """The fields of an AlertRule from outside data; raises Invalid with everything wrong at once. What `old` names may
    stay though it is gone."""
    problems: list[Problem] = []
    wanted: RuleIn | None = None
    try:
        wanted = shape.read(RuleIn, data)
        wanted.scope.must_name_something()
    except Invalid as error:
        problems += error.problems
    condition = _condition(data.get("condition"), problems)
    if wanted is not None and condition is not None:
        problems += _beside_it(wanted.scope, condition)
    problems += _unknown(parts, who, data, old)
    if problems or wanted is None or condition is None:
        raise Invalid(*problems[:MAX_PROBLEMS])
    fields = {name: getattr(wanted, name) for name in RuleIn.__struct_fields__}
    return fields | {"condition": condition, "name": wanted.name.strip()}


def _beside_it(scope: Scope, condition: Condition) -> list[Problem]:
    """A problem where a scope names what its condition cannot be about."""
    on_hosts = isinstance(condition, HostConditions)
    wrong, right = ("monitors", "hosts") if on_hosts else ("hosts", "monitors")
    if not getattr(scope, wrong):
        return []
    return [Problem(f"scope.{wrong}", f"none: this condition is about {right}", f"{len(getattr(scope, wrong))}")]


def _condition(data: Any, problems: list[Problem]) -> Condition | None:
    given = as_map(data)
    if given is None:
        return None
    name = given.get("type")
    kind = (CONDITIONS | ON_HOSTS).get(name) if isinstance(name, str) else None
    if kind is None:
        problems.append(Problem("condition.type", "one of " + ", ".join(CONDITIONS | ON_HOSTS), found(name)))
        return None
    try:
        read = shape.read(kind, {key: value for key, value in given.items() if key != "type"}, where="condition")
    except Invalid as error:
        problems += error.problems
        return None
    wrong = wrong_limits(read) if isinstance(read, OnSample) else None
    if wrong is not None:
        problems.append(Problem(f"condition.{wrong.field}", wrong.expected, wrong.found))
    return read


def _unknown(parts: Parts, who: Principal, data: Mapping[str, Any], old: AlertRule | None) -> list[Problem]:
    """A problem for everything it names that this workspace does not have."""
    watchlist, telling = parts.corridor.watchlist, parts.corridor.watchlist.telling(who.workspace_id)
    scope = as_map(data.get("scope")) or {}
    monitors = {w.monitor.id for w in watchlist.of(who.workspace_id)} | set(old.scope.monitors if old else ())
    hosts = {now.host.id for now in parts.corridor.hosts.of(who.workspace_id)} | set(old.scope.hosts if old else ())
    channels = {c.id for c in telling.channels} | set((old.channels if old else None) or ())
    kept = [old.policy] if old is not None and old.policy is not None else []
    policies = {*telling.policies, *kept}
    policy = data.get("policy")
    return [
        *_strange("scope.monitors", scope.get("monitors"), monitors, "a monitor of this workspace"),
        *_strange("scope.hosts", scope.get("hosts"), hosts, "a host of this workspace"),
        *_strange("channels", data.get("channels"), channels, "a channel of this workspace"),
        *_strange("policy", policy, policies, "an escalation policy of this workspace"),
    ]


def _strange(where: str, given: Any, known: set[str], expected: str) -> list[Problem]:
    """What is not known; what is no text is a problem of its shape."""
    if isinstance(given, str):
        return [] if given in known else [Problem(where, expected, found(given))]
    named = [(f"{where}[{n}]", id) for n, id in enumerate((as_list(given) or ())[:1000])]
    return [Problem(place, expected, found(id)) for place, id in named if isinstance(id, str) and id not in known]
