"""The one door: every write to configuration, incidents and outbox passes it, and what changed, by whom and when is
recorded in the same transaction (the audit log `changes`). Results, states and verdicts do not pass it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from tocsin import telemetry

if TYPE_CHECKING:
    from tocsin.store.session import Session

log = telemetry.logger("store")
HIDDEN = "***"
_SECRET = frozenset({"password_hash", "token_hash", "key_hash", "target", "config", "keys"})


class Door:
    """Writes with a record. A write that changes nothing leaves no record."""

    def __init__(self, session: Session) -> None:
        self._s = session

    def create(
        self, noun: str, id: str, workspace_id: str | None, after: Mapping[str, Any], sql: str, *values: Any
    ) -> bool:
        """Run an INSERT and record it; False when the row was there already (ON CONFLICT DO NOTHING)."""
        if self._s.run(sql, *values) == 0:
            return False
        self._record(noun, id, workspace_id, "created", {}, after)
        return True

    def change(
        self, noun: str, id: str, workspace_id: str | None, before: Mapping[str, Any], after: Mapping[str, Any],
        sql: str, *values: Any,
    ) -> bool:  # fmt: skip
        """Run an UPDATE and record the fields that differ; False when it touched no row."""
        if self._s.run(sql, *values) == 0:
            return False
        differing = {name for name in {**before, **after} if before.get(name) != after.get(name)}
        if differing:
            old = {name: value for name, value in before.items() if name in differing}
            new = {name: value for name, value in after.items() if name in differing}
            self._record(noun, id, workspace_id, "changed", old, new)
        return True

    def also(self, noun: str, id: str, workspace_id: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
        """Record a change just made in another workspace too: it is about somebody who belongs there."""
        self._record(noun, id, workspace_id, "changed", before, after)

    def delete(
        self, noun: str, id: str, workspace_id: str | None, before: Mapping[str, Any], sql: str, *values: Any
    ) -> bool:
        """Run a DELETE and record it; False when there was nothing."""
        if self._s.run(sql, *values) == 0:
            return False
        self._record(noun, id, workspace_id, "deleted", before, {})
        return True

    def _record(
        self,
        noun: str,
        id: str,
        workspace_id: str | None,
        verb: str,
        before: Mapping[str, Any],
        after: Mapping[str, Any],
    ) -> None:
        if (
            noun == "session" and self._s.memory.following
        ):  # sign-ins are an instance's own, the record is the cluster's
            log.info("session.recorded", verb=verb, by=self._s.by, id=id)
            return
        self._s.run(
            "INSERT INTO changes (workspace_id, at, by_whom, noun, noun_id, verb, before, after) VALUES "
            "(?,?,?,?,?,?,?,?)",
            workspace_id, self._s.now_us, self._s.by, noun, id, verb, _shown(before), _shown(after),
        )  # fmt: skip


def fields_of(struct: msgspec.Struct) -> dict[str, Any]:
    """A struct's fields as plain JSON values, for the record."""
    return msgspec.to_builtins(struct)


def _shown(fields: Mapping[str, Any]) -> str:
    hidden = {name: HIDDEN if name in _SECRET and value is not None else value for name, value in fields.items()}
    return msgspec.json.encode(hidden).decode()
