"""One host: what is open on it, its figures and charts, what runs on it, its agent."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, Literal

from markupsafe import Markup
from msgspec import Struct

from tocsin.core import forecast
from tocsin.core.condition import HostConditions
from tocsin.core.host_thing import limit_words
from tocsin.core.incident import Incident
from tocsin.core.quantity import sized
from tocsin.core.sample import Service, series
from tocsin.pipeline.hosts import HostNow
from tocsin.store import Session
from tocsin.store.heartbeats import Stretch
from tocsin.store.host_states import StateChange
from tocsin.web.api import alert_rules, host_config, host_runs, incidents
from tocsin.web.call import Call, Reply, Route
from tocsin.web.pages import host_charts, host_words, hosts, look, rule_words, view, words
from tocsin.web.pages.alert_rules import rule_fields
from tocsin.web.pages.host_words import Group

RANGES = {"1h": "Last hour", "6h": "Last 6 hours", "24h": "Last 24 hours", "7d": "Last 7 days"}
_LISTED = 3
_SHOWN_FACTS = {
    "os": "System", "kernel": "Kernel", "architecture": "Architecture", "cpu": "Processor", "addresses": "Addresses",
    "hostname": "Name of its own",
}  # fmt: skip


class Wanted(Struct, frozen=True, kw_only=True):
    """Which tab, and how far back its charts go."""

    tab: str = "overview"
    range: Literal["", "1h", "6h", "24h", "7d"] = ""
    did: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One of the figures under the tabs."""

    label: str
    value: Markup
    st: str = "up"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tab:
    """A tab, and the shape of what needs a look there."""

    slug: str
    title: str
    st: str = ""


@dataclass(slots=True)
class Known:
    """What the store holds of a host."""

    things: list[Service] = field(default_factory=list[Service])
    collectors: dict[str, str] = field(default_factory=dict[str, str])
    full: dict[str, float | None] = field(default_factory=dict[str, float | None])
    heard: list[Stretch] = field(default_factory=list[Stretch])
    changes: list[StateChange] = field(default_factory=list[StateChange])


async def show(call: Call) -> Reply:
    """The page."""
    wanted: Wanted = call.query or Wanted()
    now = call.parts.corridor.hosts.get(call.who.workspace_id, call.path["id"])
    await call.parts.corridor.hosts.recall([now])
    known = await call.parts.store.of(call.who.workspace_id).read(_reader(now, wanted.tab, call.now))
    line = hosts.line_of(call, now, hosts.open_by_host(call).get(now.host.id, ()), known.things)
    tabs = _tabs(line, known)
    tab = next((tab for tab in tabs if tab.slug == wanted.tab), tabs[0])
    group = next((g for g in host_words.GROUPS if g.slug == tab.slug), None)
    facts = hosts.facts_of(now)
    return view.page(
        call, "host.html", section="hosts", primary=hosts.primary_of(call),
        line=line, host=now.host, said=now.said, tabs=tabs, tab=tab.slug,
        range=wanted.range or _range(known.heard, call.now), ranges=RANGES,
        lead=_lead(line), up=_up(line), vitals=_vitals(line, facts),
        charts=host_charts.charts(line, group), mounts=host_charts.mounts(line, known.full), group=group,
        units=[s for s in known.things if s.kind == "unit"], things=_things(known, group),
        rows=host_charts.newest(line, group), notes=_notes(line, known, group), outside=_outside(call, now),
        unheard=_unheard(call, now), runs=_runs(call, now, known.heard), beats=known.heard, changes=known.changes,
        facts=[(w, facts[k]) for k, w in _SHOWN_FACTS.items() if facts.get(k)],
        config=await host_config.shown(call.parts, call.who, now.host.id), unit_figures=host_charts.units(line),
        value=host_words.value, standing=host_words.standing, missed=_missed(line, known.heard, call.now),
        **await _alerts(call, now, tab.slug == "alerts"),
        did={"saved": "Saved.", "released": "That one is the host now.", "maintenance": "In maintenance: nobody is told.",
             "back": "Out of maintenance.", "on": "Its agent is taken again.", "off": "Switched off."}.get(wanted.did, ""),
    )  # fmt: skip


