"""Alert rules: a condition on monitors beyond "down", with a severity."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from msgspec import Struct
from msgspec.structs import replace

from tocsin.core import rule_figures
from tocsin.core.condition import (
    Condition,
    OnAnomaly,
    OnCertificate,
    OnFailures,
    OnResponseTime,
    OnUptime,
    OnVerdict,
)
from tocsin.core.consensus import LocationState, Verdict, needed
from tocsin.core.escalation import EscalationPolicy
from tocsin.core.figures import Certificate, Compared, Figure, Latency, Share
from tocsin.core.finding import RANKS, Finding, Terms
from tocsin.core.marks import Name
from tocsin.core.monitor import Monitor
from tocsin.core.scope import Scope

__all__ = ["AlertRule", "Condition", "Facts", "OnFailures", "OnVerdict", "examine", "first_rule", "rule_terms"]

RuleSeverity = Literal["critical", "down", "warning", "info"]


class AlertRule(Struct, frozen=True, kw_only=True):
    """A rule of a workspace. `channels` None: those the monitor tells. `for_s`: so long the condition must hold before
    it is told. `recovery_s`: so long it must be over. `policy`: the escalation policy its incidents follow. `direct`: an
    agent that judges it tells at once by itself."""

    id: str
    workspace_id: str
    name: Name
    scope: Scope
    condition: Condition
    severity: RuleSeverity = "warning"
    enabled: bool = True
    for_s: int = 0
    recovery_s: int = 0
    reminder_s: int = 0
    channels: tuple[str, ...] | None = None
    policy: str | None = None
    direct: bool = False
    created_at: datetime
    updated_at: datetime
    version: int = 1


class Facts(Struct, frozen=True, kw_only=True):
    """What a rule is examined on: the monitor, its verdict and its locations' states as they are `now`, and the figure
    of each condition that has one."""

    monitor: Monitor
    verdict: Verdict
    states: tuple[LocationState, ...]
    now: datetime
    figures: Mapping[Condition, Figure] = {}


CERTIFICATE_ENDS = "Certificate ends"
_CALLED = {"down": "down", "partial": "partly down", "degraded": "degraded", "unknown": "not seen by enough locations"}


def rule_terms(rule: AlertRule, monitor: Monitor, policy: EscalationPolicy | None) -> Terms:
    """How the incident of a rule on a monitor behaves. Its channels are the rule's, or else the monitor's."""
    return Terms(
        subject=f"rule:{rule.id}:monitor:{monitor.id}",
        workspace_id=monitor.workspace_id,
        monitor_id=monitor.id,
        rule_id=rule.id,
        channels=monitor.channels if rule.channels is None else rule.channels,
        interval_s=monitor.interval_s,
        recovery_s=rule.recovery_s,
        reopen_s=monitor.reopen_s,
        reminder_s=rule.reminder_s,
        flap_detection=monitor.flap_detection,
        notify_on_resolve=monitor.notify_on_resolve,
        policy=policy,
    )


def first_rule(id: str, workspace_id: str, now: datetime) -> AlertRule:
    """The rule that a new workspace begins with: every certificate is watched."""
    return AlertRule(
        id=id,
        workspace_id=workspace_id,
        name=CERTIFICATE_ENDS,
        scope=Scope(everything=True),
        condition=OnCertificate(),
        created_at=now,
        updated_at=now,
    )


def examine(rule: AlertRule, facts: Facts, *, fires: bool) -> Finding | None:
    """Whether the rule's condition holds on these facts; None while nobody has looked (its figure was not read yet).
    `fires`: it did until now (limits have a way back)."""
    condition = rule.condition
    match condition, facts.figures.get(condition):
        case OnVerdict(), _:
            return _on_verdict(rule, condition, facts)
        case OnFailures(), _:
            return _on_failures(rule, condition, facts)
        case OnResponseTime(), Latency() as figure:
            seen = rule_figures.on_response_time(condition, figure, fires=fires)
        case OnUptime(), Share() as figure:
            seen = rule_figures.on_uptime(condition, figure, fires=fires)
        case OnAnomaly(), Compared() as figure:
            seen = rule_figures.on_anomaly(condition, figure, fires=fires)
        case OnCertificate(), Certificate() as figure:
            seen = rule_figures.on_certificate(condition, figure, facts.now)
        case _:
            return None
    found = _found(rule, facts, seen.trouble, seen.words, seen.reason, seen.why or seen.reason)
    return replace(found, rank=seen.rank or found.rank, mark=seen.mark, again_at=seen.again_at)


def _found(rule: AlertRule, facts: Facts, trouble: bool | None, words: str, reason: str, why: str) -> Finding:
    """A finding; `trouble` None: nobody can tell now."""
    data: dict[str, Any] = {"rule": rule.name, "why": why}
    return Finding(
        standing="open" if trouble is None else "trouble" if trouble else "over",
        value=facts.verdict.value,
        reason=reason,
        why=why,
        severity=rule.severity,
        blind=trouble is None,
        rank=RANKS[rule.severity],
        words=words,
        data=data,
    )


def _on_verdict(rule: AlertRule, condition: OnVerdict, facts: Facts) -> Finding:
    """Unknown ends nothing but where the rule asks for it."""
    verdict = facts.verdict
    trouble = verdict.value in condition.values and not verdict.pending
    unclear = verdict.value == "unknown" and not trouble
    reason = verdict.reason if verdict.error is None else verdict.error.message
    found = _found(
        rule, facts, None if unclear else trouble, _CALLED.get(verdict.value, "over"), reason, verdict.reason
    )
    return replace(found, since=verdict.since)


def _on_failures(rule: AlertRule, condition: OnFailures, facts: Facts) -> Finding:
    """As many locations as the quorum asks for have failed so many times in a row."""
    verdict, count = facts.verdict, condition.count
    failing = [state for state in facts.states if state.downs >= count]
    asked = needed(facts.monitor.quorum, max(1, verdict.n))
    why = f"{len(failing)} of {verdict.n} locations failed {count} times in a row or more, {asked} are asked for"
    reason = next((state.reason.message for state in failing if state.reason is not None), why)
    unclear = verdict.value == "unknown" and len(failing) < asked
    return _found(rule, facts, None if unclear else len(failing) >= asked, "failing", reason, why)
