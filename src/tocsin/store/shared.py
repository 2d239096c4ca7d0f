"""Which tables all instances of a cluster have alike, and which are each instance's own.

Shared rows travel whole, as images (store.images), from the primary to the others. Of a table's columns those `at_home`
stay out of it: who holds a message for the moment, when a key was used last. A sealed column is opened on its way out and
sealed for the receiver.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from msgspec import Struct


class Sharing(Struct, frozen=True, kw_only=True):
    """How the rows of a table are shared. `sealed`: what each sealed column is bound to, by its row's columns. `rows`: the
    condition on the rows that are shared, `{}` before each column. `named`: what its rows are called outside the store."""

    at_home: tuple[str, ...] = ()
    sealed: dict[str, str] = {}
    rows: str | None = None
    named: tuple[str, ...] = ()


_BY_ID = Sharing(named=("workspace_id", "id"))
_SHARED_NOTES = (
    "({0}name IN ('setup_done', 'epochs') OR {0}name GLOB 'preferences:*' OR {0}name GLOB 'first_rule:*' OR "
    "{0}name GLOB 'adopting:*')"
)

SHARED: dict[str, Sharing] = {
    "workspaces": Sharing(named=("id",)),
    "users": Sharing(),
    "memberships": Sharing(),
    "invitations": Sharing(),
    "api_keys": Sharing(at_home=("last_used_at",)),
    "locations": Sharing(named=("name",)),
    "monitors": Sharing(named=("workspace_id", "id"), sealed={"target": "monitors/{id}"}),
    "channels": Sharing(sealed={"config": "channels/{id}"}),
    "monitor_channels": Sharing(),
    "monitor_parents": Sharing(),
    "verdicts": Sharing(),
    "subjects": Sharing(),
    "incidents": _BY_ID,
    "timeline": Sharing(named=("workspace_id", "incident_id")),
    "outbox": Sharing(at_home=("lease_until", "lease_by"), named=("workspace_id", "key")),
    "message_refs": Sharing(),
    "digest_rows": Sharing(),
    "attempts": Sharing(named=("workspace_id", "key")),
    "notices": Sharing(),
    "alert_rules": _BY_ID,
    "maintenance_windows": _BY_ID,
    "escalation_policies": _BY_ID,
    "on_call_schedules": _BY_ID,
    "probes": Sharing(named=("workspace_id", "id"), sealed={"keys": "probes/{id}"}),
    "probe_keys": Sharing(),
    "hosts": _BY_ID,
    "agent_keys": Sharing(named=("workspace_id", "host_id")),
    "enrolment_keys": Sharing(),
    "host_configs": Sharing(sealed={"config": "host_configs/{host_id}"}),
    "agent_signing": Sharing(sealed={"secret": "agent_signing/{id}"}),
    "instances": Sharing(),
    "instance_tokens": Sharing(),
    "changes": Sharing(),
    "notes": Sharing(rows=_SHARED_NOTES),
}
OWN = {
    "sessions": "sign-ins: whoever is sent to another instance signs in there",
    "monitors_gone": "each clears the results of a deleted monitor at its own pace",
    "results": "results travel by store.transport",
    "results_tail": "the same",
    "evidence": "the same",
    "latest": "made of results",
    "states": "what this instance's locations saw",
    "ticks": "made of results",
    "rollups_minute": "made of results",
    "rollups_hour": "made of results",
    "rollups_day": "made of results",
    "agent_acks": "what the agents told this instance",
    "series": "the same",
    "samples_tail": "the same",
    "samples": "the same",
    "heartbeats": "the same",
    "host_states": "the same",
    "host_state_changes": "the same",
    "control": "what this instance promised the others",
    "control_log": "the log itself",
    "transport": "who has which results",
    "transport_ends": "the same",
}
"""Tables that are each instance's own, and why."""


@dataclass(frozen=True, slots=True)
class OwnTable:
    """A table of each instance's own that a server which joins hands over once. Its first `key` columns are its key;
    `merged`: what has the same key is added up."""

    columns: tuple[str, ...]
    key: int
    merged: bool = False


_SPOT = ("monitor", "at", "location", "attempt", "workspace")
_ROLLUP = OwnTable(
    ("monitor", "location", "at", "workspace", "count", "up", "degraded", "down", "invalid", "answered", "sum", "low",
     "high", "sketch"), 3, merged=True,
)  # fmt: skip
HISTORY: dict[str, OwnTable] = {
    "history": OwnTable(("adoption", "number"), 1),
    "results": OwnTable((*_SPOT, "flags", "total", "more"), 4),
    "evidence": OwnTable((*_SPOT, "data"), 4),
    "latest": OwnTable(("monitor", "location", "workspace", "at", "attempt", "data"), 2),
    "states": OwnTable(("monitor", "location", "workspace", "data"), 2),
    "rollups_minute": _ROLLUP,
    "rollups_hour": _ROLLUP,
    "rollups_day": _ROLLUP,
}
"""What an entry may hold besides shared rows: what a server brought that joined. `history` is no table, but says which load
it is of."""


@dataclass(frozen=True, slots=True)
class SharedTable:
    """A shared table as its rows travel. `columns` begins with the primary `key`; `counted`: its numbers are never given
    twice."""

    name: str
    key: tuple[str, ...]
    columns: tuple[str, ...]
    optional: frozenset[str]
    counted: bool
    how: Sharing

    def where(self, prefix: str = "") -> str:
        """The condition on its shared rows."""
        return "1 = 1" if self.how.rows is None else self.how.rows.format(prefix)

    def about(self, column: str, row: dict[str, Any]) -> str:
        """What the sealed value of a row is bound to."""
        return self.how.sealed[column].format_map(row)

    @property
    def named(self) -> tuple[str, ...]:
        """The columns that name its rows outside the store."""
        return self.how.named or self.key


@cache
def shared_tables() -> dict[str, SharedTable]:
    """Every shared table by name, parents first."""
    from tocsin.store import schema  # only who shares needs it

    found: dict[str, SharedTable] = {}
    for table in schema.metadata.sorted_tables:
        how = SHARED.get(table.name)
        if how is None:
            continue
        key = tuple(str(column.name) for column in table.primary_key)
        rest = [c for c in table.columns if c.name not in key and c.name not in how.at_home]
        name = str(table.name)
        found[name] = SharedTable(
            name=name, key=key, columns=key + tuple(str(c.name) for c in rest),
            optional=frozenset(str(c.name) for c in rest if c.nullable),
            counted=bool(table.dialect_options["sqlite"]["autoincrement"]), how=how,
        )  # fmt: skip
    return found
