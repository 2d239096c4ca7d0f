"""A rule on hosts over a stretch of the past: what would have been told, and what would fire at its end. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from tocsin.core.host_rule import HostRule, Turn
from tocsin.core.host_turn import Standing, judge, turns_in_s
from tocsin.core.sample import Reading

SOURCE = "tried"


class Told(NamedTuple):
    """Something that would have been told of one thing."""

    at: datetime
    turn: Turn
    what: str
    words: str


def replay(
    rule: HostRule, looks: Mapping[str, Sequence[tuple[float, Reading]]], end: float
) -> tuple[list[Told], set[str]]:
    """What the rule would have told on these looks of each thing (second, what was seen; each holds until the next, the last
    until `end`), in order of time, and the things that it fires for at the end. Judged as an agent does it."""
    told: list[Told] = []
    firing: set[str] = set()
    for seen in looks.values():
        standings: dict[str, Standing] = {}
        for n, (second, reading) in enumerate(seen):
            until = seen[n + 1][0] if n + 1 < len(seen) else math.inf
            at = second
            while at <= end and (at < until or at == second):
                told += _look(rule, reading, standings, at)
                at += turns_in_s(rule, SOURCE, standings, at)
        firing |= {what for what, standing in standings.items() if standing.fires}
    return sorted(told), firing


def _look(rule: HostRule, reading: Reading, standings: dict[str, Standing], at: float) -> list[Told]:
    found: list[Told] = []
    when = datetime.fromtimestamp(at, UTC)
    for standing, finding in judge(rule, SOURCE, reading, standings, at, when):
        standings[standing.what] = standing
        if finding is not None:
            found.append(Told(when, finding.turn, finding.what, finding.words))
    return found