def _reader(now: HostNow, tab: str, at: datetime) -> Callable[[Session], Known]:
    """What reads all that the page needs, at once."""
    id, seconds = now.host.id, int(at.timestamp())
    mounts = [name for name in now.latest if name.startswith("disk.used_percent{")] if tab == "overview" else []
    group = next((g for g in host_words.GROUPS if g.slug == tab), None)

    def read(s: Session) -> Known:
        made = Known()
        for one in s.host_states.list(id):
            made.things.append(one.thing)
            made.collectors[f"{one.thing.kind}/{one.thing.name}"] = one.collector
        for name, some in (
            s.samples.read(id, mounts, seconds - forecast.FROM_S, seconds + 1, 60) if mounts else {}
        ).items():
            points = [(at, b.last) for at, b in sorted(some.items())]
            made.full[name] = forecast.full_in_s(points) if forecast.is_enough(points) else -1.0
        made.heard = s.heartbeats.list(id)
        if group is not None:
            changes = s.host_states.changes(id, limit=100)
            made.changes = [c for c in changes if host_words.group_of(c.kind).slug == group.slug][:20]
        return made

    return read


# The head -----------------------------------------------------------------------------------------------------------
def _lead(line: hosts.Line) -> tuple[str, str]:
    """(shape, words) for how it is: what is open rather than that something is."""
    limits = [i for i in line.open if host_words.what_of(i) != "silent"]
    if line.st in ("down", "slow", "acked") and limits and line.word in ("Over a limit", "A service fails"):
        more = f" and {len(limits) - 1} more" if limits[1:] else ""
        what = host_words.what_of(limits[0])
        value = line.figure(what) if host_words.is_limit(what) else None
        said = host_words.said(limits[0]) if value is None else limit_words(what, value)
        return line.st, words.capital(f"{said}{more}")
    return line.st, line.word


