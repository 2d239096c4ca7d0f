"""Errors as application/problem+json (RFC 9457): {type, title, status, detail, errors[]}."""

from __future__ import annotations

import math
from http import HTTPStatus
from typing import Any

import msgspec

from tocsin.agent.wire import CAUSE_OFF
from tocsin.core.limits import TooMany
from tocsin.errors import (
    Conflict,
    Denied,
    EgressRefused,
    Invalid,
    NotFound,
    NotPrimary,
    Problem,
    StoreUnavailable,
    SwitchedOff,
)
from tocsin.web.call import Reply


class Refused(Exception):
    """A request that is answered with a status of its own: 405, 408, 413, 415 …"""

    def __init__(
        self, status: int, detail: str, *, headers: dict[str, str] | None = None, problems: tuple[Problem, ...] = ()
    ) -> None:
        super().__init__(detail)
        self.status, self.detail, self.headers, self.problems = status, detail, headers or {}, problems


def problem(
    status: int, detail: str, errors: tuple[Problem, ...] = (), headers: dict[str, str] | None = None, **more: Any
) -> Reply:
    """A problem+json answer, with `more` of our own in it."""
    shown: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "errors": [{"field": p.field, "expected": p.expected, "found": p.found} for p in errors],
        **more,
    }
    return Reply(
        status=status, content=msgspec.json.encode(shown), media_type="application/problem+json", headers=headers or {}
    )


def problem_of(error: Exception) -> Reply | None:
    """The answer to an error of ours, None when it is a bug."""
    match error:
        case Refused():
            return problem(error.status, error.detail, error.problems, headers=error.headers)
        case Invalid():
            return problem(422, "; ".join(str(p) for p in error.problems[:5])[:2000], error.problems)
        case NotFound():
            return problem(404, str(error) or "there is no such thing in this workspace")
        case Conflict():
            return problem(409, str(error))
        case Denied(authenticated=False):
            return problem(401, str(error), headers={"www-authenticate": 'Bearer realm="tocsin"'})
        case SwitchedOff():
            return problem(403, str(error), cause=CAUSE_OFF)
        case Denied():
            return problem(403, str(error))
        case EgressRefused():
            return problem(422, str(error))
        case TooMany():
            wait = str(max(1, math.ceil(error.retry_after_s)))
            return problem(429, f"{error.detail}; try again in {wait} s", headers={"retry-after": wait})
        case NotPrimary():
            wait = str(max(1, math.ceil(error.retry_after_s)))
            return problem(409, _elsewhere(error), headers={"retry-after": wait}, primary=error.primary)
        case StoreUnavailable():
            return problem(503, str(error), headers={"retry-after": str(max(1, math.ceil(error.retry_after_s)))})
        case _:
            return None


def _elsewhere(error: NotPrimary) -> str:
    """What is said to who writes here while another instance leads, or nobody."""
    if error.in_doubt:
        return (
            "this instance stopped being the primary meanwhile: the change may hold or not, look before you repeat it"
        )
    if error.primary:
        return f"this instance only follows: change it at the primary, {error.primary}"
    return "there is no primary just now, so nothing can be changed; what is seen here may be a little old"
