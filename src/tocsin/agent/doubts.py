"""What is odd about an agent's file though nothing in it is wrong: names that nothing has, and what is near them."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from difflib import get_close_matches

from tocsin import collectors
from tocsin.agent.config import AgentConfig
from tocsin.agent.rules import LocalRule
from tocsin.core.host_rule import OnSample
from tocsin.core.sample import is_metric

_BUILTIN = "builtin:"
_NEAR, _VERY_NEAR = 0.6, 0.9
"""A built-in rule has one of few names; a metric may be anybody's, so only what looks mistyped is asked."""


def doubts(config: AgentConfig) -> list[str]:
    """A sentence for each."""
    rules = [rule for name in collectors.names() for rule in collectors.kind(name).rules]
    builtin = [rule.id.removeprefix(_BUILTIN) for rule in rules]
    metrics = {rule.condition.metric for rule in rules if isinstance(rule.condition, OnSample)}
    channels = {channel.id for channel in config.channels}
    return _ports(config) + [
        f"rule {one.line.name or one.line.builtin}: {says}"
        for one in config.rules
        for says in (*_names(one, builtin, metrics), *_channels(one, channels))
    ]


def _ports(config: AgentConfig) -> list[str]:
    """Ports that two want to listen at."""
    wanted: dict[tuple[str, int], list[str]] = {}
    if config.dashboard.enabled and config.dashboard.port:
        wanted[("TCP", config.dashboard.port)] = ["dashboard.port"]
    for monitor in config.monitors:
        for name, kind in (("http_port", "TCP"), ("statsd_port", "UDP")):
            if port := getattr(monitor.options, name, None):
                wanted.setdefault((kind, port), []).append(f"{name} of {monitor.id}")
    return [
        f"{kind} port {port} is wanted twice: {' and '.join(who)}; only one of them can have it"
        for (kind, port), who in wanted.items()
        if len(who) > 1
    ]


def _names(one: LocalRule, builtin: Iterable[str], metrics: Iterable[str]) -> list[str]:
    line, made = one.line, list[str]()
    if line.builtin is not None and line.builtin not in builtin:
        near = get_close_matches(line.builtin, builtin, 1, _NEAR)
        made.append("no collector has a built-in rule of that name" + (f" (did you mean {near[0]}?)" if near else ""))
    if line.metric is not None and not is_metric(line.metric):
        made.append(f"{line.metric!r} is no name of a metric, such as disk.used_percent: it can never fire")
    elif line.metric is not None and line.metric not in metrics:
        near = get_close_matches(line.metric, metrics, 1, _VERY_NEAR)
        made += [f"no metric that we know is called {line.metric} (did you mean {name}?)" for name in near]
    return made


def _channels(one: LocalRule, known: Collection[str]) -> list[str]:
    if one.line.direct and not known and not one.channels:
        return ["it is direct, but `alerts` names no channel: unless the server gives the agent one, it tells nobody"]
    return [
        f"this file has no channel {id} (a channel of the server is meant by its id)"
        for id in one.channels or ()
        if id not in known
    ]
