"""Escalation policies: whom else to tell, and when, until somebody acknowledges."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from msgspec import Struct
from msgspec.structs import replace

from tocsin.clock import new_id
from tocsin.core import shape
from tocsin.core.access import Principal
from tocsin.core.alert import PERSON
from tocsin.core.escalation import EscalationPolicy, EscalationStep
from tocsin.core.plain import found
from tocsin.core.result import iso
from tocsin.core.shape import Help, Length, Name, Range
from tocsin.core.wording import listed
from tocsin.errors import Conflict, Invalid, NotFound, Problem
from tocsin.pipeline.telling import UNMAILED, Telling
from tocsin.web.api import records
from tocsin.web.api.given import some_of
from tocsin.web.api.on_call import hole_words, people_of
from tocsin.web.parts import Parts

_SHORTEST_ROUND_S = 60


class PolicyIn(Struct, frozen=True, kw_only=True):
    """Steps in their order. A step tells channels, members by e-mail, and who is on duty in its schedules."""

    name: Annotated[Name, Length(1, 200), Help("what people call it")]
    steps: Annotated[tuple[EscalationStep, ...], Length(1, 20), Help("in their order; each tells somebody")]
    repeat: Annotated[int, Range(0, 20), Help("how often all of them are gone through again")] = 0


class UsedBy(Struct, frozen=True, kw_only=True):
    """Something that names it."""

    type: str
    id: str
    name: str


class PolicyOut(PolicyIn, frozen=True, kw_only=True):
    """A policy, what is odd about it in words, and what follows it."""

    id: str
    warnings: list[str]
    used_by: list[UsedBy]
    created_at: str
    updated_at: str
    version: int


class PolicyList(Struct, frozen=True, kw_only=True):
    """A page of policies; `next_cursor` leads to the next, null at the end."""

    items: list[PolicyOut]
    next_cursor: str | None


def telling_of(parts: Parts, who: Principal) -> Telling:
    """What the caller's workspace wrote down of whom to tell."""
    return parts.corridor.watchlist.telling(who.workspace_id)


def policy_of(parts: Parts, who: Principal, id: str) -> EscalationPolicy:
    """A policy of the caller's workspace; raises NotFound for any other."""
    policy = telling_of(parts, who).policy(id)
    if policy is None:
        raise NotFound(f"there is no escalation policy {id[:64]}")
    return policy


def visible(parts: Parts, who: Principal) -> list[EscalationPolicy]:
    """The workspace's policies, by name."""
    return sorted(telling_of(parts, who).policies.values(), key=lambda p: (p.name.casefold(), p.id))


def policy_json(parts: Parts, who: Principal, policy: EscalationPolicy) -> dict[str, Any]:
    """A policy as JSON data."""
    return {
        "id": policy.id, "name": policy.name, "steps": [shape.dump(step) for step in policy.steps],
        "repeat": policy.repeat, "warnings": warnings(parts, who, policy), "used_by": used_by(parts, who, policy.id),
        "created_at": iso(policy.created_at), "updated_at": iso(policy.updated_at), "version": policy.version,
    }  # fmt: skip


def used_by(parts: Parts, who: Principal, id: str) -> list[dict[str, str]]:
    """The monitors and alert rules that follow a policy."""
    monitors = [w.monitor for w in parts.corridor.watchlist.of(who.workspace_id) if w.monitor.escalation_policy == id]
    rules = [rule for rule in telling_of(parts, who).rules if rule.policy == id]
    named = [("monitor", m.id, m.name) for m in monitors] + [("alert rule", r.id, r.name) for r in rules]
    return [{"type": type_, "id": id, "name": name} for type_, id, name in sorted(named, key=lambda n: n[2].casefold())]


def warnings(parts: Parts, who: Principal, policy: EscalationPolicy) -> list[str]:
    """What may keep a step from reaching anybody, in words."""
    telling, now, people = telling_of(parts, who), parts.clock.now(), people_of(parts, who)
    said: list[str] = []
    for n, step in enumerate(policy.steps, 1):
        lacks = telling.reached_by(replace(step, schedules=()), now).lacks
        schedules = [telling.schedules.get(id) for id in step.schedules]
        lacks += tuple("a schedule that is gone" if s is None else hole_words(s, people, now) or "" for s in schedules)
        turns = {p for s in schedules if s is not None for rotation in s.rotations for p in rotation.people}
        mute = [] if telling.mails else sorted({people[p] for p in turns if p in people and p not in step.people})
        lacks += (f"{listed(tuple(mute))} {UNMAILED}",) if mute else ()
        said += [f"step {n}: {lack}" for lack in lacks if lack]
    return said


