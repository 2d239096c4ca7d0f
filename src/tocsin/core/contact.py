"""When somebody who should be heard of is silent: judged by when we heard, on our own clock, never by what they wrote."""

from __future__ import annotations


def silent_at(heard_at: float | None, watching_since: float, timeout_s: float) -> float:
    """When the silence of an agent or instance will have lasted `timeout_s`. Who took over, or just started, gives everybody
    one whole timeout: what was heard before, somebody else heard."""
    return max(heard_at if heard_at is not None else watching_since, watching_since) + timeout_s
