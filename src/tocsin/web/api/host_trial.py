"""A rule on hosts tried on what is stored: the hosts it covers, what it would have told, where it would fire."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from tocsin.core import buckets
from tocsin.core.access import Principal
from tocsin.core.condition import HostConditions
from tocsin.core.host_replay import Told, replay
from tocsin.core.host_rule import HostRule, OnSample, OnService
from tocsin.core.plain import found
from tocsin.core.result import iso
from tocsin.core.rule import AlertRule
from tocsin.core.sample import Reading, Service
from tocsin.errors import Invalid, Problem
from tocsin.pipeline.hosts import HostNow
from tocsin.pipeline.housekeeping import KEEPS
from tocsin.store import Session
from tocsin.store.host_states import GONE, StateChange
from tocsin.web.parts import Parts

MOST_HOSTS, MOST_SERIES, MOST_CHANGES = 50, 50, 2000
STEP_S = 60

Looks = dict[str, list[tuple[float, Reading]]]
Line = tuple[HostNow, Told]


async def run(
    parts: Parts, who: Principal, host: str | None, stretch: tuple[datetime, datetime], rule: AlertRule,
    old: AlertRule | None,
) -> dict[str, Any]:  # fmt: skip
    """{from, to, hosts, would, now, appear, vanish, notes} as for monitors; of each host what would fire at the end."""
    start, end = stretch
    hosts, notes = _covered(parts, who, host, rule, old)
    step = STEP_S if (parts.clock.now() - start).total_seconds() < KEEPS[STEP_S] else 3600
    if isinstance(rule.condition, OnSample):
        notes.append(f"Tried on one value {'a minute' if step == STEP_S else 'an hour'} of each series.")
    elif not isinstance(rule.condition, OnService):
        notes.append("Silence is not replayed: the server judges it as it hears the agents.")
    would: list[Line] = []
    now: list[Line] = []
    shown: list[dict[str, Any]] = []
    for one in hosts:
        firing: set[str] = set()
        for tried, told in ((rule, would), (old, now)):
            if tried is not None and tried.enabled and tried.scope.covers(one.host):
                lines, fires = await _tell(parts, who, one, tried, (start, end, step))
                told += [(one, line) for line in lines]
                firing = fires if tried is rule else firing
        shown.append({"id": one.host.id, "name": one.host.name, "firing": sorted(firing)})
    known, wanted = {_key(*line) for line in now}, {_key(*line) for line in would}
    return {
        "from": iso(start), "to": iso(end), "monitors": 0, "hosts": shown, "would": _json(would, rule),
        "now": _json(now, old or rule), "appear": _json([line for line in would if _key(*line) not in known], rule),
        "vanish": _json([line for line in now if _key(*line) not in wanted], old or rule), "notes": notes,
    }  # fmt: skip


def _covered(
    parts: Parts, who: Principal, host: str | None, rule: AlertRule, old: AlertRule | None
) -> tuple[list[HostNow], list[str]]:
    """The hosts it is tried on, by name, and what is to be said about that."""
    every = parts.corridor.hosts.of(who.workspace_id)
    if host is not None:
        one = [now for now in every if now.host.id == host]
        if not one:
            raise Invalid(Problem("host", "a host of this workspace", found(host)))
        return one, [] if rule.scope.covers(one[0].host) else [f"The rule does not cover {one[0].host.name}."]
    scopes = [rule.scope, *([old.scope] if old is not None and isinstance(old.condition, HostConditions) else [])]
    covered = [now for now in every if any(scope.covers(now.host) for scope in scopes)]
    if len(covered) <= MOST_HOSTS:
        return covered, []
    return covered[:MOST_HOSTS], [f"Tried on the first {MOST_HOSTS} of {len(covered)} hosts."]


async def _tell(
    parts: Parts, who: Principal, now: HostNow, rule: AlertRule, stretch: tuple[datetime, datetime, int]
) -> tuple[list[Told], set[str]]:
    """What a rule would have told of a host, and what it would fire for at the end."""
    condition, (start, end, step) = rule.condition, stretch
    if not isinstance(condition, OnSample | OnService):
        return [], set()
    first, last = start.timestamp(), end.timestamp()

    def work(s: Session) -> Looks:
        if isinstance(condition, OnSample):
            return _figures(s, now.host.id, condition, (int(first), int(last), step))
        return _states(s, now.host.id, first, last)

    looks = await parts.store.of(who.workspace_id).read(work)
    judged = HostRule(
        id=rule.id, name=rule.name, condition=condition, severity=rule.severity, for_s=rule.for_s,
        recovery_s=rule.recovery_s,
    )  # fmt: skip
    return await asyncio.to_thread(replay, judged, looks, last)


def _figures(s: Session, host_id: str, condition: OnSample, stretch: tuple[int, int, int]) -> Looks:
    first, last, step = stretch
    names = [m.name for m in s.samples.metrics(host_id) if m.name.partition("{")[0] == condition.metric][:MOST_SERIES]
    kept: dict[str, buckets.Buckets] = s.samples.read(host_id, names, first, last + 1, step) if names else {}
    return {
        name: [(float(max(at, first)), Reading(values={name: one.last})) for at, one in sorted(some.items())]
        for name, some in kept.items()
    }


def _states(s: Session, host_id: str, first: float, last: float) -> Looks:
    """Each thing as it was at the beginning, and at each change."""
    looks: Looks = {}
    changes = [c for c in s.host_states.changes(host_id, limit=MOST_CHANGES) if c.at.timestamp() <= last]
    for change in reversed(changes):
        seen = looks.setdefault(f"{change.kind}/{change.name}", [])
        at = change.at.timestamp()
        if at <= first:
            seen.clear()
        seen.append((max(at, first), _as_it_was(change)))
    for one in s.host_states.list(host_id):  # what did not change for so long that its last change is forgotten
        looks.setdefault(f"{one.thing.kind}/{one.thing.name}", [(first, Reading(services=(one.thing,)))])
    return looks


def _as_it_was(change: StateChange) -> Reading:
    if change.after == GONE:
        return Reading()
    thing = Service(kind=change.kind, name=change.name, state=change.after, ok=change.ok, detail=change.detail)
    return Reading(services=(thing,))


def _key(now: HostNow, told: Told) -> tuple[str, datetime, str, str]:
    return now.host.id, told.at, told.turn, told.what


def _json(lines: Sequence[Line], rule: AlertRule) -> list[dict[str, Any]]:
    return [
        {
            "at": iso(t.at), "monitor": None, "host": {"id": now.host.id, "name": now.host.name}, "what": t.turn,
            "severity": rule.severity, "reason": t.words,
        }
        for now, t in sorted(lines, key=lambda line: (line[1].at, line[0].host.name, line[1].what))
    ]  # fmt: skip
