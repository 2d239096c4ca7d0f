"""Monitors' configuration. Their targets may hold secrets and are sealed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from tocsin.core.dependency import circle
from tocsin.core.monitor import Monitor, without
from tocsin.errors import Conflict, NotFound
from tocsin.store.door import fields_of

if TYPE_CHECKING:
    from tocsin.store.session import Session

_COLUMNS = "data, target, id, name"


class Monitors:
    """What users want watched."""

    def __init__(self, session: Session) -> None:
        self._s = session

    def add(self, monitor: Monitor) -> None:
        """Keep a new monitor. NotFound when it names a channel or parent that is not in its workspace, Conflict when it
        would depend on itself."""
        s = self._s
        if s.accounts.workspace(s.own(monitor.workspace_id)) is None:
            raise NotFound(f"no workspace {monitor.workspace_id}")
        s.door.create(
            "monitor", monitor.id, monitor.workspace_id, fields_of(monitor),
            "INSERT INTO monitors (workspace_id, id, name, type, tags, paused, version, target, data) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            monitor.workspace_id, monitor.id, *self._values(monitor),
        )  # fmt: skip
        self._link(monitor)

    def get(self, id: str) -> Monitor:
        """The monitor; NotFound when there is none."""
        where, values = self._s.mine()
        row = self._s.row(f"SELECT {_COLUMNS} FROM monitors WHERE id = ? AND {where}", id, *values)
        if row is None:
            raise NotFound(f"no monitor {id}")
        return self._read(row)

    def all(self) -> list[Monitor]:
        """Every monitor, by name, then id."""
        where, values = self._s.mine()
        return [
            self._read(r)
            for r in self._s.rows(f"SELECT {_COLUMNS} FROM monitors WHERE {where} ORDER BY name, id", *values)
        ]

    def replace(self, monitor: Monitor) -> Monitor:
        """The monitor as stored, its version one up. Conflict when somebody else changed it since `monitor.version`."""
        s = self._s
        old = self.get(monitor.id)
        if old.workspace_id != monitor.workspace_id:
            raise NotFound(f"no monitor {monitor.id}")
        new = msgspec.structs.replace(monitor, version=monitor.version + 1)
        if not s.door.change(
            "monitor", new.id, new.workspace_id, fields_of(old), fields_of(new),
            "UPDATE monitors SET name = ?, type = ?, tags = ?, paused = ?, version = ?, target = ?, data = ? "
            "WHERE workspace_id = ? AND id = ? AND version = ?",
            *self._values(new), new.workspace_id, new.id, monitor.version,
        ):  # fmt: skip
            raise Conflict(f"monitor {new.id} was changed by somebody else (it is at version {old.version})")
        self._link(new)
        return new

    def delete(self, id: str) -> None:
        """Delete it with its states, verdicts and rollups. Results and evidence, of which there are many, are no
        longer seen and are cleared in slices by housekeeping. Its incidents stay: they are history."""
        s = self._s
        old, place = self.get(id), s.places.of(id)
        children = s.rows(
            "SELECT monitor_id FROM monitor_parents WHERE workspace_id = ? AND parent_id = ?", old.workspace_id, id
        )
        s.door.delete(
            "monitor", id, old.workspace_id, fields_of(old),
            "DELETE FROM monitors WHERE workspace_id = ? AND id = ?", old.workspace_id, id,
        )  # fmt: skip
        for child in (self.get(row[0]) for row in children):
            self._rewrite(child, parents=without(child.parents, id))
        s.run("DELETE FROM verdicts WHERE monitor = ?", place.monitor)
        forget_results(s, id, place.monitor, place.workspace)

    def forget_channel(self, workspace_id: str, channel_id: str) -> None:
        """Take a channel that is going out of every monitor that names it."""
        rows = self._s.rows(
            "SELECT monitor_id FROM monitor_channels WHERE workspace_id = ? AND channel_id = ?",
            workspace_id,
            channel_id,
        )
        for monitor in (self.get(row[0]) for row in rows):
            self._rewrite(monitor, channels=tuple(c for c in monitor.channels or () if c != channel_id))

    def forget_place(self, place: str) -> list[Monitor]:
        """Take a location that is going out of every monitor that names it; those, as they are then."""
        named = [monitor for monitor in self.all() if place in monitor.locations]
        left = [msgspec.structs.replace(monitor.without_place(place), updated_at=self._s.now) for monitor in named]
        return [self.replace(monitor) for monitor in left]

    def _rewrite(self, monitor: Monitor, **fields: Any) -> None:
        self.replace(msgspec.structs.replace(monitor, updated_at=self._s.now, **fields))

    def _values(self, monitor: Monitor) -> tuple[Any, ...]:
        plain = msgspec.structs.replace(monitor, target={})
        return (
            monitor.name, monitor.type, _tags(monitor.tags), int(monitor.paused), monitor.version,
            self._s.seal.close(monitor.target, f"monitors/{monitor.id}"), msgspec.json.encode(plain).decode(),
        )  # fmt: skip

    def _link(self, monitor: Monitor) -> None:
        """Keep what it names in tables of their own, whose keys do not let another workspace's ids in."""
        s, at = self._s, (monitor.workspace_id, monitor.id)
        for table, column, parent, ids in (
            ("monitor_channels", "channel_id", "channels", monitor.channels or ()),
            ("monitor_parents", "parent_id", "monitors", monitor.parent_ids),
        ):
            s.run(f"DELETE FROM {table} WHERE workspace_id = ? AND monitor_id = ?", *at)
            for id in dict.fromkeys(ids):
                if s.row(f"SELECT 1 FROM {parent} WHERE workspace_id = ? AND id = ?", monitor.workspace_id, id) is None:
                    raise NotFound(f"no {parent[:-1]} {id}")
                s.run(f"INSERT INTO {table} (workspace_id, monitor_id, {column}) VALUES (?, ?, ?)", *at, id)
        if way := circle(monitor.id, monitor.parent_ids, lambda id: self._parents(monitor.workspace_id, id)):
            names = [self.get(id).name for id in way]
            raise Conflict(f"it would depend on itself: {' → '.join(names)}")

    def _parents(self, workspace_id: str, id: str) -> list[str]:
        rows = self._s.rows(
            "SELECT parent_id FROM monitor_parents WHERE workspace_id = ? AND monitor_id = ?", workspace_id, id
        )
        return [row[0] for row in rows]

    def _read(self, row: tuple[Any, ...]) -> Monitor:
        monitor = msgspec.json.decode(row[0], type=Monitor)
        return msgspec.structs.replace(monitor, target=self._s.seal.open(row[1], f"monitors/{row[2]}"))


def forget_results(s: Session, id: str, monitor: int, workspace: int) -> None:
    """Drop what was made of the results of a monitor that is gone; the results themselves go later, in slices."""
    s.run("INSERT INTO monitors_gone (workspace, monitor) VALUES (?, ?) ON CONFLICT DO NOTHING", workspace, monitor)
    for table in ("states", "latest", "ticks", "rollups_minute", "rollups_hour", "rollups_day"):
        s.run(f"DELETE FROM {table} WHERE monitor = ?", monitor)
    memory = s.memory
    if (place := memory.places.pop(id, None)) is not None:
        s.undo.append(lambda: memory.places.__setitem__(id, place))
    for spot in [spot for spot in memory.newest if spot[0] == monitor]:
        newest = memory.newest.pop(spot)
        s.undo.append(lambda spot=spot, newest=newest: memory.newest.__setitem__(spot, newest))


def _tags(tags: Sequence[str]) -> str:
    return "\x1f" + "\x1f".join(tags) + "\x1f" if tags else ""
