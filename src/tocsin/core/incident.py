"""Incidents: one stretch of trouble of one subject."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Literal

from msgspec import Struct
from msgspec.structs import replace

from tocsin.core.consensus import Verdict, VerdictValue, counted_out
from tocsin.core.monitor import Monitor

Severity = Literal["critical", "down", "warning", "info"]
EntryKind = Literal[
    "opened", "location_joined", "location_left", "acknowledged", "assigned", "comment", "notified", "escalated",
    "severity", "blind", "sighted", "unstable", "calm", "resolved", "reopened",
]  # fmt: skip
What = Literal["opened", "reopened", "resolved", "escalated", "reminder", "unstable", "calm"]


RECOVERED = "recovered"
"""The resolution of an incident that ended because what opened it is over."""

# Flapping: a share of the last 20 intervals with a change in them (HIGH starts it, under LOW it is over).
_SLOTS = 20
_HIGH = 0.5
_LOW = 0.25


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
    openings, reopenings and resolutions for ever (1 = first opening of the subject), so that keys of messages never
    repeat. `verdict` is the latest that was not yet over, `reason` what failed when it opened. `over_since`: when what
    opened it was over (waiting for recovery_s), None while it lasts. `held`: resolved by hand while the verdict was
    still down, so nothing opens until it has left down. `flips`: times of the last openings and resolutions, newest
    last, for flap detection. `told`: its latest opening was handed to the outbox, `last_told_at` when that or a later
    message of the trouble was. `told_channels`: who heard of that opening, and so hears of what comes of it; None
    before anybody did (and where an older version opened it). `locations`: who says down. `evidence`: what was seen
    when it opened (redacted, small).
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
    told_channels: tuple[str, ...] | None = None
    flips: tuple[datetime, ...] = ()
    locations: tuple[str, ...] = ()
    evidence: dict[str, Any] = {}
    postmortem: str = ""

    @property
    def open(self) -> bool:
        return self.resolved_at is None

    def began_at(self) -> datetime:
        """When its latest stretch of trouble began: its last opening or reopening."""
        before = [flip for flip in self.flips if self.resolved_at is None or flip < self.resolved_at]
        return max(before, default=self.opened_at)


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


class _Draft:
    """One judgement in the making: the incident as it becomes, and what is written and told about it."""

    __slots__ = ("entries", "incident", "monitor", "now", "transitions", "verdict")

    def __init__(self, latest: Incident | None, monitor: Monitor, verdict: Verdict, now: datetime) -> None:
        self.incident, self.monitor, self.verdict, self.now = latest, monitor, verdict, now
        self.entries: list[Entry] = []
        self.transitions: list[Transition] = []

    def write(self, kind: EntryKind, text: str, **data: Any) -> None:
        self.entries.append(Entry(at=self.now, kind=kind, text=text, data=data))

    def tell(self, what: What, number: int, step: int = 0) -> None:
        self.transitions.append(Transition(number=number, what=what, at=self.now, step=step))


def advance(
    latest: Incident | None,
    monitor: Monitor,
    verdict: Verdict,
    now: datetime,
    *,
    new_id: str,
    evidence: dict[str, Any] | None = None,
) -> Step:
    """The subject's next step after a verdict. `latest` is the subject's newest incident, open or resolved, or None.

    Opens on down; resolves when down can no longer reach quorum for `recovery_s`; within `reopen_s` of a resolution
    trouble reopens the same incident; unknown only marks it blind; flapping tells once. `judge_again_at`: when time
    alone may change the answer (recovery_s, reminder, calm). Calling it again with the same verdict changes nothing.

    A verdict that merely stands from before a start, without votes of its own, neither opens nor resolves anything.
    """
    draft = _Draft(latest, monitor, verdict, now)
    calmed = _calm_down(draft)
    if draft.incident is not None and draft.incident.open:
        _look_again(draft, draft.incident)
    else:
        _look_out(draft, new_id, evidence or {})
    incident = draft.incident
    if calmed and incident is not None and not draft.transitions:
        draft.incident = incident = _tell_calm(draft, incident)
    return Step(
        incident=incident,
        entries=tuple(draft.entries),
        transitions=tuple(draft.transitions),
        changed=incident != latest,
        judge_again_at=None if incident is None else _judge_again_at(incident, monitor, now),
    )


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
        over_since=None,
        held=held,
        blind=False,
        unstable=False,
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


def flip_rate(flips: Sequence[datetime], interval_s: float, now: datetime) -> float:
    """How unstable it is, 0..1: the share of the last 20 intervals in which it opened or was resolved, the newest
    weighing 1.2 and the oldest 0.8."""
    ages = {int((now - flip).total_seconds() // interval_s) for flip in flips}
    return sum(1.2 - 0.4 * age / (_SLOTS - 1) for age in ages if 0 <= age < _SLOTS) / _SLOTS


def _look_out(draft: _Draft, new_id: str, evidence: dict[str, Any]) -> None:
    """No incident is open: open one, or the last one again, when the votes say down."""
    latest, verdict, now = draft.incident, draft.verdict, draft.now
    if latest is not None and latest.held and verdict.value not in ("down", "unknown"):
        draft.incident = latest = replace(latest, held=False)
    if not _is_down(verdict) or (latest is not None and latest.held):
        return
    reason = verdict.reason if verdict.error is None else verdict.error.message
    data = {"verdict": verdict.value, "why": verdict.reason, "locations": list(_down_locations(verdict))}
    since_s = None if latest is None or latest.resolved_at is None else (now - latest.resolved_at).total_seconds()
    if latest is not None and since_s is not None and since_s <= draft.monitor.reopen_s:
        draft.write("reopened", f"Down again: {reason}", **data)
        draft.incident = _flip(draft, _back(latest, verdict, reason, evidence), "reopened")
        return
    draft.write("opened", f"Down: {reason}", **data)
    draft.incident = _flip(draft, _new(draft, new_id, reason, evidence), "opened")


def _back(latest: Incident, verdict: Verdict, reason: str, evidence: dict[str, Any]) -> Incident:
    """The last incident, open again."""
    return replace(
        latest,
        verdict=verdict.value,
        reason=reason,
        locations=_down_locations(verdict),
        acknowledged_at=None,
        acknowledged_by=None,
        resolved_at=None,
        resolution=None,
        over_since=None,
        reminders=0,
        evidence=evidence or latest.evidence,
    )


def _new(draft: _Draft, new_id: str, reason: str, evidence: dict[str, Any]) -> Incident:
    """A new incident, which goes on counting where the subject's last one stopped."""
    latest = draft.incident
    return Incident(
        id=new_id,
        workspace_id=draft.monitor.workspace_id,
        subject=f"monitor:{draft.monitor.id}",
        monitor_id=draft.monitor.id,
        verdict=draft.verdict.value,
        reason=reason,
        opened_at=draft.now,
        transition=0 if latest is None else latest.transition,
        unstable=latest is not None and latest.unstable,
        told_channels=latest.told_channels if latest is not None and latest.unstable else None,
        flips=() if latest is None else latest.flips,
        locations=_down_locations(draft.verdict),
        evidence=evidence,
    )


