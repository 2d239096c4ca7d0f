"""A latency sketch that merges by adding: log-spaced buckets, percentiles within 2 %."""

from __future__ import annotations

from collections.abc import Mapping


def bucket(ms: float) -> int:
    """The bucket of a value in ms (0 for anything under 0.01 ms)."""
    raise NotImplementedError


def add(buckets: dict[int, int], ms: float) -> None:
    """Count one value."""
    raise NotImplementedError


def merge(into: dict[int, int], other: Mapping[int, int]) -> None:
    """Add all of `other`'s counts."""
    raise NotImplementedError


def quantile(buckets: Mapping[int, int], q: float) -> float | None:
    """The q-quantile (0..1) in ms within 2 %, or None when empty."""
    raise NotImplementedError


def encode(buckets: Mapping[int, int]) -> bytes:
    """A compact form for the store (varints of gaps and counts)."""
    raise NotImplementedError


def decode(data: bytes) -> dict[int, int]:
    """The buckets of `encode`."""
    raise NotImplementedError
