"""A monitor: what a user wants watched."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from msgspec import Struct
from msgspec.structs import replace

Quorum = Literal["majority", "any", "all"] | int
Parents = tuple[str | tuple[str, ...], ...]
"""What a monitor depends on: ids, and groups of ids of which one is enough."""
Groups = tuple[tuple[str, ...], ...]
ALWAYS_S = 1e9
CALLED = "called"
"""The place that results of push monitors come from: they are called, wherever a call arrives."""


class Assertion(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A condition a check must meet (core.assertion judges it).

    `type`: status_code, header, body, json_path, json_schema, response_time_ms, body_bytes, certificate_days,
    dns_answer. `name` is the header's name, `path` the JSONPath. `on_fail` says whether a miss means down or degraded.
    """

    type: str
    op: str
    value: Any = None
    name: str | None = None
    path: str | None = None
    on_fail: Literal["down", "degrade"] = "down"


class Monitor(Struct, frozen=True, kw_only=True):
    """A monitor's whole configuration. Durations are seconds; `target` is the check type's Target as a JSON object
    (secrets inside it are core.monitor-transparent: the store seals them). `channels` None means every default channel.
    `locations` is empty for a local monitor: `assigned()` gives the places that really check it."""

    id: str
    workspace_id: str
    name: str
    type: str
    target: dict[str, Any]
    interval_s: int = 60
    timeout_s: int | float = 10
    retries: int = 1
    retry_interval_s: int | float = 15
    failure_threshold: int = 2
    degraded_threshold: int = 2
    recovery_threshold: int = 1
    recovery_s: int | float = 0
    monitoring_type: Literal["local", "global"] = "local"
    locations: tuple[str, ...] = ()
    quorum: Quorum = "majority"
    paused: bool = False
    tags: tuple[str, ...] = ()
    parents: Parents = ()
    assertions: tuple[Assertion, ...] = ()
    channels: tuple[str, ...] | None = None
    reminder_s: int = 0
    notify_on_resolve: bool = True
    reopen_s: int = 300
    flap_detection: bool = True
    escalation_policy: str | None = None
    created_at: datetime
    updated_at: datetime
    version: int = 1

    def assigned(self, home: str) -> tuple[str, ...]:
        """The locations that check it; `home` is the location that checks local monitors, and may be named `local` whatever
        it is called. A push monitor has no place of ours: whoever takes its calls in, they count as from one."""
        if self.type == "push":
            return (CALLED,)
        if self.monitoring_type != "global" or not self.locations:
            return (home,)
        return tuple(dict.fromkeys(home if place == "local" else place for place in self.locations))

    def without_place(self, place: str) -> Monitor:
        """It without a location that is going. A quorum that counts is no more than what is left; where nothing is left,
        whoever leads checks it."""
        left = tuple(code for code in self.locations if code != place)
        quorum = min(self.quorum, max(1, len(left))) if isinstance(self.quorum, int) else self.quorum
        return replace(self, monitoring_type="global" if left else "local", locations=left, quorum=quorum)

    def fresh_s(self) -> float:
        """How old the latest valid result of a location may be while its vote counts (push: as old as it likes)."""
        return ALWAYS_S if self.type == "push" else 2 * self.interval_s + float(self.timeout_s)

    @property
    def groups(self) -> Groups:
        """What it depends on, as groups: each is down only when all of it is."""
        return tuple((parent,) if isinstance(parent, str) else parent for parent in self.parents)

    @property
    def parent_ids(self) -> tuple[str, ...]:
        """Every monitor that it depends on, once."""
        return tuple(dict.fromkeys(id for group in self.groups for id in group))


def tidy(parents: Parents) -> Parents:
    """The same parents, each once; a group of one is that one."""
    groups = (tuple(dict.fromkeys((p,) if isinstance(p, str) else p)) for p in parents)
    return tuple(dict.fromkeys(group[0] if len(group) == 1 else group for group in groups if group))


def without(parents: Parents, gone: str) -> Parents:
    """The parents without one of them."""
    groups = ((p,) if isinstance(p, str) else p for p in parents)
    return tidy(tuple(tuple(id for id in group if id != gone) for group in groups))
