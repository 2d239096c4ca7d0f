"""An incident in words: what its page is headed with, what is known of it, and its timeline line by line."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tocsin.core.hints import Related
from tocsin.core.host_rule import channel_named
from tocsin.core.incident import RECOVERED, Entry, Incident
from tocsin.core.plain import as_list, as_map
from tocsin.core.probe import SUBJECT as LOST
from tocsin.core.quarantine import SUBJECT
from tocsin.core.wording import headline
from tocsin.pipeline.watchlist import Watched
from tocsin.store.outbox import Delivery
from tocsin.web.pages import words

HELD = "Closed by hand: nobody is told until it has been up."
_KINDS = {
    "opened": "Opened",
    "reopened": "Opened again",
    "resolved": "Resolved",
    "acknowledged": "Acknowledged",
    "assigned": "Assigned",
    "comment": "Note",
    "notified": "Told",
    "escalated": "Escalated",
    "severity": "Severity",
    "location_joined": "Fails at one more place",
    "location_left": "Works again at one place",
    "blind": "No data",
    "sighted": "Data again",
    "unstable": "Up and down all the time",
    "calm": "Calm again",
    "suppressed": "Held back",
    "released": "Told after all",
    "postmortem": "Postmortem",
}
_GLYPHS = {
    "opened": "down",
    "reopened": "down",
    "resolved": "ok",
    "location_joined": "partial",
    "blind": "nodata",
    "unstable": "slow",
    "suppressed": "maint",
}
_TOLD = {
    "dns": "The name does not resolve.",
    "connection_refused": "The address refuses connections.",
    "timeout": "It does not answer in time.",
    "tls": "The secure connection fails.",
    "connection_reset": "It hangs up in the middle.",
    "protocol": "It answers, but not as its protocol says.",
    "assertion": "It answers, but not with what was expected.",
    "network": "It cannot be reached.",
}


_SHARES = {
    "host": "same host",
    "certificate": "same certificate",
    "phase": "fails in the same phase",
    "location": "same location only",
}
_MESSAGES = frozenset(("notified", "escalated", "suppressed", "released", "unstable", "calm"))
_FITS: dict[str, Callable[[Entry], bool]] = {
    "people": lambda entry: bool(entry.by),
    "messages": lambda entry: entry.kind in _MESSAGES,
}


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing that is known, most telling first."""

    head: str
    text: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the timeline: what, by whom, and the words to it (`quote`: somebody's own)."""

    at: datetime
    head: str
    by: str
    text: str
    quote: bool
    glyph: str


def heading(incident: Incident, watched: Watched | None) -> str:
    """What the page is headed with, after the monitor's name: how it stands now, never better than it is."""
    verdict = watched.verdict if watched is not None else None
    if incident.subject.startswith((SUBJECT, LOST)):
        return f" is {incident.words}" if incident.open else " is heard again"
    if incident.open:
        where = f" from {verdict.d} of {verdict.n} locations" if verdict is not None and verdict.n > 1 else ""
        return headline(incident, "") + (where if incident.rule_id is None else "")
    if incident.held:
        return ": closed by hand, still down"
    if incident.resolution != RECOVERED:
        return ": closed"
    if incident.rule_id is not None or verdict is None or verdict.value == "down":
        return f" was {incident.words}"
    return " is up again"


def over(incident: Incident) -> str:
    """How it ended: "" when by itself, else by whose hand and why."""
    if incident.open or incident.resolution == RECOVERED:
        return ""
    text = incident.resolution or ""
    return text.replace("resolved by ", "closed by ", 1) if text.startswith("resolved by ") else text


def facts(incident: Incident, watched: Watched | None) -> list[Fact]:
    """What the checks say, no guesses beyond them."""
    made, kept = list[Fact](), incident.evidence
    error, code = part(kept, "error"), part(kept, "response").get("status_code")
    if error.get("type") in _TOLD:
        made.append(Fact(_TOLD[error["type"]], str(error.get("message") or "")))
    if code is not None:
        made.append(Fact(f"The answer was {code}."))
    if kept.get("ip"):
        answered = code is not None or error.get("type") in ("assertion", "protocol")
        made.append(Fact("Answered by" if answered else "Asked", f"{kept['ip']}"))
    if incident.open and watched is not None and watched.verdict is not None:
        made.append(Fact("Now:", watched.verdict.reason))
    return made


def places(incident: Incident) -> list[dict[str, Any]]:
    """What each location saw when it opened, where several looked."""
    rows = [as_map(row) or {} for row in as_list(incident.evidence.get("locations")) or ()]
    if len(rows) < 2:
        return []
    return [
        {
            "location": str(row.get("location") or ""),
            "vote": str(row.get("vote") or "nodata"),
            "said": str((as_map(row.get("error")) or {}).get("message") or ""),
        }
        for row in rows
    ]


def part(kept: Mapping[str, Any], name: str) -> dict[str, Any]:
    """One part of the evidence, empty when it is not there."""
    return as_map(kept.get(name)) or {}


def line(entry: Entry) -> Line:
    """An entry of the timeline, each thing said once."""
    head, text = _KINDS.get(entry.kind, entry.kind), entry.text
    if entry.kind == "assigned":
        head, text = words.capital(text) if text else head, ""
    elif entry.kind == "acknowledged":
        text = ""
    elif entry.kind == "suppressed":
        text = _capital(text.removeprefix("Not told: "))
    elif entry.kind == "released" and text.startswith("Not told: "):
        head, text = "Not told", _capital(text.removeprefix("Not told: "))
    elif entry.kind == "released":
        text = _capital(text.removeprefix("Told now: "))
    elif entry.kind == "escalated":
        text = text.removeprefix("Escalated: ")
    elif entry.kind == "postmortem":
        head, text = text, ""
    elif entry.kind == "resolved" and text.startswith("Closed: "):
        head, text = "Closed by hand" if entry.by else "Closed", text.removeprefix("Closed: ")
        if text == f"resolved by {entry.by}":
            text = ""
    elif text == head:
        text = ""
    glyph = "" if head.startswith("Closed") else _GLYPHS.get(entry.kind, "")
    return Line(entry.at, head, entry.by or "", text, entry.kind == "comment", glyph)


def chosen(timeline: Sequence[Entry], told: Sequence[Line], show: str) -> tuple[list[Line], int]:
    """(the lines that are shown, newest first, how many are hidden): "people" (what somebody did), "messages" (who was
    told, or was not), or all of them."""
    lines = [line(e) for e in reversed(timeline) if show not in _FITS or _FITS[show](e)]
    messages = [] if show == "people" else list(told)
    shown = sorted([*messages, *lines], key=lambda one: one.at, reverse=True)
    return shown, len(timeline) + len(told) - len(shown)


def told(log: Sequence[Delivery], names: Mapping[str, str]) -> list[Line]:
    """What was told and what could not be told, newest first: a line for each moment and kind of message."""
    groups: dict[tuple[datetime, str, str], list[str]] = {}
    for one in log:
        if one.row.state in ("sent", "failed"):
            name = words.hearer(one.row.channel_id, names)
            groups.setdefault((one.row.created_at, one.row.message.event, one.row.state), []).append(name)
    made: list[Line] = []
    for (at, event, state), some in sorted(groups.items(), reverse=True):
        head, glyph = ("Told", "") if state == "sent" else ("Could not tell", "down")
        text = f"{words.listed(some)}: {event.removeprefix('incident.').replace('_', ' ')}"
        made.append(Line(at, head, "", text, False, glyph))
    return made


def told_by_agent(timeline: Sequence[Entry], names: Mapping[str, str]) -> list[tuple[datetime, str, str]]:
    """(when, channel, what) of each message that the host's agent sent by itself, newest first."""
    made: list[tuple[datetime, str, str]] = []
    what = "opened"
    for entry in timeline:
        if entry.kind in ("opened", "reopened", "resolved"):
            what = entry.kind
        elif entry.kind == "notified":
            ids = [id for id in as_list(entry.data.get("channels")) or () if isinstance(id, str)]
            made += [(entry.at, channel_named(id, names.get(id)), what) for id in ids]
    return made[::-1]


def shared(related: Related) -> str:
    """What another incident shares with it, in words."""
    return ", ".join(_SHARES.get(kind, kind) for kind in related.shares)


def why_held(incident: Incident) -> str:
    """Why nobody is told of it now; "" when that is not held back."""
    return words.sentence(incident.suppressed) if incident.open and incident.suppressed else ""


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
