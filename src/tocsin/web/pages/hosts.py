"""Hosts: what agents see of their machines, what needs attention first; as a table, or by what runs on them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from markupsafe import Markup
from msgspec import Struct

from tocsin.core.incident import Incident
from tocsin.core.sample import Service
from tocsin.pipeline.hosts import HostNow
from tocsin.web.api.host_data import state_of
from tocsin.web.call import Call, Reply, Route
from tocsin.web.pages import host_words, view

ATTENTION = "Needs attention"
MOST_SERVICES = 500
_SEVERE = ("critical", "down")


class Wanted(Struct, frozen=True, kw_only=True):
    """What of the list is shown."""

    q: str = ""
    state: Literal["", "silent", "limit"] = ""
    view: Literal["table", "services"] = "table"
    did: str = ""


@dataclass(frozen=True, slots=True)
class Gauge:
    """A share in percent, and the limit from which on it is drawn as trouble."""

    value: float
    limit: float

    @property
    def over(self) -> bool:
        return self.value >= self.limit


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One host as its row, and the head of its page, show it. `since`: when its state began; `stale`: its figures are of
    the past."""

    now: HostNow
    st: str
    word: str
    since: datetime | None = None
    open: tuple[Incident, ...] = ()
    things: tuple[Service, ...] = ()
    stale: bool = False

    @property
    def attention(self) -> bool:
        return self.st in ("down", "acked", "slow", "nodata")

    @property
    def limit(self) -> bool:
        """Whether it is over a limit, or something on it fails."""
        return any(host_words.what_of(i) != "silent" for i in self.open)

    def figure(self, name: str) -> float | None:
        """The newest value of a series."""
        found = self.now.latest.get(name)
        return None if found is None else found[1]

    def sum_of(self, metric: str) -> float | None:
        """Of all series of a metric together; those of containers are in the others already."""
        found = [
            v for label, v in host_words.by_label(self.now.latest, metric, "interface").items() if label != "containers"
        ]
        return sum(found) if found else None

    @property
    def gauges(self) -> dict[str, Gauge | None]:
        """Processors, memory, the fullest file system."""
        disk = self.fullest
        found = {
            "cpu": self.figure("cpu.used_percent"), "memory": self.figure("memory.used_percent"),
            "disk": None if disk is None else disk[1],
        }  # fmt: skip
        return {name: None if v is None else Gauge(v, host_words.limit(name)) for name, v in found.items()}

    @property
    def fullest(self) -> tuple[str, float] | None:
        """(where it is mounted, how full) of the fullest file system."""
        mounts = host_words.by_label(self.now.latest, "disk.used_percent", "mount")
        return max(mounts.items(), key=lambda pair: pair[1], default=None)

    @property
    def network(self) -> Markup | None:
        """What comes in and goes out together."""
        found = [v for d in ("received", "sent") if (v := self.sum_of(f"network.{d}_bytes_per_s")) is not None]
        return host_words.value("_bytes_per_s", sum(found)) if found else None

    @property
    def what_runs(self) -> tuple[str, str]:
        """(shape or "", words) for what runs on it: what fails, or how many are as they should be."""
        bad = [thing for thing in self.things if thing.ok is False]
        if bad:
            more = f" and {len(bad) - 1} more" if bad[1:] else ""
            return "down", f"{host_words.named(bad[0])} {bad[0].state}{more}"
        if self.now.said.troubles and not self.stale:
            blind = [name for name in self.now.said.troubles if not host_words.of_the_agent(name)]
            if not blind:
                return "slow", host_words.of_the_agent(next(iter(self.now.said.troubles)))
            group = host_words.group_of_trouble(blind[0])
            return "nodata", f"no {group.title} figures"
        good = sum(thing.ok is True for thing in self.things)
        return "", f"{good:,} as {'it' if good == 1 else 'they'} should be" if good else ""

    @property
    def os(self) -> str:
        facts = {**self.now.host.facts, **self.now.said.facts}
        return facts.get("os", "").partition(" (")[0].replace(" GNU/Linux", "")

    @property
    def text(self) -> str:
        """What the filter looks in."""
        host = self.now.host
        names = " ".join(dict.fromkeys(thing.name for thing in self.things))
        return f"{host.name} {' '.join(host.tags)} {host.group} {self.os} {names}".casefold()[:2000]


@dataclass(slots=True)
class Section:
    """A stretch of the list under one heading."""

    title: str
    lines: list[Line] = field(default_factory=list[Line])


def open_by_host(call: Call) -> dict[str, list[Incident]]:
    """The open incidents of each host, worst and oldest first."""
    found: dict[str, list[Incident]] = {}
    for incident in call.parts.corridor.watchlist.open_of(call.who.workspace_id):
        if incident.host_id is not None:
            found.setdefault(incident.host_id, []).append(incident)
    for some in found.values():
        some.sort(key=lambda i: (i.severity not in _SEVERE, i.opened_at))
    return found


def line_of(call: Call, now: HostNow, opened: Sequence[Incident], things: Sequence[Service]) -> Line:
    """A host as it is."""
    hosts = call.parts.corridor.hosts
    state = state_of(now, hosts.since, call.parts.clock.monotonic())
    st, word, since = _look(now, state, opened)
    return Line(
        now=now, st=st, word=word, since=since, open=tuple(opened), things=tuple(things),
        stale=state in ("silent", "off"),
    )  # fmt: skip