def _up(line: hosts.Line) -> str:
    """For how long the machine runs, in one unit."""
    seconds = line.figure("system.uptime_s")
    if seconds is None:
        return ""
    return words.count(int(seconds // 86400), "day") if seconds >= 86400 else words.span(int(seconds))


def _vitals(line: hosts.Line, facts: Mapping[str, str]) -> list[Figure]:
    """The line of figures; what is not known is left out."""
    made, g, fullest = list[Figure](), line.gauges, line.fullest
    memory, cores = hosts.memory_of(facts), facts.get("cores", "")
    total = line.figure(series("disk.total_bytes", mount=fullest[0])) if fullest else None
    size = f" of {' '.join(sized(total))}" if total else ""
    labels = {
        "cpu": f"CPU of {cores} core{'' if cores == '1' else 's'}" if cores else "CPU",
        "memory": f"memory of {memory}" if memory else "memory", "disk": f"disk {fullest[0]}{size}" if fullest else "",
    }  # fmt: skip
    for name, label in labels.items():
        if (gauge := g[name]) is not None:
            st = "slow" if gauge.over and not line.stale else "up"
            made.append(Figure(label=label, value=Markup("{} <small>%</small>").format(round(gauge.value)), st=st))
    loads = [line.figure(f"load.{m}m") for m in (1, 5, 15)]
    if loads[0] is not None:
        shown = [f"{v:.1f}" for v in loads if v is not None]
        made.append(
            Figure(label="load, 1 5 15 min", value=Markup("{} <small>{}</small>").format(shown[0], " ".join(shown[1:])))
        )
    rates = (
        ("network in", line.sum_of("network.received_bytes_per_s")),
        ("network out", line.sum_of("network.sent_bytes_per_s")),
        ("disk writes", _written(line)),
    )  # fmt: skip
    made += [Figure(label=label, value=host_words.value("_bytes_per_s", v)) for label, v in rates if v is not None]
    return made


def _written(line: hosts.Line) -> float | None:
    found = host_words.by_label(line.now.latest, "disk_io.write_bytes_per_s", "device").values()
    return sum(found) if found else None


def _tabs(line: hosts.Line, known: Known) -> list[Tab]:
    """Overview, what there is on this host, alerts, agent."""
    there: dict[str, str] = {}
    for thing in known.things:
        slug = host_words.group_of(thing.kind, known.collectors[f"{thing.kind}/{thing.name}"]).slug
        there[slug] = "down" if thing.ok is False else there.get(slug, "")
    for name in line.now.latest:
        there.setdefault(host_words.group_of_series(name).slug, "")
    for collector in line.now.said.troubles:
        if host_words.of_the_agent(collector):
            continue
        slug = host_words.group_of_trouble(collector).slug
        there[slug] = there.get(slug) or "nodata"
    made = [Tab(slug="overview", title="Overview")]
    made += [Tab(slug=g.slug, title=g.title, st=there[g.slug]) for g in host_words.GROUPS if g.slug in there]
    twins = bool(line.now.host.quarantined) or bool(line.now.said.config_error)
    return [
        *made, Tab(slug="alerts", title="Alerts", st=line.st if line.open and line.st in ("down", "slow", "acked") else ""),
        Tab(slug="agent", title="Agent", st="slow" if twins else line.st if line.silent else ""),
    ]  # fmt: skip


def _things(known: Known, group: Group | None) -> list[Service]:
    """What a tab lists, what fails first."""
    if group is None:
        return []
    found = [s for s in known.things if host_words.group_of(s.kind, known.collectors[f"{s.kind}/{s.name}"]) is group]
    return sorted(found, key=lambda s: (s.ok is not False, s.kind, s.name.casefold()))


def _range(heard: Sequence[Stretch], now: datetime) -> str:
    """How far back the charts go when nobody said: six hours, an hour of a new host, further where it was heard last."""
    oldest = min((one.began_at for one in heard), default=now)
    newest = max((one.last_at for one in heard), default=now)
    if now - oldest <= timedelta(hours=1):
        return "1h"
    return next((f"{hours}h" for hours in (6, 24) if now - newest < timedelta(hours=hours)), "7d")


# Beside -----------------------------------------------------------------------------------------------------------------
def _notes(line: hosts.Line, known: Known, group: Group | None) -> list[tuple[str, str, datetime | None, str]]:
    """(shape, in bold, since when, words) for what a collector cannot see."""
    made: list[tuple[str, str, datetime | None, str]] = []
    for collector, why in sorted(line.now.said.troubles.items()):
        if says := host_words.of_the_agent(collector):
            if group is None:
                made.append(("slow", says, None, why))
            continue
        its = host_words.group_of_trouble(collector)
        told = any(why in i.reason and host_words.group_of_incident(i) is its for i in line.open)
        if (group is None or its is group) and not (group is None and told):
            title = collector if its is host_words.CUSTOM else its.title
            made.append(("nodata", f"No {title} figures", host_charts.since(line, its), why))
    return made


def _missed(line: hosts.Line, heard: Sequence[Stretch], now: datetime) -> str:
    """How the heartbeat goes now, and how it went in the last day."""
    if line.state in ("late", "silent") and line.now.heard_at is not None:
        return f"none for {words.span((now - line.now.heard_at).total_seconds())} now"
    day = [one for one in heard if one.last_at > now - timedelta(days=1)]
    if not day:
        return "none in 24 h"
    ordered = sorted(day, key=lambda one: one.began_at)
    gaps = sum((b.began_at - a.last_at).total_seconds() > 90 for a, b in pairwise(ordered))
    return "none missed in 24 h" if not gaps else f"{words.count(gaps, 'gap')} in 24 h"


def _unheard(call: Call, now: HostNow) -> bool:
    """Whether its agent may tell what nobody is to be told, for it has not heard of that."""
    parts = call.parts
    return parts.corridor.leads and now.host.enrolled_at is not None and not parts.agents.has_heard(now.host)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One of several agents that say they are the host."""

    id: str
    standing: host_runs.Counts
    first: datetime | None
    last: datetime | None
    address: str
    machine: str


def _runs(call: Call, now: HostNow, heard: Sequence[Stretch]) -> list[Run]:
    """Each, with when it was heard as far as that is known."""
    made: list[Run] = []
    for id, standing, known in host_runs.runs(now, call.parts.clock.monotonic()):
        its = [one for one in heard if id in (one.said.incarnation, one.said.life)]
        ends = [one.last_at for one in its] + ([] if known is None else [known.last_at])
        begins = [one.began_at for one in its] + ([] if known is None else [known.first_at])
        made.append(
            Run(
                id=id, standing=standing, first=min(begins, default=None), last=max(ends, default=None),
                address="" if known is None else known.address, machine="" if known is None else known.machine,
            )
        )  # fmt: skip
    return made


def _outside(call: Call, now: HostNow) -> list[tuple[str, str, look.Look]]:
    """(id, name, look) of monitors of its addresses."""
    wanted = {address.partition(":")[2].casefold() for address in now.host.addresses}
    wanted |= {text.rpartition(":")[0].strip("[]") for text in wanted if ":" in text} | {now.host.name.casefold()}
    wanted |= {text.strip() for text in hosts.facts_of(now).get("addresses", "").casefold().split(",") if text.strip()}
    found = [
        (watched.monitor.id, watched.monitor.name, look.look(watched, view.alone(call)))
        for watched in call.parts.corridor.watchlist.of(call.who.workspace_id)
        if {watched.host.casefold(), watched.host.casefold().rpartition(":")[0].strip("[]")} & (wanted - {""})
    ]
    return sorted(found, key=lambda one: (-one[2].rank, one[1].casefold()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """What is open by one rule, the same trouble of some things said once. `more`: how many are not listed."""

    title: str
    st: str
    some: tuple[Incident, ...]
    more: int


def _cards(opened: Sequence[Incident]) -> list[Card]:
    found: dict[tuple[str, str], list[Incident]] = {}
    for i in opened:
        st = "acked" if i.acknowledged_at or i.suppressed else "down" if i.severity in ("critical", "down") else "slow"
        found.setdefault((host_words.about(i), st), []).append(i)
    return [
        Card(title=f"{title[:1].upper()}{title[1:]}", st=st, some=tuple(some[:_LISTED]), more=len(some[_LISTED:]))
        for (title, st), some in found.items()
    ]


async def _alerts(call: Call, now: HostNow, all_of_them: bool) -> dict[str, Any]:
    """The past incidents, and the rules that cover it."""
    past: list[Incident] = []
    rules: list[dict[str, Any]] = []
    if all_of_them:
        past, _ = await incidents.select(call.parts, call.who, incidents.Filter(host=now.host.id, open=False, limit=20))
        for rule in alert_rules.visible(call.parts, call.who):
            if isinstance(rule.condition, HostConditions) and rule.scope.covers(now.host):
                said = rule_words.condition(rule_fields(rule)["condition"])
                rules.append({"rule": rule, "says": words.sentence(f"when {said}").removesuffix(".")})
    return {"past": past, "rules": rules, "cards": _cards, "worded": host_words.said, "about": host_words.about}


ROUTES: list[Route] = [
    Route(
        method="GET", path="/hosts/{id}", run=show, permission="read", summary="A host's page", query=Wanted, loose=True,
        kind="page", tag="pages",
    )
]  # fmt: skip
