"""From one finding to the next step of its subject's incident: opened, told, resolved, told exactly once."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Literal

from msgspec.structs import replace

from tocsin.core.escalation import Reach, gives_way, next_step_at, reach_of
from tocsin.core.finding import Finding, Hush, Terms
from tocsin.core.flapping import HIGH, LOW, SLOTS, changes_at, flip_rate, with_flip
from tocsin.core.incident import RECOVERED, Entry, EntryKind, Incident, Step, Transition, What
from tocsin.core.wording import listed


class _Draft:
    """One judgement in the making: the incident as it becomes, and what is written and told about it."""

    __slots__ = ("entries", "finding", "hush", "incident", "now", "terms", "transitions")

    def __init__(self, latest: Incident | None, terms: Terms, finding: Finding, now: datetime) -> None:
        self.incident, self.terms, self.finding, self.now = latest, terms, finding, now
        self.hush: Hush | None = None
        self.entries: list[Entry] = []
        self.transitions: list[Transition] = []

    def write(self, kind: EntryKind, text: str, **data: Any) -> None:
        self.entries.append(Entry(at=self.now, kind=kind, text=text, data=data))

    def tell(self, what: What, number: int, step: int = 0, held: str = "") -> None:
        self.transitions.append(Transition(number=number, what=what, at=self.now, step=step, held=held))


def advance(
    latest: Incident | None,
    terms: Terms,
    finding: Finding,
    now: datetime,
    *,
    new_id: str,
    evidence: dict[str, Any] | None = None,
    hush: Hush | None = None,
) -> Step:
    """The subject's next step after a finding. `latest` is the subject's newest incident, open or resolved, or None.

    Opens on trouble; resolves when it has been over for `recovery_s`; within `reopen_s` of a resolution trouble reopens
    the same incident; blind only marks it; flapping tells once. While `hush` lasts nothing of an opening is told; what
    is still open when it ends is told then, and an end is told only when its opening was. `judge_again_at`: when time
    alone may change the answer. Calling it again with the same finding changes nothing.
    """
    draft = _Draft(latest, terms, finding, now)
    draft.hush = hush
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
        judge_again_at=_again_at(incident, terms, finding, now, hush),
    )


def _again_at(
    incident: Incident | None, terms: Terms, finding: Finding, now: datetime, hush: Hush | None
) -> datetime | None:
    """When to look again: at once where what was in trouble was replaced by something else that is."""
    if incident is None:
        return None
    replaced = not incident.open and not incident.held and finding.standing == "trouble"
    return now if replaced and finding.mark != incident.mark else judge_again_at(incident, terms, now, hush)


def judge_again_at(incident: Incident, terms: Terms, now: datetime, hush: Hush | None = None) -> datetime | None:
    """When time alone may change what comes of it."""
    times: list[datetime | None] = []
    if incident.open and incident.over_since is not None:
        times.append(incident.over_since + timedelta(seconds=terms.recovery_s))
    elif hush is None:
        times += [_reminder_at(incident, terms), _step_at(incident, terms)]
    if incident.open and hush is not None:
        times.append(hush.until)
    if incident.unstable:
        times += changes_at(incident.flips, terms.interval_s, now)
    return min((time for time in times if time is not None), default=None)


def _look_out(draft: _Draft, new_id: str, evidence: dict[str, Any]) -> None:
    """No incident is open: open one, or the last one again, when there is trouble."""
    latest, finding, now = draft.incident, draft.finding, draft.now
    if latest is not None and latest.held and finding.standing != "trouble" and not finding.blind:
        draft.incident = latest = replace(latest, held=False)
    if finding.standing != "trouble" or (latest is not None and latest.held and _known(latest, finding)):
        return
    named = finding.words[:1].upper() + finding.words[1:]
    since_s = None if latest is None or latest.resolved_at is None else (now - latest.resolved_at).total_seconds()
    if (
        latest is not None
        and since_s is not None
        and abs(since_s) <= draft.terms.reopen_s  # long before that: a clock was wrong, and nobody knows when it was
        and not latest.held
        and (latest.mark == finding.mark)
    ):
        draft.write("reopened", f"{named} again: {finding.reason}", **finding.data)
        draft.incident = _flip(draft, _back(latest, finding, evidence), "reopened")
        return
    draft.write("opened", f"{named}: {finding.reason}", **finding.data)
    draft.incident = _flip(draft, _new(draft, new_id, evidence), "opened")


def _known(latest: Incident, finding: Finding) -> bool:
    """Whether it is the trouble the incident is about, and no worse."""
    return latest.mark == finding.mark and finding.rank <= latest.rank


def _back(latest: Incident, finding: Finding, evidence: dict[str, Any]) -> Incident:
    """The last incident, open again."""
    return replace(
        latest,
        verdict=finding.value,
        severity=finding.severity,
        reason=finding.reason,
        rank=finding.rank,
        words=finding.words,
        locations=finding.locations or (),
        acknowledged_at=None,
        acknowledged_by=None,
        resolved_at=None,
        resolution=None,
        since=finding.since,
        over_since=None,
        reminders=0,
        steps=0,
        step_from=None,
        evidence=evidence or latest.evidence,
    )


def _new(draft: _Draft, new_id: str, evidence: dict[str, Any]) -> Incident:
    """A new incident, which goes on counting where the subject's last one stopped."""
    latest, terms, finding = draft.incident, draft.terms, draft.finding
    return Incident(
        id=new_id,
        workspace_id=terms.workspace_id,
        subject=terms.subject,
        monitor_id=terms.monitor_id,
        host_id=terms.host_id,
        rule_id=terms.rule_id,
        severity=finding.severity,
        verdict=finding.value,
        reason=finding.reason,
        rank=finding.rank,
        words=finding.words,
        mark=finding.mark,
        opened_at=draft.now,
        since=finding.since,
        transition=0 if latest is None else latest.transition,
        unstable=latest is not None and latest.unstable,
        told_channels=latest.told_channels if latest is not None and latest.unstable else None,
        flips=() if latest is None else latest.flips,
        locations=finding.locations or (),
        evidence=evidence,
    )


