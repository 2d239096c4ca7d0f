"""Incidents and their timelines."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

from tocsin.core.incident import Entry, Incident, set_right
from tocsin.core.result import from_micros, micros
from tocsin.errors import NotFound
from tocsin.store.batch import IncidentChange
from tocsin.store.cursor import read_cursor, write_cursor
from tocsin.store.door import fields_of

if TYPE_CHECKING:
    from tocsin.store.session import Session


_Spans = list[tuple[datetime, datetime | None]]


class Incidents:
    """Stretches of trouble; at most one is open for a subject of a workspace."""

    def __init__(self, session: Session) -> None:
        self._s = session

    def save(self, change: IncidentChange) -> None:
        """Keep an incident as it is now, with its new entries; twice is the same as once.

        Conflict when another incident of the subject is open: decide again from what is stored. An incident older than
        what is stored (its subject has had more transitions since) only adds its entries.
        """
        s, incident = self._s, change.incident
        s.own(incident.workspace_id)
        stored = self._find(incident.id, incident.workspace_id)
        resolved = None if incident.resolved_at is None else micros(incident.resolved_at)
        data = msgspec.json.encode(incident).decode()
        if stored is None:
            s.door.create(
                "incident", incident.id, incident.workspace_id, fields_of(incident),
                "INSERT INTO incidents (workspace_id, id, subject, monitor_id, host_id, opened_at, resolved_at, data) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                incident.workspace_id, incident.id, incident.subject, incident.monitor_id, incident.host_id,
                micros(incident.opened_at), resolved, data,
            )  # fmt: skip
        elif stored != incident and stored.transition <= incident.transition:
            s.door.change(
                "incident", incident.id, incident.workspace_id, fields_of(stored), fields_of(incident),
                "UPDATE incidents SET resolved_at = ?, data = ? WHERE workspace_id = ? AND id = ?",
                resolved, data, incident.workspace_id, incident.id,
            )  # fmt: skip
        self._count(incident)
        self._add_entries(incident, change.entries)

    def _count(self, incident: Incident) -> None:
        self._s.run(
            "INSERT INTO subjects (workspace_id, subject, transition) VALUES (?, ?, ?) ON CONFLICT (workspace_id, "
            "subject) "
            "DO UPDATE SET transition = excluded.transition WHERE subjects.transition < excluded.transition",
            incident.workspace_id, incident.subject, incident.transition,
        )  # fmt: skip

    def _add_entries(self, incident: Incident, entries: Sequence[Entry]) -> None:
        rows: list[tuple[Any, ...]] = []
        for entry in entries:
            data = msgspec.json.encode(entry)
            mark = hashlib.blake2b(data, digest_size=12).hexdigest()
            rows.append((incident.workspace_id, incident.id, mark, micros(entry.at), data.decode()))
        self._s.many(
            "INSERT INTO timeline (workspace_id, incident_id, mark, at, data) VALUES (?, ?, ?, ?, ?) "
            "ON CONFLICT (workspace_id, incident_id, mark) DO NOTHING",
            rows,
        )

    def get(self, id: str) -> Incident:
        """The incident; NotFound when there is none."""
        found = self._find(id, self._s.workspace_id)
        if found is None:
            raise NotFound(f"no incident {id}")
        return found

    def _find(self, id: str, workspace_id: str | None) -> Incident | None:
        where, values = ("1 = 1", ()) if workspace_id is None else ("workspace_id = ?", (workspace_id,))
        row = self._s.row(f"SELECT data FROM incidents WHERE id = ? AND {where}", id, *values)
        return None if row is None else _incident(row[0])

    def list(
        self, open: bool | None = None, monitor: str | None = None, host: str | None = None, limit: int = 100,
        cursor: str | None = None,
    ) -> tuple[list[Incident], str | None]:  # fmt: skip
        """A page, newest first, and the cursor of the next one. `open` None: open and resolved."""
        where, mine = self._s.mine()
        values: list[Any] = [*mine]
        if open is not None:
            where += " AND resolved_at IS NULL" if open else " AND resolved_at IS NOT NULL"
        for column, wanted in (("monitor_id", monitor), ("host_id", host)):
            if wanted is not None:
                where += f" AND {column} = ?"
                values.append(wanted)
        if cursor is not None:
            at, id = read_cursor(cursor, int, str)
            where += " AND (opened_at < ? OR (opened_at = ? AND id < ?))"
            values += [at, at, id]
        rows = self._s.rows(
            f"SELECT data FROM incidents WHERE {where} ORDER BY opened_at DESC, id DESC LIMIT ?", *values, limit + 1
        )
        found = [_incident(row[0]) for row in rows[:limit]]
        return found, write_cursor(micros(found[-1].opened_at), found[-1].id) if len(rows) > limit else None

    def touching(self, monitor_id: str, start: datetime, end: datetime) -> int:
        """How many of the monitor's incidents were open at some time between `start` and `end`."""
        where, mine = self._s.mine()
        row = self._s.row(
            f"SELECT count(*) FROM incidents WHERE {where} AND monitor_id = ? AND opened_at < ?"
            " AND (resolved_at IS NULL OR resolved_at > ?)",
            *mine, monitor_id, micros(end), micros(start),
        )  # fmt: skip
        return 0 if row is None else int(row[0])

    def around(self, start: datetime, end: datetime, limit: int = 200) -> list[Incident]:
        """Incidents that were open at some time between `start` and `end`, newest first."""
        where, mine = self._s.mine()
        rows = self._s.rows(
            f"SELECT data FROM incidents WHERE {where} AND opened_at <= ? AND (resolved_at IS NULL OR resolved_at >= ?)"
            " ORDER BY opened_at DESC, id DESC LIMIT ?",
            *mine, micros(end), micros(start), limit,
        )  # fmt: skip
        return [_incident(row[0]) for row in rows]

    def spans(self, monitor_ids: Sequence[str], start: datetime, end: datetime) -> dict[str, _Spans]:
        """(opened, resolved or None) of the incidents of these monitors' verdicts that touch the stretch, oldest first."""
        where, mine = self._s.mine()
        found: dict[str, _Spans] = {}
        for n in range(0, len(monitor_ids), 500):
            subjects = [f"monitor:{id}" for id in monitor_ids[n : n + 500]]
            for subject, opened, resolved in self._s.rows(
                f"SELECT subject, opened_at, resolved_at FROM incidents WHERE {where} AND subject IN "
                f"({', '.join('?' * len(subjects))}) AND opened_at < ? AND (resolved_at IS NULL OR resolved_at > ?) "
                "ORDER BY opened_at, id",
                *mine, *subjects, micros(end), micros(start),
            ):  # fmt: skip
                spans = found.setdefault(subject.removeprefix("monitor:"), [])
                spans.append((from_micros(opened), None if resolved is None else from_micros(resolved)))
        return found

    def latest_of_others(self) -> list[Incident]:
        """The newest incident of every subject that is not a monitor's verdict."""
        return list(self._latest("u.subject NOT LIKE 'monitor:%'", ()).values())

    def latest_of(self, subjects: Sequence[str]) -> dict[str, Incident]:
        """The newest incident of each of these subjects, open or resolved."""
        found: dict[str, Incident] = {}
        for start in range(0, len(subjects), 500):
            some = subjects[start : start + 500]
            among = self._latest(f"u.subject IN ({', '.join('?' for _ in some)})", some)
            found.update((subject, incident) for (_, subject), incident in among.items())
        return found

    def _latest(self, which: str, values: Sequence[str]) -> dict[tuple[str, str], Incident]:
        """By (workspace, subject) the newest incident, set right: the one with the most transitions. Dates say nothing of
        that where a clock was wrong; the last by its date is only the one that is tried first."""
        where, mine = self._s.mine("i.workspace_id")
        found: dict[tuple[str, str], Incident] = {}
        for workspace, subject, data, count in self._s.rows(
            "SELECT i.workspace_id, i.subject, i.data, u.transition FROM subjects u JOIN incidents i ON "
            f"i.workspace_id = u.workspace_id AND i.subject = u.subject WHERE {which} AND {where} AND NOT EXISTS "
            "(SELECT 1 FROM incidents j WHERE j.workspace_id = i.workspace_id AND j.subject = i.subject "
            "AND (j.opened_at > i.opened_at OR (j.opened_at = i.opened_at AND j.id > i.id)))",
            *values, *mine,
        ):  # fmt: skip
            incident = _incident(data)
            if incident.transition < count:
                incident = self._counted(workspace, subject, incident, count)
            found[workspace, subject] = set_right(incident, self._s.now)
        return found

    def _counted(self, workspace_id: str, subject: str, last: Incident, count: int) -> Incident:
        """Of a subject with so many transitions the incident that is open, or had the last of them. It goes on counting from
        there: no number comes twice, so no message has the key of another one."""
        rows = self._s.rows("SELECT data FROM incidents WHERE workspace_id = ? AND subject = ?", workspace_id, subject)
        found = max((_incident(row[0]) for row in rows), key=lambda one: (one.open, one.transition), default=last)
        return msgspec.structs.replace(found, transition=count)

    def timeline(self, id: str) -> list[Entry]:
        """What happened in it, oldest first."""
        where, values = self._s.mine()
        rows = self._s.rows(f"SELECT data FROM timeline WHERE incident_id = ? AND {where} ORDER BY at, n", id, *values)
        return [msgspec.json.decode(row[0], type=Entry) for row in rows]


def _incident(data: str) -> Incident:
    return msgspec.json.decode(data, type=Incident)
