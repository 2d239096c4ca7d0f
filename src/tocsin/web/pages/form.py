"""Forms made from a type: its fields as inputs, and what was typed in them as plain data again.

Nothing is judged here: text that is no number stays text, so that the one strict reader says what is wrong with it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tocsin.core.plain import as_list, as_map
from tocsin.core.shape import HIDDEN_TEXT, FieldShape, dump

_WHOLE, _NUMBER = re.compile(r"-?\d{1,18}"), re.compile(r"-?\d{1,15}(\.\d{1,15})?")
_WORDS = {
    "account_sid": "Account SID",
    "api_key": "API key",
    "auth": "Authentication",
    "auth_source": "Database of the user",
    "authenticated": "Validated by DNSSEC",
    "ca_file": "Trusted authorities",
    "base_url": "Server (URL)",
    "chat_id": "Chat",
    "client_cert": "Client certificate",
    "client_id": "Client ID",
    "client_key": "Key of the client certificate",
    "cleartext_password": "Password in the clear",
    "cors_origin": "CORS origin",
    "credentials_in": "Credentials go in the",
    "expect_mode": "How it is compared",
    "grace_s": "Grace time (s)",
    "helo": "Name in EHLO",
    "http_version": "HTTP version",
    "id": "ID",
    "ip_version": "IP version",
    "max_body": "Most of the body (bytes)",
    "max_lag": "Largest lag (records)",
    "max_loss_percent": "Largest loss (%)",
    "max_messages": "Most messages",
    "max_redirects": "Most redirects",
    "max_run_s": "Longest run (s)",
    "min_consumers": "Fewest consumers",
    "min_entries": "Fewest entries",
    "min_serial": "Oldest serial",
    "mqtt_version": "MQTT version",
    "oid": "Object (OID)",
    "qos": "Quality of service (QoS)",
    "rcode": "Response code",
    "resolve": "Addresses of names",
    "server_name": "Server name in TLS",
    "size": "Size (bytes)",
    "smtp_url": "Mail server (URL)",
    "starttls": "STARTTLS",
    "timezone": "Time zone",
    "tls": "TLS",
    "token_url": "Address of the token's server (URL)",
    "url": "Address (URL)",
    "username": "User name",
    "verify_tls": "Verify the certificate",
    "vhost": "Virtual host",
}
_UNITS = {"_ms": " (ms)", "_s": " (s)"}


@dataclass(frozen=True, slots=True)
class Input:
    """One field of a form. `control`: text, area, number, password, check, select, lines, pairs or json; `lines` has one
    entry a line, `pairs` one `Name: value` a line. `front`: shown at once, not under More."""

    name: str
    label: str
    control: str
    value: str
    required: bool
    hint: str
    choices: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None
    error: str = ""
    optional: bool = False
    example: str = ""
    front: bool = False


def inputs(
    shapes: Sequence[FieldShape], values: Mapping[str, Any], prefix: str, errors: Mapping[str, str]
) -> list[Input]:
    """The inputs of a type's fields. `values` is plain data as `read_back` gives it; `errors` by field path."""
    made: list[Input] = []
    for shape in shapes:
        name = prefix + shape.name
        value = values[shape.name] if shape.name in values else dump(shape.default)
        control = _control(shape)
        made.append(
            Input(
                name=name,
                label=label(shape.name),
                control=control,
                value=_shown(control, value),
                required=shape.required,
                hint=_hint(shape, control),
                choices=tuple(str(c) for c in shape.marks.choices),
                low=shape.marks.low,
                high=shape.marks.high,
                error=_error(shape, control, value, prefix, errors),
                optional=shape.optional,
                example=shape.marks.example,
                front=shape.required or shape.marks.front,
            )
        )
    return made


def _error(shape: FieldShape, control: str, value: Any, prefix: str, errors: Mapping[str, str]) -> str:
    """What is wrong with a field and, by their paths, with what is inside it; where JSON breaks off, when it is none."""
    name = prefix + shape.name
    told = [t if path == name else f"{path.removeprefix(prefix)}: {t}" for path, t in errors.items() if _in(path, name)]
    if told and control == "json" and isinstance(value, str):
        try:
            json.loads(value)
        except json.JSONDecodeError as error:
            return f"Not JSON: line {error.lineno}, column {error.colno}: {error.msg}."
        except RecursionError:
            return "Not JSON that can be read: it is nested too deep."
    return " ".join(told[:5])


def _in(path: str, name: str) -> bool:
    return path == name or path.startswith((name + ".", name + "["))


