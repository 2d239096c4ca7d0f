"""What HTTP can say in the name and in the value of a header (RFC 9110, section 5)."""

from __future__ import annotations

import re

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f]*")


def is_name(text: str) -> bool:
    """Whether a header may be called so."""
    return _TOKEN.fullmatch(text) is not None


def is_value(text: str) -> bool:
    """Whether it may stand as the value of a header: one line."""
    return _VALUE.fullmatch(text) is not None
