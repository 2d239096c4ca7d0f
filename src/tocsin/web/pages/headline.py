"""The overview's first sentence: what is the matter, before anything else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from tocsin.pipeline.watchlist import Watched
from tocsin.web.pages import words
from tocsin.web.pages.look import Look


@dataclass(frozen=True, slots=True)
class Headline:
    """`verdict` is the page's h1, `lead` the line under it."""

    verdict: str
    lead: str


def headline(pairs: Sequence[tuple[Watched, Look]], locations: int) -> Headline:
    """The state of everything in one or two sentences."""
    if not pairs:
        return Headline("Nothing is watched yet.", "Paste an address and the first result is here within seconds.")
    by = {
        st: [w.monitor.name for w, look in pairs if look.st == st]
        for st in ("down", "acked", "partial", "slow", "nodata")
    }
    counts = Counter(look.st for _, look in pairs)
    sentences = [_down(by["down"] + by["acked"]), _rest(by["partial"], by["slow"]), _silent(by["nodata"])]
    told = [s for s in sentences if s]
    watched = len(pairs) - counts["paused"]
    if not told:
        if counts["pending"]:
            waiting = words.count(counts["pending"], "monitor waits", "monitors wait")
            told = [f"{waiting} for {'its' if counts['pending'] == 1 else 'their'} first result."]
        else:
            told = ["All quiet." if watched else "Everything is paused."]
    lead = standing(counts["up"], watched)
    if told == ["All quiet."]:
        lead = f"{words.count(watched, 'monitor')}, {words.count(locations, 'location')}."
    if counts["paused"]:
        lead += f" {counts['paused']} paused."
    return Headline(" ".join(told), lead)


def standing(up: int, watched: int) -> str:
    """How many of how many are up."""
    return f"{up:,} of {words.count(watched, 'monitor')} {'is' if up == 1 or watched == 1 else 'are'} up."


def _down(names: list[str]) -> str:
    if len(names) > 3:
        return f"{len(names)} monitors are down."
    return f"{words.listed(names)} {'is' if len(names) == 1 else 'are'} down." if names else ""


def _rest(partial: list[str], slow: list[str]) -> str:
    number = len(partial) + len(slow)
    if number == 1:
        return f"{partial[0]} fails from some places." if partial else f"{slow[0]} needs a look."
    return f"{number} monitors need a look." if number else ""


def _silent(names: list[str]) -> str:
    if len(names) == 1:
        return f"We have no data from {names[0]}."
    return f"We have no data from {len(names)} monitors." if names else ""
