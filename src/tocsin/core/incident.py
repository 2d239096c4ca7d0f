"""Incidents: one stretch of trouble of one subject (VERDICT.md section 4 of the design)."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from msgspec import Struct

from tocsin.core.consensus import Verdict, VerdictValue
from tocsin.core.monitor import Monitor

Severity = Literal["critical", "down", "warning", "info"]
EntryKind = Literal[
    "opened", "location_joined", "location_left", "acknowledged", "assigned", "comment", "notified", "escalated",
    "severity", "blind", "sighted", "unstable", "calm", "resolved", "reopened",
]  # fmt: skip
What = Literal["opened", "reopened", "resolved", "escalated", "reminder", "unstable", "calm"]


class Entry(Struct, frozen=True, kw_only=True):
    """One line of an incident's timeline. `by` is a user's e-mail or None for Tocsin itself."""

    at: datetime
    kind: EntryKind
    text: str
    by: str | None = None
    data: dict[str, Any] = {}


class Incident(Struct, frozen=True, kw_only=True):
    """One stretch of trouble.

    `subject`: "monitor:<id>" for a verdict, "rule:<id>:monitor:<id>" for a rule. `transition` counts the subject's
    openings, reopenings and resolutions for ever (1 = first opening of the subject), so that keys of messages never repeat.
    `over_since`: when what opened it was over (waiting for recovery_s), None while it lasts. `held`: resolved by hand while
    the verdict was still down, so nothing opens until it has left down. `flips`: times of the last openings and
    resolutions, newest last, for flap detection. `told`: its opening was handed to the outbox.
    `evidence`: what was seen when it opened (redacted, small).
    """

    id: str
    workspace_id: str
    subject: str
    monitor_id: str | None = None
    host_id: str | None = None
    rule_id: str | None = None
    severity: Severity = "critical"
    verdict: VerdictValue = "down"
    reason: str = ""
    opened_at: datetime
    acknowledged_at: datetime | None = None
    acknowledged_by: str | None = None
    assigned_to: str | None = None
    resolved_at: datetime | None = None
    resolution: str | None = None
    transition: int = 1
    over_since: datetime | None = None
    held: bool = False
    blind: bool = False
    unstable: bool = False
    told: bool = False
    reminders: int = 0
    last_told_at: datetime | None = None
    flips: tuple[datetime, ...] = ()
    locations: tuple[str, ...] = ()
    evidence: dict[str, Any] = {}
    postmortem: str = ""

    @property
    def open(self) -> bool:
        return self.resolved_at is None


class Transition(Struct, frozen=True, kw_only=True):
    """Something to be told: `number` is the subject's transition count, `what` the kind, `step` counts reminders."""

    number: int
    what: What
    at: datetime
    step: int = 0


class Step(Struct, frozen=True, kw_only=True):
    """What one judgement did to a subject: the incident as it is now (None: there is none), new timeline entries and
    what must be told. `changed` is False when nothing has to be stored."""

    incident: Incident | None
    entries: tuple[Entry, ...] = ()
    transitions: tuple[Transition, ...] = ()
    changed: bool = False
    judge_again_at: datetime | None = None


def advance(
    latest: Incident | None, monitor: Monitor, verdict: Verdict, now: datetime, *, new_id: str, evidence: dict[str, Any] | None = None
) -> Step:
    """The subject's next step after a verdict. `latest` is the subject's newest incident, open or resolved, or None.

    Opens on down; resolves when down can no longer reach quorum for `recovery_s`; within `reopen_s` of a resolution trouble
    reopens the same incident; unknown only marks it blind; flapping tells once. `judge_again_at`: when time alone may
    change the answer (recovery_s, reminder). Calling it again with the same verdict changes nothing.
    """
    raise NotImplementedError


def close(latest: Incident, reason: str, now: datetime, *, by: str | None = None, held: bool = False) -> Step:
    """End it for a reason other than the verdict: by hand (`held` when still down), paused, deleted."""
    raise NotImplementedError


def acknowledge(incident: Incident, by: str, now: datetime) -> Step:
    """Somebody has it. Acknowledging twice changes nothing."""
    raise NotImplementedError
