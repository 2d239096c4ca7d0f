"""How long to wait before a message is tried again."""

from __future__ import annotations

import hashlib

FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 300.0


def backoff_s(key: str, attempts: int) -> float:
    """How long to wait after so many failed attempts before this one: 1 s doubled each time up to 5 min, with jitter
    that is a hash of the key (so that a test can know it)."""
    span = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** min(attempts, 20))
    share = int.from_bytes(hashlib.blake2b(f"{key}\n{attempts}".encode(), digest_size=4).digest()) / 2**32
    return span * (0.75 + 0.25 * share)
