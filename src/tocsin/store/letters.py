"""Results as letters, one a slot: what lists of checks show."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from tocsin.core.result import STATUSES, Status

_ALONE = "usd."
"""The letter of a slot with one result, by its status."""


def letters(rows: Sequence[tuple[Any, ...]], n: int) -> str:
    """The last `n` slots of these rows (at, location, attempt, flags), oldest first; of several attempts the last counts."""
    if len({row[0] for row in rows}) == len(rows):  # one location, no repeats: nearly all monitors
        return "".join([_ALONE[row[3] & 3] for row in sorted(rows)[-n:]])
    last = {row[:2]: row[3] for row in sorted(rows)}  # of several attempts the last
    seen: dict[int, int] = {}
    for (at, _), flags in last.items():
        seen[at] = seen.get(at, 0) | 1 << (flags & 3)
    return "".join([_TOGETHER[seen[at]] for at in list(seen)[-n:]])


def letter(statuses: Iterable[Status]) -> str:
    """What the locations saw in one slot: u up, s degraded, p some down, d down, `.` not judged."""
    seen = set(statuses) - {"invalid"}
    if not seen:
        return "."
    if "down" in seen:
        return "d" if seen == {"down"} else "p"
    return "s" if "degraded" in seen else "u"


_TOGETHER = [letter([STATUSES[n] for n in range(4) if mask >> n & 1]) for mask in range(16)]
"""The letter of a slot by the statuses that were seen in it, a bit each."""
