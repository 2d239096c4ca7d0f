"""The words of a message: short, calm, exact; a title of one line and a text of a few."""

from __future__ import annotations

from datetime import UTC, datetime

from tocsin.core.consensus import Verdict
from tocsin.core.incident import RECOVERED, Incident, Transition

TITLE_MAX = 200
_NAME_MAX = 80
CERTIFICATE, COVERAGE = "its certificate ends soon", "not all of it is seen"
LOST = "lost"
FAILING, OFF_LIMITS = "in trouble", "out of its limits"
"""Trouble that a rule found on a host: its reason is a whole sentence, "disk / is 94 % full (limit 90 %)"."""
AGAIN = " again"
"""Stands in the sentence for what is well again."""
"""How a location whose probe does not answer is named."""
_SENTENCES = {CERTIFICATE: "its certificate was renewed", COVERAGE: "every monitor is seen again"}
"""Trouble whose reason is a sentence of its own ("Shop: its certificate ends in 7 days"), and how its end is told."""


def words(
    transition: Transition, incident: Incident, name: str, verdict: Verdict | None, shown: str = "", rule: str = "",
    end: str = "",
) -> tuple[str, str]:  # fmt: skip
    """Title and text of one message. `name` is the monitor's, `shown` its target for people, `rule` the alert rule's,
    `end` the sentence for how it is over, where whoever looks says one."""
    name = one_line(name, _NAME_MAX)
    title = one_line(_title(transition, incident, name, verdict, end), TITLE_MAX)
    lines = [*_lines(transition, incident, verdict), by_rule(rule), one_line(shown, 300)]
    return title, "\n".join(line for line in lines if line)


def by_rule(rule: str) -> str:
    """By which alert rule a message is sent; empty when by none."""
    return f"By the alert rule “{one_line(rule, _NAME_MAX)}”." if rule else ""


def headline(incident: Incident, name: str) -> str:
    """What an open incident is about, in a few words: "Shop is slow"."""
    name = one_line(name, _NAME_MAX)
    if incident.words in (FAILING, OFF_LIMITS) and name:
        return joined(name, incident.reason)
    return f"{name}: {incident.reason}" if incident.words in _SENTENCES else f"{name} is {incident.words}"


def joined(name: str, words: str) -> str:
    """The sentence after the name of its host, with the thing said once: `name` is "beta: disk /", the words begin with
    "disk /" or say nothing of it."""
    at = name.find(": ")
    while at >= 0:
        if words.startswith(name[at + 2 :]):
            return f"{name[: at + 2]}{words}"
        at = name.find(": ", at + 2)
    return f"{name}: {words}"


def ended(name: str, words: str) -> str:
    """The sentence for an end."""
    return joined(name, words) if AGAIN in words else f"{name} is over: {words}"


def test_words(channel: str) -> tuple[str, str]:
    """Title and text of a test message."""
    return (
        f"Test message for {one_line(channel, _NAME_MAX)}",
        "Somebody pressed the test button. This channel works; nothing is wrong.",
    )


def span(seconds: float) -> str:
    """A duration for people, in its two largest units: "14 min 8 s", "2 h 5 min", "3 d 4 h"."""
    whole = max(0, round(seconds))
    for unit, smaller, size, part in (("d", "h", 86_400, 3600), ("h", "min", 3600, 60), ("min", "s", 60, 1)):
        if whole >= size:
            rest = whole % size // part
            return f"{whole // size} {unit}" + (f" {rest} {smaller}" if rest else "")
    return f"{whole} s"


