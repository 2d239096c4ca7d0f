"""What is told to whom: messages, their keys, and the outbox rows of a step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

from msgspec import Struct, to_builtins
from msgspec.structs import replace

from tocsin.core import wording
from tocsin.core.consensus import Verdict
from tocsin.core.finding import RANKS, Severity, Terms
from tocsin.core.incident import RECOVERED, Incident, Step, Transition
from tocsin.core.keys import group_key, notification_key
from tocsin.core.marks import Help, Length
from tocsin.core.monitor import Monitor
from tocsin.core.result import iso, micros

PERSON = "person:"
"""Begins the id of the channel that reaches a member by e-mail."""

Event = Literal[
    "incident.opened", "incident.reopened", "incident.escalated", "incident.resolved", "incident.reminder", "test",
    "digest",
]  # fmt: skip


class Template(Struct, frozen=True, kw_only=True):
    """A channel's own words in place of ours; a part that is empty leaves ours (see core.template)."""

    title: Annotated[str, Length(0, 1000), Help("the first line")] = ""
    text: Annotated[str, Length(0, 4000), Help("what follows")] = ""


class Channel(Struct, frozen=True, kw_only=True):
    """A notification channel. `config` is its notifier's Config as a JSON object, secrets in clear only in memory.
    `template` None: our words.
    `fallback` is the id of the channel that is told too what this one does not take; `canary_s`: a test message goes
    through it so often (0: never). `least`: it hears only of what is so severe or worse (None: of all)."""

    def hears_of(self, severity: Severity) -> bool:
        """Whether it is told of trouble that is so severe."""
        return self.least is None or RANKS[severity] >= RANKS[self.least]

    id: str
    workspace_id: str
    name: str
    type: str
    config: dict[str, Any]
    default: bool = False
    enabled: bool = True
    disabled_reason: str | None = None
    template: Template | None = None
    fallback: str | None = None
    canary_s: int = 0
    least: Severity | None = None
    created_at: datetime
    updated_at: datetime


class Item(Struct, frozen=True, kw_only=True):
    """One line of a digest: where one subject stands. `url` is its page, or empty; `event` is that of its latest message,
    made `at` that moment, `keys` are those of all its messages, oldest first; `acknowledge_url` as a message has it."""

    title: str
    severity: str
    url: str = ""
    event: str = ""
    monitor_id: str | None = None
    incident_id: str | None = None
    keys: tuple[str, ...] = ()
    at: datetime | None = None
    acknowledge_url: str = ""


class Message(Struct, frozen=True, kw_only=True):
    """What a notifier renders: plain values, no secrets. `monitor`: {id, name, type, target}; `incident`: {id, severity,
    verdict, opened_at, acknowledged_at, resolved_at, trouble_from, trouble_to, duration_s}; `url`: its page, or empty;
    `acknowledge_url`: where its receiver may acknowledge it without signing in (also in the text), or empty. `group` is
    the same for every message of one incident (or one digest), on every channel; `items` is what a digest gathers, which
    `text` need not repeat."""

    event: Event
    key: str
    severity: str
    title: str
    text: str
    monitor: dict[str, Any] | None
    incident: dict[str, Any] | None
    verdict: str | None
    reason: str
    at: datetime
    url: str = ""
    late_s: float | None = None
    acknowledge_url: str = ""
    group: str = ""
    items: tuple[Item, ...] = ()


class OutboxRow(Struct, frozen=True, kw_only=True):
    """One message for one channel, from intent to outcome. States: pending → sent | failed | dropped.

    `order`: rows of one channel and subject leave in ascending order (down n before up n). `lease_until` is set while
    a sender holds it. `next_at`: not before then. `digest` is the key of the digest that carries it (read for the log)."""

    key: str
    workspace_id: str
    channel_id: str
    incident_id: str | None
    monitor_id: str | None
    subject: str
    order: int
    message: Message
    created_at: datetime
    next_at: datetime
    state: Literal["pending", "sent", "failed", "dropped"] = "pending"
    attempts: int = 0
    lease_until: datetime | None = None
    last_error: str | None = None
    done_at: datetime | None = None
    digest: str | None = None


# Where a message stands among those of the same transition number: reminders by their count, steps after them, the
# calm after all.
_LAST = 999_999
_STEPS = 500_000


class About(Struct, frozen=True, kw_only=True):
    """What a message is about: `name` and `shown` (its target) for people, without secrets; the monitor's id and type
    where it is one; the verdict of that moment; the name of the alert rule that says so, empty for a verdict itself;
    `end`: how it is over, in a sentence, where somebody said one."""

    name: str
    shown: str = ""
    rule: str = ""
    monitor_id: str | None = None
    monitor_type: str = ""
    verdict: Verdict | None = None
    end: str = ""


