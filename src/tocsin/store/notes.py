"""Small facts about this instance (watermark, setup, kept settings), each a JSON value under a name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from tocsin.store.session import Session


class Notes:
    """Facts of the whole instance: of no workspace."""

    def __init__(self, session: Session) -> None:
        self._s = session

    def get(self, key: str) -> Any:
        """The value, or None."""
        row = self._s.row("SELECT value FROM notes WHERE name = ?", key)
        return None if row is None else msgspec.json.decode(row[0])

    def set(self, key: str, value: Any) -> None:
        """Keep a JSON value."""
        self._s.run(
            "INSERT INTO notes (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            key, msgspec.json.encode(value).decode(),
        )  # fmt: skip
