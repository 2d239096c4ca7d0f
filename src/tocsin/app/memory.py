"""How a process that runs for long treats its memory."""

from __future__ import annotations

import gc


def settle_memory() -> None:
    """Move what lives to the end out of the collector's sight: shorter pauses, fewer pages touched. Then let it work: a
    start does without, as it makes much and drops little."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)
    gc.enable()
