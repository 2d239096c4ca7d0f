"""What users write down whole and we keep as it is: alert rules, maintenance windows, escalation policies, on-call
schedules. One class, one table each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, cast

import msgspec

from tocsin.errors import Conflict, NotFound
from tocsin.store.door import fields_of

if TYPE_CHECKING:
    from tocsin.store.session import Session


class Kept(Protocol):
    """What such a thing has."""

    @property
    def id(self) -> str: ...
    @property
    def workspace_id(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def version(self) -> int: ...


K = TypeVar("K", bound=Kept)


class Records(Generic[K]):
    """Things of one type. `table` holds them, `noun` is what they are called ("alert_rule")."""

    def __init__(self, session: Session, table: str, noun: str, type_: type[K]) -> None:
        self._s, self._table, self._noun, self._type = session, table, noun, type_

    def add(self, thing: K) -> None:
        """Keep a new one. Conflict when its id is taken."""
        s = self._s
        if s.accounts.workspace(s.own(thing.workspace_id)) is None:
            raise NotFound(f"no workspace {thing.workspace_id}")
        s.door.create(
            self._noun, thing.id, thing.workspace_id, _fields(thing),
            f"INSERT INTO {self._table} (workspace_id, id, name, version, data) VALUES (?, ?, ?, ?, ?)",
            thing.workspace_id, thing.id, thing.name, thing.version, _text(thing),
        )  # fmt: skip

    def get(self, id: str) -> K:
        """It; NotFound when there is none."""
        where, values = self._s.mine()
        row = self._s.row(f"SELECT data FROM {self._table} WHERE id = ? AND {where}", id, *values)
        if row is None:
            raise NotFound(f"there is no {self._noun.replace('_', ' ')} {id}")
        return self._read(row[0])

    def list(self) -> list[K]:
        """All of them, by name, then id."""
        where, values = self._s.mine()
        rows = self._s.rows(f"SELECT data FROM {self._table} WHERE {where} ORDER BY name, id", *values)
        return [self._read(row[0]) for row in rows]

    def replace(self, thing: K) -> K:
        """It as stored, its version one up. Conflict when somebody else changed it since `thing.version`."""
        s, old = self._s, self.get(thing.id)
        if old.workspace_id != thing.workspace_id:
            raise NotFound(f"there is no {self._noun.replace('_', ' ')} {thing.id}")
        new = cast("K", msgspec.structs.replace(cast("Any", thing), version=thing.version + 1))
        if not s.door.change(
            self._noun, new.id, new.workspace_id, _fields(old), _fields(new),
            f"UPDATE {self._table} SET name = ?, version = ?, data = ? WHERE workspace_id = ? AND id = ? AND version = ?",
            new.name, new.version, _text(new), new.workspace_id, new.id, thing.version,
        ):  # fmt: skip
            raise Conflict(f"it was changed by somebody else meanwhile (it is at version {old.version})")
        return new

    def delete(self, id: str) -> None:
        """Forget it; NotFound when there is none."""
        old = self.get(id)
        self._s.door.delete(
            self._noun, id, old.workspace_id, _fields(old),
            f"DELETE FROM {self._table} WHERE workspace_id = ? AND id = ?", old.workspace_id, id,
        )  # fmt: skip

    def _read(self, data: str) -> K:
        return msgspec.json.decode(data, type=self._type)


def _text(thing: Any) -> str:
    return msgspec.json.encode(thing).decode()


def _fields(thing: Any) -> dict[str, Any]:
    return fields_of(thing)
