"""Whose wall clock is wrong: the one that differs from what most of them show."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from tocsin.cluster.work import POLL_S
from tocsin.core.consensus import AHEAD
from tocsin.core.instance import shown_by_most
from tocsin.core.wording import span

if TYPE_CHECKING:
    from tocsin.clock import Clock
    from tocsin.cluster.instance import Cluster

PATIENT_S = POLL_S + 20.0
"""So long after taking office all are waited for, before those that were heard are compared."""
_RIGHT_S = AHEAD.total_seconds() / 2
"""Within this a clock is right again."""


def off_s(said: str, now: datetime) -> float | None:
    """By how many seconds a clock that showed this (ISO 8601) is ahead of ours; None for what is no moment."""
    try:
        at = datetime.fromisoformat(said)
    except ValueError:
        return None
    return None if at.tzinfo is None else round((at - now).total_seconds(), 1)


def set_by_s(clock: Clock) -> float:
    """What our wall clock is ahead of the one that nobody sets: another value tells that it was set meanwhile."""
    return clock.now().timestamp() - clock.monotonic()


def off(cluster: Cluster) -> dict[str, float]:
    """By how many seconds the clock of each instance, this one among them, is ahead of what most show, as far as they were
    heard; of ours where no majority agrees."""
    set_by, mine = set_by_s(cluster.clock), cluster.me.id
    found = {
        id: one.clock_off_s + one.set_by_s - set_by for id, one in cluster.heard.items() if one.clock_off_s is not None
    }
    found[mine] = 0.0
    right = _right(cluster, found)
    return {id: round(by - (right or 0.0), 1) for id, by in found.items()}


def _right(cluster: Cluster, found: dict[str, float]) -> float | None:
    return shown_by_most(tuple(found.values()), len(cluster.registry.known), AHEAD.total_seconds())


def look(cluster: Cluster) -> None:
    """As primary, have the admins told of an instance whose clock differs by more than results can bear, until it is right
    again."""
    found = off(cluster)
    agreed = _right(cluster, found) is not None
    if not agreed and len(found) < len(cluster.registry.known) and len(cluster.registry.known) > 2:
        since = cluster.leads_since
        if since is None or cluster.clock.monotonic() - since < PATIENT_S:
            return
    for id, by in found.items():
        if abs(by) > AHEAD.total_seconds():
            cluster.clocks[id] = False
            cluster.alarm.ring("instance.clock", id, _words(cluster, id, by, agreed=agreed))
        elif abs(by) <= _RIGHT_S and cluster.clocks.get(id) is not True:
            cluster.clocks[id] = True
            cluster.alarm.over("instance.clock", id)


def _words(cluster: Cluster, id: str, by: float, *, agreed: bool) -> str:
    others = len(cluster.registry.known) > 2 and agreed
    than = "those of the others" if others else f"that of {cluster.me.name}"
    way = "ahead of" if by > 0 else "behind"
    return (
        f"The clock of instance {cluster.registry.name(id)} is {span(abs(by))} {way} {than}: what is seen there is dated "
        f"wrong. Let {'it take its' if others else 'both take their'} time from the network (NTP)"
    )