def label(name: str) -> str:
    """A field's name as people read it."""
    if name in _WORDS:
        return _WORDS[name]
    end = next((e for e in _UNITS if name.endswith(e)), "")
    return name.removesuffix(end).replace("_", " ").capitalize() + _UNITS.get(end, "")


def _control(shape: FieldShape) -> str:
    match shape.kind:
        case "boolean":
            return "check"
        case "integer" | "number":
            return "number"
        case "choice":
            return "select"
        case "text":
            return "area" if shape.marks.long else "password" if shape.marks.hidden else "text"
        case "list" if shape.item is not None and shape.item.kind in ("text", "choice", "integer"):
            return "lines"
        case "map" if shape.item is not None and shape.item.kind == "text":
            return "pairs"
        case "union" if shape.marks.hidden:
            return "password"
        case "union" if "text" in shape.options and not {"object", "map"} & set(shape.options):
            return "text"
        case _:
            return "json"


def _hint(shape: FieldShape, control: str) -> str:
    help_ = shape.help[:1].upper() + shape.help[1:]
    how = {"lines": "One a line.", "pairs": "One a line, as Name: value.", "json": "As JSON."}.get(control, "")
    said = "" if help_ == label(shape.name) else help_
    return " ".join(t if t.endswith("…") else f"{t.rstrip('.')}." for t in (said, how) if t)


def _shown(control: str, value: Any) -> str:
    if value is None or value == () or value == "":
        return ""
    if control == "check":
        return "1" if value is True else ""
    if isinstance(value, str):
        return value
    items, entries = as_list(value), as_map(value)
    if control == "text" and items is not None:
        return ", ".join(str(v) for v in items)
    if control == "lines" and items is not None:
        return "\n".join(str(v) for v in items)
    if control == "pairs" and entries is not None:
        return "\n".join(f"{k}: {v}" for k, v in entries.items())
    if control == "number" and isinstance(value, (int, float)):
        return str(value) if isinstance(value, int) else f"{value:.15g}"
    return "" if value in ({}, []) else json.dumps(value, ensure_ascii=False, indent=1)


def read_back(shapes: Sequence[FieldShape], given: Mapping[str, str], prefix: str) -> dict[str, Any]:
    """Plain data of what was typed. A field left empty has its default; one that must be there is empty."""
    data: dict[str, Any] = {}
    for shape in shapes:
        name, control = prefix + shape.name, _control(shape)
        text = given.get(name, "")
        if control == "check":
            data[shape.name] = bool(text)
        elif shape.marks.hidden and text.strip() == HIDDEN_TEXT:
            data[shape.name] = HIDDEN_TEXT
        elif text.strip() == "" and not (shape.required and control in ("text", "area")):
            if not shape.required:
                data[shape.name] = dump(shape.default)
            else:
                data[shape.name] = "" if control not in ("lines", "pairs") else [] if control == "lines" else {}
        else:
            data[shape.name] = _plain(shape, control, text)
    return data


def kept(before: Sequence[FieldShape], after: Sequence[FieldShape], values: Mapping[str, Any]) -> dict[str, Any]:
    """What of the values of one type's fields another type's form may go on with: fields of the same name and control that
    were changed by hand, choices only where there are the same ones."""
    old = {shape.name: shape for shape in before}
    made: dict[str, Any] = {}
    for shape in after:
        was = old.get(shape.name)
        if was is None or shape.name not in values or _control(was) != _control(shape):
            continue
        value = values[shape.name]
        if value != dump(was.default) and (not shape.marks.choices or value in shape.marks.choices):
            made[shape.name] = value
    return made


def _plain(shape: FieldShape, control: str, text: str) -> Any:
    if control == "number":
        return number(text)
    if control == "select":
        return next((c for c in shape.marks.choices if str(c) == text), text)
    if control == "lines":
        item = shape.item.marks if shape.item is not None else shape.marks
        if item.max_length is not None and item.min_length == 0:  # entries may be empty, and blanks count
            return text.replace("\r\n", "\n").rstrip("\n").split("\n")
        whole = shape.item is not None and shape.item.kind == "integer"
        return [number(line) if whole else line for line in _lines(text)]
    if control == "pairs":
        split = [line.partition(":") for line in _lines(text)]
        return {k.strip(): v.strip() for k, _, v in split}
    if control == "json":
        return loosely(text)
    return text.replace("\r\n", "\n") if control == "area" else text.strip()


def number(text: str) -> Any:
    """A number when it is one, else the text as it is."""
    text = text.strip().replace(",", ".") if text.count(",") == 1 and "." not in text else text.strip()
    if _WHOLE.fullmatch(text):
        return int(text)
    return float(text) if _NUMBER.fullmatch(text) else text


def loosely(text: str) -> Any:
    """JSON when it is JSON, else the text."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]
