"""Durations as people write them in files: `30s`, `5m`, `1h30m`, `500ms`. Pure."""

from __future__ import annotations

import math
import re

SAYS = "a duration such as 30s, 5m or 1h30m"
_UNITS = {"ms": 0.001, "s": 1.0, "sec": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86_400.0}
_PART = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)\s*(ms|sec|s|min|m|h|d)\s*")


def seconds(value: object) -> float | None:
    """The seconds that a text, or a plain number of seconds, says; None when it says none."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return float(value) if 0 <= value < 1e9 and math.isfinite(value) else None
    if not isinstance(value, str) or len(value) > 60:
        return None
    text, at, total = value.strip(), 0, 0.0
    for part in _PART.finditer(text):
        if part.start() != at:
            return None
        total += float(part[1]) * _UNITS[part[2]]
        at = part.end()
    return total if text and at == len(text) else None


def written(seconds_: float) -> str:
    """The shortest way to write so many seconds in such a file."""
    for unit in ("d", "h", "m", "s"):
        count = seconds_ / _UNITS[unit]
        if count >= 1 and count == int(count):
            return f"{int(count)}{unit}"
    return f"{seconds_:g}s"
