"""Names of series that are made at every look: kept, so that each is written once."""

from __future__ import annotations

from functools import lru_cache

from tocsin.core.sample import series


@lru_cache(4096)
def labelled(metric: str, label: str, value: str) -> str:
    """The name of a series with one label. Raises ValueError as `series` does."""
    return series(metric, **{label: value})