def _look_again(draft: _Draft, incident: Incident) -> None:
    """One is open: note what changed, resolve it when what opened it is over, remind where that was asked for."""
    verdict, now = draft.verdict, draft.now
    incident = _note_sight(draft, incident)
    incident = _note_locations(draft, incident)
    if _is_over(verdict):
        over_since = incident.over_since or now
        incident = replace(incident, over_since=over_since)
        if now >= over_since + timedelta(seconds=draft.monitor.recovery_s):
            incident = _resolve(draft, incident)
    else:
        incident = replace(incident, over_since=None, verdict=verdict.value)
        if (due := _reminder_at(incident, draft.monitor)) is not None and now >= due:
            incident = replace(incident, reminders=incident.reminders + 1, last_told_at=now)
            draft.tell("reminder", incident.transition, incident.reminders)
    draft.incident = incident


def _note_sight(draft: _Draft, incident: Incident) -> Incident:
    blind = draft.verdict.value == "unknown"
    if blind == incident.blind:
        return incident
    draft.write("blind" if blind else "sighted", draft.verdict.reason)
    return replace(incident, blind=blind)


def _note_locations(draft: _Draft, incident: Incident) -> Incident:
    """Too few votes say nothing about who joined or left."""
    if draft.verdict.f < draft.verdict.min_fresh:
        return incident
    locations = _down_locations(draft.verdict)
    for location in sorted(set(locations) - set(incident.locations)):
        draft.write("location_joined", f"{location} says down too", location=location)
    for location in sorted(set(incident.locations) - set(locations)):
        draft.write("location_left", f"{location} no longer says down", location=location)
    return incident if locations == incident.locations else replace(incident, locations=locations)


