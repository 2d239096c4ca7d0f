"""From a rule's finding to the next steps of its incident: waiting first, where the rule asks for it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from msgspec import Struct
from msgspec.structs import replace

from tocsin.core.advance import advance
from tocsin.core.finding import Finding, Hush, Terms
from tocsin.core.incident import Incident, Step


class Case(Struct, frozen=True, kw_only=True):
    """A rule on a monitor so far: the newest incident, and since when its condition has held without one. `for_s`: so
    long it must hold before it is told."""

    terms: Terms
    for_s: float
    latest: Incident | None = None
    waiting_since: datetime | None = None


class Followed(Struct, frozen=True, kw_only=True):
    """What came of a finding: the steps of the incident in order, since when the rule waits, and when time alone may
    change the answer."""

    steps: tuple[Step, ...] = ()
    waiting_since: datetime | None = None
    again_at: datetime | None = None


def follow(
    case: Case, finding: Finding, now: datetime, *, new_id: Callable[[], str], hush: Hush | None = None
) -> Followed:
    """The next steps of a rule's incident.

    A condition must hold for `for_s` before an incident opens: counted from when it began where the finding says so
    (it survives a restart), else from the first look that found it. A new certificate that is in trouble as well ends
    one incident and opens the next.
    """
    since: datetime | None = None
    if finding.standing == "trouble" and (case.latest is None or not case.latest.open):
        since = min(case.waiting_since or now, finding.since or now)
        due = since + timedelta(seconds=case.for_s)
        if now < due:
            return Followed(waiting_since=since, again_at=_first(due, finding.again_at))
        finding = replace(finding, since=since)
    steps: list[Step] = []
    latest, again_at = case.latest, None
    for _ in range(2):
        step = advance(latest, case.terms, finding, now, new_id=new_id(), hush=hush)
        steps.append(step)
        latest, again_at = step.incident, step.judge_again_at
        if again_at != now or not step.changed:
            break
    return Followed(steps=tuple(steps), waiting_since=since, again_at=_first(again_at, finding.again_at))


def _first(*moments: datetime | None) -> datetime | None:
    return min((moment for moment in moments if moment is not None), default=None)
