"""What is never shown, stored or sent on: which names hold a credential, and how one is taken out of a text."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Sequence
from typing import Any, cast

HIDDEN = "***"
"""What stands in the place of a credential."""
_NAMES = re.compile(
    r"auth|cookie|token|secret|session|passw|passphrase|key|signature|credential|community", re.IGNORECASE
)
_PLAIN = frozenset({"url", "host", "method", "record_type", "server", "expect"})
"""Fields of a target that are shown to people as they are."""


def holds_credential(name: str) -> bool:
    """Whether a header, field or parameter of this name may hold a credential; rather one too many."""
    return _NAMES.search(name) is not None


def credentials(target: Any) -> list[str]:
    """Every text of a target that might be a credential, the longest first; also as it looks on the wire, since an
    echoing server shows it."""
    return sorted(set(_credentials(target, hidden=False)), key=len, reverse=True)


def without(text: str, secrets: Sequence[str]) -> str:
    """The text with *** in the place of each of these."""
    for secret in secrets:
        text = text.replace(secret, HIDDEN)
    return text


def _credentials(value: Any, *, hidden: bool) -> Iterator[str]:
    if isinstance(value, str):
        if hidden and len(value) >= 4:
            yield value
            yield base64.b64encode(value.encode()).decode()
            yield from (part for part in value.split() if len(part) >= 8)
    elif isinstance(value, dict):
        fields = cast("dict[str, Any]", value)
        for name, inner in fields.items():
            secret = name not in _PLAIN and (holds_credential(name) or name in ("headers", "body"))
            yield from _credentials(inner, hidden=hidden or secret)
        user, password = fields.get("user") or fields.get("username"), fields.get("password")
        if isinstance(user, str) and isinstance(password, str):
            yield base64.b64encode(f"{user}:{password}".encode()).decode()
    elif isinstance(value, (list, tuple)):
        for inner in cast("list[Any]", value):
            yield from _credentials(inner, hidden=hidden)