def _resolve(draft: _Draft, incident: Incident) -> Incident:
    still = ", ".join(incident.locations)
    draft.write(
        "resolved",
        f"Over, though {still} still {'says' if len(incident.locations) == 1 else 'say'} down" if still else "Up again",
        verdict=draft.verdict.value,
        why=draft.verdict.reason,
    )
    resolved = replace(incident, resolved_at=draft.now, resolution=RECOVERED, over_since=None)
    return _flip(draft, resolved, "resolved")


def _flip(draft: _Draft, incident: Incident, what: Literal["opened", "reopened", "resolved"]) -> Incident:
    """Count an opening or resolution and tell it, unless it has been flapping: then the first one too many says so, and
    further ones are only written down."""
    now, interval_s = draft.now, draft.monitor.interval_s
    recent = tuple(flip for flip in incident.flips if (now - flip).total_seconds() < _SLOTS * interval_s)
    flips = (*(recent[1 - 2 * _SLOTS :] or incident.flips[-1:]), now)
    number, opening = incident.transition + 1, what != "resolved"
    incident = replace(incident, transition=number, flips=flips)
    if incident.unstable:
        return replace(incident, told=False) if opening else incident
    if draft.monitor.flap_detection and flip_rate(flips, interval_s, now) >= _HIGH:
        draft.write("unstable", f"Unstable: {len(flips)} changes in the last {_SLOTS} intervals", changes=len(flips))
        draft.tell("unstable", number)
        return replace(incident, unstable=True, told=opening, last_told_at=now)
    if opening:
        draft.tell(what, number)
        return replace(incident, told=True, last_told_at=now)
    if incident.told:
        draft.tell(what, number)
    return incident


def _calm_down(draft: _Draft) -> bool:
    """Whether it was unstable and no longer is."""
    incident, monitor = draft.incident, draft.monitor
    if incident is None or not incident.unstable:
        return False
    if monitor.flap_detection and flip_rate(incident.flips, monitor.interval_s, draft.now) >= _LOW:
        return False
    draft.write("calm", "Calm again")
    draft.incident = replace(incident, unstable=False)
    return True


def _tell_calm(draft: _Draft, incident: Incident) -> Incident:
    """Where it stands, after a time of silence; down counts as told from here on."""
    if incident.open:
        draft.tell("calm", incident.transition)
        return replace(incident, told=True, last_told_at=draft.now)
    if draft.monitor.notify_on_resolve:
        draft.tell("calm", incident.transition)
    return incident


def _judge_again_at(incident: Incident, monitor: Monitor, now: datetime) -> datetime | None:
    times: list[datetime] = []
    if incident.open and incident.over_since is not None:
        times.append(incident.over_since + timedelta(seconds=monitor.recovery_s))
    elif (due := _reminder_at(incident, monitor)) is not None:
        times.append(due)
    if incident.unstable:
        slot = timedelta(seconds=monitor.interval_s)
        times += [flip + ((now - flip) // slot + 1) * slot for flip in incident.flips if now - flip < _SLOTS * slot]
    return min(times, default=None)


def _reminder_at(incident: Incident, monitor: Monitor) -> datetime | None:
    waiting = incident.open and incident.told and incident.acknowledged_at is None
    if not waiting or monitor.reminder_s <= 0 or incident.last_told_at is None:
        return None
    return incident.last_told_at + timedelta(seconds=monitor.reminder_s)


def _is_down(verdict: Verdict) -> bool:
    return verdict.value == "down" and verdict.d >= verdict.k


def _is_over(verdict: Verdict) -> bool:
    if verdict.value in ("up", "degraded"):
        return verdict.f >= verdict.min_fresh
    return verdict.value == "partial" and counted_out(verdict)


def _down_locations(verdict: Verdict) -> tuple[str, ...]:
    return tuple(v.location for v in verdict.votes if v.fresh and not v.quarantined and v.vote == "down")
