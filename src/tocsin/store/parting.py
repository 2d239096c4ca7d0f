"""What a server that stood alone hands to the cluster it joins, in loads of a bounded size: names first, then what is over
(results and figures with it), and in the last one all that makes its monitors run and lets its people in.

Numbers (of monitors, workspaces, locations) are this server's own here; who takes a load in knows them by the first one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from tocsin.errors import Invalid, Problem
from tocsin.store import images
from tocsin.store.images import Images, Reseal
from tocsin.store.session import Session
from tocsin.store.shared import HISTORY, shared_tables

Cursor = tuple[str | int, ...]
"""How far the loads are: the number of the part, and the key of its last row."""
_THERE = "monitor IN (SELECT key FROM monitors)"
_OVER = "(workspace_id, incident_id) IN (SELECT workspace_id, id FROM incidents WHERE resolved_at IS NOT NULL)"
_DONE = "(workspace_id, key) IN (SELECT workspace_id, key FROM outbox WHERE state <> 'pending')"
_OF_WORKSPACES = "(name GLOB 'preferences:*' OR name GLOB 'first_rule:*')"


class Part(NamedTuple):
    """Some rows of a table, so many of them at a time."""

    table: str
    where: str = "1 = 1"
    most: int = 1000


NAMES = (Part("workspaces"), Part("notes", _OF_WORKSPACES), Part("locations"), Part("monitors"))
OVER = (
    Part("verdicts", f"ended IS NOT NULL AND {_THERE}", 2000), Part("incidents", "resolved_at IS NOT NULL", 500),
    Part("timeline", _OVER), Part("outbox", "state <> 'pending'", 500), Part("attempts", _DONE), Part("digest_rows", _DONE),
    Part("notices"), Part("changes", "workspace_id IS NOT NULL", 500), Part("results", _THERE, 5000),
    Part("evidence", _THERE, 500), Part("latest", _THERE, 500), Part("states", _THERE), Part("rollups_minute", _THERE),
    Part("rollups_hour", _THERE), Part("rollups_day", _THERE),
)  # fmt: skip
"""What nothing follows from any more."""
REST = (
    Part("users"), Part("memberships"), Part("invitations"), Part("api_keys"), Part("channels"), Part("monitors"),
    Part("monitor_channels"), Part("monitor_parents"), Part("verdicts", f"ended IS NULL AND {_THERE}"), Part("subjects"),
    Part("incidents", "resolved_at IS NULL"), Part("timeline", f"NOT {_OVER}"), Part("outbox", "state = 'pending'"),
    Part("attempts", f"NOT {_DONE}"), Part("digest_rows", f"NOT {_DONE}"), Part("message_refs"), Part("alert_rules"),
    Part("maintenance_windows"), Part("escalation_policies"), Part("on_call_schedules"), Part("probes"), Part("probe_keys"),
    Part("hosts"), Part("agent_keys"), Part("enrolment_keys"), Part("host_configs"),
)  # fmt: skip
LEFT = {
    "agent_signing": "agents are told the key of whoever they talk to",
    "instances": "who stands alone has none",
    "instance_tokens": "the same",
}
"""Shared tables that nothing is handed over of, and why."""


class Load(Struct, frozen=True, kw_only=True):
    """One load of an attempt: its number, the rows, where the next one begins, and whether it is the last."""

    adoption: str
    number: int
    tables: tuple[Images, ...]
    cursor: Cursor = ()
    last: bool = False


class Belongings(Struct, frozen=True, kw_only=True):
    """What a server that stands alone has. `workspaces`: name by id; `people`: addresses; `codes`: of its probes; `counts`:
    rows by table."""

    workspaces: dict[str, str]
    people: tuple[str, ...]
    codes: tuple[str, ...]
    counts: dict[str, int]


def belongings(s: Session) -> Belongings:
    """What there is to be handed over."""
    found = {"monitors", "channels", "alert_rules", "incidents", "users", "api_keys", "results", "rollups_day"}
    return Belongings(
        workspaces={one.id: one.name for one in s.accounts.workspaces()},
        people=tuple(row[0] for row in s.rows("SELECT email FROM users ORDER BY email")),
        codes=tuple(row[0] for row in s.rows("SELECT DISTINCT code FROM probes ORDER BY code")),
        counts={table: _count(s, table) for table in sorted(found)},
    )


def load(s: Session, adoption: str, number: int, cursor: Cursor, reseal: Reseal) -> Load:
    """The load of this number, which begins where the one before it said. Secrets in it are sealed by `reseal`."""
    if number == 0:
        return Load(adoption=adoption, number=0, tables=tuple(_part(s, part, reseal) for part in NAMES))
    part, after = (int(cursor[0]), cursor[1:]) if cursor else (0, ())
    tables: list[Images] = []
    room = 1.0
    while part < len(OVER) and room > 0:
        most = max(1, int(OVER[part].most * room))
        some = _part(s, OVER[part], reseal, after, most)
        if some.rows:
            tables.append(some)
            room -= len(some.rows) / OVER[part].most
            after = some.rows[-1][: _width(some.table)]
        if len(some.rows) < most:
            part, after = part + 1, ()
    if tables:
        return Load(adoption=adoption, number=number, tables=tuple(tables), cursor=(part, *after))
    return Load(adoption=adoption, number=number, tables=tuple(_part(s, one, reseal) for one in REST), last=True)


def encode(one: Load) -> bytes:
    """A load as it travels."""
    return images.squeezed(msgspec.msgpack.encode(one))


def decode(data: bytes) -> Load:
    """The load again. Invalid when it is none, or its rows are of tables and columns that are not known here."""
    try:
        found = msgspec.msgpack.decode(images.unsqueezed(data), type=Load)
    except (msgspec.MsgspecError, UnicodeDecodeError, ValueError) as error:
        raise Invalid(Problem("load", "rows of a server that joins", str(error)[:200])) from error
    for some in found.tables:
        images.require_fit(some, "of the server that joins")
    return found


def _count(s: Session, table: str) -> int:
    row = s.row(f"SELECT count(*) FROM {table}")
    assert row is not None
    return int(row[0])


def _width(table: str) -> int:
    return HISTORY[table].key if table in HISTORY else len(shared_tables()[table].key)


def _part(s: Session, part: Part, reseal: Reseal, after: Sequence[Any] = (), most: int | None = None) -> Images:
    columns = HISTORY[part.table].columns if part.table in HISTORY else shared_tables()[part.table].columns
    key = ", ".join(columns[: _width(part.table)])
    beyond = f" AND ({key}) > ({', '.join('?' for _ in after)})" if after else ""
    limit = "" if most is None else f" LIMIT {most}"
    rows = s.rows(
        f"SELECT {', '.join(columns)} FROM {part.table} WHERE {part.where}{beyond} ORDER BY {key}{limit}", *after
    )
    if part.table in HISTORY:
        return Images(part.table, columns, tuple(map(tuple, rows)))
    table = shared_tables()[part.table]
    return Images(part.table, columns, tuple(images.sealed_anew(table, columns, row, reseal) for row in rows))
