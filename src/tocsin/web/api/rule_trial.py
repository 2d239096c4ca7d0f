"""A rule tried on what is stored: read in one go for each monitor, judged off the loop."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any

from tocsin.core.access import Principal
from tocsin.core.condition import HostConditions, OnCertificate, OnFailures
from tocsin.core.plain import found
from tocsin.core.replay import Message, replay
from tocsin.core.result import iso
from tocsin.core.rule import AlertRule
from tocsin.errors import Invalid, Problem
from tocsin.pipeline.figures import certificate_of
from tocsin.pipeline.trial import Past, looks
from tocsin.pipeline.watchlist import Watched
from tocsin.web.api import host_trial
from tocsin.web.api.alert_rule_data import TryIn
from tocsin.web.api.preferences import partial_is_up
from tocsin.web.parts import Parts

MOST_MONITORS = 50
MOST_DAYS = 30
ROWS, STEPS = 40_000, 20_000
"""So many results, and looks at windows, over all monitors."""

Told = list[tuple[Watched, Message]]


async def run(parts: Parts, who: Principal, wanted: TryIn, rule: AlertRule, old: AlertRule | None) -> dict[str, Any]:
    """{from, to, monitors, hosts, would, now, appear, vanish, notes}: what `rule` would have told, beside `old` (None:
    none). At most 30 days and 50 monitors or hosts."""
    start, end = _stretch(wanted, parts.clock.now())
    if isinstance(rule.condition, HostConditions):
        return await host_trial.run(parts, who, wanted.host, (start, end), rule, old)
    watched, notes = _covered(parts, who, wanted, rule, old)
    would: Told = []
    now: Told = []
    for w in watched:
        past = Past(
            monitor=w.monitor, places=w.assigned, start=start, end=end, certificate=certificate_of(w),
            partial_is_up=partial_is_up(parts, who.workspace_id),
            rows=max(1000, ROWS // len(watched)), steps=max(60, min(1440, STEPS // len(watched))),
        )  # fmt: skip
        for one, told in ((rule, would), (old, now)):
            if one is not None and one.enabled and one.scope.covers(w.monitor):
                told += [(w, message) for message in await _tell(parts, who, one, past)]
    if isinstance(rule.condition, OnCertificate):
        notes.append("Tried with the certificate that was seen last: earlier ones are not kept.")
    if isinstance(rule.condition, OnFailures):
        notes.append(f"At most the last {max(1000, ROWS // max(1, len(watched)))} results of each monitor are tried.")
    known, tried = {_key(w, m) for w, m in now}, {_key(w, m) for w, m in would}
    return {
        "from": iso(start), "to": iso(end), "monitors": len(watched), "hosts": [], "would": _json(would), "now": _json(now),
        "appear": _json([(w, m) for w, m in would if _key(w, m) not in known]),
        "vanish": _json([(w, m) for w, m in now if _key(w, m) not in tried]),
        "notes": notes,
    }  # fmt: skip


async def _tell(parts: Parts, who: Principal, rule: AlertRule, past: Past) -> list[Message]:
    facts = await parts.store.of(who.workspace_id).read(lambda s: looks(s, rule, past))
    return await asyncio.to_thread(replay, rule, facts, past.end)


def _stretch(wanted: TryIn, now: datetime) -> tuple[datetime, datetime]:
    if wanted.hours is not None and (wanted.start is not None or wanted.end is not None):
        raise Invalid(Problem("hours", "either hours, or from and to", "both"))
    end = min(wanted.end or now, now)
    start = wanted.start or end - timedelta(hours=wanted.hours or 24)
    if not timedelta() < end - start <= timedelta(days=MOST_DAYS):
        raise Invalid(Problem("from", f"a time before to, at most {MOST_DAYS} days", iso(start) or ""))
    return start, end


def _covered(
    parts: Parts, who: Principal, wanted: TryIn, rule: AlertRule, old: AlertRule | None
) -> tuple[list[Watched], list[str]]:
    """The monitors it is tried on, by name, and what is to be said about that."""
    all_ = parts.corridor.watchlist.of(who.workspace_id)
    if wanted.monitor is not None:
        one = [w for w in all_ if w.monitor.id == wanted.monitor]
        if not one:
            raise Invalid(Problem("monitor", "a monitor of this workspace", found(wanted.monitor)))
        return one, [] if rule.scope.covers(one[0].monitor) else [f"The rule does not cover {one[0].monitor.name}."]
    scopes = [rule.scope, *([] if old is None else [old.scope])]
    covered = [w for w in all_ if any(scope.covers(w.monitor) for scope in scopes)]
    covered.sort(key=lambda w: (w.monitor.name.casefold(), w.monitor.id))
    if len(covered) <= MOST_MONITORS:
        return covered, []
    return covered[:MOST_MONITORS], [f"Tried on the first {MOST_MONITORS} of {len(covered)} monitors."]


def _key(w: Watched, message: Message) -> tuple[str, datetime, str, str]:
    return w.monitor.id, message.at, message.what, message.severity


def _json(told: Told) -> list[dict[str, Any]]:
    return [
        {
            "at": iso(m.at), "monitor": {"id": w.monitor.id, "name": w.monitor.name}, "host": None, "what": m.what,
            "severity": m.severity, "reason": m.reason,
        }
        for w, m in sorted(told, key=lambda pair: (pair[1].at, pair[0].monitor.name, pair[0].monitor.id))
    ]  # fmt: skip
