"""A host in words and figures: how it is, its newest values with their units, and which of what it has belongs together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from markupsafe import Markup

from tocsin.collectors import kind
from tocsin.core.host import SUBJECT
from tocsin.core.host_rule import OnSample
from tocsin.core.incident import Incident
from tocsin.core.sample import Service, parts
from tocsin.web.pages import words

_SYSTEM = frozenset(
    (
        "cpu", "load", "pressure", "memory", "swap", "disk", "disk_io", "network", "temperature", "processes", "users",
        "system", "files", "entropy",
    )
)  # fmt: skip
_NUMBERS = (
    "no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
)  # fmt: skip


@cache
def limit(name: str) -> float:
    """Where the agent's rule of that name (`disk` of `builtin:system.disk`) begins to ring: what is above is drawn so."""
    conditions = (rule.condition for rule in kind("system").rules if rule.id == f"builtin:system.{name}")
    return next(c.above for c in conditions if isinstance(c, OnSample) and c.above is not None)


@dataclass(frozen=True, slots=True)
class Group:
    """What belongs together on a host: a tab of its page. `kinds` of services and `prefixes` of series are in it."""

    slug: str
    title: str
    thing: str
    kinds: frozenset[str] = frozenset()
    prefixes: frozenset[str] = frozenset()


def _group(slug: str, title: str, thing: str, kinds: str, prefixes: str) -> Group:
    return Group(slug, title, thing, frozenset(kinds.split()), frozenset(prefixes.split()))


GROUPS = (
    _group("systemd", "systemd", "unit", "unit", "unit systemd"),
    _group("processes", "Processes", "process", "process", "process"),
    _group("postgres", "PostgreSQL", "database", "database replication replica slot", "postgres"),
    _group("docker", "Docker", "container", "container engine", "container docker"),
    _group("minio", "MinIO", "server", "object_storage", "minio"),
    _group("tailscale", "Tailscale", "peer", "peer exit_node tailscale", "tailscale peer"),
    _group("cameras", "Cameras", "camera", "camera recorder disk", "hikvision camera"),
    _group("checks", "Checks", "check", "check plugin", "check plugin"),
    _group("custom", "Custom", "thing", "scrape", "custom pushed"),
)
CUSTOM = GROUPS[-1]
SYSTEM = Group("system", "System", "file system", frozenset(("mount",)), _SYSTEM)


def group_of(kind: str, collector: str = "") -> Group:
    """Where a service of that kind belongs, which that collector saw."""
    if kind in SYSTEM.kinds:
        return SYSTEM
    found = next((group for group in GROUPS if kind in group.kinds), None)
    return found or next((group for group in GROUPS if collector == group.slug), CUSTOM)


def group_of_series(name: str) -> Group:
    """Where a series belongs."""
    head = name.partition("{")[0].partition(".")[0]
    if head in _SYSTEM:
        return SYSTEM
    return next((group for group in GROUPS if head in group.prefixes), CUSTOM)


def group_of_trouble(collector: str) -> Group:
    """Where what a collector cannot do belongs."""
    for group in (*GROUPS, SYSTEM):
        if collector == group.slug or collector in group.prefixes or collector in group.kinds:
            return group
    return CUSTOM


_OF_THE_AGENT = {
    "server": "Its agent could not reach this server", "samples": "Some of what its agent brings is not taken",
    "buffer": "Its agent cannot write", "ledger": "Its agent cannot write", "data folder": "Its agent cannot write",
    "file": "The file of its agent",
}  # fmt: skip


def of_the_agent(part: str) -> str:
    """What is said where not a collector but the agent itself cannot do something; empty for a collector."""
    return "Its agent cannot tell" if part.startswith("channel ") else _OF_THE_AGENT.get(part, "")


# Figures ----------------------------------------------------------------------------------------------------------
def value(name: str, amount: float | None) -> Markup:
    """A value of a series as people read it, with a small unit that its name says."""
    if amount is None:
        return Markup('<span class="muted">–</span>')
    metric = name.partition("{")[0]
    if metric.endswith("_percent"):
        return Markup("{} <small>%</small>").format(number(amount))
    if metric.endswith("_bytes_per_s"):
        return Markup("{} <small>{}/s</small>").format(*sized(amount))
    if metric.endswith("_bytes"):
        return Markup("{} <small>{}</small>").format(*sized(amount))
    if metric.endswith("_per_s"):
        return Markup("{} <small>/s</small>").format(number(amount))
    if metric.endswith("_ms"):
        return words.with_unit(amount)
    if metric.endswith("_s"):
        return Markup("{}").format(words.span(max(0, int(amount))) if amount >= 10 else f"{number(amount)} s")
    if metric.endswith(".celsius"):
        return Markup("{} <small>°C</small>").format(number(amount))
    return Markup("{}").format(number(amount))


