"""When a series will pass a limit, if it goes on as it went: a straight line through its last hours. Pure.

The line is the median of the slopes between all pairs of points (Theil and Sen), so that a few odd values do not turn it.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

FROM_S = 6 * 3600
"""The hours that it is told from."""
_MOST, _FEWEST = 60, 6
SPAN_S = 3600.0
"""What was seen for less than that tells nothing of the future."""
FAR = 20
"""Of what lies further off than so many times as long as it was seen, nothing is told: of six hours, five days."""
FAR_S = 30 * 86_400.0
"""What is further off than this is not told."""


def full_in_s(points: Sequence[tuple[float, float]], limit: float = 100.0) -> float | None:
    """In how many seconds after the last of the points (second, value) the limit is reached; None when it is not going
    there, when that is far off, or when there is too little to tell. 0 when it is reached already."""
    if points and points[-1][1] >= limit:
        return 0.0
    if not is_enough(points):
        return None
    some = [points[round(i * (len(points) - 1) / (_MOST - 1))] for i in range(_MOST)] if len(points) > _MOST else points
    slopes = [
        (v - u) / (t - s) for i, (s, u) in enumerate(some) for t, v in some[i + 1 :] if t > s
    ]  # fmt: skip
    if not slopes:
        return None
    slope = median(slopes)
    if slope <= 0:
        return None
    last = points[-1][0]
    now = median(v + slope * (last - t) for t, v in some)
    left = max(0.0, limit - now) / slope
    return left if left <= min(FAR_S, FAR * (last - points[0][0])) else None


def is_enough(points: Sequence[tuple[float, float]]) -> bool:
    """Whether anything can be told from them: some, and over an hour at least."""
    return len(points) >= _FEWEST and points[-1][0] - points[0][0] >= SPAN_S


def in_words(seconds: float) -> str:
    """ "full in about 6 h": when that is so far off."""
    days = seconds / 86400
    if days >= 2:
        return f"full in about {days:.0f} days"
    if seconds >= 3600:
        return f"full in about {round(seconds / 3600)} h"
    return f"full in {max(1, int(seconds // 60))} min"
