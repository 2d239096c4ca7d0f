"""What was seen when an incident opened: small, and never a credential of ours."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any, cast

from tocsin.core.consensus import Verdict
from tocsin.core.monitor import Monitor
from tocsin.core.redaction import HIDDEN, credentials, holds_credential, without
from tocsin.core.result import CheckResult, assertion_json, iso, outcome_json

EXCERPT = 1024
PICTURE = 200 * 1024


def evidence(
    monitor: Monitor,
    verdict: Verdict,
    last: Mapping[str, CheckResult],
    good: Mapping[str, CheckResult] | None = None,
) -> dict[str, Any]:
    """The redacted exchange of the latest failing result, what every location saw, and what the same location had seen
    when it was last well (`good`: as far as that is known)."""
    failing = [r for r in last.values() if r.status == "down"] or list(last.values())
    shown: dict[str, Any] = {
        "verdict": {"value": verdict.value, "n": verdict.n, "k": verdict.k, "d": verdict.d, "u": verdict.u},
        "locations": [_seen(place, last.get(place), verdict) for place in sorted({v.location for v in verdict.votes})],
    }
    if failing:
        worst = max(failing, key=lambda r: (r.scheduled_at, r.attempt))
        shown |= _exchange(monitor, worst)
        if (before := (good or {}).get(worst.location)) is not None:
            shown["before"] = _before(before)
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


def _before(result: CheckResult) -> dict[str, Any]:
    seen = result.outcome.seen
    return {
        "at": iso(result.outcome.started_at),
        "status_code": seen.status_code,
        "ip": seen.ip,
        "fingerprint_sha256": None if seen.tls is None else seen.tls.fingerprint_sha256,
    }


def _exchange(monitor: Monitor, result: CheckResult) -> dict[str, Any]:
    outcome, seen = result.outcome, result.outcome.seen
    plain = outcome_json(outcome)
    secrets = credentials(monitor.target)
    request: dict[str, Any] = {"type": outcome.type, "target": outcome.target, "method": monitor.target.get("method")}
    headers = monitor.target.get("headers")
    if isinstance(headers, dict):
        request["headers"] = dict.fromkeys(cast("dict[str, Any]", headers), HIDDEN)
    response = {
        "status_code": seen.status_code,
        "headers": {
            name: HIDDEN if holds_credential(name) else without(value, secrets) for name, value in seen.headers[:40]
        },
        "body": without(seen.body[: 4 * EXCERPT].decode("utf-8", "replace"), secrets)[:EXCERPT],
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
        "facts": plain["facts"],
    } | ({"picture": base64.b64encode(seen.picture).decode()} if 0 < len(seen.picture) <= PICTURE else {})
