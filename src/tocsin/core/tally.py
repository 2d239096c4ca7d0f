"""The votes as numbers, and the sentences that say them."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct


class Tally(Struct, frozen=True, kw_only=True):
    """The votes counted: of n voters k make it down; f have a fresh vote, d down and u up or degraded.

    A voter is a location, or a failure domain once any location names one (`noun` says which).
    """

    noun: Literal["location", "failure domain"]
    n: int
    k: int
    min_fresh: int
    d: int
    u: int
    degraded: int

    @property
    def f(self) -> int:
        return self.d + self.u

    @property
    def needed_up(self) -> int:
        """How many ups rule down out."""
        return self.n - self.k + 1


def sentence(tally: Tally, value: str, *, pending: bool) -> str:
    """Why the verdict has this value: one calm, exact sentence without a full stop."""
    n, only = tally.n, tally.n == 1
    match value:
        case "down":
            clause = (
                "The only {noun} says down" if only else f"{_share(tally, tally.d, 'say')} down; {_are(tally.k)} needed"
            )
        case "partial":
            clause = f"{_share(tally, tally.d, 'say')} down; {_are(tally.k)} needed"
        case "degraded":
            clause = "The only {noun} says degraded" if only else f"{_share(tally, tally.degraded, 'say')} degraded"
        case "up":
            clause = "The only {noun} says up" if only else f"{_share(tally, tally.u, 'say')} up"
            clause += f"; {_have(n - tally.u)} no fresh vote" if tally.u < n else ""
        case _:
            clause = _coverage(tally) if pending else f"Coverage lost: {_lower(_coverage(tally))}"
    return clause.replace("{noun}", tally.noun)


def kept_sentence(tally: Tally, value: str) -> str:
    """Why an earlier value stands although the votes alone give no answer."""
    return f"Stays {value} for now: {_lower(_coverage(tally))}"


def _coverage(tally: Tally) -> str:
    if tally.n == 0:
        return "No location is assigned"
    if tally.f >= tally.min_fresh:
        return f"{_share(tally, tally.u, 'say')} up; {_are(tally.needed_up)} needed to rule down out"
    if tally.n == 1:
        return f"The only {tally.noun} has no fresh vote"
    return f"{_share(tally, tally.f, 'have')} a fresh vote; {_are(tally.min_fresh)} needed"


def _share(tally: Tally, part: int, verb: str) -> str:
    """ "3 of 4 locations say", "All 4 locations say", "1 of 4 locations says", "None of 4 locations has"."""
    nouns = f"{tally.n} {tally.noun}s"
    if part == tally.n:
        return f"All {nouns} {verb}"
    if part > 1:
        return f"{part} of {nouns} {verb}"
    singular = "has" if verb == "have" else f"{verb}s"
    return f"{part or 'None'} of {nouns} {singular}"


def _are(number: int) -> str:
    return f"{number} is" if number == 1 else f"{number} are"


def _have(number: int) -> str:
    return f"{number} has" if number == 1 else f"{number} have"


def _lower(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:]
