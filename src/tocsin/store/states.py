"""What each location says of each monitor, as far as it must survive a crash."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from tocsin.core.consensus import LocationState
from tocsin.store.batch import StateChange

if TYPE_CHECKING:
    from tocsin.store.session import Session


class States:
    """Locations' states."""

    def __init__(self, session: Session) -> None:
        self._s = session

    def save(self, changes: Sequence[StateChange]) -> None:
        """Keep them, each in place of the one before. Those of monitors that are gone are dropped."""
        s = self._s
        rows: list[tuple[int, int, int, str]] = []
        for change in changes:
            place = s.places.find(change.monitor_id)
            if place is not None and place.workspace_id == change.workspace_id:
                data = msgspec.json.encode(change.state).decode()
                rows.append((place.monitor, s.places.location(change.state.location), place.workspace, data))
        s.many(
            "INSERT INTO states (monitor, location, workspace, data) VALUES (?, ?, ?, ?) "
            "ON CONFLICT (monitor, location) DO UPDATE SET data = excluded.data",
            rows,
        )

    def all(self) -> list[tuple[str, LocationState]]:
        """Every state kept, with its monitor's id."""
        where, values = self._s.mine("m.workspace_id")
        rows = self._s.rows(
            f"SELECT m.id, s.data FROM states s JOIN monitors m ON m.key = s.monitor WHERE {where}", *values
        )
        return [(row[0], msgspec.json.decode(row[1], type=LocationState)) for row in rows]