def _look_again(draft: _Draft, incident: Incident) -> None:
    """One is open: note what changed, resolve it when what opened it is over, tell what is due."""
    finding, now = draft.finding, draft.now
    incident = _note_sight(draft, incident)
    incident = _note_locations(draft, incident)
    if finding.standing == "trouble" and finding.mark != incident.mark:
        incident = _resolve(draft, incident)
    elif finding.standing == "over":
        over_since = incident.over_since or now
        incident = replace(incident, over_since=over_since)
        if now >= over_since + timedelta(seconds=draft.terms.recovery_s):
            incident = _resolve(draft, incident)
    else:
        incident = replace(incident, over_since=None, verdict=finding.value)
        incident = _note_worse(draft, incident)
        if draft.hush is None:
            incident = _tell_due(draft, _release(draft, incident))
        elif incident.suppressed and incident.suppressed != draft.hush.why:
            draft.write("suppressed", f"Not told: {draft.hush.why}", by=draft.hush.kind)
            incident = _held(incident, draft.hush)
    draft.incident = incident


def _note_sight(draft: _Draft, incident: Incident) -> Incident:
    blind = draft.finding.blind
    if blind == incident.blind:
        return incident
    draft.write("blind" if blind else "sighted", draft.finding.why)
    return replace(incident, blind=blind)


def _note_locations(draft: _Draft, incident: Incident) -> Incident:
    """Too few votes say nothing about who joined or left."""
    locations = draft.finding.locations
    if locations is None or locations == incident.locations:
        return incident
    for location in sorted(set(locations) - set(incident.locations)):
        draft.write("location_joined", f"{location} says {incident.words} too", location=location)
    for location in sorted(set(incident.locations) - set(locations)):
        draft.write("location_left", f"{location} no longer says {incident.words}", location=location)
    return replace(incident, locations=locations)


def _note_worse(draft: _Draft, incident: Incident) -> Incident:
    """A rank it did not have yet is told once."""
    finding = draft.finding
    if finding.standing != "trouble" or finding.rank <= incident.rank:
        return incident
    draft.write("severity", f"Worse: {finding.reason}", severity=finding.severity, **finding.data)
    number = incident.transition + 1
    incident = replace(incident, rank=finding.rank, severity=finding.severity, reason=finding.reason, transition=number)
    if not incident.told or incident.unstable or draft.hush is not None:
        return incident
    draft.tell("escalated", number)
    return replace(incident, last_told_at=draft.now)


def _held(incident: Incident, hush: Hush) -> Incident:
    """Nobody is told of it for now."""
    return replace(incident, suppressed=hush.why, held_by=hush.by or incident.held_by)


def _release(draft: _Draft, incident: Incident) -> Incident:
    """Nothing holds its opening back any more: tell it now, unless somebody has it already."""
    if not incident.suppressed:
        return incident
    held, incident = incident.held_by, replace(incident, suppressed="", held_by="")
    if incident.acknowledged_at is not None and not incident.told:
        by = incident.acknowledged_by or "somebody"
        draft.write("released", f"Not told: nothing holds it back any more, but {by} has it")
        return incident
    draft.write("released", "Told now: nothing holds it back any more")
    if incident.told or incident.unstable:
        return incident
    first = incident.opened_at == incident.began_at()
    draft.tell("opened" if first else "reopened", incident.transition, held=held)
    return replace(incident, told=True, last_told_at=draft.now, step_from=draft.now)


def _tell_due(draft: _Draft, incident: Incident) -> Incident:
    """The reminder and the step of the escalation policy that are due."""
    now = draft.now
    if (due := _reminder_at(incident, draft.terms)) is not None and now >= due:
        incident = replace(incident, reminders=incident.reminders + 1, last_told_at=now)
        draft.tell("reminder", incident.transition, incident.reminders)
    while (due := _step_at(incident, draft.terms)) is not None and now >= due:
        incident = _step_on(draft, incident)
    return incident


