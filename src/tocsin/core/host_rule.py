"""Rules that an agent judges on its own host: a limit of a series, or the state of a service. Pure.

A rule has one judge, and that is the agent, connected or not. It counts the turns of each subject on its disk, so that it
and the server know the same key of a message (`finding_key`).
"""

from __future__ import annotations

from datetime import datetime
from fnmatch import fnmatchcase
from typing import Annotated, Literal

from msgspec import Struct

from tocsin.core.finding import Severity
from tocsin.core.host_thing import limit_words, state_words
from tocsin.core.keys import notification_key
from tocsin.core.marks import Length, Name, Range
from tocsin.core.sample import Reading, Service, parts
from tocsin.errors import Problem

Turn = Literal["opened", "resolved"]


class OnSample(Struct, frozen=True, kw_only=True, tag="sample", tag_field="type"):
    """A series passes a limit. `labels`: patterns with * for each label that matters; each series that fits is judged by
    itself. `above` or `below` is the limit, `clear` where it is over again (None: the limit itself). With both limits it is
    trouble outside of them, and over between them: there is no `clear` then."""

    metric: Annotated[str, Length(1, 100)]
    labels: dict[str, str] = {}
    above: float | None = None
    below: float | None = None
    clear: float | None = None


class OnService(Struct, frozen=True, kw_only=True, tag="service", tag_field="type"):
    """A service is not as it should be. `kind` and `name` are patterns with *."""

    kind: Annotated[str, Length(1, 40)] = "*"
    name: Annotated[str, Length(1, 200)] = "*"


HostCondition = OnSample | OnService


class HostRule(Struct, frozen=True, kw_only=True):
    """A rule on one host. `id`: the alert rule's, or `builtin:<collector>.<name>`, or `local:<name>` for one of the agent's
    own file. `for_s`: so long it must hold before it is told, `recovery_s`: so long it must be over. `direct`: the agent
    tells at once by itself, without waiting for the server. `channels`: ids of the direct channels it tells
    (None: all of them)."""

    id: str
    name: Name
    condition: HostCondition
    severity: Severity = "warning"
    for_s: Annotated[float, Range(0, 86400)] = 0
    recovery_s: Annotated[float, Range(0, 86400)] = 0
    direct: bool = False
    channels: tuple[str, ...] | None = None


class Seen(Struct, frozen=True, kw_only=True):
    """What a rule found of one thing. `what`: the series, or `kind/name` of the service. `trouble` None: it could not be
    seen. `words`: in one line, with the figure and the limit."""

    what: str
    trouble: bool | None
    words: str
    value: float | None = None


class HostFinding(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One turn of one subject, as the agent numbered it: 1 opened, 2 resolved, 3 opened … `told_at`: the agent told it by
    itself then, through `told` (ids of channels); the server only files it. `held`: as far as the agent knew, nobody was to
    be told when it opened (the host was in maintenance). `since`: when what it says began to hold; a rule that waits turns
    later (None: with the turn)."""

    rule: str
    rule_name: str
    what: str
    number: int
    turn: Turn
    severity: Severity
    words: str
    at: datetime
    value: float | None = None
    channels: tuple[str, ...] | None = None
    told_at: datetime | None = None
    told: tuple[str, ...] = ()
    held: bool = False
    since: datetime | None = None


LOCAL = "local:"
"""Begins the id of a channel that the agent's own file names."""


def channel_named(id: str, known: str | None) -> str:
    """What a channel that an agent told is called: `known` is its name here, where it is one of ours."""
    return known or (
        f"{id.removeprefix(LOCAL)} (of the agent's own file)" if id.startswith(LOCAL) else "a deleted channel"
    )


def wrong_limits(condition: HostCondition) -> Problem | None:
    """Why a condition cannot be judged as it is meant: a way back on the wrong side, limits with nothing between."""
    if not isinstance(condition, OnSample):
        return None
    above, below, clear = condition.above, condition.below, condition.clear
    if above is not None and below is not None:
        if below >= above:
            return Problem("below", f"less than above ({above:.15g}): what is between them is well", f"{below:.15g}")
        if clear is not None:
            says = "nothing beside two limits: it is over between them (recovery: for how long)"
            return Problem("clear", says, f"{clear:.15g}")
    elif clear is not None and above is not None and clear > above:
        return Problem("clear", f"at most above ({above:.15g})", f"{clear:.15g}")
    elif clear is not None and below is not None and clear < below:
        return Problem("clear", f"at least below ({below:.15g})", f"{clear:.15g}")
    return None


def subject_of(host_id: str, rule: str, what: str) -> str:
    """What the incident of that rule on that thing of the host is about."""
    return f"host:{host_id}:{rule}:{what}"


def finding_key(workspace_id: str, channel_id: str, subject: str, incarnation: str, number: int, turn: Turn) -> str:
    """The key of the message of a turn: the same at the agent and at every server. A new incarnation begins to count anew,
    so it is part of it."""
    return notification_key(workspace_id, channel_id, f"{subject}@{incarnation}", number, turn)


def look(rule: HostRule, reading: Reading, firing: frozenset[str]) -> tuple[Seen, ...]:
    """What the rule finds in a reading, a Seen for each thing that it is about. `firing`: what it fires for now; limits have
    a way back for those. A thing that fired and is not in the reading any more is over, unless the reading has trouble."""
    condition = rule.condition
    if isinstance(condition, OnSample):
        found = [s for name, value in reading.values.items() if (s := _limit(condition, name, value, name in firing))]
    else:
        found = [
            _state(s, firing)
            for s in reading.services
            if fnmatchcase(s.kind, condition.kind) and fnmatchcase(s.name, condition.name)
        ]
    known = {seen.what for seen in found}
    gone = None if reading.trouble else False
    words = reading.trouble or "it is not there any more"
    return (*found, *(Seen(what=what, trouble=gone, words=words) for what in sorted(firing - known)))


def _limit(condition: OnSample, name: str, value: float, fires: bool) -> Seen | None:
    if not name.startswith(condition.metric):
        return None
    try:
        metric, labels = parts(name)
    except ValueError:
        return None
    fits = all(fnmatchcase(labels.get(label, ""), pattern) for label, pattern in condition.labels.items())
    if metric != condition.metric or not fits:
        return None
    above, below = condition.above, condition.below
    back = condition.clear if fires and (above is None or below is None) else None
    if above is not None and (below is None or value > above):
        limit = above if back is None else back
        again = fires and value <= limit
        return Seen(
            what=name, trouble=value > limit, words=limit_words(name, value, above=above, again=again), value=value
        )
    if below is not None:
        limit = below if back is None else back
        again = fires and value >= limit
        return Seen(
            what=name, trouble=value < limit, words=limit_words(name, value, below=below, again=again), value=value
        )
    return None


def _state(service: Service, firing: frozenset[str]) -> Seen:
    what = f"{service.kind}/{service.name}"
    return Seen(
        what=what, trouble=None if service.ok is None else not service.ok,
        words=state_words(service, again=service.ok is True and what in firing),
    )  # fmt: skip
