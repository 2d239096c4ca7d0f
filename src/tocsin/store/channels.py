"""Notification channels. Their configuration holds secrets and is sealed whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from tocsin.core.alert import Channel
from tocsin.errors import NotFound
from tocsin.store.door import fields_of

if TYPE_CHECKING:
    from tocsin.store.session import Session


class Channels:
    """Where messages go."""

    def __init__(self, session: Session) -> None:
        self._s = session

    def add(self, channel: Channel) -> None:
        """Keep a new channel."""
        s = self._s
        if s.accounts.workspace(s.own(channel.workspace_id)) is None:
            raise NotFound(f"no workspace {channel.workspace_id}")
        s.door.create(
            "channel", channel.id, channel.workspace_id, fields_of(channel),
            "INSERT INTO channels (workspace_id, id, name, type, config, data) VALUES (?, ?, ?, ?, ?, ?)",
            channel.workspace_id, channel.id, *self._values(channel),
        )  # fmt: skip

    def get(self, id: str) -> Channel:
        """The channel; NotFound when there is none."""
        where, values = self._s.mine()
        row = self._s.row(f"SELECT data, config, id FROM channels WHERE id = ? AND {where}", id, *values)
        if row is None:
            raise NotFound(f"no channel {id}")
        return self._read(row)

    def list(self) -> list[Channel]:
        """Every channel, by name, then id."""
        where, values = self._s.mine()
        rows = self._s.rows(f"SELECT data, config, id FROM channels WHERE {where} ORDER BY name, id", *values)
        return [self._read(row) for row in rows]

    all = list

    def replace(self, channel: Channel) -> Channel:
        """The channel as stored."""
        s = self._s
        old = self.get(channel.id)
        if old.workspace_id != channel.workspace_id:
            raise NotFound(f"no channel {channel.id}")
        s.door.change(
            "channel", channel.id, channel.workspace_id, fields_of(old), fields_of(channel),
            "UPDATE channels SET name = ?, type = ?, config = ?, data = ? WHERE workspace_id = ? AND id = ?",
            *self._values(channel), channel.workspace_id, channel.id,
        )  # fmt: skip
        return channel

    def delete(self, id: str) -> None:
        """Delete it: monitors and channels that name it forget it, and what still waits for it is dropped."""
        s = self._s
        old = self.get(id)
        s.monitors.forget_channel(old.workspace_id, id)
        for other in self.list():
            if other.fallback == id and other.workspace_id == old.workspace_id:
                self.replace(msgspec.structs.replace(other, fallback=None))
        s.outbox.drop(old.workspace_id, id, "the channel was deleted")
        s.door.delete(
            "channel", id, old.workspace_id, fields_of(old),
            "DELETE FROM channels WHERE workspace_id = ? AND id = ?", old.workspace_id, id,
        )  # fmt: skip

    def _values(self, channel: Channel) -> tuple[Any, ...]:
        plain = msgspec.structs.replace(channel, config={})
        sealed = self._s.seal.close(channel.config, f"channels/{channel.id}")
        return channel.name, channel.type, sealed, msgspec.json.encode(plain).decode()

    def _read(self, row: tuple[Any, ...]) -> Channel:
        channel = msgspec.json.decode(row[0], type=Channel)
        return msgspec.structs.replace(channel, config=self._s.seal.open(row[1], f"channels/{row[2]}"))
