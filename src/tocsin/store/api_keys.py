"""Programs' keys: looked up by their SHA-256 hash, never stored in clear."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

from tocsin.core.account import ApiKey
from tocsin.core.result import from_micros, micros
from tocsin.errors import NotFound
from tocsin.store.door import fields_of

if TYPE_CHECKING:
    from tocsin.store.session import Session

_COLUMNS = "data, last_used_at"


class ApiKeys:
    """The keys of a workspace."""

    def __init__(self, session: Session) -> None:
        self._s = session

    def add(self, key: ApiKey) -> None:
        """Keep a new key."""
        self._s.door.create(
            "api_key", key.id, self._s.own(key.workspace_id), fields_of(key),
            "INSERT INTO api_keys (workspace_id, id, key_hash, data) VALUES (?, ?, ?, ?)",
            key.workspace_id, key.id, key.key_hash, msgspec.json.encode(key).decode(),
        )  # fmt: skip

    def list(self) -> list[ApiKey]:
        """Every key, oldest first, revoked ones too."""
        where, values = self._s.mine()
        return [_read(r) for r in self._s.rows(f"SELECT {_COLUMNS} FROM api_keys WHERE {where} ORDER BY id", *values)]

    def get(self, id: str) -> ApiKey:
        """The key; NotFound when there is none."""
        where, values = self._s.mine()
        row = self._s.row(f"SELECT {_COLUMNS} FROM api_keys WHERE id = ? AND {where}", id, *values)
        if row is None:
            raise NotFound(f"no API key {id}")
        return _read(row)

    def by_hash(self, key_hash: str) -> ApiKey | None:
        """The key with this hash, or None. The caller judges whether it still counts."""
        where, values = self._s.mine()
        row = self._s.row(f"SELECT {_COLUMNS} FROM api_keys WHERE key_hash = ? AND {where}", key_hash, *values)
        return None if row is None else _read(row)

    def revoke(self, id: str, at: datetime) -> ApiKey:
        """The key, which opens nothing any more."""
        key = self.get(id)
        if key.revoked_at is not None:
            return key
        revoked = msgspec.structs.replace(key, revoked_at=at)
        self._s.door.change(
            "api_key", id, key.workspace_id, fields_of(key), fields_of(revoked),
            "UPDATE api_keys SET data = ? WHERE workspace_id = ? AND id = ?",
            msgspec.json.encode(revoked).decode(), key.workspace_id, id,
        )  # fmt: skip
        return revoked

    def touch(self, id: str, at: datetime) -> None:
        """Remember when it was last used."""
        where, values = self._s.mine()
        self._s.run(f"UPDATE api_keys SET last_used_at = ? WHERE id = ? AND {where}", micros(at), id, *values)


def _read(row: tuple[Any, ...]) -> ApiKey:
    key = msgspec.json.decode(row[0], type=ApiKey)
    return key if row[1] is None else msgspec.structs.replace(key, last_used_at=from_micros(row[1]))
