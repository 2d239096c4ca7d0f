"""What a host's page draws of its series: charts, file systems with when they are full, tables of newest values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from markupsafe import Markup

from tocsin.core import forecast
from tocsin.core.quantity import sized
from tocsin.core.sample import series
from tocsin.web.pages import host_words, hosts, words
from tocsin.web.pages.host_words import Group

MOST_CHARTS, MOST_LINES, MOST_SERIES = 8, 6, 200
_WORTH = ("_percent", "_ms", "_per_s", "_bytes", "_s")


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A chart: series, each with its name, that one axis fits."""

    name: str
    series: tuple[tuple[str, str], ...]
    now: Markup
    limit: float | None = None
    silent_since: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """A file system. `left`: what is said of when it is full; `near` when that is within two days."""

    where: str
    used: hosts.Gauge
    free: str
    unit: str
    total: str
    left: str
    near: bool


def charts(line: hosts.Line, group: Group | None) -> list[Chart]:
    """The charts of a tab; of the overview: the machine, and one of each kind of thing on it."""
    if group is not None:
        return _charts_of(line, group, MOST_CHARTS)
    latest, made = line.now.latest, list[Chart]()
    for name, metric, key in (("CPU", "cpu.used_percent", "cpu"), ("Memory", "memory.used_percent", "memory")):
        if metric in latest:
            shown = host_words.value(metric, line.figure(metric))
            made.append(Chart(name=name, series=((metric, name),), now=shown, limit=host_words.limit(key)))
    if line.fullest is not None:
        where, full = line.fullest
        named = series("disk.used_percent", mount=where)
        made.append(
            Chart(
                name=f"Disk {where}",
                series=((named, where),),
                now=host_words.value(named, full),
                limit=host_words.limit("disk"),
            )
        )
    traffic = [
        (n, w)
        for n, w in (("network.received_bytes_per_s", "in"), ("network.sent_bytes_per_s", "out"))
        if line.sum_of(n)
    ]
    if traffic:
        made.append(Chart(name="Network", series=tuple(traffic), now=line.network or Markup()))
    if "load.1m" in latest:
        made.append(
            Chart(name="Load", series=(("load.1m", "Load"),), now=host_words.value("load.1m", line.figure("load.1m")))
        )
    for one in host_words.GROUPS:
        if one is not host_words.CUSTOM:  # which of those tells most nobody knows: they have a tab
            made += _charts_of(line, one, 1)
    return made[:MOST_CHARTS]


def _charts_of(line: hosts.Line, group: Group, most: int) -> list[Chart]:
    """Charts of what belongs together: a metric each, shares and times first."""
    found: dict[str, list[str]] = {}
    for name in line.now.latest:
        if host_words.group_of_series(name) is group:
            found.setdefault(name.partition("{")[0], []).append(name)
    order = sorted(found, key=lambda m: (next((n for n, end in enumerate(_WORTH) if m.endswith(end)), 9), m))
    silent = since(line, group) if line.now.said.troubles else None
    return [
        Chart(
            name=f"{group.title}, {_metric_words(metric)}" if most == 1 else _titled(metric, found[metric]),
            series=tuple((name, host_words.label_of(name) or metric) for name in sorted(found[metric])[:MOST_LINES]),
            now=host_words.value(found[metric][0], line.figure(found[metric][0]))
            if len(found[metric]) == 1
            else Markup(),
            silent_since=silent,
        )
        for metric in order[:most]
    ]


def _titled(metric: str, names: list[str]) -> str:
    """What its chart is called; of one series alone, what that is of, too: there is no key under such a chart."""
    of = host_words.label_of(names[0]) if len(names) == 1 else ""
    return words.capital(_metric_words(metric)) + (f" of {of}" if of else "")


def _metric_words(metric: str) -> str:
    """ "connections" of postgres.connections_percent: without its room, and without its unit."""
    text = (metric.partition(".")[2] or metric).replace("cpu", "CPU")
    for end in ("_bytes_per_s", "_per_s", "_percent", "_bytes", "_ms", "_s"):
        if text.endswith(end):
            return text.removesuffix(end).replace("_", " ").replace(".", " ") + (
                " each second" if "per_s" in end else ""
            )
    return text.replace("_", " ").replace(".", " ")


def mounts(line: hosts.Line, full: Mapping[str, float | None]) -> list[Mount]:
    """File systems, the fullest first."""
    made: list[Mount] = []
    for where, used in host_words.by_label(line.now.latest, "disk.used_percent", "mount").items():
        free = line.figure(series("disk.available_bytes", mount=where))
        total = line.figure(series("disk.total_bytes", mount=where))
        left = full.get(series("disk.used_percent", mount=where), -1.0)
        shown, unit = sized(free or 0)
        made.append(
            Mount(
                where=where, used=hosts.Gauge(used, host_words.limit("disk")), free=shown if free is not None else "–",
                unit=unit if free is not None else "", total=" ".join(sized(total)) if total else "",
                left=_left(left), near=left is not None and 0 <= left < 2 * 86400,
            )
        )  # fmt: skip
    return sorted(made, key=lambda m: -m.used.value)


def _left(seconds: float | None) -> str:
    """When it is full, in words: seconds, None for no end in sight, -1 when too little is known."""
    if seconds is None:
        return "not in sight"
    if seconds < 0:
        return "not known yet"
    return "full" if seconds == 0 else forecast.in_words(seconds)


def newest(line: hosts.Line, group: Group | None) -> list[tuple[str, str, Markup]]:
    """(metric, labels, newest value) of what belongs together."""
    if group is None:
        return []
    names = sorted(n for n in line.now.latest if host_words.group_of_series(n) is group)[:MOST_SERIES]
    return [(n.partition("{")[0], host_words.label_of(n), host_words.value(n, line.figure(n))) for n in names]


def units(line: hosts.Line) -> Mapping[str, tuple[Markup, Markup]]:
    """(processors, memory) of each unit, by its name."""
    cpu = host_words.by_label(line.now.latest, "unit.cpu_percent", "unit")
    memory = host_words.by_label(line.now.latest, "unit.memory_bytes", "unit")
    return {
        name: (host_words.value("_percent", cpu.get(name)), host_words.value("_bytes", memory.get(name)))
        for name in {*cpu, *memory}
    }


def since(line: hosts.Line, group: Group) -> datetime | None:
    """When something of that group was seen last, if that is a while ago."""
    seen = max(
        (at for name, (at, _) in line.now.latest.items() if host_words.group_of_series(name) is group), default=None
    )
    heard = line.now.heard_at
    if seen is None or heard is None or heard.timestamp() - seen < 60:
        return None
    return datetime.fromtimestamp(seen, heard.tzinfo)
