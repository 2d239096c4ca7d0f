"""Fitting text into what a channel takes: what the notifiers with limits share."""

from __future__ import annotations

from collections.abc import Callable


def fitted(text: str, limit: int, escape: Callable[[str], str], length: Callable[[str], int] = len) -> str:
    """The escaped text, cut before an escape and with "…" where it would be longer than `limit` as `length` counts."""
    made = escape(text)
    if length(made) <= limit:
        return made
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if length(escape(text[:middle])) < limit else (low, middle - 1)
    return escape(text[:low]) + "…"
