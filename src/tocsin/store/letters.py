"""Results as letters, one a slot: what lists of checks show."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from tocsin.core.result import Status
from tocsin.store.packing import status_of

_ALONE = "usd."
"""The letter of a slot with one result, by its status."""


def letters(rows: Sequence[tuple[Any, ...]], n: int) -> str:
    """The last `n` slots of these rows (at, location, attempt, flags), oldest first; of several attempts the last counts."""
    if len({row[0] for row in rows}) == len(rows):  # one location, no repeats: nearly all monitors
        return "".join([_ALONE[row[3] & 3] for row in sorted(rows)[-n:]])
    slots: dict[int, dict[int, tuple[int, int]]] = {}
    for at, location, attempt, flags in rows:
        votes = slots.setdefault(at, {})
        if location not in votes or votes[location][0] < attempt:
            votes[location] = attempt, flags
    return "".join(letter(status_of(flags) for _, flags in slots[at].values()) for at in sorted(slots)[-n:])


def letter(statuses: Iterable[Status]) -> str:
    """What the locations saw in one slot: u up, s degraded, p some down, d down, `.` not judged."""
    seen = set(statuses) - {"invalid"}
    if not seen:
        return "."
    if "down" in seen:
        return "d" if seen == {"down"} else "p"
    return "s" if "degraded" in seen else "u"
