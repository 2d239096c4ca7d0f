"""What workspaces settled for themselves: a note each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from tocsin.core.account import Preferences as Settled
from tocsin.errors import NotFound
from tocsin.store.door import fields_of

if TYPE_CHECKING:
    from tocsin.store.session import Session

_NAME = "preferences:"


class Preferences:
    """One record for each workspace that has settled anything."""

    def __init__(self, session: Session) -> None:
        self._s = session

    def all(self) -> dict[str, Settled]:
        """By workspace, as far as the session may see."""
        workspace = self._s.workspace_id
        which, values = ("name LIKE ?", (_NAME + "%",)) if workspace is None else ("name = ?", (_NAME + workspace,))
        rows = self._s.rows(f"SELECT name, value FROM notes WHERE {which}", *values)
        return {row[0].removeprefix(_NAME): msgspec.json.decode(row[1], type=Settled) for row in rows}

    def of(self, workspace_id: str) -> Settled:
        """What that workspace settled; as nothing was, the usual."""
        return self.all().get(workspace_id, Settled())

    def save(self, workspace_id: str, settled: Settled) -> None:
        """Keep it."""
        s = self._s
        if s.accounts.workspace(s.own(workspace_id)) is None:
            raise NotFound(f"no workspace {workspace_id}")
        s.door.change(
            "preferences", workspace_id, workspace_id, fields_of(self.of(workspace_id)), fields_of(settled),
            "INSERT INTO notes (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            _NAME + workspace_id, msgspec.json.encode(settled).decode(),
        )  # fmt: skip
