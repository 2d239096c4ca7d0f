"""Notices of a workspace: kept until they are put away, are over, or old."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from tocsin.core.notice import Notice
from tocsin.core.result import from_micros, micros
from tocsin.errors import NotFound

if TYPE_CHECKING:
    from tocsin.store.session import Session


class Notices:
    """What has to be known."""

    def __init__(self, session: Session) -> None:
        self._s = session

    def put(self, notice: Notice) -> None:
        """Keep it. What bears its mark already becomes this one, to be seen anew."""
        s = self._s
        s.own(notice.workspace_id)
        s.run(
            "INSERT INTO notices (workspace_id, mark, at, seen_at, data) VALUES (?, ?, ?, NULL, ?) "
            "ON CONFLICT (workspace_id, mark) DO UPDATE SET at = excluded.at, seen_at = NULL, data = excluded.data",
            notice.workspace_id, notice.mark, micros(notice.at), msgspec.json.encode(notice).decode(),
        )  # fmt: skip

    def list(self, *, unseen: bool = False, limit: int = 100) -> list[Notice]:
        """The newest first; `unseen`: those only that nobody put away."""
        where, values = self._s.mine()
        if unseen:
            where += " AND seen_at IS NULL"
        rows = self._s.rows(
            f"SELECT n, at, seen_at, data FROM notices WHERE {where} ORDER BY at DESC, n DESC LIMIT ?", *values, limit
        )
        return [
            msgspec.structs.replace(
                msgspec.json.decode(data, type=Notice), id=str(n), at=from_micros(at),
                seen_at=None if seen is None else from_micros(seen),
            )
            for n, at, seen, data in rows
        ]  # fmt: skip

    def see(self, id: str, at: datetime) -> None:
        """Put one away; NotFound when there is none. Twice is the same as once."""
        where, values = self._s.mine()
        number = int(id) if id.isascii() and id.isdecimal() and len(id) < 18 else 0
        if self._s.row(f"SELECT 1 FROM notices WHERE n = ? AND {where}", number, *values) is None:
            raise NotFound(f"there is no notice {id[:20]}")
        self._s.run(
            f"UPDATE notices SET seen_at = ? WHERE n = ? AND seen_at IS NULL AND {where}", micros(at), number, *values
        )

    def clear(self, workspace_id: str, mark: str) -> int:
        """How many bear this mark: they are over, and are gone."""
        s = self._s
        return s.run("DELETE FROM notices WHERE workspace_id = ? AND mark = ?", s.own(workspace_id), mark)

    def expire(self, before: datetime) -> int:
        """How many older than this were forgotten."""
        where, values = self._s.mine()
        return self._s.run(f"DELETE FROM notices WHERE at < ? AND {where}", micros(before), *values)
