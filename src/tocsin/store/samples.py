"""Values that agents saw of their hosts: a tail of messages as they came, moved now and then into buckets of each step.

A message is one row of the tail, whatever it holds; what is asked for is found in both. See docs/adr/0022.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from tocsin.core import buckets
from tocsin.core.buckets import Buckets
from tocsin.core.result import from_micros, micros

if TYPE_CHECKING:
    from tocsin.store.session import Session

_Packed = list[tuple[int, bytes, bytes]]
_DECODE = msgspec.msgpack.Decoder(_Packed)
_HOST = "workspace_id = ? AND host_id = ?"


class Looked(NamedTuple):
    """What a collector saw at a second, as (name of the series, value)."""

    seq: int
    at: int
    names: Sequence[str]
    values: Sequence[float]


class Kept(NamedTuple):
    """What came of a message: all up to `acked` is stored; `refused` series had no room."""

    acked: int
    refused: list[str]
    fresh: list[Looked]


class Metric(NamedTuple):
    """A series of a host, and when it was last seen, as far as that was written down."""

    name: str
    last_at: datetime


class Gathered(NamedTuple):
    """What is to move out of the tail of a host (workspace, id), up to the message `upto`. `last`: the newest second of each
    series; `chunks`: (series, step, begin, data) as they will be kept."""

    host: tuple[str, str]
    upto: int
    values: int
    last: dict[int, int]
    chunks: list[tuple[int, int, int, bytes]]


class Samples:
    """The series of hosts."""

    def __init__(self, session: Session) -> None:
        self._s = session

    # Taking in ------------------------------------------------------------------------------------------------------
    def take(self, host: tuple[str, str], incarnation: str, looks: Sequence[Looked], most: int) -> Kept:
        """Keep what a host (workspace, id) of at most so many series saw, each look once: known ones are passed over."""
        s, at = self._s, (self._s.own(host[0]), host[1])
        acked = self.acked(host[1], incarnation)
        fresh = [look for look in looks if look.seq > acked]
        if not fresh:
            return Kept(acked, [], [])
        keys = self._keys(at, dict.fromkeys(name for look in fresh for name in look.names), most)
        packed: _Packed = []
        for look in fresh:
            pairs = [(keys[n], v) for n, v in zip(look.names, look.values, strict=True) if n in keys]
            if pairs:
                numbers, values = array("I", [n for n, _ in pairs]), array("d", [v for _, v in pairs])
                packed.append((look.at, numbers.tobytes(), values.tobytes()))
        if packed:
            s.run(
                "INSERT INTO samples_tail (workspace_id, host_id, n, at, data) VALUES (?, ?, "
                f"(SELECT coalesce(max(n), 0) + 1 FROM samples_tail WHERE {_HOST}), ?, ?)",
                *at, *at, s.now_us, msgspec.msgpack.encode(packed),
            )  # fmt: skip
        acked = fresh[-1].seq
        s.run(
            "INSERT INTO agent_acks (workspace_id, host_id, incarnation, acked, at) VALUES (?, ?, ?, ?, ?) ON CONFLICT "
            "(workspace_id, host_id, incarnation) DO UPDATE SET acked = excluded.acked, at = excluded.at",
            *at, incarnation, acked, s.now_us,
        )  # fmt: skip
        refused = [name for look in fresh for name in look.names if name not in keys]
        return Kept(acked, list(dict.fromkeys(refused)), fresh)

    def acked(self, host_id: str, incarnation: str) -> int:
        """Up to which look of an incarnation all is stored here."""
        where, values = self._s.mine()
        row = self._s.row(
            f"SELECT acked FROM agent_acks WHERE host_id = ? AND incarnation = ? AND {where}",
            host_id, incarnation, *values,
        )  # fmt: skip
        return 0 if row is None else int(row[0])

    def _keys(self, host: tuple[str, str], names: Iterable[str], most: int) -> dict[str, int]:
        """The numbers of these series; new ones get one as far as there is room."""
        known = self._known(host)
        missing = [name for name in names if name not in known][: max(0, most - len(known))]
        if missing:
            s, before = self._s, dict(known)
            s.many(
                "INSERT INTO series (workspace_id, host_id, name, last_at) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
                [(*host, name, s.now_us) for name in missing],
            )
            s.undo.append(lambda: s.memory.series.__setitem__(host, before))
            known = s.memory.series[host] = self._read_keys(host)
        return known

    def _known(self, host: tuple[str, str]) -> dict[str, int]:
        """From memory, where the writer keeps it."""
        found = self._s.memory.series.get(host)
        if found is None:
            found = self._read_keys(host)
            if self._s.writing:
                self._s.memory.series[host] = found
        return found

    def _read_keys(self, host: tuple[str, str]) -> dict[str, int]:
        return dict(self._s.rows(f"SELECT name, key FROM series WHERE {_HOST}", *host))

    # Reading --------------------------------------------------------------------------------------------------------
    def metrics(self, host_id: str) -> list[Metric]:
        """The series of a host, by name."""
        where, values = self._s.mine()
        rows = self._s.rows(
            f"SELECT name, last_at FROM series WHERE host_id = ? AND {where} ORDER BY name", host_id, *values
        )
        return [Metric(row[0], from_micros(row[1])) for row in rows]

    def read(self, host_id: str, names: Sequence[str], start: int, end: int, step: int) -> dict[str, Buckets]:
        """The buckets of these series of a host between two seconds, by name; unknown series are not in it."""
        where, mine = self._s.mine()
        known = {
            int(key): name
            for key, name in self._s.rows(f"SELECT key, name FROM series WHERE host_id = ? AND {where}", host_id, *mine)
            if name in set(names)
        }
        span, found = buckets.SPANS[step], {name: Buckets() for name in known.values()}
        for key, name in known.items():
            for at, data in self._s.rows(
                "SELECT at, data FROM samples WHERE series = ? AND step = ? AND at > ? AND at < ? ORDER BY at",
                key, step, start - span, end,
            ):  # fmt: skip
                found[name].update(buckets.unpacked(data, at, step))
        for key, points in self._waiting(host_id, known).items():
            more = buckets.gather(points, step)
            found[known[key]] = buckets.merged(found[known[key]], more)
        return {name: {at: b for at, b in some.items() if start <= at < end} for name, some in found.items()}

    def latest(self, host_id: str) -> dict[str, tuple[int, float]]:
        """The newest (second, value) of each series of a host that has not moved yet."""
        where, mine = self._s.mine()
        rows = self._s.rows(f"SELECT key, name FROM series WHERE host_id = ? AND {where}", host_id, *mine)
        known = {int(key): str(name) for key, name in rows}
        return {known[key]: points[-1] for key, points in self._waiting(host_id, known).items() if points}

    def _waiting(self, host_id: str, keys: Mapping[int, str]) -> dict[int, list[tuple[int, float]]]:
        """The points of these series in the tail, in order of time."""
        where, mine = self._s.mine()
        rows = self._s.rows(f"SELECT data FROM samples_tail WHERE host_id = ? AND {where} ORDER BY n", host_id, *mine)
        return _points((row[0] for row in rows), keys)

    # Moving ---------------------------------------------------------------------------------------------------------
    def waits_since(self, host: tuple[str, str]) -> datetime | None:
        """Since when the first message in the tail of a host has waited."""
        row = self._s.row(
            f"SELECT at FROM samples_tail WHERE {_HOST} ORDER BY n LIMIT 1", self._s.own(host[0]), host[1]
        )
        return None if row is None else from_micros(row[0])

    def gathered(self, host: tuple[str, str]) -> Gathered:
        """What moves out of the tail of a host now: work for a reader, so that the writer is not held up by it. Nobody else
        may move the same host meanwhile; what comes to the tail stays there."""
        rows = self._s.rows(f"SELECT n, data FROM samples_tail WHERE {_HOST} ORDER BY n", self._s.own(host[0]), host[1])
        points = _points((row[1] for row in rows), None)
        chunks = [chunk for key, some in points.items() for chunk in self._chunks(key, some)]
        last = {key: some[-1][0] for key, some in points.items()}
        count = sum(len(some) for some in points.values())
        return Gathered(host, rows[-1][0] if rows else 0, count, last, chunks)

    def _chunks(self, key: int, points: Sequence[tuple[int, float]]) -> Iterator[tuple[int, int, int, bytes]]:
        """(series, step, begin, what is packed) of each stretch that these points of a series change."""
        more = buckets.gather(points, buckets.STEPS[0])
        for step in buckets.STEPS:
            more = more if step == buckets.STEPS[0] else buckets.coarser(more, step)
            for begin, some in buckets.by_span(more, step).items():
                row = self._s.row(
                    "SELECT data FROM samples WHERE series = ? AND step = ? AND at = ?", key, step, begin
                )  # fmt: skip
                whole = some if row is None else buckets.merged(buckets.unpacked(row[0], begin, step), some)
                yield key, step, begin, buckets.packed(whole, begin, step)

    def move(self, gathered: Gathered, keeps: Mapping[int, float]) -> int:
        """How many values were moved out of the tail of a host; steps older than `keeps` seconds are forgotten."""
        s, at = self._s, (self._s.own(gathered.host[0]), gathered.host[1])
        still = set(self._read_keys(at).values())
        s.many(
            "INSERT INTO samples (series, step, at, data) VALUES (?, ?, ?, ?) "
            "ON CONFLICT (series, step, at) DO UPDATE SET data = excluded.data",
            [chunk for chunk in gathered.chunks if chunk[0] in still],
        )
        now = s.now_us // 1_000_000
        ends = [(key, step, now - int(kept)) for key in gathered.last for step, kept in keeps.items()]
        s.many("DELETE FROM samples WHERE series = ? AND step = ? AND at < ?", ends)
        lasts = [(last * 1_000_000, key) for key, last in gathered.last.items()]
        s.many("UPDATE series SET last_at = ? WHERE key = ?", lasts)
        s.run(f"DELETE FROM samples_tail WHERE {_HOST} AND n <= ?", *at, gathered.upto)
        return gathered.values

    # Forgetting -----------------------------------------------------------------------------------------------------
    def expire(self, before: datetime, limit: int) -> int:
        """How many series were forgotten, at most so many, that nobody has seen since, or whose host is gone; and what else
        was kept of hosts that are gone."""
        s = self._s
        where, mine = s.mine("e.workspace_id")
        rows = s.rows(
            f"SELECT e.key, e.workspace_id, e.host_id FROM series e WHERE {where} AND (e.last_at < ? OR NOT EXISTS (SELECT "
            "1 FROM hosts h WHERE h.workspace_id = e.workspace_id AND h.id = e.host_id)) LIMIT ?",
            *mine, micros(before), limit,
        )  # fmt: skip
        for table in ("samples", "series"):
            column = "series" if table == "samples" else "key"
            s.many(f"DELETE FROM {table} WHERE {column} = ?", [(row[0],) for row in rows])
        for host in {(row[1], row[2]) for row in rows}:
            s.memory.series.pop(host, None)
        where, mine = s.mine("t.workspace_id")
        for table in ("samples_tail", "agent_acks", "heartbeats", "host_states", "host_state_changes"):
            s.run(
                f"DELETE FROM {table} AS t WHERE {where} AND NOT EXISTS (SELECT 1 FROM hosts h WHERE h.workspace_id = "
                "t.workspace_id AND h.id = t.host_id)",
                *mine,
            )
        return len(rows)


def _points(rows: Iterable[Any], keys: Mapping[int, str] | None) -> dict[int, list[tuple[int, float]]]:
    """What messages hold of these series (None: of all), in order of time."""
    found: dict[int, list[tuple[int, float]]] = {}
    for at, numbers, values in _looks(rows):
        for key, value in zip(numbers, values, strict=True):
            if keys is None or key in keys:
                found.setdefault(key, []).append((at, value))
    for points in found.values():
        points.sort(key=_second)
    return found


def _looks(rows: Iterable[Any]) -> Iterator[tuple[int, array[int], array[float]]]:
    for data in rows:
        for at, packed_numbers, packed_values in _DECODE.decode(data):
            numbers, values = array("I"), array("d")
            numbers.frombytes(packed_numbers)
            values.frombytes(packed_values)
            yield at, numbers, values


def _second(point: tuple[int, float]) -> int:
    return point[0]
