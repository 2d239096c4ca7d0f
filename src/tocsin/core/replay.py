"""A rule over a stretch of the past: what would have been told."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import count

from msgspec import Struct
from msgspec.structs import replace

from tocsin.core.follow import Case, Followed, follow
from tocsin.core.incident import What
from tocsin.core.rule import AlertRule, Facts, examine, rule_terms

MOST_LOOKS = 200_000


class Message(Struct, frozen=True, kw_only=True):
    """Something that would have been told."""

    at: datetime
    what: What
    severity: str
    reason: str


def replay(rule: AlertRule, looks: Sequence[Facts], end: datetime) -> list[Message]:
    """What the rule would have told on these facts (of one monitor, oldest first; each holds until the next, the last
    until `end`), judged as it is live: with its waiting, reminders and flap detection, but without maintenance,
    dependencies and escalation."""
    if not looks or not rule.enabled:
        return []
    case = Case(terms=rule_terms(rule, looks[0].monitor, None), for_s=rule.for_s)
    told: list[Message] = []
    numbers, left = count(1), MOST_LOOKS
    for n, facts in enumerate(looks):
        until = looks[n + 1].now if n + 1 < len(looks) else end
        at: datetime | None = facts.now
        while at is not None and left > 0 and (at < until or at == facts.now):
            left -= 1
            now = at
            case, followed = _look(rule, case, replace(facts, now=now), numbers)
            told += _told(followed)
            at = followed.again_at if followed.again_at is not None and followed.again_at > now else None
    return told


def _look(rule: AlertRule, case: Case, facts: Facts, numbers: count[int]) -> tuple[Case, Followed]:
    latest = case.latest
    finding = examine(rule, facts, fires=latest is not None and latest.open)
    if finding is None:
        return case, Followed()
    followed = follow(case, finding, facts.now, new_id=lambda: f"tried{next(numbers)}")
    if followed.steps:
        latest = followed.steps[-1].incident
    return replace(case, latest=latest, waiting_since=followed.waiting_since), followed


def _told(followed: Followed) -> list[Message]:
    made: list[Message] = []
    for step in followed.steps:
        incident = step.incident
        for transition in step.transitions:
            assert incident is not None
            made.append(
                Message(
                    at=transition.at, what=transition.what, severity=incident.severity, reason=incident.reason
                )
            )  # fmt: skip
    return made
