"""A latency sketch that merges by adding: log-spaced buckets, percentiles within 2 %.

Bucket 0 holds everything under 0.01 ms. Bucket i ≥ 1 holds 0.01 × 1.04^(i-1) ≤ ms < 0.01 × 1.04^i and answers with the
point of it whose relative distance to both ends is the same: (1.04 - 1) / (1.04 + 1) = 1.96 %.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil, floor, log

_SMALLEST_MS = 0.01
_GROWTH = 1.04
_PER_LOG = 1 / log(_GROWTH)
_SHIFT = 1 - log(_SMALLEST_MS) * _PER_LOG
_MIDDLE = 2 / (1 + _GROWTH)


def bucket(ms: float) -> int:
    """The bucket of a finite value in ms (0 for anything under 0.01 ms)."""
    if ms < _SMALLEST_MS:
        return 0
    return floor(log(ms) * _PER_LOG + _SHIFT)


def add(buckets: dict[int, int], ms: float) -> None:
    """Count one value."""
    index = 0 if ms < _SMALLEST_MS else floor(log(ms) * _PER_LOG + _SHIFT)
    buckets[index] = buckets.get(index, 0) + 1


def merge(into: dict[int, int], other: Mapping[int, int]) -> None:
    """Add all of `other`'s counts."""
    for index, count in other.items():
        into[index] = into.get(index, 0) + count


def quantile(buckets: Mapping[int, int], q: float) -> float | None:
    """The q-quantile (0..1) in ms within 2 %, or None when empty.

    It is the nearest rank: the smallest value that at least q of all values do not exceed. Bucket 0 answers 0.0.
    """
    total = sum(buckets.values())
    if total <= 0:
        return None
    rank, seen = _rank(q, total), 0
    ordered = sorted(buckets)
    for index in ordered:
        seen += buckets[index]
        if seen > rank:
            return middle(index)
    return middle(ordered[-1])


def quantiles(buckets: Mapping[int, int], shares: Sequence[float]) -> list[float | None]:
    """Several quantiles at once, the shares ascending: each as `quantile` gives it."""
    total = sum(buckets.values())
    if total <= 0:
        return [None] * len(shares)
    found: list[float | None] = []
    seen, index, ordered = 0, 0, iter(sorted(buckets))
    for share in shares:
        rank = _rank(share, total)
        while seen <= rank:
            index = next(ordered)
            seen += buckets[index]
        found.append(middle(index))
    return found


def _rank(q: float, total: int) -> int:
    """The nearest rank, counted from 0 (0.95 × 20 is the 19th value, whatever the float makes of it)."""
    return min(total, max(1, ceil(q * total - 1e-9))) - 1


def middle(index: int) -> float:
    """What a bucket answers with, in ms."""
    return 0.0 if index == 0 else _SMALLEST_MS * _GROWTH**index * _MIDDLE
