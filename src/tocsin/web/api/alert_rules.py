"""Alert rules: made, changed, tried on the past."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from tocsin.clock import new_id
from tocsin.core import shape
from tocsin.core.access import Principal
from tocsin.core.condition import CONDITIONS, ON_HOSTS
from tocsin.core.incident import Incident
from tocsin.core.plain import found
from tocsin.core.result import iso
from tocsin.core.rule import AlertRule
from tocsin.core.rule_warnings import warnings
from tocsin.errors import Conflict, Invalid, NotFound, Problem
from tocsin.store import Session
from tocsin.web.api import records, rule_trial
from tocsin.web.api.alert_rule_data import (
    ConditionList,
    RuleIn,
    RuleList,
    RuleOut,
    Tried,
    TryIn,
    read_rule,
    rule_fields,
)
from tocsin.web.api.given import as_object
from tocsin.web.call import Call, Reply, Route
from tocsin.web.parts import Parts

MOST = 500
"""So many rules a workspace may have: each monitor is judged by all that cover it."""


def visible(parts: Parts, who: Principal) -> list[AlertRule]:
    """The workspace's rules, by name."""
    return sorted(parts.corridor.watchlist.telling(who.workspace_id).rules, key=lambda r: (r.name.casefold(), r.id))


def rule_of(parts: Parts, who: Principal, rule_id: str) -> AlertRule:
    """A rule of the caller's workspace; raises NotFound for any other."""
    rule = next((r for r in visible(parts, who) if r.id == rule_id), None)
    if rule is None:
        raise NotFound(f"there is no alert rule {rule_id[:64]}")
    return rule


def warnings_of(parts: Parts, rule: AlertRule) -> list[str]:
    """Why a rule may never fire, in sentences."""
    watchlist = parts.corridor.watchlist
    hosts = parts.corridor.hosts.of(rule.workspace_id)
    beats = {now.host.id: now.said.every_s for now in hosts if now.said.every_s}
    monitors = [w.monitor for w in watchlist.of(rule.workspace_id)]
    sent = {now.host.id: {name.partition("{")[0] for name in now.latest} for now in hosts}
    return warnings(rule, monitors, watchlist.home, [now.host for now in hosts], beats, sent)


def fired(parts: Parts, rule: AlertRule) -> list[Incident]:
    """The newest incident of the rule on each monitor, newest first."""
    known = parts.corridor.watchlist.incidents.values()
    mine = [i for i in known if i.rule_id == rule.id and i.workspace_id == rule.workspace_id]
    return sorted(mine, key=Incident.began_at, reverse=True)


def rule_json(parts: Parts, rule: AlertRule) -> dict[str, Any]:
    """A rule as JSON data."""
    incidents = fired(parts, rule)
    return {
        "id": rule.id, **rule_fields(rule), "warnings": warnings_of(parts, rule),
        "firing": sum(i.open for i in incidents),
        "last_fired_at": iso(incidents[0].began_at()) if incidents else None,
        "created_at": iso(rule.created_at), "updated_at": iso(rule.updated_at), "version": rule.version,
    }  # fmt: skip


async def create(parts: Parts, who: Principal, data: dict[str, Any]) -> AlertRule:
    """A new rule, in force. Raises Invalid with everything wrong at once."""
    if len(visible(parts, who)) >= MOST:
        raise Conflict(f"a workspace has at most {MOST} alert rules")
    fields, now = read_rule(parts, who, data), parts.clock.now()
    rule = AlertRule(id=new_id(), workspace_id=who.workspace_id, created_at=now, updated_at=now, **fields)
    await records.write_down(parts, who, lambda s: s.alert_rules.add(rule))
    return rule


async def change(parts: Parts, who: Principal, rule_id: str, data: dict[str, Any]) -> AlertRule:
    """The rule with the given fields changed; what is left out stays."""
    old = rule_of(parts, who, rule_id)
    rule = changed(parts, who, old, data)
    return await records.write_down(parts, who, lambda s: s.alert_rules.replace(rule))


def changed(parts: Parts, who: Principal, old: AlertRule, data: dict[str, Any]) -> AlertRule:
    """A rule with the given fields changed, not stored."""
    fields = read_rule(parts, who, rule_fields(old) | data, old)
    return replace(old, updated_at=parts.clock.now(), **fields)


async def delete(parts: Parts, who: Principal, rule_id: str) -> None:
    """Forget a rule; its open incidents are closed with that reason."""
    rule_of(parts, who, rule_id)

    def forget(s: Session) -> None:
        s.alert_rules.delete(rule_id)

    await records.write_down(parts, who, forget)


async def attempt(parts: Parts, who: Principal, data: dict[str, Any]) -> dict[str, Any]:
    """What a rule would have told of the past, as JSON data; nothing is stored."""
    wanted = shape.read(TryIn, data)
    old: AlertRule | None = None
    if wanted.id is not None:
        try:
            old = rule_of(parts, who, wanted.id)
        except NotFound:
            raise Invalid(Problem("id", "an alert rule of this workspace", found(wanted.id))) from None
    given = as_object(data["rule"])
    try:
        if old is not None:
            rule = changed(parts, who, old, given)
        else:
            fields, now = read_rule(parts, who, given), parts.clock.now()
            rule = AlertRule(id="tried", workspace_id=who.workspace_id, created_at=now, updated_at=now, **fields)
    except Invalid as error:
        raise Invalid(*(Problem(f"rule.{p.field}", p.expected, p.found) for p in error.problems)) from None
    tried = await rule_trial.run(parts, who, wanted, rule, old)
    return tried | {"warnings": warnings_of(parts, rule)}


async def _try_it(call: Call) -> Reply:
    return Reply(data=await attempt(call.parts, call.who, as_object(call.data)))


async def _conditions(call: Call) -> Reply:
    items = [
        {"type": name, "summary": (kind.__doc__ or "").split("\n")[0], "fields": shape.schema(kind)}
        for name, kind in (CONDITIONS | ON_HOSTS).items()
    ]
    return Reply(data={"items": items, "next_cursor": None})


_ALL, _TAG = "/api/v1/alert-rules", "alert rules"
ROUTES = [
    *records.routes(
        records.Noun(
            path=_ALL, tag=_TAG, body=RuleIn, answer=RuleOut, listed=RuleList, visible=visible, one=rule_of,
            create=create, change=change, delete=delete, json=lambda parts, _, rule: rule_json(parts, rule),
            says=(
                "Alert rules", "Add an alert rule", "One alert rule", "Change some of an alert rule's fields",
                "Forget an alert rule",
            ),
        )
    ),
    Route(
        method="POST", path=_ALL + "/try", run=_try_it, permission="write", body=TryIn, answer=Tried, reads=False,
        tag=_TAG, summary="What a rule would have told of the past",
    ),
    Route(
        method="GET", path="/api/v1/alert-rule-conditions", run=_conditions, permission="read", answer=ConditionList,
        tag=_TAG, summary="Kinds of conditions, with a JSON Schema of each one's fields",
    ),
]  # fmt: skip
