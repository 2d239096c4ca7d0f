"""The phases of a check as a bar: DNS, connect, TLS, wait, transfer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

_NAMES = (("dns", "DNS"), ("connect", "connect"), ("tls", "TLS"), ("ttfb", "wait"), ("transfer", "transfer"))


@dataclass(frozen=True, slots=True)
class Phase:
    """One stretch of the bar, in thousandths of its width; `shade` is its ink, 1 to 5."""

    name: str
    ms: float
    shade: int
    x: float
    width: float


def of(timing: Mapping[str, float | None], scale: float | None = None) -> tuple[Phase, ...]:
    """The phases that happened, to scale (`scale` ms is the whole width; None: their sum)."""
    parts = [
        (word, value, n)
        for n, (name, word) in enumerate(_NAMES, 1)
        if isinstance(value := timing.get(name), (int, float))
    ]
    whole = scale or sum(value for _, value, _ in parts) or 1.0
    made, x = list[Phase](), 0.0
    for word, value, n in parts:
        width = max(2.0, min(1000.0 - x, 1000 * value / whole))
        made.append(Phase(word, value, n, round(x, 1), round(width, 1)))
        x += width + 2
    return tuple(made)
