"""The instances of a cluster, and the tokens they were given. They belong to no workspace."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from tocsin.core.instance import Instance
from tocsin.core.monitor import CALLED
from tocsin.core.result import micros
from tocsin.errors import Conflict, NotFound
from tocsin.store.door import fields_of

if TYPE_CHECKING:
    from tocsin.store.session import Session


class Instances:
    """Who is registered."""

    def __init__(self, session: Session) -> None:
        self._s = session

    def all(self) -> Sequence[Instance]:
        """Every instance, by failover order, then name."""
        found = [msgspec.json.decode(row[0], type=Instance) for row in self._s.rows("SELECT data FROM instances")]
        return sorted(found, key=lambda one: (one.failover_order, one.name))

    def get(self, id: str) -> Instance:
        """That instance; NotFound."""
        row = self._s.row("SELECT data FROM instances WHERE id = ?", id)
        if row is None:
            raise NotFound(f"no instance {id}")
        return msgspec.json.decode(row[0], type=Instance)

    def put(self, instance: Instance) -> None:
        """Keep it, in place of what has its id. Conflict when another one has its name or location. Its location is
        known from then on: who follows cannot make one known."""
        s = self._s
        for place in (instance.location, CALLED):
            s.places.location(place)
        for column, value in (("name", instance.name), ("location", instance.location)):
            row = s.row(f"SELECT id FROM instances WHERE {column} = ? AND id <> ?", value, instance.id)
            if row is not None:
                raise Conflict(
                    f"{column}: expected one that no other instance has, found {value!r} of instance {row[0]}"
                )
        data = msgspec.json.encode(instance).decode()
        before = s.row("SELECT data FROM instances WHERE id = ?", instance.id)
        if before is None:
            s.door.create(
                "instance", instance.id, None, fields_of(instance),
                "INSERT INTO instances (id, name, location, data) VALUES (?, ?, ?, ?)",
                instance.id, instance.name, instance.location, data,
            )  # fmt: skip
            return
        s.door.change(
            "instance", instance.id, None, msgspec.json.decode(before[0]), fields_of(instance),
            "UPDATE instances SET name = ?, location = ?, data = ? WHERE id = ?",
            instance.name, instance.location, data, instance.id,
        )  # fmt: skip

    def remove(self, id: str) -> None:
        """Forget it with its tokens; NotFound."""
        old = self.get(id)
        self._s.run("DELETE FROM instance_tokens WHERE instance_id = ?", id)
        self._s.door.delete("instance", id, None, fields_of(old), "DELETE FROM instances WHERE id = ?", id)

    def add_token(self, instance_id: str, token_hash: str, expires_at: datetime) -> None:
        """Remember a token by its hash; those that are over are forgotten."""
        self._s.run("DELETE FROM instance_tokens WHERE expires_at < ?", self._s.now_us)
        self._s.run(
            "INSERT INTO instance_tokens (token_hash, instance_id, expires_at) VALUES (?, ?, ?) "
            "ON CONFLICT (token_hash) DO NOTHING",
            token_hash, instance_id, micros(expires_at),
        )  # fmt: skip

    def has_token(self, instance_id: str, token_hash: str) -> bool:
        """Whether this token was given to this instance and was not taken back."""
        found = "SELECT 1 FROM instance_tokens WHERE token_hash = ? AND instance_id = ? AND expires_at >= ?"
        return self._s.row(found, token_hash, instance_id, self._s.now_us) is not None

    def revoke(self, instance_id: str) -> int:
        """How many tokens of an instance were taken back."""
        return self._s.run("DELETE FROM instance_tokens WHERE instance_id = ?", instance_id)
