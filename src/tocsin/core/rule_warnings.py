"""What is odd about an alert rule: reasons why it can never fire, or nobody would hear of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from difflib import get_close_matches

from tocsin.core.condition import (
    HostConditions,
    OnAnomaly,
    OnFailures,
    OnHeartbeat,
    OnResponseTime,
    OnSample,
    OnUptime,
    OnVerdict,
)
from tocsin.core.host import Host
from tocsin.core.monitor import Monitor
from tocsin.core.rule import AlertRule
from tocsin.core.rule_figures import ENOUGH_ANSWERS, ms
from tocsin.core.sample import is_metric
from tocsin.core.wording import listed, span


def warnings(
    rule: AlertRule,
    monitors: Sequence[Monitor],
    home: str,
    hosts: Sequence[Host] = (),
    beats: Mapping[str, float] = {},
    sent: Mapping[str, Collection[str]] = {},
) -> list[str]:
    """Sentences on a rule that may be kept all the same. `monitors` and `hosts`: those of its workspace; `home`: the
    location of local monitors; `beats`: every how many seconds the agents of hosts say that they live, by their ids;
    `sent`: the metrics that they sent lately, likewise."""
    if isinstance(rule.condition, HostConditions):
        return _on_hosts(rule, hosts, beats, sent)
    covered = [monitor for monitor in monitors if rule.scope.covers(monitor)]
    if not covered:
        return ["It covers no monitor now."]
    made = _on_condition(rule, covered, home)
    if rule.channels is not None and not rule.channels and rule.policy is None:
        made.append("Nobody is told: it names no channel and no escalation policy.")
    return made


def _on_hosts(
    rule: AlertRule, hosts: Sequence[Host], beats: Mapping[str, float], sent: Mapping[str, Collection[str]]
) -> list[str]:
    covered = [host for host in hosts if rule.scope.covers(host)]
    if not covered:
        return ["It covers no host now."]
    condition = rule.condition
    made: list[str] = []
    if isinstance(condition, OnSample) and condition.above is None and condition.below is None:
        made.append("It has no limit (above or below): it can never fire.")
    if isinstance(condition, OnSample):
        made += _on_sample(condition, {name for host in covered for name in sent.get(host.id, ())})
    if isinstance(condition, OnHeartbeat):
        slow = sorted(host.name for host in covered if condition.warn_s <= beats.get(host.id, 60.0))
        if slow:
            made.append(
                f"{listed(tuple(slow), 3)}: no heartbeat is due within {span(condition.warn_s)} after the last, so this "
                "rings while all is well. The interval is set on the page of the host, or in its agent's file."
            )
    if rule.channels is not None and not rule.channels and rule.policy is None:
        made.append("Nobody is told: it names no channel and no escalation policy.")
    return made


def _on_sample(condition: OnSample, sent: Collection[str]) -> list[str]:
    """What is odd about its metric and limit; `sent` are the metrics of the hosts it covers, none where nobody knows."""
    made: list[str] = []
    if not is_metric(condition.metric):
        made.append(f"{condition.metric!r} is no name of a metric, such as disk.used_percent: it can never fire.")
    elif sent and condition.metric not in sent:
        near = get_close_matches(condition.metric, sent, 1, 0.8)
        meant = f" (did you mean {near[0]}?)" if near else ""
        made.append(f"No host that it covers has sent {condition.metric} lately{meant}.")
    if condition.metric.endswith(".used_percent") and condition.above is not None and condition.above >= 100:
        made.append(f"{condition.metric} is never above 100: it can never fire.")
    return made


def _on_condition(rule: AlertRule, covered: list[Monitor], home: str) -> list[str]:
    match rule.condition:
        case OnVerdict(values=values):
            alone = [m for m in covered if len(m.assigned(home)) < 2]
            if set(values) == {"partial"} and alone:
                return [f"{_names(alone)}: one location alone is never partly down."]
        case OnFailures(count=count):
            pushes = [m for m in covered if m.type == "push"]
            if count > 1 and pushes:
                return [f"{_names(pushes)}: a job that stays silent fails once, not {count} times in a row."]
        case OnResponseTime(over_ms=over, window_s=window):
            quick = [m for m in covered if over >= float(m.timeout_s) * 1000 and m.type != "push"]
            made = _shorter(covered, window)
            if quick:
                made.append(f"{_names(quick)}: no answer takes longer than the timeout, so none is over {ms(over)}.")
            return made
        case OnUptime(under=under, window_s=window):
            return ([] if under > 0 else ["No uptime is under 0: it can never fire."]) + _shorter(covered, window)
        case OnAnomaly(window_s=window, weeks=weeks):
            hours = max(1, -(-window // 3600))
            rare = [m for m in covered if weeks * hours * 3600 / m.interval_s < ENOUGH_ANSWERS and m.type != "push"]
            made = _shorter(covered, window)
            if rare:
                made.append(f"{_names(rare)}: {weeks} weeks hold too few checks of that hour to say what is usual.")
            return made
        case _:
            pass
    return []


def _shorter(covered: list[Monitor], window_s: int) -> list[str]:
    """Monitors that are checked less often than the window is long."""
    rare = [m for m in covered if m.interval_s > window_s and m.type != "push"]
    if not rare:
        return []
    return [f"{_names(rare)}: the window of {span(window_s)} is shorter than the interval, so it is mostly empty."]


def _names(monitors: list[Monitor]) -> str:
    return listed(tuple(sorted(m.name for m in monitors)), 3)
