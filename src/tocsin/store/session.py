"""What a piece of work on the database is given: its nouns, for one workspace or (corridor and app only) for all."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from functools import cached_property, lru_cache
from typing import Any, cast

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from tocsin.core.escalation import EscalationPolicy
from tocsin.core.host import Host
from tocsin.core.maintenance import Window
from tocsin.core.on_call import OnCallSchedule
from tocsin.core.result import micros
from tocsin.core.rule import AlertRule
from tocsin.errors import Conflict, NotFound
from tocsin.store.accounts import Accounts
from tocsin.store.agents import AgentKeys, EnrolmentKeys, HostConfigs
from tocsin.store.api_keys import ApiKeys
from tocsin.store.changes import Changes
from tocsin.store.channels import Channels
from tocsin.store.door import Door
from tocsin.store.heartbeats import Heartbeats
from tocsin.store.host_states import HostStates
from tocsin.store.incidents import Incidents
from tocsin.store.instances import Instances
from tocsin.store.invitations import Invitations
from tocsin.store.latencies import Latencies
from tocsin.store.memory import Memory
from tocsin.store.monitors import Monitors
from tocsin.store.notes import Notes
from tocsin.store.notices import Notices
from tocsin.store.outbox import Outbox
from tocsin.store.places import Places
from tocsin.store.preferences import Preferences
from tocsin.store.probes import Probes
from tocsin.store.records import Records
from tocsin.store.results import Results
from tocsin.store.rollups import Rollups
from tocsin.store.samples import Samples
from tocsin.store.sealing import Seal
from tocsin.store.sessions import Sessions
from tocsin.store.stand_ins import StandIns
from tocsin.store.states import States
from tocsin.store.ticks import Ticks
from tocsin.store.verdicts import Verdicts

Values = tuple[Any, ...]


@lru_cache(maxsize=512)
def _numbered(sql: str) -> str:
    parts = sql.split("?")
    return "".join(part + (f"${i}" if i < len(parts) else "") for i, part in enumerate(parts, 1))


class Session:
    """One transaction's view. `workspace_id` is None when it was opened for all; `by` is who acts, for the audit log.

    SQL is written with `?` for parameters and runs on SQLite and PostgreSQL alike. `undo` collects what memory must
    forget when the transaction does not come to pass.
    """

    def __init__(
        self, connection: Connection, memory: Memory, seal: Seal, workspace_id: str | None, by: str, now: datetime,
        *, undo: list[Callable[[], object]] | None = None,
    ) -> None:  # fmt: skip
        self.connection, self.memory, self.seal = connection, memory, seal
        self.workspace_id, self.by, self.now = workspace_id, by, now
        self.postgres = connection.dialect.name == "postgresql"
        self.writing = undo is not None
        self.undo: list[Callable[[], object]] = [] if undo is None else undo

    # SQL ------------------------------------------------------------------------------------------------------------
    def rows(self, sql: str, *values: Any) -> Sequence[Values]:
        """Every row of a query."""
        return cast(Sequence[Values], self.connection.exec_driver_sql(self._sql(sql), values).fetchall())

    def all(self, sql: str, *values: Any) -> Sequence[Values]:
        """Every row of a query that may have thousands, with as little between us and the driver as can be."""
        return next(iter(self.each(sql, [values])))

    def row(self, sql: str, *values: Any) -> Values | None:
        """The first row of a query, or None."""
        return cast(Values | None, self.connection.exec_driver_sql(self._sql(sql), values).fetchone())

    def run(self, sql: str, *values: Any) -> int:
        """How many rows a statement touched. What the database refuses is a Conflict."""
        try:
            return self.connection.exec_driver_sql(self._sql(sql), values).rowcount
        except IntegrityError as error:
            raise Conflict(_plain(error)) from error

    def each(self, sql: str, values: Sequence[Values]) -> Iterator[Sequence[Values]]:
        """The rows of one query for each tuple of parameters, with as little between us and the driver as can be."""
        if self.postgres:
            for one in values:
                yield self.rows(sql, *one)
            return
        cursor = cast(sqlite3.Connection, self.connection.connection.driver_connection).cursor()
        for one in values:
            yield cursor.execute(sql, one).fetchall()

    def many(self, sql: str, values: Sequence[tuple[Any, ...]]) -> None:
        """Run a statement once for each tuple, through the driver's executemany."""
        if values:
            self.connection.exec_driver_sql(self._sql(sql), list(values))

    def among(self, column: str, numbers: Sequence[int]) -> tuple[str, Any]:
        """The condition that a column's value is one of these, however many, and its parameter."""
        if self.postgres:
            return f"{column} = ANY(CAST(? AS bigint[]))", list(numbers)
        return f"{column} IN (SELECT value FROM json_each(?))", str(list(numbers))

    def among_texts(self, column: str, texts: Sequence[str]) -> tuple[str, Any]:
        """The same for texts."""
        if self.postgres:
            return f"{column} = ANY(CAST(? AS text[]))", list(texts)
        return f"{column} IN (SELECT value FROM json_each(?))", json.dumps(list(texts))

    def _sql(self, sql: str) -> str:
        return _numbered(sql) if self.postgres else sql

    # Scope ----------------------------------------------------------------------------------------------------------
    def mine(self, column: str = "workspace_id") -> tuple[str, tuple[str, ...]]:
        """The condition that names this session's workspace, and its parameters: ("workspace_id = ?", (id,))."""
        return ("1 = 1", ()) if self.workspace_id is None else (f"{column} = ?", (self.workspace_id,))

    def mine_by_number(self) -> tuple[str, tuple[str, ...]]:
        """`mine` for the tables that name the workspace by its number."""
        if self.workspace_id is None:
            return "1 = 1", ()
        return "workspace = (SELECT key FROM workspaces WHERE id = ?)", (self.workspace_id,)

    def own(self, workspace_id: str) -> str:
        """The same id, when rows of that workspace may be touched here; else NotFound."""
        if self.workspace_id is not None and workspace_id != self.workspace_id:
            raise NotFound("no such thing in this workspace")
        return workspace_id

    @property
    def now_us(self) -> int:
        return micros(self.now)

    # Nouns ----------------------------------------------------------------------------------------------------------
    @cached_property
    def door(self) -> Door:
        return Door(self)

    @cached_property
    def places(self) -> Places:
        return Places(self)

    @cached_property
    def accounts(self) -> Accounts:
        return Accounts(self)

    @cached_property
    def sessions(self) -> Sessions:
        return Sessions(self)

    @cached_property
    def api_keys(self) -> ApiKeys:
        return ApiKeys(self)

    @cached_property
    def invitations(self) -> Invitations:
        return Invitations(self)

    @cached_property
    def monitors(self) -> Monitors:
        return Monitors(self)

    @cached_property
    def states(self) -> States:
        return States(self)

    @cached_property
    def ticks(self) -> Ticks:
        return Ticks(self)

    @cached_property
    def results(self) -> Results:
        return Results(self)

    @cached_property
    def verdicts(self) -> Verdicts:
        return Verdicts(self)

    @cached_property
    def rollups(self) -> Rollups:
        return Rollups(self)

    @cached_property
    def latencies(self) -> Latencies:
        return Latencies(self)

    @cached_property
    def incidents(self) -> Incidents:
        return Incidents(self)

    @cached_property
    def channels(self) -> Channels:
        return Channels(self)

    @cached_property
    def alert_rules(self) -> Records[AlertRule]:
        return Records(self, "alert_rules", "alert_rule", AlertRule)

    @cached_property
    def maintenance_windows(self) -> Records[Window]:
        return Records(self, "maintenance_windows", "maintenance_window", Window)

    @cached_property
    def escalation_policies(self) -> Records[EscalationPolicy]:
        return Records(self, "escalation_policies", "escalation_policy", EscalationPolicy)

    @cached_property
    def on_call_schedules(self) -> Records[OnCallSchedule]:
        return Records(self, "on_call_schedules", "on_call_schedule", OnCallSchedule)

    @cached_property
    def outbox(self) -> Outbox:
        return Outbox(self)

    @cached_property
    def stand_ins(self) -> StandIns:
        return StandIns(self)

    @cached_property
    def notices(self) -> Notices:
        return Notices(self)

    @cached_property
    def changes(self) -> Changes:
        return Changes(self)

    @cached_property
    def notes(self) -> Notes:
        return Notes(self)

    @cached_property
    def probes(self) -> Probes:
        return Probes(self)

    @cached_property
    def hosts(self) -> Records[Host]:
        return Records(self, "hosts", "host", Host)

    @cached_property
    def agent_keys(self) -> AgentKeys:
        return AgentKeys(self)

    @cached_property
    def enrolment_keys(self) -> EnrolmentKeys:
        return EnrolmentKeys(self)

    @cached_property
    def host_configs(self) -> HostConfigs:
        return HostConfigs(self)

    @cached_property
    def samples(self) -> Samples:
        return Samples(self)

    @cached_property
    def heartbeats(self) -> Heartbeats:
        return Heartbeats(self)

    @cached_property
    def host_states(self) -> HostStates:
        return HostStates(self)

    @cached_property
    def instances(self) -> Instances:
        return Instances(self)

    @cached_property
    def preferences(self) -> Preferences:
        return Preferences(self)


def marks(values: Iterable[Any]) -> str:
    """As many comma-separated `?` as there are values."""
    return ", ".join("?" for _ in values)


def _plain(error: IntegrityError) -> str:
    return f"the database refuses it: {str(error.orig).splitlines()[0]}"
