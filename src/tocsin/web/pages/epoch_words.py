"""The epochs of a cluster for people: who led, for how long, and why it changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from tocsin.core import epoch
from tocsin.core.epoch import Epoch
from tocsin.web.pages import words

SHOWN = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Chapter:
    """One epoch as the page tells it; `lasted` is empty while it lasts."""

    epoch: int
    name: str
    since: datetime
    lasted: str
    why: str


def chapters(past: Sequence[Epoch]) -> list[Chapter]:
    """The latest of these epochs (the latest stands last), from the newest on."""
    made: list[Chapter] = []
    spans = epoch.lasted(past)
    for place in range(len(past) - 1, max(-1, len(past) - 1 - SHOWN), -1):
        one, before = past[place], past[place - 1] if place else None
        led_s = spans[place]
        lasted = "" if led_s is None else words.span(led_s)
        made.append(Chapter(epoch=one.epoch, name=one.name, since=one.since, lasted=lasted, why=_why(one, before)))
    return made


def _why(one: Epoch, before: Epoch | None) -> str:
    by = f" by {one.by}" if one.by else ""
    if one.cause == "first":
        return "It began the cluster"
    if one.cause == "forced":
        return f"Promoted by force{by}"
    if one.cause == "handed":
        return f"Handed over{by}" if by or before is None else f"{before.name} was stopped and handed over"
    if before is None:
        return "Elected"
    if before.id == one.id:
        return f"Elected again: nobody led for {words.span(one.unheard_s)}"
    return f"Elected: {before.name} was not heard for {words.span(one.unheard_s)}"