def _look(now: HostNow, state: str, opened: Sequence[Incident]) -> tuple[str, str, datetime | None]:
    """(shape, word, since when) for how a host is."""
    if state == "off":
        return "paused", "Off", None
    if state == "new":
        return "pending", "Waiting for its agent", None
    if now.host.maintenance:
        return "maint", "Maintenance", None
    if state == "silent":
        return "nodata", "Key revoked" if now.host.revoked_at else "Silent", now.heard_at
    if now.host.quarantined:
        return "slow", "Two agents", None
    if state == "late":
        return "slow", "Late", now.heard_at
    if not opened:
        return "up", "Up", None
    limit = any(host_words.is_limit(host_words.what_of(i)) for i in opened)
    word = "Over a limit" if limit else "A service fails"
    ringing = [i for i in opened if i.acknowledged_at is None and not i.suppressed]
    severe = any(i.severity in _SEVERE for i in ringing)
    return "down" if severe else "slow" if ringing else "acked", word, opened[0].trouble_from()


async def lines_of(call: Call) -> list[Line]:
    """Every host of the workspace, by name."""
    opened = open_by_host(call)
    await call.parts.corridor.hosts.recall(call.parts.corridor.hosts.of(call.who.workspace_id))
    things = await call.parts.store.of(call.who.workspace_id).read(lambda s: s.host_states.all())
    return [
        line_of(call, now, opened.get(now.host.id, ()), things.get(now.host.id, ()))
        for now in call.parts.corridor.hosts.of(call.who.workspace_id)
    ]


def verdict(lines: Sequence[Line]) -> str:
    """What the list is headed with."""
    silent = sum(line.st == "nodata" for line in lines)
    twins = sum(bool(line.now.host.quarantined) for line in lines)
    counted = (i for line in lines if line.st in ("down", "slow", "acked") for i in line.open)
    return host_words.headline(len(lines), silent, twins, counted)


def sections(lines: Iterable[Line]) -> list[Section]:
    """What needs attention first, then group by group."""
    first, by_group = Section(ATTENTION), dict[str, Section]()
    for line in lines:
        if line.attention:
            first.lines.append(line)
        else:
            by_group.setdefault(line.now.host.group, Section(line.now.host.group)).lines.append(line)
    order = {"nodata": 0, "down": 0, "acked": 1, "slow": 2}
    first.lines.sort(key=lambda line: order[line.st])
    grouped = [by_group[name] for name in sorted(by_group, key=lambda name: (not name, name.casefold()))]
    for section in grouped:
        if not section.title:
            section.title = "Other" if grouped[1:] else "All others" if first.lines else "All hosts"
    return [section for section in (first, *grouped) if section.lines]


def _matches(line: Line, wanted: Wanted) -> bool:
    fits = {"": True, "silent": line.st == "nodata", "limit": line.limit}[wanted.state]
    return fits and all(part in line.text for part in wanted.q.casefold().split())


async def index(call: Call) -> Reply:
    """The list."""
    wanted: Wanted = call.query or Wanted()
    lines = await lines_of(call)
    matching = [line for line in lines if _matches(line, wanted)]
    return view.page(
        call, "hosts.html", section="hosts", wanted=wanted, verdict=verdict(lines), total=len(lines),
        hidden=len(lines) - len(matching), sections=sections(matching) if wanted.view == "table" else (),
        services=_by_kind(matching) if wanted.view == "services" else (),
        counts={"silent": sum(line.st == "nodata" for line in lines), "limit": sum(line.limit for line in lines)},
        most=MOST_SERVICES, did={"deleted": "Forgotten."}.get(wanted.did, ""),
    )  # fmt: skip


def _by_kind(lines: Sequence[Line]) -> list[tuple[host_words.Group, list[tuple[Line, Service]], int]]:
    """What runs on all hosts, kind by kind, what fails first: (group, what is shown, how many there are)."""
    found: dict[str, list[tuple[Line, Service]]] = {}
    for line in lines:
        for thing in line.things:
            found.setdefault(host_words.group_of(thing.kind).slug, []).append((line, thing))
    made: list[tuple[host_words.Group, list[tuple[Line, Service]], int]] = []
    for group in (*host_words.GROUPS, host_words.SYSTEM):
        some = found.get(group.slug, [])
        some.sort(key=lambda pair: (pair[1].ok is not False, pair[1].name.casefold(), pair[0].now.host.name.casefold()))
        if some:
            made.append((group, some[:MOST_SERVICES], len(some)))
    return made


def attention(call: Call) -> tuple[int, int]:
    """(hosts of the workspace, how many of them need a look); needs no database."""
    opened = open_by_host(call)
    lines = [
        line_of(call, now, opened.get(now.host.id, ()), ())
        for now in call.parts.corridor.hosts.of(call.who.workspace_id)
    ]
    return len(lines), sum(line.attention for line in lines)


def facts_of(now: HostNow) -> Mapping[str, str]:
    """What is known of the machine."""
    return {**now.host.facts, **now.said.facts}


def memory_of(facts: Mapping[str, str]) -> str:
    """ "16 GB", empty when it is not known."""
    text = facts.get("memory_bytes", "")
    return f"{round(int(text) / 2**30)} GB" if text.isascii() and text.isdecimal() else ""


ROUTES: list[Route] = [
    Route(
        method="GET", path="/hosts", run=index, permission="read", summary="Hosts", query=Wanted, loose=True,
        kind="page", tag="pages",
    )
]  # fmt: skip
