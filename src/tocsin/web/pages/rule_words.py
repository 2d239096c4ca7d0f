"""An alert rule in sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tocsin.core.condition import ON_HOSTS
from tocsin.core.plain import as_list, as_map
from tocsin.core.rule_figures import ms, percent
from tocsin.web.pages import words

VERDICTS = {"down": "down", "partial": "partly down", "degraded": "slow", "unknown": "not seen by enough locations"}
TYPES = {
    "verdict": ("Verdict", "down, partly down, slow or not seen"),
    "failures": ("Failures in a row", "so many checks that failed"),
    "response_time": ("Response time", "a percentile over a window"),
    "uptime": ("Uptime", "a share of time over a window"),
    "certificate": ("Certificate", "days until it ends"),
    "anomaly": ("Unusually slow", "against the same hour of past weeks"),
    "sample": ("Figure of a host", "a disk, memory, a metric of your own"),
    "service": ("Service on a host", "a unit, container or database that fails"),
    "heartbeat": ("Silence of a host", "its agent is not heard"),
}
"""Every kind of condition, and what it is in a few words."""
WHAT = {
    "opened": "opens", "reopened": "opens again", "resolved": "is over", "escalated": "gets worse",
    "reminder": "reminder", "step": "escalates", "unstable": "is unstable", "calm": "is calm again",
}  # fmt: skip


def condition(data: Mapping[str, Any]) -> str:
    """What must be so: "p95 of the response time over 5 min is above 500 ms"; empty while it is not whole."""
    try:
        return _condition(data)
    except (KeyError, TypeError, ValueError):
        return ""


def _condition(c: Mapping[str, Any]) -> str:
    match c.get("type"):
        case "verdict":
            named = [VERDICTS[str(v)] for v in c["values"]]
            return f"it is {' or '.join(named)}" if named else ""
        case "failures":
            return f"{words.count(int(c['count']), 'check')} in a row failed"
        case "response_time":
            over, every = _number(c["over_ms"]), _window(c.get("window_s", 300))
            return f"p{_number(c.get('percentile', 95)):g} of the response time over {every} is above {ms(over)}"
        case "uptime":
            every = _window(c.get("window_s", 86_400))
            return f"uptime over {every} is under {percent(_number(c['under']))}"
        case "certificate":
            days = [str(int(d)) for d in c.get("days") or (30, 14, 7, 1)]
            return f"its certificate ends in {' or '.join([', '.join(days[:-1]), days[-1]] if days[1:] else days)} days"
        case "anomaly":
            every = _window(c.get("window_s", 900))
            return (
                f"the response time over {every} is {_number(c.get('sensitivity', 4)):g} deviations above what this hour "
                f"of the week was in {words.count(int(c.get('weeks', 4)), 'week')} before"
            )
        case "sample":
            return _sample(c)
        case "service":
            kind, name = str(c.get("kind") or "*"), str(c.get("name") or "*")
            what = "something" if kind == "*" else words.within(f"{'an' if kind[0] in 'aeio' else 'a'} {kind}")
            return f"{what}{'' if name == '*' else f' called {name}'} is not as it should be"
        case "heartbeat":
            warn, down = _number(c.get("warn_s", 75)), _number(c.get("down_s", 120))
            return f"its agent is silent for {words.every(warn)} (down after {words.every(down)})"
        case _:
            return ""


def _sample(c: Mapping[str, Any]) -> str:
    """A limit on a figure of a host; empty without one."""
    labels = ", ".join(f"{name} {pattern}" for name, pattern in (as_map(c.get("labels")) or {}).items())
    sides = [
        f"{word} {_number(c[name]):g}"
        for name, word in (("above", "above"), ("below", "below"))
        if c.get(name) is not None
    ]
    if not sides or not c["metric"]:
        return ""
    clear = f", until it is {_number(c['clear']):g} again" if c.get("clear") is not None else ""
    return f"{c['metric']}{f' of {labels}' if labels else ''} is {' or '.join(sides)}{clear}"


def on_hosts(data: Mapping[str, Any]) -> bool:
    """Whether its condition is about hosts."""
    return (as_map(data.get("condition")) or {}).get("type") in ON_HOSTS


def scope(data: Mapping[str, Any], names: Mapping[str, str]) -> str:
    """Which monitors or hosts: "every monitor", "Shop and Api", "monitors tagged prod"."""
    given, thing = as_map(data.get("scope")) or {}, "host" if on_hosts(data) else "monitor"
    if given.get("everything"):
        return f"every {thing}"
    ids = [str(id) for id in as_list(given.get(f"{thing}s")) or ()]
    named = [names.get(id, f"a deleted {thing}") for id in ids]
    parts = [words.listed([*named[:3], f"{len(named) - 3} more"] if len(named) > 3 else named)] if named else []
    tags = [str(tag) for tag in as_list(given.get("tags")) or ()]
    parts += [f"{thing}s tagged {' or '.join(tags)}"] if tags else []
    return " and ".join(parts) or f"no {thing} yet"


def sentences(data: Mapping[str, Any], names: Mapping[str, str], channels: Sequence[str] | None) -> list[str]:
    """The whole rule: when it rings, for what, whom it tells, when it is over."""
    what = condition(as_map(data.get("condition")) or {})
    if not what:
        return ["Say what must be so for this rule to ring."]
    held = f" for {words.every(_number(data['for_s']))}" if data.get("for_s") else ""
    about = scope(data, names)
    whom = (
        "nobody"
        if channels == []
        else words.listed(list(channels))
        if channels is not None
        else "the channels that ring by default"
        if on_hosts(data)
        else "the monitor's channels"
    )
    made = [f"When {what}{held}, on {about}, tell {whom}: {data.get('severity') or 'warning'}."]
    if data.get("direct") and (as_map(data.get("condition")) or {}).get("type") in ("sample", "service"):
        made.append("The agent tells it by itself, at once, through the channels that its host may use.")
    if data.get("reminder_s"):
        made.append(f"It reminds every {words.every(_number(data['reminder_s']))} while nobody has acknowledged.")
    if data.get("recovery_s"):
        made.append(f"It is over once that has not been so for {words.every(_number(data['recovery_s']))}.")
    return made


def name(data: Mapping[str, Any]) -> str:
    """What a rule without a name is called: its condition."""
    return words.sentence(condition(as_map(data.get("condition")) or {})).removesuffix(".")[:200]


def _window(value: Any) -> str:
    seconds = _number(value)
    days = seconds % 86_400 == 0 and seconds >= 2 * 86_400
    return f"{seconds / 86_400:g} days" if days else words.every(seconds)


def _number(value: Any) -> float:
    return float(value)
