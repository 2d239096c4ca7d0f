"""What a look at a SQL database takes from an answer, whichever the protocol."""

from __future__ import annotations

from dataclasses import dataclass

MOST_ROWS = 1000
MOST_BYTES = 4 << 20
LARGEST = 1 << 20
"""Bytes of one message."""
MOST_MESSAGES = 10_000


@dataclass(frozen=True, slots=True)
class Rows:
    """What a statement gave: how many rows (MOST_ROWS at most), and the first column of the first one (None: NULL)."""

    count: int
    first: str | None = None