def moment(at: datetime) -> str:
    """A time for people: "2026-03-01 12:00:05 UTC"."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def one_line(text: str, limit: int) -> str:
    """The text without line breaks and other control characters, cut with "…" where it is longer than `limit`."""
    clean = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return clean if len(clean) <= limit else clean[: limit - 1].rstrip() + "…"


def _title(transition: Transition, incident: Incident, name: str, verdict: Verdict | None, end: str) -> str:
    began, until = incident.trouble_from(), incident.trouble_to() or transition.at
    lasted = span((until - began).total_seconds()) if began <= until else "some time"  # a clock was wrong
    if incident.words in (FAILING, OFF_LIMITS) and (title := _on_host(transition, incident, name, lasted, end)):
        return title
    if incident.words in _SENTENCES and (title := _sentence(transition, incident, name, lasted)):
        return title
    match transition.what:
        case "opened":
            return f"{name} is {incident.words}: {incident.reason}"
        case "reopened":
            return f"{name} is {incident.words} again: {incident.reason}"
        case "escalated":
            return f"{name} is worse, now {incident.severity}: {incident.reason}"
        case "reminder":
            return f"{name} {_still(incident)} after {lasted}: {incident.reason}"
        case "step":
            return f"Not acknowledged: {name} {_still(incident)} after {lasted}: {incident.reason}"
        case "unstable":
            return f"{name} is unstable: it keeps changing, and is {_stands(incident, verdict)} now"
        case "calm":
            return f"{name} is calm again: it is {_stands(incident, verdict)}"
        case "resolved":
            return _end(incident, name, verdict, lasted)


def _on_host(transition: Transition, incident: Incident, name: str, lasted: str, end: str) -> str:
    """The title of what a rule found on a host, whose reason is a sentence: the words that its agent has for it, too.
    Empty where that makes no difference."""
    said = joined(name, incident.reason)
    match transition.what:
        case "opened" | "escalated":
            return said
        case "reopened":
            return f"{said}, once more"
        case "reminder":
            return f"{said}, for {lasted} now"
        case "step":
            return f"Not acknowledged: {said}, for {lasted} now"
        case "resolved" if incident.resolution == RECOVERED and end:
            return f"{ended(name, end)}, after {lasted}"
        case _:
            return ""


def _sentence(transition: Transition, incident: Incident, name: str, lasted: str) -> str:
    """The title where the reason is a sentence; empty where that makes no difference."""
    match transition.what:
        case "opened" | "escalated":
            return f"{name}: {incident.reason}"
        case "reopened":
            return f"{name}, again: {incident.reason}"
        case "reminder":
            return f"{name}, for {lasted} now: {incident.reason}"
        case "step":
            return f"Not acknowledged: {name}, for {lasted} now: {incident.reason}"
        case "resolved" if incident.resolution == RECOVERED:
            return f"{name}: {_SENTENCES[incident.words]}, after {lasted}"
        case "unstable" | "calm":
            stands = incident.reason if incident.open else _SENTENCES[incident.words]
            how = "unstable, it keeps changing" if transition.what == "unstable" else "calm again"
            return f"{name}: {how}; {stands}"
        case "resolved":
            return ""


def _still(incident: Incident) -> str:
    words = incident.words
    return f"was last seen {words}, and nothing has been heard for now," if incident.blind else f"is still {words}"


def _end(incident: Incident, name: str, verdict: Verdict | None, lasted: str) -> str:
    if incident.resolution != RECOVERED:
        return f"{name}: incident closed after {lasted}: {incident.resolution}"
    if incident.locations:
        say = "says" if len(incident.locations) == 1 else "say"
        return f"{name} is partly up again after {lasted}: {listed(incident.locations)} still {say} down"
    if incident.words == LOST:
        return f"{name} is heard again after {lasted}"
    if incident.words != "down":
        return f"{name} is no longer {incident.words} after {lasted}"
    degraded = ", but degraded" if verdict is not None and verdict.value == "degraded" else ""
    return f"{name} is up again after {lasted}{degraded}"


def _stands(incident: Incident, verdict: Verdict | None) -> str:
    if incident.open:
        return incident.words
    if incident.words != "down":
        return f"no longer {incident.words}"
    return "up" if verdict is None or verdict.value in ("unknown", "down") else verdict.value


def _lines(transition: Transition, incident: Incident, verdict: Verdict | None) -> list[str]:
    began = incident.trouble_from()
    why = f"{verdict.reason}." if verdict is not None else ""
    match transition.what:
        case "opened" | "reopened" | "escalated":
            late = f"Held back until now by {transition.held}." if transition.held else ""
            return [why, _seen_from(incident, verdict), _since(began, transition), late]
        case "reminder":
            asked = f"Reminder {transition.step}: nobody has acknowledged it yet."
            return [why, _seen_from(incident, verdict), _since(began, transition), asked]
        case "step":
            asked = f"Step {transition.step} of its escalation: nobody has acknowledged it yet."
            return [why, _seen_from(incident, verdict), _since(began, transition), asked]
        case "unstable":
            return [why, "Further changes are only written down until it is calm; then you hear where it stands."]
        case "calm":
            return [why, _since(began if incident.open else incident.trouble_to() or transition.at, transition)]
        case "resolved":
            held = f"It is still {incident.words}; nothing more is told until that is over." if incident.held else ""
            if incident.words in _SENTENCES:
                held = "It is not over yet; nothing more is told until it changes." if incident.held else ""
            degraded = verdict.error.message if verdict is not None and verdict.error is not None else ""
            late = f"{degraded}." if degraded and verdict is not None and verdict.value == "degraded" else ""
            return [
                held or why,
                late,
                f"It was {incident.words}: {incident.reason}." if incident.words not in _SENTENCES else "",
                _from_to(incident, transition),
            ]


def _since(began: datetime, transition: Transition) -> str:
    """Empty where a wrong clock has dated that later than the message."""
    return f"Since {moment(began)}." if began <= transition.at else ""


def _from_to(incident: Incident, transition: Transition) -> str:
    """Empty where a wrong clock has dated its beginning later than its end."""
    began, end = incident.trouble_from(), incident.trouble_to()
    if began > (end or transition.at):
        return ""
    return f"From {moment(began)} to {'now' if end is None else moment(end)}."


def _seen_from(incident: Incident, verdict: Verdict | None) -> str:
    if verdict is None or verdict.n < 2 or not incident.locations:
        return ""
    return f"Seen from {listed(incident.locations)}."


def listed(names: tuple[str, ...], most: int = 5) -> str:
    """ "a", "a and b", "a, b and c", "a, b, c, d, e and 3 more"."""
    shown = [*names[:most], f"{len(names) - most} more"] if len(names) > most else list(names)
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)
