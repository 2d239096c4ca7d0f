"""A channel's own words: its template over the plain values of a message, with bounded work and bounded size.

MiniJinja renders it: no attributes of Python's, no files, no includes, and every step and every byte made costs fuel. The
text that comes out is plain; each notifier escapes it as it does ours.
"""

from __future__ import annotations

import functools
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, get_args

from tocsin.core.alert import Event, Item, Message, Template
from tocsin.core.wording import moment, one_line, span
from tocsin.errors import Invalid, Problem

if TYPE_CHECKING:
    from minijinja import Environment, TemplateError

TITLE_MAX = 1000
TEXT_MAX = 16_384
_FUEL = 50_000
_MONITOR = ("id", "name", "type", "target")
_INCIDENT = (
    "id",
    "severity",
    "verdict",
    "opened_at",
    "acknowledged_at",
    "resolved_at",
    "trouble_from",
    "trouble_to",
    "duration_s",
)
FIELDS = (
    "event", "title", "text", "severity", "verdict", "reason", "at", "url", "lasted", "key", "items",
    "acknowledge_url", *(f"monitor.{name}" for name in _MONITOR), *(f"incident.{name}" for name in _INCIDENT),
)  # fmt: skip
"""What a template may name; `items` is a list of _ITEM."""
_ITEM = ("title", "severity", "url", "acknowledge_url")


def render(template: Template, message: Message) -> tuple[str, str]:
    """Title and text in the template's words, ours where a part of it is empty. Raises Invalid, one Problem a part."""
    problems: list[Problem] = []
    values = _values(message)
    title = _part("template.title", template.title, values, TITLE_MAX, problems)
    text = _part("template.text", template.text, values, TEXT_MAX, problems)
    if problems:
        raise Invalid(*problems)
    return one_line(title, TITLE_MAX) or message.title, _clean(text) or message.text


def check(template: Template) -> None:
    """Raise Invalid unless it renders for a sample message of every event."""
    for message in samples():
        render(template, message)


@functools.cache
def samples() -> tuple[Message, ...]:
    """A message of every event, as templates are tried on."""
    return tuple(_sample(event) for event in get_args(Event))


def _sample(event: Event) -> Message:
    at = datetime(2026, 3, 1, 12, 14, 8, tzinfo=UTC)
    opened, over = "2026-03-01T12:00:00.000Z", event == "incident.resolved"
    own = event.startswith("incident.")
    incident = {
        "id": "6f1c2a", "severity": "critical", "verdict": "down", "opened_at": opened, "acknowledged_at": None,
        "resolved_at": "2026-03-01T12:14:08.000Z" if over else None, "trouble_from": opened,
        "trouble_to": "2026-03-01T12:14:08.000Z" if over else None, "duration_s": 848.0,
    }  # fmt: skip
    monitor = {"id": "9b0d4e", "name": "Shop", "type": "http", "target": "https://shop.example/health"}
    titles: dict[str, str] = {
        "incident.reopened": "Shop is down again: HTTP 503",
        "incident.escalated": "Shop is worse, now critical: HTTP 503",
        "incident.resolved": "Shop is up again after 14 min 8 s",
        "incident.reminder": "Shop is still down after 14 min 8 s: HTTP 503",
        "test": "Test message for this channel",
        "digest": "2 monitors are down",
    }
    items = tuple(Item(title=f"{n} is down: HTTP 503", severity="critical") for n in ("Shop", "Search"))
    return Message(
        event=event, key="0" * 32, severity="critical", title=titles.get(event, "Shop is down: HTTP 503"),
        text="The only location says down.\nSince 2026-03-01 12:00:00 UTC.", monitor=monitor if own else None,
        incident=incident if own else None, verdict="up" if over else "down" if own else None, reason="HTTP 503", at=at,
        url="https://watch.example/incidents/6f1c2a", items=items if event == "digest" else (),
    )  # fmt: skip


def _values(message: Message) -> dict[str, Any]:
    """The fields by name; a message about no monitor or incident has theirs empty."""
    monitor, incident = message.monitor or {}, message.incident or {}
    duration = incident.get("duration_s")
    return {
        "event": message.event, "title": message.title, "text": message.text, "severity": message.severity,
        "verdict": message.verdict or "", "reason": message.reason, "at": moment(message.at), "url": message.url,
        "lasted": span(duration) if isinstance(duration, int | float) else "", "key": message.key,
        "acknowledge_url": message.acknowledge_url,
        "items": [{name: getattr(item, name) for name in _ITEM} for item in message.items],
        "monitor": {name: _shown(monitor.get(name)) for name in _MONITOR},
        "incident": {name: _shown(incident.get(name)) for name in _INCIDENT},
    }  # fmt: skip


def _shown(value: Any) -> Any:
    return "" if value is None else value


def _part(where: str, source: str, values: dict[str, Any], limit: int, problems: list[Problem]) -> str:
    from minijinja import TemplateError

    try:
        made = _environment().render_str(source, **values)
    except TemplateError as error:
        problems.append(_problem(where, source, error))
        return ""
    except (ValueError, RecursionError, UnicodeError) as error:
        problems.append(Problem(where, "a template that can be rendered", one_line(str(error), 120)))
        return ""
    if len(made) > limit:
        problems.append(Problem(where, f"a template that makes at most {limit:,} characters", f"{len(made):,}"))
    return made


@functools.cache
def _environment() -> Environment:
    """No loader, no escaping (that is the notifier's), nothing that is not there, and so much work."""
    from minijinja import Environment

    made = Environment(
        undefined_behavior="strict",
        fuel=_FUEL,
        debug=False,
        pycompat=False,
        auto_escape_callback=_as_it_is,
        keep_trailing_newline=False,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.remove_global("debug")
    return made


def _as_it_is(_: str) -> bool:
    return False


def _problem(where: str, source: str, error: TemplateError) -> Problem:
    """What is wrong with a part, in our words."""
    line = f"line {error.line}: " if error.line and "\n" in source else ""
    match error.kind:
        case "UndefinedError":
            unknown = _unknown(source)
            if unknown:
                return Problem(where, f"a template with no other fields than {', '.join(FIELDS)}", ", ".join(unknown))
            return Problem(where, "a template whose fields are there", f"{line}a field that is not there")
        case "OutOfFuel":
            return Problem(where, "a template that does little work", f"{line}one that goes on and on")
        case _:
            return Problem(where, "a template that can be read", one_line(f"{line}{error.detail or error}", 160))


def _unknown(source: str) -> list[str]:
    """The fields it names that there are not."""
    named = _environment().undeclared_variables_in_str(source, nested=True)
    known = {*FIELDS, "monitor", "incident"}
    return sorted(name for name in named if name not in known and not name.startswith("items"))[:5]


def _clean(text: str) -> str:
    return "".join(c if c.isprintable() or c in "\n\t" else " " for c in text.replace("\r\n", "\n")).strip()
