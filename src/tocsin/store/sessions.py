"""Sign-ins: chains of refresh tokens, stored as hashes."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

from tocsin.core.account import Session as SignIn
from tocsin.core.result import from_micros, micros
from tocsin.errors import NotFound
from tocsin.store.door import fields_of

if TYPE_CHECKING:
    from tocsin.store.session import Session

_COLUMNS = "data, ended_at"


class Sessions:
    """Who is signed in. Starts and ends go through the door; the rotation of tokens every few minutes does not."""

    def __init__(self, session: Session) -> None:
        self._s = session

    def add(self, session: SignIn) -> None:
        """Keep a new sign-in."""
        self._s.door.create(
            "session", session.id, self._s.own(session.workspace_id), fields_of(session),
            "INSERT INTO sessions (id, workspace_id, user_id, expires_at, ended_at, data) VALUES (?, ?, ?, ?, ?, ?)",
            session.id, session.workspace_id, session.user_id, micros(session.expires_at), _at(session.ended_at),
            _text(session),
        )  # fmt: skip

    def get(self, id: str) -> SignIn | None:
        """The sign-in, or None."""
        where, values = self._s.mine()
        row = self._s.row(f"SELECT {_COLUMNS} FROM sessions WHERE id = ? AND {where}", id, *values)
        return None if row is None else _read(row)

    def rotate(self, id: str, new_hash: str, used_at: datetime, expires_at: datetime) -> SignIn:
        """The sign-in with its next token; whoever brings an older one reuses it."""
        old = self.get(id)
        if old is None or old.ended_at is not None:
            raise NotFound(f"no session {id}")
        new = msgspec.structs.replace(old, token_hash=new_hash, used_at=used_at, expires_at=expires_at)
        self._s.run(
            "UPDATE sessions SET expires_at = ?, data = ? WHERE id = ? AND workspace_id = ?",
            micros(expires_at), _text(new), id, old.workspace_id,
        )  # fmt: skip
        return new

    def end(self, id: str, at: datetime) -> None:
        """End a sign-in; ending it twice changes nothing."""
        found = self.get(id)
        if found is not None and found.ended_at is None:
            self._end(found, at)

    def end_all(self, user_id: str, at: datetime, except_id: str | None = None) -> None:
        """End every sign-in of a person, but one."""
        where, values = self._s.mine()
        rows = self._s.rows(
            f"SELECT {_COLUMNS} FROM sessions WHERE user_id = ? AND ended_at IS NULL AND {where}", user_id, *values
        )
        for found in map(_read, rows):
            if found.id != except_id:
                self._end(found, at)

    def _end(self, session: SignIn, at: datetime) -> None:
        self._s.door.change(
            "session", session.id, session.workspace_id, {"ended_at": None}, {"ended_at": msgspec.to_builtins(at)},
            "UPDATE sessions SET ended_at = ? WHERE id = ? AND workspace_id = ?", micros(at), session.id,
            session.workspace_id,
        )  # fmt: skip

    def expire(self, before: datetime) -> int:
        """How many sign-ins were forgotten because they ran out or ended before then."""
        at = micros(before)
        where, values = self._s.mine()
        return self._s.run(f"DELETE FROM sessions WHERE (expires_at < ? OR ended_at < ?) AND {where}", at, at, *values)


def _at(at: datetime | None) -> int | None:
    return None if at is None else micros(at)


def _text(session: SignIn) -> str:
    return msgspec.json.encode(session).decode()


def _read(row: tuple[Any, ...]) -> SignIn:
    session = msgspec.json.decode(row[0], type=SignIn)
    return session if row[1] is None else msgspec.structs.replace(session, ended_at=from_micros(row[1]))