def about(monitor: Monitor, verdict: Verdict | None, shown: str = "") -> About:
    """A message about a monitor."""
    return About(name=monitor.name, shown=shown, monitor_id=monitor.id, monitor_type=monitor.type, verdict=verdict)


def rows_for(
    step: Step,
    terms: Terms,
    what: About,
    channels: Sequence[Channel],
    now: datetime,
    *,
    base_url: str = "",
    targets: Mapping[int, tuple[str, ...]] | None = None,
) -> tuple[OutboxRow, ...]:
    """The outbox rows of a step: for each transition, one for each channel that hears of it (see `audience`).

    A resolve is told only if `terms.notify_on_resolve`. `channels` are all that could hear. `targets`: the ids that a
    step of the escalation policy reaches, by its number. `base_url` is where our pages are.
    """
    incident = step.incident
    if incident is None or not step.transitions:
        return ()
    rows: list[OutboxRow] = []
    for transition in step.transitions:
        if transition.what == "resolved" and not terms.notify_on_resolve:
            continue
        message = _message(transition, incident, what, now, base_url=base_url)
        for channel in audience(transition, incident, terms, channels, targets):
            key = _key(terms, channel.id, incident.subject, transition)
            rows.append(
                OutboxRow(
                    key=key,
                    workspace_id=terms.workspace_id,
                    channel_id=channel.id,
                    incident_id=incident.id,
                    monitor_id=what.monitor_id,
                    subject=incident.subject,
                    order=_order(transition),
                    message=replace(message, key=key),
                    created_at=now,
                    next_at=now,
                )
            )
    return tuple(rows)


def _key(terms: Terms, channel_id: str, subject: str, transition: Transition) -> str:
    """What an agent counted has the key that it has there (core.host_rule.finding_key)."""
    if terms.turn is not None and transition.what in ("opened", "reopened", "resolved"):
        what = "resolved" if transition.what == "resolved" else "opened"
        subject = f"{subject}@{terms.turn[0]}"
        return notification_key(terms.workspace_id, channel_id, subject, terms.turn[1], what)
    number, what = transition.number, transition.what
    return notification_key(terms.workspace_id, channel_id, subject, number, what, transition.step)


def remembering(
    incident: Incident,
    transitions: Sequence[Transition],
    terms: Terms,
    channels: Sequence[Channel],
    targets: Mapping[int, tuple[str, ...]] | None = None,
) -> Incident:
    """The incident that knows who was told of its opening by these transitions, or by a step since."""
    for transition in transitions:
        told = tuple(channel.id for channel in audience(transition, incident, terms, channels, targets))
        if transition.what in ("opened", "reopened", "unstable"):
            incident = replace(incident, told_channels=told)
        elif transition.what == "step" or (transition.what == "escalated" and incident.told_channels is not None):
            before = incident.told_channels or ()
            if transition.what == "escalated":
                told = tuple(channel.id for channel in channels if channel.id in told and channel.least is not None)
            incident = replace(incident, told_channels=(*before, *(id for id in told if id not in before)))
    return incident


def audience(
    transition: Transition,
    incident: Incident,
    terms: Terms,
    channels: Sequence[Channel],
    targets: Mapping[int, tuple[str, ...]] | None = None,
) -> list[Channel]:
    """Who hears of it. An opening: whom the subject tells now. What comes of it (reminders, its end, the calm): exactly
    who heard of the opening or of a step since, as far as they still exist and are enabled, whatever the subject has
    come to tell. That it is unstable, where that takes the place of an end: both. A step: whom the policy names."""
    able = [c for c in channels if transition.what in ("resolved", "calm", "reminder") or c.hears_of(incident.severity)]
    now, told = told_by(terms, able), incident.told_channels
    if transition.what == "step":
        channels, asked = able, (targets or {}).get(transition.step, ())
        same_moment = told if told is not None and transition.at == incident.began_at() else ()
        reached = _reached([c for c in channels if c.id in asked], terms.workspace_id, channels)
        return [channel for channel in reached if channel.id not in same_moment]
    if told is None:
        later = transition.what == "resolved"
        return [channel for channel in now if not (later and _came_later(channel, incident))]
    before = _reached([c for c in channels if c.id in told], terms.workspace_id, channels)
    match transition.what:
        case "opened" | "reopened":
            return now
        case "unstable" if incident.open:
            return now
        case "unstable" | "escalated":
            return sorted({c.id: c for c in (*before, *now)}.values(), key=_id)
        case "reminder" | "resolved" | "calm":
            return before


def told_by(terms: Terms, channels: Sequence[Channel]) -> list[Channel]:
    """The channels this subject tells: those it names, or every default one; enabled and of its own workspace only. In
    place of one that trouble switched off, its fallback."""
    named = terms.channels
    wanted = [channel for channel in channels if (channel.default if named is None else channel.id in named)]
    return _reached(wanted, terms.workspace_id, channels)


