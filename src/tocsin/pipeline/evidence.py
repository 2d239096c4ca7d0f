"""What was seen when an incident opened: small, and never a credential of ours."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from typing import Any, cast

from tocsin.core.consensus import Verdict
from tocsin.core.monitor import Monitor
from tocsin.core.result import CheckResult, assertion_json, iso, outcome_json

EXCERPT = 1024
_HIDDEN = "***"
_KEEPERS = ("cookie", "auth", "token", "secret", "password", "key", "signature")
"""Header and field names with one of these in them hold credentials."""
_PLAIN = frozenset({"url", "host", "method", "record_type", "server", "expect"})


def evidence(monitor: Monitor, verdict: Verdict, last: Mapping[str, CheckResult]) -> dict[str, Any]:
    """The redacted exchange of the latest failing result, and what every location saw."""
    failing = [r for r in last.values() if r.status == "down"] or list(last.values())
    shown: dict[str, Any] = {
        "verdict": {"value": verdict.value, "n": verdict.n, "k": verdict.k, "d": verdict.d, "u": verdict.u},
        "locations": [_seen(place, last.get(place), verdict) for place in sorted({v.location for v in verdict.votes})],
    }
    if failing:
        shown |= _exchange(monitor, max(failing, key=lambda r: (r.scheduled_at, r.attempt)))
    return shown


def _seen(place: str, result: CheckResult | None, verdict: Verdict) -> dict[str, Any]:
    vote = next((v for v in verdict.votes if v.location == place), None)
    error = result.outcome.error if result is not None else vote.reason if vote is not None else None
    return {
        "location": place,
        "vote": None if vote is None else vote.vote,
        "status": None if result is None else result.status,
        "at": iso(result.scheduled_at if result is not None else vote.at if vote is not None else None),
        "error": None if error is None else {"type": error.type, "message": error.message, "phase": error.phase},
    }


def _exchange(monitor: Monitor, result: CheckResult) -> dict[str, Any]:
    outcome, seen = result.outcome, result.outcome.seen
    plain = outcome_json(outcome)
    secrets = sorted(set(_secrets(monitor.target)), key=len, reverse=True)
    request: dict[str, Any] = {"type": outcome.type, "target": outcome.target, "method": monitor.target.get("method")}
    headers = monitor.target.get("headers")
    if isinstance(headers, dict):
        request["headers"] = dict.fromkeys(cast("dict[str, Any]", headers), _HIDDEN)
    response = {
        "status_code": seen.status_code,
        "headers": {name: _HIDDEN if _holds(name) else _clean(value, secrets) for name, value in seen.headers[:40]},
        "body": _clean(seen.body[: 4 * EXCERPT].decode("utf-8", "replace"), secrets)[:EXCERPT],
        "body_bytes": seen.body_bytes,
    }
    return {
        "location": result.location,
        "at": iso(outcome.started_at),
        "request": request,
        "response": response,
        "error": plain["error"],
        "timing_ms": plain["timing_ms"],
        "ip": seen.ip,
        "tls": plain["tls"],
        "assertions": [assertion_json(a) for a in outcome.assertions if not a.ok],
    }


def _holds(name: str) -> bool:
    return any(word in name.lower() for word in _KEEPERS)


def _secrets(value: Any, hidden: bool = False) -> Iterator[str]:
    """Every text of a target that might be a credential, also as it looks on the wire (an echoing server shows it)."""
    if isinstance(value, str):
        if hidden and len(value) >= 4:
            yield value
            yield base64.b64encode(value.encode()).decode()
            yield from (part for part in value.split() if len(part) >= 8)
    elif isinstance(value, dict):
        fields = cast("dict[str, Any]", value)
        for name, inner in fields.items():
            yield from _secrets(inner, hidden or (name not in _PLAIN and (_holds(name) or name in ("headers", "body"))))
        user, password = fields.get("user") or fields.get("username"), fields.get("password")
        if isinstance(user, str) and isinstance(password, str):
            yield base64.b64encode(f"{user}:{password}".encode()).decode()
    elif isinstance(value, (list, tuple)):
        for inner in cast("list[Any]", value):
            yield from _secrets(inner, hidden)


def _clean(text: str, secrets: list[str]) -> str:
    for secret in secrets:
        text = text.replace(secret, _HIDDEN)
    return text
