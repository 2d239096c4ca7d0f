"""Monitors that are not seen by enough locations any more: one incident a workspace, told once."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from msgspec import Struct

from tocsin.core.consensus import Verdict
from tocsin.core.finding import Finding, Terms
from tocsin.core.monitor import Monitor
from tocsin.core.wording import COVERAGE, listed

SUBJECT = "coverage"
GATHER = timedelta(seconds=60)
"""So long the first one that is lost waits for those that are about to be."""
NAME = "Monitoring"
"""What messages of it are about."""


class Sight(Struct, frozen=True, kw_only=True):
    """A monitor, its verdict, and until when too few votes let the verdict of before a start stand. `told`: that it is not
    seen is told otherwise, of the location that is lost."""

    monitor: Monitor
    verdict: Verdict | None
    settled_at: datetime
    told: bool = False


def coverage_terms(workspace_id: str) -> Terms:
    """How the incident behaves: the default channels of the workspace hear of it."""
    return Terms(subject=SUBJECT, workspace_id=workspace_id)


def coverage(sights: Iterable[Sight], now: datetime) -> Finding:
    """Which of a workspace's monitors are lost: unknown, though they were seen before, for longer than 2 × interval +
    timeout, and not settling after a start. Told together, so the first waits up to a minute for others that are
    unknown already; what is in maintenance is not missed. Over when all are seen again; those that may still be lost
    leave it open. The order of the monitors does not matter."""
    lost: list[str] = []
    waiting, first = False, now
    for sight in sights:
        monitor, verdict = sight.monitor, sight.verdict
        if monitor.paused or sight.told or verdict is None or verdict.pending or verdict.value != "unknown":
            continue
        if verdict.maintenance:
            waiting = True
            continue
        lost_at = max(verdict.since + timedelta(seconds=monitor.fresh_s()), sight.settled_at)
        if now >= lost_at:
            lost.append(monitor.name)
            first = min(first, lost_at)
        else:
            waiting = True
    lost.sort()
    counted = "one monitor is" if len(lost) == 1 else f"{len(lost)} monitors are"
    reason = f"{counted} not seen by enough locations: {listed(tuple(lost))}" if lost else "every monitor is seen"
    told = lost and (not waiting or now >= first + GATHER)
    return Finding(
        standing="trouble" if told else "open" if lost or waiting else "over",
        value="unknown",
        reason=reason,
        why=reason,
        severity="warning",
        rank=1,
        words=COVERAGE,
        data={"monitors": lost[:100]},
    )
