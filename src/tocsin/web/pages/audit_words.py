"""The audit log in sentences: what was done to what, without the bookkeeping around it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tocsin.core.account import Change
from tocsin.core.incident import RECOVERED
from tocsin.web.pages import words

_OURS = frozenset({"version", "updated_at", "token_version", "last_used_at", "id", "workspace_id", "created_at"})
_NOUNS = {"api_key": "API key", "membership": "Member"}
_DONE = {"created": "made", "changed": "changed", "deleted": "deleted"}
_EVENTS = {"sent": "delivered", "failed": "not delivered", "dropped": "not sent"}
_SHOWN = 6


@dataclass(frozen=True, slots=True)
class Names:
    """What things are called now, by id; a thing that is gone is called by its kind."""

    monitors: Mapping[str, str]
    channels: Mapping[str, str]
    incidents: Mapping[str, str]
    people: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class Line:
    """One entry for people."""

    at: datetime
    by: str
    text: str


def line(change: Change, names: Names) -> Line | None:
    """The entry as a sentence, or None when it is bookkeeping: sign-ins, single tries to deliver, counters."""
    say = _SAY.get(change.noun, _thing)
    text = say(change, names)
    return Line(change.at, "Tocsin" if change.by == "tocsin" else change.by, text) if text else None


def _thing(change: Change, names: Names) -> str:
    """Monitors, channels, keys, the workspace: what changed, field by field."""
    known = {"monitor": names.monitors, "channel": names.channels, "membership": names.people}.get(change.noun, {})
    called = (change.after or change.before).get("name") or known.get(change.noun_id) or ""
    noun = _NOUNS.get(change.noun, change.noun.replace("_", " ").capitalize())
    if (change.after or change.before).get("silence"):
        noun = "Silence"
    head = f"{noun} {called}".strip()
    if change.verb != "changed":
        return f"{head} {_DONE.get(change.verb, change.verb)}"
    fields = [f for f in change.after if f not in _OURS and change.after[f] != change.before.get(f)]
    if not fields:
        return ""
    if fields == ["paused"]:
        return f"{head} {'paused' if change.after['paused'] else 'resumed'}"
    if "revoked_at" in fields:
        return f"{head} revoked"
    told = [_field(f, change.before.get(f), change.after[f]) for f in fields[:_SHOWN]]
    more = f" and {len(fields) - _SHOWN} more" if len(fields) > _SHOWN else ""
    return f"{head} changed: {', '.join(told)}{more}"


def _field(name: str, before: Any, after: Any) -> str:
    label = name.removesuffix("_s").replace("_", " ")
    if "***" in (before, after) or _long(before) or _long(after):
        return f"{label} changed"
    return f"{label} {_short(before)} → {_short(after)}"


def _long(value: Any) -> bool:
    return len(_short(value)) > 60


def _short(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "on" if value else "off"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _incident(change: Change, names: Names) -> str:
    after = change.after
    head = f"Incident of {names.incidents.get(change.noun_id, 'a monitor')}"
    if change.verb == "created":
        return f"Incident of {names.monitors.get(str(after.get('monitor_id')), 'a monitor')} opened"
    if change.verb != "changed":
        return f"{head} {_DONE.get(change.verb, change.verb)}"
    if after.get("resolved_at"):
        return f"{head} over" if after.get("resolution") == RECOVERED else f"{head} closed: {after.get('resolution')}"
    if "resolved_at" in after:
        return f"{head} opened again"
    if after.get("acknowledged_at"):
        return f"{head} acknowledged"
    if "assigned_to" in after:
        return f"{head} given to {after['assigned_to'] or 'nobody'}"
    if "severity" in after:
        return f"{head}: severity {change.before.get('severity')} → {after['severity']}"
    return ""


def _message(change: Change, names: Names) -> str:
    if change.verb == "created":
        event = str(change.after.get("event", "")).removeprefix("incident.")
        return f"Message intended for {words.hearer(str(change.after.get('channel_id')), names.channels)}: {event}"
    told = _EVENTS.get(str(change.after.get("state")))
    if told is None or told == "delivered":
        return ""
    error = change.after.get("last_error")
    return f"Message {told}{': ' + str(error) if error else ''}"


def _user(change: Change, names: Names) -> str:
    if change.verb == "changed" and {"password_hash", "token_version"} & set(change.after):
        return "Password changed, every other sign-in ended"
    email = (change.after or change.before).get("email") or ""
    return f"User {email} {_DONE.get(change.verb, change.verb)}".replace("  ", " ") if change.verb != "changed" else ""


def _nothing(change: Change, names: Names) -> str:
    return ""


def _member(change: Change, names: Names) -> str:
    role, who = change.after.get("role"), change.after.get("name") or "Member"
    if change.verb == "created" and role:
        return f"{who} joined as {str(role).lower()}"
    return _thing(change, names).replace(" deleted", " removed") if change.verb == "deleted" else _thing(change, names)


def _invitation(change: Change, names: Names) -> str:
    said = change.after or change.before
    if change.verb == "created":
        return f"{said.get('email')} invited as {str(said.get('role')).lower()}"
    return f"Invitation of {said.get('email')} ended"


_SAY: dict[str, Callable[[Change, Names], str]] = {
    "incident": _incident,
    "outbox": _message,
    "user": _user,
    "session": _nothing,
    "membership": _member,
    "invitation": _invitation,
}
