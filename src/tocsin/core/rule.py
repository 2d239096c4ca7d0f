"""Alert rules: a condition on monitors beyond "down", with a severity."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Struct

from tocsin.core.consensus import LocationState, Verdict, needed
from tocsin.core.escalation import EscalationPolicy
from tocsin.core.finding import Finding, Terms
from tocsin.core.marks import Help, Length, Name, Range
from tocsin.core.monitor import Monitor
from tocsin.core.scope import Scope

RuleSeverity = Literal["critical", "down", "warning", "info"]


class OnVerdict(Struct, frozen=True, kw_only=True, tag="verdict", tag_field="type"):
    """The verdict is one of these."""

    values: Annotated[
        tuple[Literal["down", "partial", "degraded", "unknown"], ...], Length(1, 4), Help("verdicts that are trouble")
    ]


class OnFailures(Struct, frozen=True, kw_only=True, tag="failures", tag_field="type"):
    """So many failing checks in a row, at as many locations as the monitor's quorum asks for."""

    count: Annotated[int, Range(1, 1000), Help("failing checks in a row")]


Condition = OnVerdict | OnFailures


class AlertRule(Struct, frozen=True, kw_only=True):
    """A rule of a workspace. `channels` None: those the monitor tells. `for_s`: so long the condition must hold before
    it is told. `recovery_s`: so long it must be over. `policy`: the escalation policy its incidents follow."""

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
    created_at: datetime
    updated_at: datetime
    version: int = 1


class Facts(Struct, frozen=True, kw_only=True):
    """What a rule is examined on: the monitor, its verdict and its locations' states as they are now."""

    monitor: Monitor
    verdict: Verdict
    states: tuple[LocationState, ...]


_RANKS = {"info": 0, "warning": 1, "down": 2, "critical": 3}
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


def examine(rule: AlertRule, facts: Facts, *, fires: bool) -> Finding:
    """Whether the rule's condition holds on these facts. `fires`: it did until now (limits have a way back)."""
    match rule.condition:
        case OnVerdict():
            return _on_verdict(rule, rule.condition, facts)
        case OnFailures():
            return _on_failures(rule, rule.condition, facts)


def _found(rule: AlertRule, facts: Facts, trouble: bool | None, words: str, reason: str, why: str) -> Finding:
    """A finding; `trouble` None: nobody can tell now."""
    return Finding(
        standing="open" if trouble is None else "trouble" if trouble else "over",
        value=facts.verdict.value,
        reason=reason,
        why=why,
        severity=rule.severity,
        blind=trouble is None,
        rank=_RANKS[rule.severity],
        words=words,
        data={"rule": rule.name, "why": why},
    )


def _on_verdict(rule: AlertRule, condition: OnVerdict, facts: Facts) -> Finding:
    """Unknown ends nothing but where the rule asks for it."""
    verdict = facts.verdict
    trouble = verdict.value in condition.values and not verdict.pending
    unclear = verdict.value == "unknown" and not trouble
    reason = verdict.reason if verdict.error is None else verdict.error.message
    return _found(rule, facts, None if unclear else trouble, _CALLED.get(verdict.value, "over"), reason, verdict.reason)


def _on_failures(rule: AlertRule, condition: OnFailures, facts: Facts) -> Finding:
    """As many locations as the quorum asks for have failed so many times in a row."""
    verdict, count = facts.verdict, condition.count
    failing = [state for state in facts.states if state.downs >= count]
    asked = needed(facts.monitor.quorum, max(1, verdict.n))
    why = f"{len(failing)} of {verdict.n} locations failed {count} times in a row or more, {asked} are asked for"
    reason = next((state.reason.message for state in failing if state.reason is not None), why)
    unclear = verdict.value == "unknown" and len(failing) < asked
    return _found(rule, facts, None if unclear else len(failing) >= asked, "failing", reason, why)
