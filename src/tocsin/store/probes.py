"""Locations of workspaces' own with their probes, and the hashes of what lets a probe in: keys and join tokens."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

import msgspec
from msgspec import Struct

from tocsin.core.probe import Probe
from tocsin.core.result import from_micros, micros
from tocsin.errors import Conflict, NotFound
from tocsin.store.door import fields_of

if TYPE_CHECKING:
    from tocsin.store.session import Session

_COLUMNS = "data, keys, id"


class Pass(Struct, frozen=True, kw_only=True):
    """What lets a probe in: a key, or a join token that is changed for one. `used_at`: when a token was used; it opens
    nothing any more, and stays until it would have expired, so that a second use is recognised."""

    workspace_id: str
    probe_id: str
    kind: Literal["key", "join"]
    hash: str = ""
    created_at: datetime
    expires_at: datetime | None = None
    used_at: datetime | None = None


class Probes:
    """Where checks can be run beside this instance itself."""

    def __init__(self, session: Session) -> None:
        self._s = session

    def add(self, probe: Probe) -> None:
        """Keep a new one. Conflict when its workspace has a location of that code."""
        s = self._s
        if s.accounts.workspace(s.own(probe.workspace_id)) is None:
            raise NotFound(f"no workspace {probe.workspace_id}")
        if any(other.code == probe.code and other.workspace_id == probe.workspace_id for other in self.list()):
            raise Conflict(f"there is a location {probe.code} already")
        s.door.create(
            "location", probe.id, probe.workspace_id, _fields(probe),
            "INSERT INTO probes (workspace_id, id, code, version, keys, data) VALUES (?, ?, ?, ?, ?, ?)",
            probe.workspace_id, probe.id, *self._values(probe),
        )  # fmt: skip

    def get(self, id: str) -> Probe:
        """It; NotFound when there is none."""
        where, values = self._s.mine()
        row = self._s.row(f"SELECT {_COLUMNS} FROM probes WHERE id = ? AND {where}", id, *values)
        if row is None:
            raise NotFound(f"there is no location {id}")
        return self._read(row)

    def list(self) -> list[Probe]:
        """All of them, by code, then id."""
        where, values = self._s.mine()
        rows = self._s.rows(f"SELECT {_COLUMNS} FROM probes WHERE {where} ORDER BY code, id", *values)
        return [self._read(row) for row in rows]

    def replace(self, probe: Probe) -> Probe:
        """It as stored, its version one up. Conflict when somebody else changed it since `probe.version`. Its code stays: by
        that its results are known."""
        s, old = self._s, self.get(probe.id)
        if (old.workspace_id, old.code) != (probe.workspace_id, probe.code):
            raise NotFound(f"there is no location {probe.id}")
        new = msgspec.structs.replace(probe, version=probe.version + 1)
        if not s.door.change(
            "location", new.id, new.workspace_id, _fields(old), _fields(new),
            "UPDATE probes SET code = ?, version = ?, keys = ?, data = ? "
            "WHERE workspace_id = ? AND id = ? AND version = ?",
            *self._values(new), new.workspace_id, new.id, probe.version,
        ):  # fmt: skip
            raise Conflict(f"it was changed by somebody else meanwhile (it is at version {old.version})")
        return new

    def delete(self, id: str) -> None:
        """Forget it and its keys; its results stay. NotFound when there is none."""
        old = self.get(id)
        self._s.door.delete(
            "location", id, old.workspace_id, _fields(old),
            "DELETE FROM probes WHERE workspace_id = ? AND id = ?", old.workspace_id, id,
        )  # fmt: skip

    # What lets a probe in -------------------------------------------------------------------------------------------
    def let_in(self, given: Pass) -> None:
        """Keep a pass of a probe of this workspace. Of join tokens only the newest counts, of keys the newest two (the one
        and the one that it replaces)."""
        s = self._s
        probe = self.get(given.probe_id)
        if probe.workspace_id != s.own(given.workspace_id):
            raise NotFound(f"there is no location {given.probe_id}")
        at = (given.workspace_id, given.probe_id)
        if given.kind == "join":
            s.run(
                "DELETE FROM probe_keys WHERE workspace_id = ? AND probe_id = ? AND kind = 'join' AND used_at IS NULL",
                *at,
            )
        else:
            kept = s.row(
                "SELECT key_hash FROM probe_keys WHERE workspace_id = ? AND probe_id = ? AND kind = 'key' "
                "ORDER BY created_at DESC, key_hash LIMIT 1",
                *at,
            )
            s.run(
                "DELETE FROM probe_keys WHERE workspace_id = ? AND probe_id = ? AND kind = 'key' AND key_hash <> ?",
                *at, "" if kept is None else kept[0],
            )  # fmt: skip
        s.door.create(
            f"location_{given.kind}", given.probe_id, given.workspace_id, {"expires_at": str(given.expires_at)},
            "INSERT INTO probe_keys (key_hash, workspace_id, probe_id, kind, created_at, expires_at) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            given.hash, *at, given.kind, micros(given.created_at),
            None if given.expires_at is None else micros(given.expires_at),
        )  # fmt: skip

    def by_hash(self, hash: str) -> Pass | None:
        """The pass with this hash, or None. The caller judges whether it still counts."""
        where, values = self._s.mine()
        row = self._s.row(
            f"SELECT workspace_id, probe_id, kind, created_at, expires_at, used_at FROM probe_keys "
            f"WHERE key_hash = ? AND {where}",
            hash, *values,
        )  # fmt: skip
        if row is None:
            return None
        return Pass(
            workspace_id=row[0], probe_id=row[1], kind=row[2], hash=hash, created_at=from_micros(row[3]),
            expires_at=None if row[4] is None else from_micros(row[4]),
            used_at=None if row[5] is None else from_micros(row[5]),
        )  # fmt: skip

    def joins_until(self, probe_id: str, now: datetime) -> datetime | None:
        """Until when a probe that has never joined may do that; None when it has joined, or may not any more."""
        where, values = self._s.mine()
        rows = self._s.rows(
            f"SELECT kind, expires_at FROM probe_keys WHERE probe_id = ? AND used_at IS NULL AND {where}",
            probe_id,
            *values,
        )
        if any(kind == "key" for kind, _ in rows):
            return None
        until = max((from_micros(end) for _, end in rows if end is not None), default=None)
        return None if until is None or until < now else until

    def use(self, hash: str, at: datetime) -> bool:
        """Mark a join token as used; False when it was before (somebody was quicker)."""
        where, values = self._s.mine()
        return (
            self._s.run(
                f"UPDATE probe_keys SET used_at = ? WHERE key_hash = ? AND kind = 'join' AND used_at IS NULL AND {where}",
                micros(at), hash, *values,
            )
            > 0
        )  # fmt: skip

    def retire(self, given: Pass) -> int:
        """How many keys of the probe older than this one open nothing any more: the newer one is in use."""
        s = self._s
        return s.run(
            "DELETE FROM probe_keys WHERE workspace_id = ? AND probe_id = ? AND kind = 'key' AND created_at < ?",
            s.own(given.workspace_id), given.probe_id, micros(given.created_at),
        )  # fmt: skip

    def expire(self, before: datetime) -> int:
        """How many join tokens that ended before then were forgotten."""
        where, values = self._s.mine()
        return self._s.run(f"DELETE FROM probe_keys WHERE expires_at < ? AND {where}", micros(before), *values)

    def _values(self, probe: Probe) -> tuple[Any, ...]:
        plain = msgspec.structs.replace(probe, keys=())
        sealed = self._s.seal.close(list(probe.keys), f"probes/{probe.id}")
        return probe.code, probe.version, sealed, msgspec.json.encode(plain).decode()

    def _read(self, row: tuple[Any, ...]) -> Probe:
        probe = msgspec.json.decode(row[0], type=Probe)
        return msgspec.structs.replace(probe, keys=tuple(self._s.seal.open(row[1], f"probes/{row[2]}")))


def _fields(probe: Probe) -> dict[str, Any]:
    return fields_of(probe)
