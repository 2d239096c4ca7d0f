"""When agents were heard: one row for each stretch without a gap, with what was said last."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from tocsin.core.result import from_micros, micros

if TYPE_CHECKING:
    from tocsin.store.session import Session

_COLUMNS = "workspace_id, host_id, began_at, last_at, count, data"


class Said(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an agent said of itself with its newest heartbeat. `offset_s`: what its clock is behind ours. `every_s`: how
    often it says so (0: it does not say). `late_s`: for how long some of the `buffered` waited that should not."""

    agent_version: str = ""
    incarnation: str = ""
    life: str = ""
    started_at: datetime | None = None
    every_s: float = 0.0
    config_version: int = 0
    config_error: str = ""
    buffered: int = 0
    late_s: float = 0.0
    dropped: int = 0
    cpu_percent: float = 0.0
    rss_bytes: int = 0
    offset_s: float = 0.0
    facts: dict[str, str] = {}
    troubles: dict[str, str] = {}


class Stretch(Struct, frozen=True, kw_only=True):
    """A time in which an agent was heard without a gap: from its first heartbeat to its last."""

    workspace_id: str
    host_id: str
    began_at: datetime
    last_at: datetime
    count: int
    said: Said


class Heartbeats:
    """When the agents of hosts were heard."""

    def __init__(self, session: Session) -> None:
        self._s = session

    def note(self, host: tuple[str, str], said: Said, at: datetime, gap_s: float) -> None:
        """A heartbeat of a host (workspace, id). It begins a new stretch after a gap, a start of the agent, another version
        or data folder."""
        s, of = self._s, (self._s.own(host[0]), host[1])
        row = s.row(
            "SELECT began_at, last_at, data FROM heartbeats WHERE workspace_id = ? AND host_id = ? "
            "ORDER BY began_at DESC LIMIT 1",
            *of,
        )
        text = msgspec.json.encode(said).decode()
        if row is not None and at - from_micros(row[1]) <= timedelta(seconds=gap_s) and _same(row[2], said):
            s.run(
                "UPDATE heartbeats SET last_at = ?, count = count + 1, data = ? "
                "WHERE workspace_id = ? AND host_id = ? AND began_at = ?",
                micros(at), text, *of, row[0],
            )  # fmt: skip
            return
        s.run(
            "INSERT INTO heartbeats (workspace_id, host_id, began_at, last_at, count, data) VALUES (?, ?, ?, ?, 1, ?) "
            "ON CONFLICT (workspace_id, host_id, began_at) DO UPDATE SET data = excluded.data",
            *of, micros(at), micros(at), text,
        )  # fmt: skip

    def list(self, host_id: str, limit: int = 100) -> list[Stretch]:
        """The stretches of a host, newest first."""
        where, values = self._s.mine()
        rows = self._s.rows(
            f"SELECT {_COLUMNS} FROM heartbeats WHERE host_id = ? AND {where} ORDER BY began_at DESC LIMIT ?",
            host_id, *values, limit,
        )  # fmt: skip
        return [_stretch(row) for row in rows]

    def newest(self) -> list[Stretch]:
        """The newest stretch of every host."""
        where, values = self._s.mine("b.workspace_id")
        rows = self._s.rows(
            f"SELECT {', '.join('b.' + c for c in _COLUMNS.split(', '))} FROM hosts h JOIN heartbeats b ON "
            "b.workspace_id = h.workspace_id AND b.host_id = h.id AND b.began_at = (SELECT max(began_at) FROM heartbeats n "
            f"WHERE n.workspace_id = h.workspace_id AND n.host_id = h.id) WHERE {where}",
            *values,
        )
        return [_stretch(row) for row in rows]

    def expire(self, before: datetime) -> int:
        """How many stretches that ended before then were forgotten."""
        where, values = self._s.mine()
        return self._s.run(f"DELETE FROM heartbeats WHERE last_at < ? AND {where}", micros(before), *values)


def _same(data: str, said: Said) -> bool:
    before = msgspec.json.decode(data, type=Said)
    return (before.agent_version, before.incarnation, before.started_at) == (
        said.agent_version, said.incarnation, said.started_at,
    )  # fmt: skip


def _stretch(row: tuple[Any, ...]) -> Stretch:
    return Stretch(
        workspace_id=row[0], host_id=row[1], began_at=from_micros(row[2]), last_at=from_micros(row[3]), count=row[4],
        said=msgspec.json.decode(row[5], type=Said),
    )  # fmt: skip
