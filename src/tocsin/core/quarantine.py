"""Which location is blind: it calls most of its monitors down while the others see them well, so it abstains until it
agrees again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from msgspec import Struct

from tocsin.core.finding import Finding, Standing, Terms, of_location

SUBJECT = "location:"
LEAST = 3
"""With fewer monitors to compare, one that is hard to reach from one place would condemn the place."""
CALM_S = 60.0
"""So long it must agree again before it is heard."""


class Ballot(NamedTuple):
    """A fresh vote on one monitor: since when it stands, when the location looked last (in seconds), and whether it was
    doubtful then."""

    location: str
    down: bool
    since_s: float = 0.0
    at_s: float = 1.0
    suspect: bool = False


class Sight(Struct, frozen=True, kw_only=True):
    """What a location says beside the others: of `shared` monitors that others are heard of too, it calls `alone` down
    while most of the others, who looked since, see them well."""

    shared: int = 0
    alone: int = 0


def survey(monitors: Iterable[Sequence[Ballot]], silenced: frozenset[str] = frozenset()) -> dict[str, Sight]:
    """What every location says beside the others, from the fresh votes on each monitor. Who is `silenced` is compared,
    but compared with by nobody.

    When something fails for all, one location is the first to say so, and when it is over, one is the last: another one
    disagrees only when it looked after that began, the one has looked again since, and it has no doubt itself.
    """
    shared: dict[str, int] = {}
    alone: dict[str, int] = {}
    for ballots in monitors:
        heard = [ballot for ballot in ballots if ballot.location not in silenced]
        for one in ballots:
            others = len(heard) - (one.location not in silenced)
            if others == 0:
                continue
            shared[one.location] = shared.get(one.location, 0) + 1
            if one.down and 2 * sum(_denies(other, one) for other in heard) > others:
                alone[one.location] = alone.get(one.location, 0) + 1
    return {location: Sight(shared=count, alone=alone.get(location, 0)) for location, count in shared.items()}


def _denies(other: Ballot, one: Ballot) -> bool:
    return not other.down and not other.suspect and one.since_s < other.at_s <= one.at_s


def finding_of(sight: Sight | None, *, assigned: bool, doubt: str | None = None) -> Finding:
    """What that means for the location: trouble when it fails more than half of its monitors alone, or doubts itself
    (`doubt`: its anchors or resolver fail); over when it fails a quarter at most, or looks at nothing any more.

    In between it stays as it was.
    """
    if not assigned:
        return _finding("over", "no monitor is checked from it any more")
    if doubt is not None:
        return _finding("trouble", f"its own self-test fails: {doubt}")
    if sight is None:
        return _finding("open", "nothing it says can be compared now", blind=True)
    says = f"{sight.alone} of {sight.shared} monitors fail from there alone"
    if sight.shared >= LEAST and 2 * sight.alone > sight.shared:
        return _finding("trouble", says, sight)
    return _finding("over" if 4 * sight.alone <= sight.shared else "open", says, sight)


def terms_of(workspace_id: str, location: str) -> Terms:
    """How the incident of a quarantine behaves: one for each location, told to the default channels."""
    return Terms(subject=f"{SUBJECT}{location}", workspace_id=workspace_id, recovery_s=CALM_S)


def _finding(standing: Standing, reason: str, sight: Sight | None = None, *, blind: bool = False) -> Finding:
    data = None if sight is None else {"shared": sight.shared, "alone": sight.alone}
    return of_location(standing, reason, "in quarantine", blind=blind, data=data)
