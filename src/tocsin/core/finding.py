"""What is known of a subject at a moment, how its incidents behave, and what holds its messages back."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from msgspec import Struct

from tocsin.core.consensus import Verdict, VerdictValue, counted_out
from tocsin.core.escalation import EscalationPolicy, Reach
from tocsin.core.monitor import Monitor

Severity = Literal["critical", "down", "warning", "info"]
RANKS: dict[Severity, int] = {"info": 0, "warning": 1, "down": 2, "critical": 3}
"""How bad each severity is."""
Standing = Literal["trouble", "over", "open"]


class Finding(Struct, frozen=True, kw_only=True):
    """What one look at a subject found.

    `standing`: trouble opens an incident, over ends one, open (an open question) does neither. `blind`: nobody can see
    now. `reason`: what failed, `why`: how that was decided. `locations`: who says so, None when too few are heard to
    tell who joined or left. `rank`: how bad it is within the subject; a higher one is told once in the same incident.
    `words`: how the trouble is named ("down", "slow"). `data` goes into the timeline. `since`: when it began, where that
    is known. `mark`: what exactly is in trouble (a certificate's fingerprint); another one is trouble of its own.
    `again_at`: when time alone changes what is found.
    """

    standing: Standing
    value: VerdictValue
    reason: str
    why: str
    severity: Severity = "critical"
    blind: bool = False
    locations: tuple[str, ...] | None = ()
    rank: int = 0
    words: str = "down"
    data: dict[str, Any] = {}
    since: datetime | None = None
    mark: str = ""
    again_at: datetime | None = None


class Terms(Struct, frozen=True, kw_only=True):
    """How the incidents of a subject behave and who hears of them. Durations in seconds.

    `turn`: the incarnation and number by which an agent knows this turn too, so that its message has one key at both
    ends. `channels` None: every default channel of the workspace. `interval_s` is the slot of flap detection. `reach`: whom
    each step of `policy` reaches now.
    """

    subject: str
    workspace_id: str
    monitor_id: str | None = None
    host_id: str | None = None
    rule_id: str | None = None
    channels: tuple[str, ...] | None = None
    interval_s: float = 60
    recovery_s: float = 0
    reopen_s: float = 300
    reminder_s: float = 0
    flap_detection: bool = True
    notify_on_resolve: bool = True
    turn: tuple[str, int] | None = None
    policy: EscalationPolicy | None = None
    reach: tuple[Reach, ...] = ()


class Hush(Struct, frozen=True, kw_only=True):
    """Why openings (and reminders and steps, which are openings again) are held back now. `by`: what it is called once
    that is over, empty for what only takes a look more. `until`: when that ends or has to be looked at again; None when
    only an event ends it."""

    kind: Literal["maintenance", "silence", "dependency"]
    why: str
    by: str = ""
    until: datetime | None = None


def finding_of(verdict: Verdict) -> Finding:
    """What a verdict means for its monitor's incident. One that merely stands from before a start, without votes of its
    own, is an open question."""
    down = verdict.value == "down" and verdict.d >= verdict.k
    heard = verdict.f >= verdict.min_fresh
    over = verdict.value in ("up", "degraded") and heard
    over = over or (verdict.value == "partial" and counted_out(verdict))
    votes = tuple(v.location for v in verdict.votes if v.fresh and not v.quarantined and v.vote == "down")
    return Finding(
        standing="trouble" if down else "over" if over else "open",
        value=verdict.value,
        reason=verdict.reason if verdict.error is None else verdict.error.message,
        why=verdict.reason,
        blind=verdict.value == "unknown",
        locations=votes if heard or down else None,
        data={"verdict": verdict.value, "why": verdict.reason, "locations": list(votes)},
    )


def of_location(
    standing: Standing, reason: str, words: str, *, blind: bool = False, data: dict[str, Any] | None = None
) -> Finding:
    """What was found of a location: a warning that it is `words`, and nothing about any monitor."""
    return Finding(
        standing=standing, value="unknown", reason=reason, why=reason, severity="warning", blind=blind, words=words,
        data=data or {},
    )  # fmt: skip


def terms_of(monitor: Monitor, policy: EscalationPolicy | None = None) -> Terms:
    """How the incident of a monitor's verdict behaves."""
    return Terms(
        subject=f"monitor:{monitor.id}",
        workspace_id=monitor.workspace_id,
        monitor_id=monitor.id,
        channels=monitor.channels,
        interval_s=monitor.interval_s,
        recovery_s=monitor.recovery_s,
        reopen_s=monitor.reopen_s,
        reminder_s=monitor.reminder_s,
        flap_detection=monitor.flap_detection,
        notify_on_resolve=monitor.notify_on_resolve,
        policy=policy,
    )
