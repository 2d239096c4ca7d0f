"""Who is asked into a workspace and has not answered yet. Of the link's token only the hash is here."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from tocsin.core.invitation import Invitation
from tocsin.core.result import micros
from tocsin.errors import NotFound
from tocsin.store.door import fields_of

if TYPE_CHECKING:
    from tocsin.store.session import Session


class Invitations:
    """The open invitations of a workspace; one for each address."""

    def __init__(self, session: Session) -> None:
        self._s = session

    def put(self, invitation: Invitation) -> None:
        """Keep it; an earlier one to the same address ends."""
        s = self._s
        s.own(invitation.workspace_id)
        for earlier in self.list():
            if (earlier.workspace_id, earlier.email) == (invitation.workspace_id, invitation.email):
                self.delete(earlier.id)
        s.door.create(
            "invitation", invitation.id, invitation.workspace_id, fields_of(invitation),
            "INSERT INTO invitations (workspace_id, id, email, token_hash, expires_at, data) VALUES (?, ?, ?, ?, ?, ?)",
            invitation.workspace_id, invitation.id, invitation.email, invitation.token_hash,
            micros(invitation.expires_at), msgspec.json.encode(invitation).decode(),
        )  # fmt: skip

    def list(self) -> list[Invitation]:
        """Every one, oldest first, also those that are over."""
        where, values = self._s.mine()
        return [
            _read(row[0]) for row in self._s.rows(f"SELECT data FROM invitations WHERE {where} ORDER BY id", *values)
        ]

    def by_hash(self, token_hash: str) -> Invitation | None:
        """The one whose link has this hash, or None. The caller judges whether it still counts."""
        where, values = self._s.mine()
        row = self._s.row(f"SELECT data FROM invitations WHERE token_hash = ? AND {where}", token_hash, *values)
        return None if row is None else _read(row[0])

    def delete(self, id: str) -> None:
        """End it; NotFound when there is none."""
        where, values = self._s.mine()
        row = self._s.row(f"SELECT data FROM invitations WHERE id = ? AND {where}", id, *values)
        if row is None:
            raise NotFound(f"no invitation {id}")
        found = _read(row[0])
        self._s.door.delete(
            "invitation", id, found.workspace_id, fields_of(found),
            "DELETE FROM invitations WHERE workspace_id = ? AND id = ?", found.workspace_id, id,
        )  # fmt: skip

    def expire(self, before: datetime) -> int:
        """How many were forgotten because they ran out before then."""
        where, values = self._s.mine()
        return self._s.run(f"DELETE FROM invitations WHERE expires_at < ? AND {where}", micros(before), *values)


def _read(data: str) -> Invitation:
    return msgspec.json.decode(data, type=Invitation)
