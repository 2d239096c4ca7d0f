"""The audit log, newest first. Only the one door (store.door) writes it."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from tocsin.core.account import Change
from tocsin.core.result import from_micros, micros
from tocsin.store.cursor import read_cursor, write_cursor

if TYPE_CHECKING:
    from tocsin.store.session import Session


class Changes:
    """What was changed, by whom and when."""

    def __init__(self, session: Session) -> None:
        self._s = session

    def expire(self, before: datetime) -> int:
        """How many entries from before then were forgotten."""
        where, values = self._s.mine()
        return self._s.run(f"DELETE FROM changes WHERE at < ? AND {where}", micros(before), *values)

    def list(self, limit: int = 100, cursor: str | None = None) -> tuple[list[Change], str | None]:
        """A page of the log and the cursor of the next one."""
        where, values = self._s.mine()
        if cursor is not None:
            (number,) = read_cursor(cursor, int)
            where, values = f"{where} AND number < ?", (*values, number)
        rows = self._s.rows(
            "SELECT number, workspace_id, at, by_whom, noun, noun_id, verb, before, after FROM changes "
            f"WHERE {where} ORDER BY number DESC LIMIT ?",
            *values, limit + 1,
        )  # fmt: skip
        found = [
            Change(
                number=r[0], workspace_id=r[1], at=from_micros(r[2]), by=r[3], noun=r[4], noun_id=r[5], verb=r[6],
                before=msgspec.json.decode(r[7]), after=msgspec.json.decode(r[8]),
            )
            for r in rows[:limit]
        ]  # fmt: skip
        return found, write_cursor(found[-1].number) if len(rows) > limit else None