def _reached(wanted: Sequence[Channel], workspace_id: str, channels: Sequence[Channel]) -> list[Channel]:
    """Those of the workspace that are enabled; in place of one that trouble switched off, the one that stands in."""
    known = {c.id: c for c in channels if c.workspace_id == workspace_id}
    found: dict[str, Channel] = {}
    for channel in wanted:
        at, tried = known.get(channel.id), {channel.id}
        while at is not None and not at.enabled and at.disabled_reason is not None and at.fallback not in tried:
            tried.add(at.fallback or "")
            at = known.get(at.fallback or "")
        if at is not None and at.enabled:
            found[at.id] = at
    return sorted(found.values(), key=_id)


def test_message(channel: Channel, now: datetime, *, base_url: str) -> Message:
    """What a channel's test button sends."""
    title, text = wording.test_words(channel.name)
    key = notification_key(channel.workspace_id, channel.id, "test", micros(now), "test")
    return Message(
        event="test",
        key=key,
        group=key,
        severity="info",
        title=title,
        text=text,
        monitor=None,
        incident=None,
        verdict=None,
        reason="somebody asked for a test message",
        at=now,
        url=f"{base_url.rstrip('/')}/channels" if base_url else "",
    )


def message_json(message: Message) -> dict[str, Any]:
    """The JSON object that a webhook is sent; `late_s` is in it only when it is sent late,
    `items` when it gathers some."""
    shown: dict[str, Any] = {
        "event": message.event,
        "key": message.key,
        "severity": message.severity,
        "title": message.title,
        "text": message.text,
        "monitor": message.monitor,
        "incident": message.incident,
        "verdict": message.verdict,
        "reason": message.reason,
        "at": iso(message.at),
        "url": message.url,
    }
    if message.acknowledge_url:
        shown["acknowledge_url"] = message.acknowledge_url
    if message.late_s is not None:
        shown["late_s"] = round(message.late_s, 3)
    if message.items:
        shown["items"] = [_item_json(item) for item in message.items]
    return shown


def _item_json(item: Item) -> dict[str, Any]:
    shown = to_builtins(item) | {"at": iso(item.at)}
    return shown if item.acknowledge_url else {name: shown[name] for name in shown if name != "acknowledge_url"}


def _message(transition: Transition, incident: Incident, what: About, now: datetime, *, base_url: str) -> Message:
    title, text = wording.words(transition, incident, what.name, what.verdict, what.shown, what.rule, what.end)
    end = incident.trouble_to() or now
    since = min(incident.trouble_from(), end)  # a clock that was wrong may have dated it later
    begin = min(incident.opened_at, since)
    about_it = None
    if what.monitor_id is not None:
        about_it = {"id": what.monitor_id, "name": what.name, "type": what.monitor_type, "target": what.shown}
    return Message(
        event=_event(transition, incident),
        key="",
        severity=incident.severity,
        title=title,
        text=text,
        monitor=about_it,
        incident={
            "id": incident.id,
            "severity": incident.severity,
            "verdict": incident.verdict,
            "opened_at": iso(incident.opened_at),
            "acknowledged_at": iso(incident.acknowledged_at),
            "resolved_at": iso(incident.resolved_at),
            "trouble_from": iso(since),
            "trouble_to": iso(incident.trouble_to()),
            "duration_s": round((end - begin).total_seconds(), 3),
        },
        verdict=None if what.verdict is None else what.verdict.value,
        reason=_reason(incident, what.verdict),
        at=transition.at,
        url=f"{base_url.rstrip('/')}/incidents/{incident.id}" if base_url else "",
        group=group_key(incident.workspace_id, incident.id),
    )


def _reason(incident: Incident, verdict: Verdict | None) -> str:
    if incident.open:
        return incident.reason
    if incident.resolution != RECOVERED:
        return incident.resolution or ""
    return f"over: {incident.reason}" + (f" ({verdict.reason})" if verdict is not None else "")


def _event(transition: Transition, incident: Incident) -> Event:
    """Unstable and calm have no event of their own: they say how it stands, as the change they take the place of."""
    match transition.what:
        case "opened":
            return "incident.opened"
        case "reopened":
            return "incident.reopened"
        case "resolved":
            return "incident.resolved"
        case "escalated" | "step":
            return "incident.escalated"
        case "reminder":
            return "incident.reminder"
        case "unstable" | "calm":
            if not incident.open:
                return "incident.resolved"
            return "incident.opened" if incident.opened_at == transition.at else "incident.reopened"


def _order(transition: Transition) -> int:
    rank = _LAST if transition.what == "calm" else min(transition.step, _STEPS - 1)
    rank += _STEPS if transition.what == "step" else 0
    return transition.number * (_LAST + 1) + rank


def _came_later(channel: Channel, incident: Incident) -> bool:
    return incident.last_told_at is not None and channel.created_at > incident.last_told_at


def _id(channel: Channel) -> str:
    return channel.id
