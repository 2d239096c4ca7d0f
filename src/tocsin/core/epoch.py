"""The epochs of a cluster: who led in each, since when, and why it changed."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

Cause = Literal["first", "handed", "elected", "forced"]
HANDED, FORCED, ELECTED = "it was handed the office", "it was promoted by force", "a majority voted for it"
"""Why somebody came into office, as `core.failover` says it."""
KEPT = 50
ASKED_S = 60.0
"""A hand-over is by whoever asked for it not longer ago than this."""


class Epoch(Struct, frozen=True, kw_only=True):
    """One primary's time. `cause`: it began the cluster, was handed the office, was elected since the one before was not
    heard (for `unheard_s` seconds), or was promoted by force; `by` whoever asked for that."""

    epoch: int
    id: str
    name: str
    since: datetime
    cause: Cause
    by: str = ""
    unheard_s: float = 0.0


class Asked(Struct, frozen=True, kw_only=True):
    """Somebody asked the primary to hand over."""

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
    """What is kept once this epoch began: a hand-over is by whoever asked the primary just before. One that is there
    already stays as it is."""
    if known.past and known.past[-1].epoch >= new.epoch:
        return known
    asked = known.asked
    if new.cause == "handed" and asked is not None and new.since - asked.at < timedelta(seconds=ASKED_S):
        new = replace(new, by=asked.by)
    return Epochs(past=(*known.past, new)[-KEPT:])
