"""Hosts as JSON and from JSON."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from msgspec import Struct, field, to_builtins

from tocsin.core.buckets import Bucket
from tocsin.core.host import EnrolmentKey, Host
from tocsin.core.result import iso
from tocsin.core.shape import Help, Length, Name, Range
from tocsin.pipeline.hosts import HostNow
from tocsin.web.api.host_runs import AgentRun, runs_json

Tags = Annotated[tuple[Annotated[Name, Length(1, 64)], ...], Length(0, 50), Help("as of monitors")]
Group = Annotated[str, Length(0, 100), Help("where it stands in lists")]
WARN_S, DOWN_S = 75.0, 120.0
HostState = Literal["new", "well", "late", "silent", "unknown", "off"]
"""unknown: only the primary hears it."""


class HostIn(Struct, frozen=True, kw_only=True):
    """A host. Only `name` is required."""

    name: Annotated[Name, Length(1, 200)]
    tags: Tags = ()
    group: Group = ""
    enabled: Annotated[bool, Help("false: its agent is refused, nobody is told of it")] = True
    maintenance: Annotated[bool, Help("true: openings of its incidents are held back")] = False
    addresses: Annotated[
        tuple[Annotated[str, Length(1, 300)], ...],
        Length(0, 10),
        Help("where it answers from outside: ping:HOST or tcp:HOST:PORT"),
    ] = ()
    direct_channels: Annotated[
        tuple[str, ...], Length(0, 20), Help("channels (email, slack, webhook) that its agent may tell by itself")
    ] = ()


class Outside(Struct, frozen=True, kw_only=True):
    """Whether a host answers from outside; null while nobody looked."""

    reachable: bool | None
    at: str | None
    words: str


class HostOut(Struct, frozen=True, kw_only=True):
    """A host as it is now. `latest`: the newest value of each series. `clock_offset_s`: what its clock is behind ours.
    `agents`: where several say that they are this host."""

    id: str
    name: str
    tags: list[str]
    group: str
    enabled: bool
    maintenance: bool
    addresses: list[str]
    direct_channels: list[str]
    state: HostState
    heard_at: str | None
    agent_version: str
    started_at: str | None
    incarnation: str
    quarantined: list[str]
    agents: list[AgentRun]
    facts: dict[str, str]
    troubles: dict[str, str]
    clock_offset_s: float
    buffered: int
    dropped: int
    cpu_percent: float
    rss_bytes: int
    config_version: int
    config_error: str
    outside: Outside
    latest: dict[str, float]
    open_incidents: int
    enrolled_at: str | None
    created_at: str | None
    updated_at: str | None
    version: int


class HostMade(HostOut, frozen=True, kw_only=True):
    """A host just made, and what its agent enrols with, once. Shown this once."""

    enrollment_key: str


class HostList(Struct, frozen=True, kw_only=True):
    """The hosts of a workspace."""

    items: list[HostOut]
    next_cursor: str | None


class EnrolmentIn(Struct, frozen=True, kw_only=True):
    """A key that agents enrol with."""

    name: Annotated[Name, Length(1, 100), Help("what it is for")]
    single_use: Annotated[bool, Help("true: one host enrols with it")] = False
    expires_at: Annotated[datetime | None, Help("when it ends by itself")] = None
    tags: Tags = ()
    group: Group = ""


class EnrolmentOut(Struct, frozen=True, kw_only=True):
    """Such a key without its secret."""

    id: str
    name: str
    prefix: str
    single_use: bool
    host_id: str | None
    tags: list[str]
    group: str
    uses: int
    created_by: str
    created_at: str | None
    expires_at: str | None
    used_at: str | None


class EnrolmentMade(EnrolmentOut, frozen=True, kw_only=True):
    """One just made. `key` is shown this once."""

    key: str


class EnrolmentList(Struct, frozen=True, kw_only=True):
    """The enrolment keys of a workspace."""

    items: list[EnrolmentOut]
    next_cursor: str | None


class SeriesAsked(Struct, frozen=True, kw_only=True):
    """Which series, and of which time: the last hour when nothing is said."""

    metric: Annotated[str, Length(1, 200), Help("a metric, or a whole series: disk.used_percent{mount=/}")]
    from_: datetime | None = field(default=None, name="from")
    to: datetime | None = None
    window: Annotated[str | None, Length(0, 8), Help("1h, 24h, 7d …")] = None
    step: Annotated[
        int | None, Range(10, 86_400), Help("seconds; left out: as fine as is kept, with not too many points")
    ] = None


class SamplePoint(Struct, frozen=True, kw_only=True):
    """One step; without values where there were none."""

    at: str
    count: int
    min: float | None
    max: float | None
    avg: float | None
    last: float | None


class OneSeries(Struct, frozen=True, kw_only=True):
    """A series and its points. `full_in_s`: of what counts in percent, when it will be at 100 if it goes on so."""

    name: str
    labels: dict[str, str]
    points: list[SamplePoint]
    full_in_s: float | None


class HostSeries(Struct, frozen=True, kw_only=True):
    """Series of a host over time."""

    step_s: int
    series: list[OneSeries]


def state_of(now: HostNow, since: float, tick: float, leads: bool = True) -> HostState:
    """How a host is, by when its agent was heard; agents speak to the instance that leads."""
    if not now.host.enabled:
        return "off"
    if not leads and now.host.enrolled_at is not None:
        return "unknown"
    if now.heard_at is None:
        return "new"
    silence = now.silent_s(since, tick)
    return "well" if silence < WARN_S else "late" if silence < DOWN_S else "silent"


def host_json(now: HostNow, state: str, incidents: int, tick: float) -> dict[str, Any]:
    """A host as JSON data."""
    host, said = now.host, now.said
    return {
        "id": host.id, "name": host.name, "tags": list(host.tags), "group": host.group, "enabled": host.enabled,
        "maintenance": host.maintenance, "addresses": list(host.addresses),
        "direct_channels": list(host.direct_channels), "state": state, "heard_at": iso(now.heard_at),
        "agent_version": said.agent_version or host.agent_version, "started_at": iso(said.started_at),
        "incarnation": host.incarnation, "quarantined": list(host.quarantined), "agents": runs_json(now, tick),
        "facts": {**host.facts, **said.facts},
        "troubles": said.troubles, "clock_offset_s": round(said.offset_s, 3), "buffered": said.buffered,
        "dropped": said.dropped, "cpu_percent": said.cpu_percent, "rss_bytes": said.rss_bytes,
        "config_version": said.config_version, "config_error": said.config_error,
        "outside": {"reachable": now.outside, "at": iso(now.outside_at), "words": now.outside_words},
        "latest": {name: value for name, (_, value) in sorted(now.latest.items())}, "open_incidents": incidents,
        "enrolled_at": iso(host.enrolled_at), "created_at": iso(host.created_at), "updated_at": iso(host.updated_at),
        "version": host.version,
    }  # fmt: skip


def editable(host: Host) -> dict[str, Any]:
    """What of a host can be set, as it is."""
    plain = to_builtins(host)
    return {name: plain[name] for name in HostIn.__struct_fields__}


def enrolment_json(key: EnrolmentKey) -> dict[str, Any]:
    """An enrolment key as JSON data, without what it is looked up by."""
    return {
        "id": key.id, "name": key.name, "prefix": key.prefix, "single_use": key.single_use, "host_id": key.host_id,
        "tags": list(key.tags), "group": key.group, "uses": key.uses, "created_by": key.created_by,
        "created_at": iso(key.created_at), "expires_at": iso(key.expires_at), "used_at": iso(key.used_at),
    }  # fmt: skip


def points_json(found: Mapping[int, Bucket], start: int, end: int, step: int) -> list[dict[str, Any]]:
    """Buckets as points, gaps as points without values."""
    return [_point(at, found.get(at)) for at in range(start - start % step, max(end, start + 1), step)]


def _point(at: int, one: Bucket | None) -> dict[str, Any]:
    when = iso(datetime.fromtimestamp(at, UTC))
    if one is None:
        return {"at": when, "count": 0, "min": None, "max": None, "avg": None, "last": None}
    return {
        "at": when, "count": one.n, "min": one.low, "max": one.high, "avg": one.sum / one.n, "last": one.last,
    }  # fmt: skip
