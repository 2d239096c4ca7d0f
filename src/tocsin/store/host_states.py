"""What stands or fails on hosts (units, containers, databases …): each as it is now, and when it changed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from tocsin.core.result import micros
from tocsin.core.sample import Service

if TYPE_CHECKING:
    from tocsin.store.session import Session

_SERVICE = msgspec.json.Decoder(Service)
GONE = "gone"
"""The state of what a collector knows no more."""


class StateChange(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Something on a host came to another state (`before` empty: it is new)."""

    at: datetime
    kind: str
    name: str
    before: str
    after: str
    ok: bool | None = None
    detail: str = ""


class Standing(Struct, frozen=True, kw_only=True):
    """Something on a host as it is now, and which collector says so."""

    collector: str
    thing: Service


class HostStates:
    """The states of what runs on hosts."""

    def __init__(self, session: Session) -> None:
        self._s = session

    def take(self, host: tuple[str, str], collector: str, found: Sequence[Service], at: datetime) -> list[StateChange]:
        """Keep all that a collector knows of a host (workspace, id): what changed."""
        s, of = self._s, (self._s.own(host[0]), host[1])
        rows = s.rows(
            "SELECT kind, name, data FROM host_states WHERE workspace_id = ? AND host_id = ? AND collector = ?",
            *of, collector,
        )  # fmt: skip
        known = {(row[0], row[1]): row[2] for row in rows}
        changes: list[StateChange] = []
        for thing in found:
            text, before = msgspec.json.encode(thing).decode(), known.pop((thing.kind, thing.name), None)
            if text == before:
                continue
            old = None if before is None else msgspec.json.decode(before, type=Service)
            if old is None or (old.state, old.ok) != (thing.state, thing.ok):
                changes.append(_change(old, thing, at))
            s.run(
                "INSERT INTO host_states (workspace_id, host_id, kind, name, collector, data) VALUES (?, ?, ?, ?, ?, ?) "
                "ON CONFLICT (workspace_id, host_id, kind, name) DO UPDATE SET collector = excluded.collector, "
                "data = excluded.data",
                *of, thing.kind, thing.name, collector, text,
            )  # fmt: skip
        for (kind, name), text in known.items():
            changes.append(_change(msgspec.json.decode(text, type=Service), None, at))
            s.run(
                "DELETE FROM host_states WHERE workspace_id = ? AND host_id = ? AND kind = ? AND name = ?",
                *of, kind, name,
            )  # fmt: skip
        s.many(
            "INSERT INTO host_state_changes (workspace_id, host_id, at, data) VALUES (?, ?, ?, ?)",
            [(*of, micros(change.at), msgspec.json.encode(change).decode()) for change in changes],
        )
        return changes

    def list(self, host_id: str) -> list[Standing]:
        """All that is known of a host now, by kind and name."""
        where, values = self._s.mine()
        rows = self._s.rows(
            f"SELECT collector, data FROM host_states WHERE host_id = ? AND {where} ORDER BY kind, name",
            host_id, *values,
        )  # fmt: skip
        return [Standing(collector=row[0], thing=msgspec.json.decode(row[1], type=Service)) for row in rows]

    def all(self) -> dict[str, list[Service]]:
        """All that is known now of every host of the workspace: by host, by kind and name."""
        where, values = self._s.mine()
        found: dict[str, list[Service]] = {}
        rows = self._s.rows(f"SELECT host_id, data FROM host_states WHERE {where} ORDER BY kind, name", *values)
        for host_id, data in rows:
            found.setdefault(host_id, []).append(_SERVICE.decode(data))
        return found

    def changes(
        self, host_id: str, *, kind: str | None = None, name: str | None = None, before: datetime | None = None,
        limit: int = 100,
    ) -> list[StateChange]:  # fmt: skip
        """What changed on a host before then, newest first; of a kind, of one thing, or of all."""
        where, values = self._s.mine()
        upto = 2**62 if before is None else micros(before)
        rows = self._s.rows(
            f"SELECT data FROM host_state_changes WHERE host_id = ? AND at < ? AND {where} ORDER BY at DESC, n DESC LIMIT ?",
            host_id, upto, *values, limit if kind is None and name is None else 50 * limit,
        )  # fmt: skip
        found = (msgspec.json.decode(row[0], type=StateChange) for row in rows)
        return [c for c in found if kind in (None, c.kind) and name in (None, c.name)][:limit]

    def expire(self, before: datetime) -> int:
        """How many changes before then were forgotten."""
        where, values = self._s.mine()
        return self._s.run(f"DELETE FROM host_state_changes WHERE at < ? AND {where}", micros(before), *values)


def _change(old: Service | None, new: Service | None, at: datetime) -> StateChange:
    """`at`: when it was seen, or since when it says it is so."""
    one = new or old
    assert one is not None
    return StateChange(
        at=at, kind=one.kind, name=one.name, before="" if old is None else old.state,
        after=GONE if new is None else new.state, ok=None if new is None else new.ok,
        detail="" if new is None else new.detail,
    )  # fmt: skip
