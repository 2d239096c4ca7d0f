"""The epochs of a cluster: who led in each, since when, and why it changed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

Cause = Literal["first", "handed", "elected", "forced"]
HANDED, FORCED, ELECTED = "it was handed the office", "it was promoted by force", "a majority voted for it"
"""Why somebody came into office, as `core.failover` says it."""
KEPT = 50


class Epoch(Struct, frozen=True, kw_only=True):
    """One primary's time. `cause`: it began the cluster, was handed the office, was elected since the one before was not
    heard (for `unheard_s` seconds), or was promoted by force; `by` whoever asked for that. `since` is by the clock of
    whoever led, which may be another than the next one's: for how long the one before led (`before_s`) is measured by
    this one alone. None: it was not there for all of it."""

    epoch: int
    id: str
    name: str
    since: datetime
    cause: Cause
    by: str = ""
    unheard_s: float = 0.0
    before_s: float | None = None


class Asked(Struct, frozen=True, kw_only=True):
    """Somebody asked the primary to hand over, and that did not fail."""

    at: datetime
    by: str


class Epochs(Struct, frozen=True, kw_only=True):
    """What is kept of them, the latest last; `asked`: what is under way."""

    past: tuple[Epoch, ...] = ()
    asked: Asked | None = None


def cause_of(why: str, epoch: int) -> Cause:
    """Why an epoch began, by what was said of it; the first one begins a cluster."""
    if why == FORCED:
        return "forced"
    if why == HANDED:
        return "handed"
    return "first" if epoch == 1 else "elected"


def begun(known: Epochs, new: Epoch) -> Epochs:
    """What is kept once this epoch began: a hand-over is by whoever asked the primary before it. One that is there already
    stays as it is."""
    if known.past and known.past[-1].epoch >= new.epoch:
        return known
    if new.cause == "handed" and known.asked is not None:
        new = replace(new, by=known.asked.by)
    return Epochs(past=(*known.past, new)[-KEPT:])


def lasted(past: Sequence[Epoch]) -> list[float | None]:
    """For how many seconds each of these lasted; None for the last one, which lasts."""
    nexts = past[1:]
    return [
        max(0.0, (after.since - one.since).total_seconds()) if after.before_s is None else after.before_s
        for one, after in zip(past, nexts, strict=False)
    ] + [None] * bool(past)
