"""How a process that runs for long treats its memory."""

from __future__ import annotations

import gc
from contextlib import suppress


def settle_memory() -> None:
    """Move what lives to the end out of the collector's sight: shorter pauses, fewer pages touched. Then let it work: a
    start does without, as it makes much and drops little."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)
    gc.enable()


def share_heaps() -> None:
    """Let all threads allocate from two heaps. glibc gives each thread one of its own, and what one of them once needed (for
    a large page, a large answer) stays with it: a tenth of the memory of a server that was used."""
    import ctypes

    arena_max = -8  # M_ARENA_MAX of <malloc.h>
    with suppress(OSError, AttributeError):  # another C library: it has no such thing
        ctypes.CDLL(None).mallopt(arena_max, 2)
