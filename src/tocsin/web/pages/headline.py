"""The overview's first sentence: what is the matter, before anything else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from tocsin.pipeline.watchlist import Watched
from tocsin.web.pages import words
from tocsin.web.pages.host_words import count_word
from tocsin.web.pages.look import Look


@dataclass(frozen=True, slots=True)
class Headline:
    """`verdict` is the page's h1, `lead` the line under it."""

    verdict: str
    lead: str


def headline(pairs: Sequence[tuple[Watched, Look]], locations: int, hosts: tuple[int, int] = (0, 0)) -> Headline:
    """The state of everything in one or two sentences. `hosts`: how many there are, how many of them need a look."""
    if not pairs and not hosts[0]:
        return Headline("Nothing is watched yet.", "Paste an address and the first result is here within seconds.")
    by = {
        st: [w.monitor.name for w, look in pairs if look.st == st]
        for st in ("down", "acked", "partial", "slow", "nodata")
    }
    counts = Counter(look.st for _, look in pairs)
    sentences = [
        _down(by["down"] + by["acked"]),
        _rest(by["partial"], by["slow"]),
        _silent(by["nodata"]),
        _hosts(hosts[1]),
    ]
    told = [s for s in sentences if s]
    watched = len(pairs) - counts["paused"]
    if not told:
        if counts["pending"]:
            waiting = words.count(counts["pending"], "monitor waits", "monitors wait")
            told = [f"{waiting} for {'its' if counts['pending'] == 1 else 'their'} first result."]
        else:
            told = ["All quiet." if watched or not pairs else "Everything is paused."]
    lead = standing(counts["up"], watched) if pairs else f"{words.count(hosts[0], 'host')}, no monitor yet."
    if told == ["All quiet."]:
        there = [words.count(watched, "monitor")] if pairs else []
        there += [words.count(hosts[0], "host")] if hosts[0] else []
        lead = f"{', '.join([*there, words.count(locations, 'location')] if pairs else there)}."
    if counts["paused"]:
        lead += f" {counts['paused']} paused."
    return Headline(" ".join(told), lead)


def not_known(watched: Sequence[Watched], place: str, silent_s: float) -> Headline:
    """Where nobody has led for so long: what was known last, and what this server sees by itself from there."""
    some = [w for w in watched if not w.monitor.paused]
    up = sum(w.verdict is not None and w.verdict.value in ("up", "degraded") for w in some)
    own = [w.states[place].vote for w in some if place in w.states and w.states[place].vote is not None]
    lead = f"Up {words.span(silent_s)} ago, when somebody led: {up:,} of {words.count(len(some), 'monitor')}."
    if own:
        lead += f" Up now, as seen from {place} alone: {own.count('up') + own.count('degraded'):,} of {len(own):,}."
    return Headline("Nobody leads: how things are is not known here.", lead)


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


def _hosts(number: int) -> str:
    """The sentence about hosts that are silent, over a limit, or not whole."""
    return (
        f"{count_word(number).capitalize()} {'host needs' if number == 1 else 'hosts need'} a look." if number else ""
    )


def _silent(names: list[str]) -> str:
    if len(names) == 1:
        return f"We have no data from {names[0]}."
    return f"We have no data from {len(names)} monitors." if names else ""
