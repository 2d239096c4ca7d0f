"""Assertions in a form: one row each, and rows as plain data again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tocsin.core.plain import as_list
from tocsin.web.call import Call
from tocsin.web.pages import form, view

TYPES = {
    "status_code": "Status code",
    "body": "Body",
    "header": "Header",
    "json_path": "Body, JSONPath",
    "json_schema": "Body, JSON Schema",
    "response_time_ms": "Total time, ms",
    "body_bytes": "Body size, bytes",
    "certificate_days": "Certificate, days left",
    "dns_answer": "DNS answer",
}
OPS = {
    "in": "is one of",
    "eq": "is",
    "ne": "is not",
    "contains": "contains",
    "not_contains": "does not contain",
    "matches": "matches",
    "not_matches": "does not match",
    "lt": "under",
    "lte": "at most",
    "gt": "over",
    "gte": "at least",
    "valid": "is valid for",
}
_NUMBERS = ("response_time_ms", "body_bytes", "certificate_days")


def rows(assertions: Sequence[Mapping[str, Any]], errors: Mapping[str, str]) -> list[dict[str, str]]:
    """Rows for the editor, each with its error."""
    made: list[dict[str, str]] = []
    for i, a in enumerate(assertions):
        prefix = f"assertions[{i}]"
        error = " ".join(text for path, text in errors.items() if path == prefix or path.startswith(prefix + "."))
        made.append(
            {
                "type": str(a.get("type", "")),
                "op": str(a.get("op", "")),
                "value": _shown(a.get("value")),
                "error": error,
                "of": str(a.get("name") or a.get("path") or ""),
                "on_fail": str(a.get("on_fail", "down")),
            }
        )
    return made


def _shown(value: Any) -> str:
    if value is None:
        return ""
    items = as_list(value)
    if items is not None and all(isinstance(v, (str, int)) for v in items):
        return ", ".join(str(v) for v in items)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def read_back(call: Call) -> list[dict[str, Any]]:
    """The assertions that were typed, rows left empty left out."""
    columns = [view.every(call, "assertion." + name) for name in ("type", "op", "of", "value", "on_fail")]
    made: list[dict[str, Any]] = []
    for type_, op, of, value, on_fail in zip(*columns, strict=False):
        if not type_ or (not value.strip() and not of.strip()):
            continue
        one: dict[str, Any] = {"type": type_, "op": op, "value": _plain(type_, op, value)}
        if type_ == "header":
            one["name"] = of.strip()
        elif type_ == "json_path":
            one["path"] = of.strip()
        if on_fail == "degrade":
            one["on_fail"] = "degrade"
        made.append(one)
    return made


def _plain(type_: str, op: str, text: str) -> Any:
    if type_ == "status_code":
        return [part.strip() for part in text.split(",") if part.strip()]
    if type_ in _NUMBERS:
        return form.number(text)
    if type_ == "json_schema":
        return form.loosely(text)
    if type_ == "json_path" and op not in ("contains", "matches"):
        return form.loosely(text)
    return text


def sentence(assertion: Mapping[str, Any]) -> str:
    """An assertion in words: "status is one of 200-299"."""
    type_, op = str(assertion.get("type", "")), str(assertion.get("op", ""))
    what = {
        "status_code": "the status",
        "body": "the body",
        "header": f"the header {assertion.get('name', '')}",
        "json_path": f"{assertion.get('path', '')}",
        "json_schema": "the body",
        "response_time_ms": "the total time",
        "body_bytes": "the body's size",
        "certificate_days": "days left of the certificate",
        "dns_answer": "the answer",
    }.get(type_, type_)
    unit = {"response_time_ms": " ms", "body_bytes": " bytes"}.get(type_, "")
    if type_ == "json_schema":
        return "the body is valid for the schema"
    return f"{what} {OPS.get(op, op)} {_shown(assertion.get('value'))}{unit}"
