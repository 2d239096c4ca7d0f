"""From opaque ids to integer keys and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tocsin.errors import NotFound
from tocsin.store.memory import Place

if TYPE_CHECKING:
    from tocsin.store.session import Session


class Places:
    """Integer keys of monitors and locations."""

    def __init__(self, session: Session) -> None:
        self._s = session

    def find(self, monitor_id: str) -> Place | None:
        """The keys of a monitor of this workspace, or None."""
        s = self._s
        place = s.memory.places.get(monitor_id)
        if place is None:
            row = s.row(
                "SELECT m.key, w.key, m.workspace_id FROM monitors m JOIN workspaces w ON w.id = m.workspace_id "
                "WHERE m.id = ?",
                monitor_id,
            )
            if row is None:
                return None
            place = Place(row[0], row[1], row[2])
            if s.writing:
                s.memory.places[monitor_id] = place
                s.undo.append(lambda: s.memory.places.pop(monitor_id, None))
        if s.workspace_id is not None and place.workspace_id != s.workspace_id:
            return None
        return place

    def of(self, monitor_id: str) -> Place:
        """The keys of a monitor of this workspace; NotFound when there is none."""
        place = self.find(monitor_id)
        if place is None:
            raise NotFound(f"no monitor {monitor_id}")
        return place

    def location(self, name: str) -> int:
        """The key of a location, made when it is new."""
        s = self._s
        key = s.memory.locations.get(name)
        if key is None:
            s.run("INSERT INTO locations (name) VALUES (?) ON CONFLICT (name) DO NOTHING", name)
            row = s.row("SELECT key FROM locations WHERE name = ?", name)
            assert row is not None
            key = int(row[0])
            s.memory.locations[name] = key
            s.undo.append(lambda: s.memory.locations.pop(name, None))
        return key

    def known_location(self, name: str) -> int | None:
        """The key of a location, or None when nothing ever came from it."""
        row = self._s.row("SELECT key FROM locations WHERE name = ?", name)
        return None if row is None else int(row[0])

    def location_names(self) -> dict[int, str]:
        """Every location's name by key."""
        return {row[0]: row[1] for row in self._s.rows("SELECT key, name FROM locations")}