def _step_on(draft: _Draft, incident: Incident) -> Incident:
    """Tell the next step; where it reaches nobody, that is written down and the next one follows at once. The delay of
    the one after it counts from now, however late this is: everybody gets the time to acknowledge."""
    policy, reach = draft.terms.policy, draft.terms.reach
    while True:
        number = incident.steps + 1
        found = reach_of(reach, number)
        told_at = draft.now if found is None or found.ids else incident.last_told_at
        incident = replace(incident, steps=number, step_from=draft.now, last_told_at=told_at)
        text, data = _whom(found, number)
        draft.write("escalated", text, **data)
        draft.tell("step", incident.transition, number)
        if policy is None or not gives_way(policy, reach, number):
            return incident


def _whom(reach: Reach | None, number: int) -> tuple[str, dict[str, Any]]:
    """What the timeline says of a step that was told."""
    if reach is None:
        return f"Escalated: step {number}", {"step": number}
    data: dict[str, Any] = {"step": number, "to": list(reach.names)}
    if reach.lacks:
        data["lacks"] = list(reach.lacks)
    lacks = "; ".join(reach.lacks)
    if not reach.ids:
        return f"Escalated: step {number} reached nobody" + (f" ({lacks})" if lacks else ""), data
    return f"Escalated: step {number}, to {listed(reach.names)}" + (f" ({lacks})" if lacks else ""), data


def _resolve(draft: _Draft, incident: Incident) -> Incident:
    still, says = ", ".join(incident.locations), "says" if len(incident.locations) == 1 else "say"
    end = "Up again" if incident.words == "down" else "Over"
    draft.write(
        "resolved",
        f"Over, though {still} still {says} {incident.words}" if still else end,
        verdict=draft.finding.value,
        why=draft.finding.why,
    )
    resolved = replace(incident, resolved_at=draft.now, resolution=RECOVERED, suppressed="", held_by="")
    resolved = replace(resolved, over_since=incident.over_since or draft.now)
    return _flip(draft, resolved, "resolved")


def _flip(draft: _Draft, incident: Incident, what: Literal["opened", "reopened", "resolved"]) -> Incident:
    """Count an opening or resolution and tell it, unless it is held back or has been flapping: then the first one too
    many says so, and further ones are only written down."""
    now, terms = draft.now, draft.terms
    flips = with_flip(incident.flips, terms.interval_s, now)
    number, opening = incident.transition + 1, what != "resolved"
    incident = replace(incident, transition=number, flips=flips)
    if opening and draft.hush is not None:
        draft.write("suppressed", f"Not told: {draft.hush.why}", by=draft.hush.kind)
        return _held(replace(incident, told=False, held_by=""), draft.hush)
    if incident.unstable:
        return replace(incident, told=False) if opening else incident
    if terms.flap_detection and flip_rate(flips, terms.interval_s, now) >= HIGH and (opening or incident.told):
        draft.write("unstable", f"Unstable: {len(flips)} changes in the last {SLOTS} intervals", changes=len(flips))
        draft.tell("unstable", number)
        step_from = now if opening else incident.step_from
        return replace(incident, unstable=True, told=opening, last_told_at=now, step_from=step_from)
    if opening:
        draft.tell(what, number)
        return replace(incident, told=True, last_told_at=now, step_from=now)
    if incident.told:
        draft.tell(what, number)
    return incident


def _calm_down(draft: _Draft) -> bool:
    """Whether it was unstable and no longer is."""
    incident, terms = draft.incident, draft.terms
    if incident is None or not incident.unstable:
        return False
    if terms.flap_detection and flip_rate(incident.flips, terms.interval_s, draft.now) >= LOW:
        return False
    draft.write("calm", "Calm again")
    draft.incident = replace(incident, unstable=False)
    return True


def _tell_calm(draft: _Draft, incident: Incident) -> Incident:
    """Where it stands, after a time of silence; down counts as told from here on."""
    if incident.open:
        if draft.hush is not None:
            return _held(replace(incident, told=False), draft.hush)
        draft.tell("calm", incident.transition)
        return replace(incident, told=True, last_told_at=draft.now, step_from=draft.now)
    if draft.terms.notify_on_resolve:
        draft.tell("calm", incident.transition)
    return incident


def _reminder_at(incident: Incident, terms: Terms) -> datetime | None:
    waiting = incident.open and incident.told and incident.acknowledged_at is None
    if not waiting or terms.reminder_s <= 0 or incident.last_told_at is None:
        return None
    return incident.last_told_at + timedelta(seconds=terms.reminder_s)


def _step_at(incident: Incident, terms: Terms) -> datetime | None:
    waiting = incident.open and incident.told and incident.acknowledged_at is None
    if not waiting or terms.policy is None or incident.step_from is None:
        return None
    return next_step_at(terms.policy, incident.steps, incident.step_from)