def read_policy(telling: Telling, data: dict[str, Any]) -> PolicyIn:
    """A policy from outside data; raises Invalid with everything wrong at once."""
    wanted = shape.read(PolicyIn, data)
    problems = [problem for n, step in enumerate(wanted.steps) for problem in _unknown(telling, step, f"steps[{n}]")]
    round_s = sum(step.delay_s for step in wanted.steps)
    if wanted.repeat and round_s < _SHORTEST_ROUND_S:
        says = f"0, or delays of at least {_SHORTEST_ROUND_S} seconds together"
        problems.append(Problem("repeat", says, f"{wanted.repeat}, with delays of {round_s} seconds"))
    if problems:
        raise Invalid(*problems)
    return replace(wanted, name=wanted.name.strip())


def _unknown(telling: Telling, step: EscalationStep, where: str) -> list[Problem]:
    """A problem for all that a step names and the workspace does not have, or for a step that names nobody."""
    people = {channel.id.removeprefix(PERSON) for channel in telling.people}
    known: Sequence[tuple[str, Sequence[str], object, str]] = (
        ("channels", step.channels, {channel.id for channel in telling.channels}, "a channel of this workspace"),
        ("people", step.people, people, "a member of this workspace"),
        ("schedules", step.schedules, telling.schedules, "an on-call schedule of this workspace"),
    )
    problems = [
        Problem(f"{where}.{field}[{i}]", says, found(id))
        for field, ids, there, says in known
        for i, id in enumerate(ids)
        if id not in there  # pyright: ignore[reportOperatorIssue]
    ]
    if not (step.channels or step.people or step.schedules):
        problems.append(Problem(where, "a channel, a member or a schedule that it tells", "none"))
    return problems


async def create(parts: Parts, who: Principal, data: dict[str, Any]) -> EscalationPolicy:
    """A new policy."""
    wanted, now = read_policy(telling_of(parts, who), data), parts.clock.now()
    policy = EscalationPolicy(
        id=new_id(), workspace_id=who.workspace_id, name=wanted.name, steps=wanted.steps, repeat=wanted.repeat,
        created_at=now, updated_at=now,
    )  # fmt: skip
    await records.write_down(parts, who, lambda s: s.escalation_policies.add(policy))
    return policy


async def change(parts: Parts, who: Principal, id: str, data: dict[str, Any]) -> EscalationPolicy:
    """The policy with the given fields changed. Incidents that are open go on with it from the step they had reached."""
    old = policy_of(parts, who, id)
    wanted = read_policy(telling_of(parts, who), {n: shape.dump(old)[n] for n in PolicyIn.__struct_fields__} | data)
    new = replace(
        old, name=wanted.name, steps=wanted.steps, repeat=wanted.repeat, updated_at=parts.clock.now()
    )  # fmt: skip
    return await records.write_down(parts, who, lambda s: s.escalation_policies.replace(new))


async def delete(parts: Parts, who: Principal, id: str) -> None:
    """Forget a policy; Conflict while something follows it."""
    policy_of(parts, who, id)
    refuse_if_used(used_by(parts, who, id))
    await records.write_down(parts, who, lambda s: s.escalation_policies.delete(id))


def refuse_if_used(users: Sequence[dict[str, str]]) -> None:
    """Raise Conflict that names what uses it, if anything does."""
    if users:
        named = [f"{user['type']} “{user['name']}”" for user in users]
        raise Conflict(f"it is still used by {some_of(named)}")


ROUTES = records.routes(
    records.Noun(
        path="/api/v1/escalation-policies", tag="on-call", body=PolicyIn, answer=PolicyOut, listed=PolicyList,
        visible=visible, one=policy_of, create=create, change=change, delete=delete, json=policy_json,
        says=(
            "Whom else to tell, and when, until somebody acknowledges", "Add an escalation policy",
            "One escalation policy", "Change some of an escalation policy's fields",
            "Forget an escalation policy that nothing follows",
        ),
    )
)  # fmt: skip