def plain(name: str, amount: float | None) -> str:
    """A value of a series as text."""
    return value(name, amount).striptags()


def number(amount: float) -> str:
    """At most four digits: "94", "0.4", "12,400"."""
    size = abs(amount)
    if size >= 100 or amount == int(amount):
        return f"{amount:,.0f}"
    return f"{amount:.1f}" if size >= 0.95 else f"{amount:.2f}".rstrip("0").rstrip(".") or "0"


def sized(amount: float) -> tuple[str, str]:
    """("4.8", "GB"): bytes in the unit that keeps the figure short."""
    for power, unit in ((4, "TB"), (3, "GB"), (2, "MB"), (1, "kB")):
        if abs(amount) >= 0.995 * 1000**power:
            shown = amount / 1000**power
            return (f"{shown:.0f}" if shown >= 99.95 else f"{shown:.1f}".removesuffix(".0")), unit
    return f"{amount:.0f}", "B"


def label_of(name: str) -> str:
    """The labels of a series in a few words, empty when it has none."""
    try:
        labels = parts(name)[1]
    except ValueError:
        return name
    return ", ".join(labels.values())


def by_label(latest: Mapping[str, tuple[int, float]], metric: str, label: str) -> dict[str, float]:
    """The newest value of each series of a metric, by that label."""
    found: dict[str, float] = {}
    begin = metric + "{"
    for name, (_, amount) in latest.items():
        if name.startswith(begin):
            try:
                found[parts(name)[1].get(label, "")] = amount
            except ValueError:
                continue
    return found


# Words --------------------------------------------------------------------------------------------------------------
def count_word(amount: int) -> str:
    """ "one", "twelve", "13"."""
    return _NUMBERS[amount] if 0 < amount < len(_NUMBERS) else f"{amount:,}"


def what_of(incident: Incident) -> str:
    """What of its host an incident is about: a series, `kind/name` of a service, or "silent"."""
    rest = incident.subject.removeprefix(f"{SUBJECT}{incident.host_id}:")
    rule, _, what = rest.partition(":")
    if rule in ("builtin", "local"):
        what = what.partition(":")[2]
    return what or rest


def is_limit(what: str) -> bool:
    """Whether that is a series, so a limit was passed."""
    return what != "silent" and "/" not in what.partition("{")[0]


def short(what: str) -> str:
    """ "disk /var", "edge-spool": what an incident is about, in two words."""
    if not is_limit(what):
        return what.partition("/")[2] or what
    metric = what.partition("{")[0]
    head, label = metric.partition(".")[0], label_of(what)
    return f"{'CPU' if head == 'cpu' else head.replace('_', ' ')} {label}".strip()


def named(thing: Service) -> str:
    """What a service is called in a line: without the ending that says nothing."""
    return thing.name.removesuffix(".service")


def headline(total: int, silent: int, twins: int, incidents: Iterable[Incident]) -> str:
    """ "17 hosts, one short of disk, one silent"."""
    if not total:
        return "No host is watched yet"
    found: dict[str, set[str | None]] = {}
    for incident in incidents:
        what = what_of(incident)
        kind = "" if what == "silent" else "disk" if what.startswith("disk.used_percent") else "limit"
        kind = "service" if kind and not is_limit(what) else kind
        if kind:
            found.setdefault(kind, set()).add(incident.host_id)
    limit = found.get("limit", set()) - found.get("disk", set())
    told = [
        (len(found.get("disk", ())), "short of disk"),
        (len(limit), "over a limit"),
        (len(found.get("service", ())), "with a service that fails"),
        (twins, "with two agents"),
        (silent, "silent"),
    ]
    said = [f"{count_word(amount)} {word}" for amount, word in told if amount]
    whole = words.count(total, "host")
    if not said:
        return f"{whole}, {'all as they should be' if total > 1 else 'as it should be'}"
    if total == 1:
        return f"{whole}, {words.listed([text.partition(' ')[2] for text in said])}"
    return ", ".join([whole, *said])


def standing(things: Sequence[Service], thing: str) -> str:
    """ "4 watched, 1 not as it should be"."""
    bad = sum(one.ok is False for one in things)
    said = f"{len(things):,} watched"
    return f"{said}, {bad} not as {'it' if bad == 1 else 'they'} should be" if bad else f"{said}, all as they should be"
