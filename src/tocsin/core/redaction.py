"""What is never shown, stored or sent on: which names hold a credential, and how one is taken out of a text."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Sequence
from typing import Any, cast
from urllib.parse import unquote_plus

from msgspec.structs import replace

from tocsin.core.result import Outcome

HIDDEN = "***"
"""What stands in the place of a credential."""
_CUT = "…"
_SHORTEST = 4
_NO_WORD = 12
"""So long a value in a query may be a credential whatever its name; shorter ones are words such as json."""
_NAMES = re.compile(
    r"auth|cookie|token|secret|session|passw|passphrase|key|signature|credential|community", re.IGNORECASE
)
_PLAIN = frozenset(
    {
        "url", "token_url", "host", "method", "record_type", "server", "expect", "auth_source", "key", "host_key",
        "host_key_type",
    }
)  # fmt: skip
"""Fields of a target that are shown to people as they are."""


def holds_credential(name: str) -> bool:
    """Whether a header, field or parameter of this name may hold a credential; rather one too many."""
    return _NAMES.search(name) is not None


def credentials(target: Any) -> list[str]:
    """Every text of a target that might be a credential, the longest first; also as it looks on the wire, since an
    echoing server shows it."""
    return sorted(set(_credentials(target, hidden=False)), key=len, reverse=True)


def without(text: str, secrets: Sequence[str]) -> str:
    """The text with *** in the place of each of these, also of one that was cut off (before "…")."""
    for secret in secrets:
        text = text.replace(secret, HIDDEN)
    if _CUT not in text or not secrets:
        return text
    first, *rest = text.split(_CUT)
    for part in rest:
        first = _without_end(first, secrets) + _CUT + part
    return first


def redacted(outcome: Outcome, secrets: Sequence[str]) -> Outcome:
    """The outcome as it may be kept and shown: what an echoing target gave back of our credentials is ***, in the error,
    the assertions, the headers and the facts. (Its body is kept only as evidence, which does the same.)"""
    if not secrets:
        return outcome
    error, seen = outcome.error, outcome.seen
    return replace(
        outcome,
        error=None if error is None else replace(error, message=without(error.message, secrets)),
        assertions=tuple([replace(a, actual=_clean(a.actual, secrets)) for a in outcome.assertions]),
        seen=replace(
            seen,
            headers=tuple([(name, without(value, secrets)) for name, value in seen.headers]),
            facts=_clean(seen.facts, secrets) if seen.facts else seen.facts,
            degraded=None
            if seen.degraded is None
            else replace(seen.degraded, message=without(seen.degraded.message, secrets)),
        ),
    )


def _clean(value: Any, secrets: Sequence[str]) -> Any:
    if isinstance(value, str):
        return without(value, secrets)
    if isinstance(value, dict):
        return {key: _clean(inner, secrets) for key, inner in cast("dict[Any, Any]", value).items()}
    if isinstance(value, (list, tuple)):
        return [_clean(inner, secrets) for inner in cast("list[Any]", value)]
    return value


def _without_end(text: str, secrets: Sequence[str]) -> str:
    """The text without the beginning of one of these at its end."""
    for secret in secrets:
        for length in range(min(len(secret) - 1, len(text)), _SHORTEST - 1, -1):
            if text.endswith(secret[:length]):
                return text[:-length] + HIDDEN
    return text


def _credentials(value: Any, *, hidden: bool) -> Iterator[str]:
    if isinstance(value, str):
        if "://" in value and "?" in value:
            for part in value.partition("?")[2].partition("#")[0].split("&"):
                name, _, given = part.partition("=")
                least = _SHORTEST if holds_credential(name) else _NO_WORD
                yield from (text for text in {given, unquote_plus(given)} if len(text) >= least)
        if hidden and len(value) >= _SHORTEST:
            yield value
            yield base64.b64encode(value.encode()).decode()
            yield from (part for part in value.split() if len(part) >= 8)
    elif isinstance(value, dict):
        fields = cast("dict[str, Any]", value)
        for name, inner in fields.items():
            if (
                name == "capture" and not hidden and isinstance(inner, dict)
            ):  # where values are found, under names of the user's choice
                continue
            secret = name not in _PLAIN and (holds_credential(name) or name in ("headers", "body"))
            yield from _credentials(inner, hidden=hidden or secret)
        user, password = fields.get("user") or fields.get("username"), fields.get("password")
        if isinstance(user, str) and isinstance(password, str):
            yield base64.b64encode(f"{user}:{password}".encode()).decode()
    elif isinstance(value, (list, tuple)):
        for inner in cast("list[Any]", value):
            yield from _credentials(inner, hidden=hidden)
