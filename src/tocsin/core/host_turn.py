"""How a thing on a host goes from well to trouble and back: one step for each look, numbered. Pure.

Time here is the agent's own monotonic clock: a wrong or jumping wall clock opens and ends nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from tocsin.core.finding import Severity
from tocsin.core.host_rule import HostFinding, HostRule, Seen, look
from tocsin.core.plain import clip
from tocsin.core.sample import Reading

Teller = Literal["", "server", "agent"]
MOST_WHAT, MOST_WORDS = 300, 400


class Standing(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How one thing stands under one rule. `number` counts its turns for ever: odd while it is in trouble. `source`: what
    looks at it. `since`: when the opposite began to hold, on the monotonic clock, or None. `teller`: who told that it began,
    `told` through which channels when it was the agent."""

    rule: str
    rule_name: str
    what: str
    source: str
    number: int = 0
    since: float | None = None
    severity: Severity = "warning"
    channels: tuple[str, ...] | None = None
    teller: Teller = ""
    told: tuple[str, ...] = ()

    @property
    def fires(self) -> bool:
        return self.number % 2 == 1

    @property
    def key(self) -> tuple[str, str]:
        return self.rule, self.what


Turned = tuple[Standing, HostFinding | None]


def judge(
    rule: HostRule, source: str, reading: Reading, standings: Mapping[str, Standing], now: float, at: datetime,
    floor: int = 0,
) -> list[Turned]:  # fmt: skip
    """What one look changes of the things under a rule: each standing that is another one now, with its turn if it made
    one. `standings`: those of this rule, by what they are about. `floor`: from where a thing that is new counts."""
    mine = {what: standing for what, standing in standings.items() if standing.source == source}
    seen = look(rule, reading, frozenset(what for what, standing in mine.items() if standing.fires))
    changed: list[Turned] = []
    for one in seen:
        before = standings.get(one.what) or Standing(
            rule=rule.id, rule_name=rule.name, what=one.what, source=source, number=floor
        )
        if len(one.what) <= MOST_WHAT and before.source in (source, ""):
            changed += _if_changed(standings.get(one.what), step(rule, one, before, now, at))
    if not reading.trouble:
        there = {one.what for one in seen}
        changed += [
            (replace(standing, since=None), None)
            for what, standing in mine.items()
            if what not in there and standing.since is not None
        ]
    return changed


def _if_changed(before: Standing | None, turned: Turned) -> list[Turned]:
    after, finding = turned
    if finding is None and (after == before or (before is None and after.since is None)):
        return []
    return [turned]


def step(rule: HostRule, seen: Seen, before: Standing, now: float, at: datetime) -> Turned:
    """The standing after what was seen, and the turn that it made. What could not be seen changes nothing."""
    if seen.trouble is None:
        return before, None
    if seen.trouble == before.fires:
        return (before if before.since is None else replace(before, since=None)), None
    since = now if before.since is None else min(before.since, now)
    if now - since < (rule.recovery_s if before.fires else rule.for_s):
        return replace(before, since=since), None
    return _turn(rule, seen, before, at, at - timedelta(seconds=now - since))


def turns_in_s(rule: HostRule, source: str, standings: Mapping[str, Standing], now: float) -> float:
    """In how many seconds something that this source sees would turn under the rule, when it only lasts as it is now;
    infinity when nothing is about to. What is due and was not seen waits for the usual next look."""
    lasting = (s for s in standings.values() if s.source == source and s.since is not None)
    left = ((s.since or 0.0) + (rule.recovery_s if s.fires else rule.for_s) - now for s in lasting)
    return min((one for one in left if one > 0), default=math.inf)


def _turn(rule: HostRule, seen: Seen, before: Standing, at: datetime, since: datetime) -> Turned:
    number = before.number + 1
    opens = number % 2 == 1
    after = replace(
        before, number=number, since=None, rule_name=rule.name,
        severity=rule.severity if opens else before.severity,
        channels=rule.channels if opens else before.channels,
        teller="" if opens else before.teller, told=() if opens else before.told,
    )  # fmt: skip
    return after, replace(_finding(after, seen.words, at, seen.value), since=since)


def over(before: Standing, why: str, at: datetime) -> Turned:
    """The end of what nobody looks at any more, because the rule or its source is gone."""
    after = replace(before, number=before.number + 1, since=None)
    return after, _finding(after, why, at, None)


def anew(before: Standing, since: float) -> Standing:
    """What is in trouble, as if it had been well and in trouble since then: the next look that still sees it so turns it."""
    return replace(before, number=before.number + 1, since=since)


def _finding(standing: Standing, words: str, at: datetime, value: float | None) -> HostFinding:
    return HostFinding(
        rule=standing.rule, rule_name=standing.rule_name, what=standing.what, number=standing.number,
        turn="opened" if standing.fires else "resolved", severity=standing.severity, words=clip(words, MOST_WORDS),
        at=at, value=value, channels=standing.channels,
    )  # fmt: skip


def orphans(standings: Iterable[Standing], rules: Iterable[str], sources: Iterable[str]) -> list[tuple[Standing, str]]:
    """What is in trouble and has no rule or no source any more, and why that ends it."""
    known, looked_at = set(rules), set(sources)
    found: list[tuple[Standing, str]] = []
    for standing in standings:
        if standing.fires and standing.rule not in known:
            found.append((standing, "the rule does not hold any more"))
        elif standing.fires and standing.source not in looked_at:
            found.append((standing, "it is not looked at any more"))
    return found
