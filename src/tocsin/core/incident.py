"""Incidents: one stretch of trouble of one subject."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from msgspec import Struct
from msgspec.structs import replace

from tocsin.core.consensus import VerdictValue
from tocsin.core.finding import Severity

EntryKind = Literal[
    "opened", "location_joined", "location_left", "acknowledged", "assigned", "comment", "notified", "escalated",
    "severity", "blind", "sighted", "unstable", "calm", "resolved", "reopened", "suppressed", "released",
    "postmortem",
]  # fmt: skip
What = Literal["opened", "reopened", "resolved", "escalated", "reminder", "step", "unstable", "calm"]

RECOVERED = "recovered"
"""The resolution of an incident that ended because what opened it is over."""


class Entry(Struct, frozen=True, kw_only=True):
    """One line of an incident's timeline. `by` is a user's e-mail or None for Tocsin itself."""

    at: datetime
    kind: EntryKind
    text: str
    by: str | None = None
    data: dict[str, Any] = {}


class Incident(Struct, frozen=True, kw_only=True):
    """One stretch of trouble.

    `subject`: "monitor:<id>" for a verdict, "rule:<id>:monitor:<id>" for a rule, or "coverage". `transition` counts the
    subject's openings, reopenings and resolutions for ever (1 = first opening of the subject), so that keys of messages
    never repeat. `verdict` is the latest that was not yet over, `reason` what failed when it opened. `since`: from when
    on what opened it held, where that was before it opened. `over_since`: when that was over (`resolved_at` is when
    recovery_s had passed, too), None while it lasts. `held`: resolved by hand while the verdict was still down, so
    nothing opens until it has left down. `flips`: times of the last openings and resolutions, newest last, for flap
    detection. `told`: its latest opening was handed to the outbox, `last_told_at` when that or a later
    message of the trouble was. `told_channels`: who heard of that opening, and so hears of what comes of it; None
    before anybody did (and where an older version opened it). `locations`: who says down. `evidence`: what was seen
    when it opened (redacted, small). `rank`: the worst that was told of it. `suppressed`: why its opening is held back,
    empty when it is not; `held_by`: what did so, as it is called when it is over. `steps`: of its escalation policy, told
    so far; `step_from`: what the next one's delay counts from. `words`: how the trouble is named in
    messages. `mark`: what exactly is in trouble, where that may be replaced. `name` and `rule`: of what it is about, as
    they were called last: they outlive both. `told_by`: "agent" where the host's agent told its latest opening by itself,
    so that it tells the end, too, if it can. `turn`: the incarnation and number of the agent's turn that was filed last;
    `turns`: number and time (by the agent's clock) of the last ones of that incarnation.
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
    since: datetime | None = None
    over_since: datetime | None = None
    held: bool = False
    blind: bool = False
    unstable: bool = False
    told: bool = False
    reminders: int = 0
    last_told_at: datetime | None = None
    told_channels: tuple[str, ...] | None = None
    flips: tuple[datetime, ...] = ()
    locations: tuple[str, ...] = ()
    evidence: dict[str, Any] = {}
    postmortem: str = ""
    rank: int = 0
    suppressed: str = ""
    held_by: str = ""
    steps: int = 0
    step_from: datetime | None = None
    words: str = "down"
    mark: str = ""
    name: str = ""
    rule: str = ""
    told_by: str = ""
    turn: tuple[str, int] = ("", 0)
    turns: tuple[tuple[int, datetime], ...] = ()

    @property
    def open(self) -> bool:
        return self.resolved_at is None

    def began_at(self) -> datetime:
        """When its latest stretch of trouble began: its last opening or reopening."""
        before = [
            flip for flip in self.flips if flip != self.resolved_at
        ]  # in their order: a clock may have been wrong
        return before[-1] if before else self.opened_at

    def trouble_from(self) -> datetime:
        """Since when its latest stretch of trouble has lasted; a rule that waits opens later."""
        return self.since or self.began_at()

    def trouble_to(self) -> datetime | None:
        """When the trouble was over, None while it lasts; it is resolved later where it had to be over for a while."""
        return None if self.open else self.over_since or self.resolved_at


class Transition(Struct, frozen=True, kw_only=True):
    """Something to be told: `number` is the subject's transition count, `what` the kind, `step` counts reminders, or
    steps of the escalation policy. `held`: what held it back until now."""

    number: int
    what: What
    at: datetime
    step: int = 0
    held: str = ""


class Step(Struct, frozen=True, kw_only=True):
    """What one judgement did to a subject: the incident as it is now (None: there is none), new timeline entries and
    what must be told. `changed` is False when nothing has to be stored."""

    incident: Incident | None
    entries: tuple[Entry, ...] = ()
    transitions: tuple[Transition, ...] = ()
    changed: bool = False
    judge_again_at: datetime | None = None


def set_right(incident: Incident, now: datetime) -> Incident:
    """The incident as of now, where a clock that was ahead has dated it: what is waited for from a date that has not come
    (the end of its recovery, a reminder, a step of its escalation) is waited for from now."""
    over, told, step = (
        min(at, now) if at is not None else None
        for at in (incident.over_since, incident.last_told_at, incident.step_from)
    )
    if (over, told, step) == (incident.over_since, incident.last_told_at, incident.step_from):
        return incident
    return replace(incident, over_since=over, last_told_at=told, step_from=step)


def close(latest: Incident, reason: str, now: datetime, *, by: str | None = None, held: bool = False) -> Step:
    """End it for a reason other than the verdict: by hand (`held` when still down), paused, deleted.

    Told if its opening was, or that it is unstable.
    """
    if not latest.open:
        return Step(incident=latest)
    number = latest.transition + 1
    incident = replace(
        latest,
        resolved_at=now,
        resolution=reason,
        transition=number,
        held=held,
        blind=False,
        unstable=False,
        suppressed="",
        locations=(),
    )
    entry = Entry(at=now, kind="resolved", text=f"Closed: {reason}", by=by)
    told = (Transition(number=number, what="resolved", at=now),) if latest.told or latest.unstable else ()
    return Step(incident=incident, entries=(entry,), transitions=told, changed=True)


def acknowledge(incident: Incident, by: str, now: datetime) -> Step:
    """Somebody has it. Acknowledging twice, or after the end, changes nothing."""
    if incident.acknowledged_at is not None or not incident.open:
        return Step(incident=incident)
    entry = Entry(at=now, kind="acknowledged", text="Acknowledged", by=by)
    return Step(
        incident=replace(incident, acknowledged_at=now, acknowledged_by=by),
        entries=(entry,),
        changed=True,
        judge_again_at=now,
    )
