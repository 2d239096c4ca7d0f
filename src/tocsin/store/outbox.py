"""Messages from intent to outcome, and the log of every attempt to deliver them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, cast

import msgspec
from msgspec import Struct

from tocsin.core.alert import PERSON, Message, OutboxRow
from tocsin.core.result import from_micros, micros
from tocsin.store.batch import OutboxOutcome
from tocsin.store.cursor import read_cursor, write_cursor

if TYPE_CHECKING:
    from tocsin.store.session import Session

_COLUMNS = (
    "o.key, o.workspace_id, o.channel_id, o.incident_id, o.monitor_id, o.subject, o.rank, o.message, o.created_at, "
    "o.next_at, "
    "o.state, o.attempts, o.lease_until, o.last_error, o.done_at, o.n"
)
_HEAD = (
    "NOT EXISTS (SELECT 1 FROM outbox p WHERE p.state = 'pending' AND p.workspace_id = o.workspace_id "
    "AND p.channel_id = o.channel_id AND p.subject = o.subject AND (p.rank < o.rank OR (p.rank = o.rank AND p.n < "
    "o.n)))"
)


class Attempt(Struct, frozen=True, kw_only=True):
    """One attempt to deliver a message."""

    at: datetime
    ok: bool
    error: str | None
    took_ms: float


class Delivery(Struct, frozen=True, kw_only=True):
    """A message with every attempt to deliver it, oldest first."""

    row: OutboxRow
    attempts: tuple[Attempt, ...]


class Outbox:
    """What is to be told. Of one channel and subject only the first pending message can be had, so they leave in
    order."""

    def __init__(self, session: Session) -> None:
        self._s = session

    def add(self, row: OutboxRow) -> bool:
        """Intend to send; False when this key is there already, or its channel is gone."""
        s = self._s
        s.own(row.workspace_id)
        if not self._reaches(row.workspace_id, row.channel_id):
            return False
        after = {
            "channel_id": row.channel_id,
            "incident_id": row.incident_id,
            "event": row.message.event,
            "state": row.state,
        }
        return s.door.create(
            "outbox", row.key, row.workspace_id, after,
            "INSERT INTO outbox (key, workspace_id, channel_id, incident_id, monitor_id, subject, rank, message, "
            "created_at, "
            "next_at, state, attempts, last_error, done_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
            "ON CONFLICT (workspace_id, key) DO NOTHING",
            row.key, row.workspace_id, row.channel_id, row.incident_id, row.monitor_id, row.subject, row.order,
            msgspec.json.encode(row.message).decode(), micros(row.created_at), micros(row.next_at), row.state,
            row.attempts,
            row.last_error, None if row.done_at is None else micros(row.done_at),
        )  # fmt: skip

    def _reaches(self, workspace_id: str, channel_id: str) -> bool:
        """Whether there is such a channel, or such a member."""
        if channel_id.startswith(PERSON):
            found = "SELECT 1 FROM memberships WHERE workspace_id = ? AND user_id = ?"
            return self._s.row(found, workspace_id, channel_id.removeprefix(PERSON)) is not None
        found = "SELECT 1 FROM channels WHERE workspace_id = ? AND id = ?"
        return self._s.row(found, workspace_id, channel_id) is not None

    def claim(self, now: datetime, lease_s: float, limit: int, by: str) -> list[OutboxRow]:
        """Messages that are due, oldest first, held for `lease_s`: nobody else gets them before that is over."""
        s, at = self._s, micros(now)
        where, values = s.mine("o.workspace_id")
        lock = " FOR UPDATE OF o SKIP LOCKED" if s.postgres else ""
        rows = s.rows(
            f"SELECT {_COLUMNS} FROM outbox o WHERE o.state = 'pending' AND o.next_at <= ? "
            f"AND (o.lease_until IS NULL OR o.lease_until <= ?) AND {where} AND {_HEAD} ORDER BY o.n LIMIT ?{lock}",
            at, at, *values, limit,
        )  # fmt: skip
        until = now + timedelta(seconds=lease_s)
        s.many(
            "UPDATE outbox SET lease_until = ?, lease_by = ? WHERE workspace_id = ? AND key = ?",
            [(micros(until), by, row[1], row[0]) for row in rows],
        )
        return [msgspec.structs.replace(_row(row), lease_until=until) for row in rows]

    def release(self) -> None:
        """Let go of every message that somebody held: it can be claimed at once."""
        where, values = self._s.mine()
        self._s.run(
            f"UPDATE outbox SET lease_until = NULL, lease_by = NULL WHERE lease_until IS NOT NULL AND {where}", *values
        )

    def settle(self, outcomes: Sequence[OutboxOutcome]) -> None:
        """Record what came of attempts; twice is the same as once. A row that is done stays as it is."""
        s = self._s
        for outcome in outcomes:
            s.own(outcome.workspace_id)
            row = s.row(
                "SELECT state, attempts, last_error FROM outbox WHERE workspace_id = ? AND key = ?",
                outcome.workspace_id, outcome.key,
            )  # fmt: skip
            if row is None or not self._log(outcome) or row[0] != "pending":
                continue
            attempts = row[1] + int(outcome.sent)
            s.door.change(
                "outbox", outcome.key, outcome.workspace_id,
                {"state": row[0], "attempts": row[1], "last_error": row[2]},
                {"state": outcome.state, "attempts": attempts, "last_error": outcome.error},
                "UPDATE outbox SET state = ?, attempts = ?, last_error = ?, next_at = coalesce(?, next_at), done_at "
                "= ?, "
                "lease_until = NULL, lease_by = NULL WHERE workspace_id = ? AND key = ?",
                outcome.state, attempts, outcome.error, None if outcome.next_at is None else micros(outcome.next_at),
                None if outcome.state == "pending" else micros(outcome.at), outcome.workspace_id, outcome.key,
            )  # fmt: skip

    def _log(self, outcome: OutboxOutcome) -> bool:
        """Whether this attempt is new to the log (or was none)."""
        if not outcome.sent:
            return True
        return self._s.run(
            "INSERT INTO attempts (workspace_id, key, at, ok, error, took_us) VALUES (?, ?, ?, ?, ?, ?) "
            "ON CONFLICT (workspace_id, key, at) DO NOTHING",
            outcome.workspace_id, outcome.key, micros(outcome.at), int(outcome.ok), outcome.error,
            round(outcome.took_ms * 1000),
        ) > 0  # fmt: skip

    def drop(self, workspace_id: str, channel_id: str, reason: str) -> None:
        """Give up everything that waits for a channel."""
        rows = self._s.rows(
            "SELECT key FROM outbox WHERE workspace_id = ? AND channel_id = ? AND state = 'pending'",
            workspace_id,
            channel_id,
        )
        self.settle([
            OutboxOutcome(
                key=row[0], workspace_id=workspace_id, state="dropped", at=self._s.now, error=reason, sent=False
            )
            for row in rows
        ])  # fmt: skip

    def list(
        self, incident: str | None = None, limit: int = 100, cursor: str | None = None
    ) -> tuple[list[Delivery], str | None]:
        """A page of the delivery log, newest first, and the cursor of the next one."""
        where, mine = self._s.mine("o.workspace_id")
        values: list[Any] = [*mine]
        if incident is not None:
            where += " AND o.incident_id = ?"
            values.append(incident)
        if cursor is not None:
            where += " AND o.n < ?"
            values += read_cursor(cursor, int)
        rows = self._s.rows(
            f"SELECT {_COLUMNS} FROM outbox o WHERE {where} ORDER BY o.n DESC LIMIT ?", *values, limit + 1
        )
        found = [Delivery(row=_row(row), attempts=self._attempts(row[1], row[0])) for row in rows[:limit]]
        return found, write_cursor(rows[limit - 1][15]) if len(rows) > limit else None

    def get(self, key: str) -> OutboxRow | None:
        """The row with this key, or None."""
        where, values = self._s.mine("o.workspace_id")
        row = self._s.row(f"SELECT {_COLUMNS} FROM outbox o WHERE o.key = ? AND {where}", key, *values)
        return None if row is None else _row(row)

    def _attempts(self, workspace_id: str, key: str) -> tuple[Attempt, ...]:
        rows = self._s.rows(
            "SELECT at, ok, error, took_us FROM attempts WHERE workspace_id = ? AND key = ? ORDER BY at",
            workspace_id,
            key,
        )
        return tuple(Attempt(at=from_micros(r[0]), ok=bool(r[1]), error=r[2], took_ms=r[3] / 1000) for r in rows)

    def pending_count(self) -> int:
        """How many messages are not delivered yet."""
        where, values = self._s.mine()
        row = self._s.row(f"SELECT count(*) FROM outbox WHERE state = 'pending' AND {where}", *values)
        return int(row[0]) if row else 0

    def oldest(self) -> datetime | None:
        """When the oldest message that is not delivered yet was intended, or None."""
        where, values = self._s.mine()
        row = self._s.row(f"SELECT min(created_at) FROM outbox WHERE state = 'pending' AND {where}", *values)
        return None if row is None or row[0] is None else from_micros(row[0])

    def next_at(self) -> datetime | None:
        """When the next pending message is due (leases aside), or None."""
        where, values = self._s.mine("o.workspace_id")
        row = self._s.row(
            f"SELECT min(o.next_at) FROM outbox o WHERE o.state = 'pending' AND {where} AND {_HEAD}", *values
        )
        return None if row is None or row[0] is None else from_micros(row[0])

    def expire(self, before: datetime) -> int:
        """How many finished messages older than this were forgotten."""
        where, values = self._s.mine()
        return self._s.run(
            f"DELETE FROM outbox WHERE state <> 'pending' AND done_at < ? AND {where}", micros(before), *values
        )


def _row(r: tuple[Any, ...]) -> OutboxRow:
    return OutboxRow(
        key=r[0], workspace_id=r[1], channel_id=r[2], incident_id=r[3], monitor_id=r[4], subject=r[5], order=r[6],
        message=msgspec.json.decode(r[7], type=Message), created_at=from_micros(r[8]), next_at=from_micros(r[9]),
        state=cast(Literal["pending", "sent", "failed", "dropped"], r[10]), attempts=r[11],
        lease_until=None if r[12] is None else from_micros(r[12]), last_error=r[13],
        done_at=None if r[14] is None else from_micros(r[14]),
    )  # fmt: skip
