"""What a thing on a host is called, and one sentence for what a rule found of it: the same at the agent and at the server.
Pure."""

from __future__ import annotations

from tocsin.core.quantity import written
from tocsin.core.sample import Service, parts
from tocsin.core.wording import AGAIN

_FIGURES = {
    "cpu.used_percent": ("CPU", "is {} busy"),
    "memory.used_percent": ("memory", "is {} used"),
    "memory.oom_kills": ("processes ended for want of memory", ""),
    "swap.used_percent": ("swap", "is {} used"),
    "disk.used_percent": ("disk", "is {} full"),
    "disk.inodes_used_percent": ("inodes of disk", "are {} used"),
    "temperature.limit_percent": ("sensor", "is at {} of its critical temperature"),
    "files.used_percent": ("open files", "are {} of what is allowed"),
    "network.conntrack_percent": ("table of connections", "is {} full"),
    "process.count": ("process", ": {} run"),
    "container.memory_percent": ("memory of container", "is {} used"),
    "postgres.connections_percent": ("connections of PostgreSQL", "are {} used"),
    "postgres.replication_lag_s": ("standby of PostgreSQL", "is {} behind"),
    "postgres.replica_lag_s": ("standby of PostgreSQL", "is {} behind"),
    "minio.used_percent": ("MinIO", "is {} full"),
    "tailscale.key_expires_s": ("key of Tailscale", "expires in {}"),
    "pushed.refused": ("refused metrics of programs", ""),
}
"""Of some metrics: what has the figure, and what is said of it."""
_SWITCHES = {"check.degraded": ("check", "is slow or degraded"), "postgres.archive_failing": ("log archive", "fails")}
"""Metrics that are 1 or 0: what, and what 1 says of it."""
_KINDS = {
    "mount": "file system", "engine": "container engine", "object_storage": "MinIO", "exit_node": "exit node",
    "scrape": "page of metrics",
}  # fmt: skip
_UNITS = ("_bytes_per_s", "_per_s", "_percent", "_bytes", "_ms", "_s", ".celsius")
_VERBS = frozenset(("answers", "receives"))
"""States of services that are verbs."""


def thing(what: str) -> str:
    """What a series, or `kind/name` of a service, is called in a sentence: "disk /var", "process shop"."""
    if "/" in what.partition("{")[0]:
        kind, _, name = what.partition("/")
        called = _KINDS.get(kind, kind.replace("_", " "))
        return called if called.casefold() == name.casefold() else f"{called} {name}"
    try:
        metric, labels = parts(what)
    except ValueError:
        return what
    said = _FIGURES.get(metric) or _SWITCHES.get(metric)
    inside = ", ".join(value for label, value in labels.items() if (metric, label) != ("check.degraded", "type"))
    return f"{_plain(metric) if said is None else said[0]} {inside}".strip()


def limit_words(
    name: str, value: float, *, above: float | None = None, below: float | None = None, again: bool = False
) -> str:
    """What is said of a series beside its limit: "disk / is 25.6 % full (limit 20 %)". `again`: it is well again."""
    metric, back = name.partition("{")[0], AGAIN if again else ""
    if metric in _SWITCHES:
        return f"{thing(name)} is well{back}" if again else f"{thing(name)} {_SWITCHES[metric][1]}"
    said = _FIGURES.get(metric, ("", ""))[1] or ": {}"
    sentence = f"{thing(name)}{'' if said[0] == ':' else ' '}{said.format(written(name, value))}{back}"
    if above is not None:
        return f"{sentence} (limit {written(name, above)})"
    return sentence if below is None else f"{sentence}, at least {written(name, below)} expected"


def state_words(service: Service, *, again: bool = False) -> str:
    """What is said of a service: "unit nginx.service is failed: exit code 28". `again`: it is well again."""
    named, state = thing(f"{service.kind}/{service.name}"), service.state
    said = f" {state}" if state in _VERBS else f": {state}" if state[:1].isdigit() else f" is {state}"
    detail = f": {service.detail}" if service.detail and not again else ""
    return f"{named}{said}{AGAIN if again else ''}{detail}"


def _plain(metric: str) -> str:
    """A metric that nobody gave a name: without the unit that its figure has."""
    for unit in _UNITS:
        metric = metric.removesuffix(unit) if len(metric) > len(unit) else metric
    return metric.replace(".", " ").replace("_", " ")
