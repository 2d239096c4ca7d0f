"""Messages from intent to outcome, and the log of every attempt to deliver them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, cast

import msgspec
from msgspec import Struct

from tocsin.core.alert import PERSON, Message, OutboxRow
from tocsin.core.digest import Gathered
from tocsin.core.result import from_micros, micros
from tocsin.core.storm import CANARY, CROWD, DIGEST, END, FULL, OPENINGS, Waiting
from tocsin.store.batch import OutboxOutcome
from tocsin.store.cursor import read_cursor, write_cursor

if TYPE_CHECKING:
    from tocsin.store.session import Session

COLUMNS = (
    "o.key, o.workspace_id, o.channel_id, o.incident_id, o.monitor_id, o.subject, o.rank, o.message, o.created_at, "
    "o.next_at, "
    "o.state, o.attempts, o.lease_until, o.last_error, o.done_at, o.n"
)
_CARRIED = "(SELECT d.digest FROM digest_rows d WHERE d.workspace_id = o.workspace_id AND d.key = o.key)"
_OF_DIGEST = "state = 'pending' AND key IN (SELECT key FROM digest_rows WHERE workspace_id = ? AND digest = ?)"
_LATEST = 1000
NEVER = datetime(9999, 1, 1, tzinfo=UTC)
"""When a message is due by itself that a digest carries."""
_FREE = "o.state = 'pending' AND o.next_at <= ? AND (o.lease_until IS NULL OR o.lease_until <= ?)"
_HEAD = (
    "NOT EXISTS (SELECT 1 FROM outbox p WHERE p.state = 'pending' AND p.workspace_id = o.workspace_id "
    "AND p.channel_id = o.channel_id AND p.subject = o.subject AND (p.rank < o.rank OR (p.rank = o.rank AND p.n < "
    "o.n)))"
)


_WHOLE = (
    "NOT EXISTS (SELECT 1 FROM outbox p WHERE p.state = 'pending' AND p.workspace_id = o.workspace_id "
    "AND p.channel_id = o.channel_id AND p.subject = o.subject AND (p.rank < o.rank OR (p.rank = o.rank AND p.n < "
    "o.n)) AND (p.n > o.n OR p.next_at > ? OR p.lease_until > ?))"
)
"""Nothing of its subject that comes before it has to stay behind when it is gathered."""

Place = tuple[str, str]
"""A workspace's id and the id of one of its channels."""


class _Told(Struct, frozen=True):
    event: str


class Attempt(Struct, frozen=True, kw_only=True):
    """One attempt to deliver a message."""

    at: datetime
    ok: bool
    error: str | None
    took_ms: float


class Delivery(Struct, frozen=True, kw_only=True):
    """A message with every attempt to deliver it (or the digest that carries it), oldest first."""

    row: OutboxRow
    attempts: tuple[Attempt, ...]


class Outbox:
    """What is to be told. Of one channel and subject only the first pending message can be had, so they leave in
    order."""

    def __init__(self, session: Session) -> None:
        self._s = session

    def add(self, row: OutboxRow) -> bool:
        """Intend to send; False when this key is there already, or its channel (or member) is gone."""
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

    def places(self) -> list[tuple[Place, datetime]]:
        """Every channel that something waits for, and since or from when (leases aside)."""
        where, values = self._s.mine()
        rows = self._s.rows(
            "SELECT workspace_id, channel_id, min(next_at) FROM outbox WHERE state = 'pending' AND "
            f"{where} GROUP BY workspace_id, channel_id",
            *values,
        )
        return [((row[0], row[1]), from_micros(row[2])) for row in rows]

    def peek(self, place: Place, now: datetime) -> Waiting:
        """What waits for one channel and could be sent now."""
        s, at = self._s, micros(now)
        s.own(place[0])
        free = f"FROM outbox o WHERE o.workspace_id = ? AND o.channel_id = ? AND {_FREE} AND o.subject <> ?"
        values = (*place, at, at, DIGEST)
        first = s.rows(f"SELECT o.subject, o.message, o.created_at {free} ORDER BY o.n LIMIT ?", *values, 2 * CROWD)
        told = [row for row in first if row[0] != CANARY]
        count = len(told)
        if len(first) == 2 * CROWD:
            found = s.row(f"SELECT count(*) FROM (SELECT 1 {free} LIMIT ?) AS first_ones", *values, FULL)
            count = found[0] if found else count
        digest = s.row(
            "SELECT o.next_at, o.lease_until FROM outbox o WHERE o.state = 'pending' AND o.workspace_id = ? AND "
            "o.channel_id = ? AND o.subject = ? ORDER BY o.rank, o.n LIMIT 1",
            *place, DIGEST,
        )  # fmt: skip
        events = [event_of(row[1]) for row in told]
        return Waiting(
            count=count, openings=sum(event in OPENINGS for event in events), ends=events.count(END),
            alone=len(first) - len(told),
            oldest=min((from_micros(row[2]) for row in told), default=None),
            digest=None if digest is None else "due" if digest[0] <= at and (digest[1] or 0) <= at else "held",
        )  # fmt: skip

    def claim(self, place: Place, now: datetime, lease_s: float, limit: int, by: str) -> list[OutboxRow]:
        """Messages for one channel that are due, oldest first, of each subject its first only, held for `lease_s`:
        nobody else gets them before that is over."""
        return self._hold(place, now, lease_s, by, f"o.subject <> ? AND {_HEAD}", (DIGEST,), limit)

    def claim_digest(self, place: Place, now: datetime, lease_s: float, by: str) -> list[OutboxRow]:
        """The digest for one channel that is due, if there is one, held like `claim`."""
        return self._hold(place, now, lease_s, by, f"o.subject = ? AND {_HEAD}", (DIGEST,), 1)

    def claim_all(self, place: Place, now: datetime, lease_s: float, by: str) -> list[OutboxRow]:
        """What one digest may gather for a channel, oldest first, held like `claim`: whole subjects, as far as nothing of
        them is on its way or put off."""
        at = micros(now)
        return self._hold(
            place, now, lease_s, by, f"o.subject NOT IN (?, ?) AND {_WHOLE}", (DIGEST, CANARY, at, at), FULL
        )

    def _hold(
        self, place: Place, now: datetime, lease_s: float, by: str, which: str, values: tuple[Any, ...], limit: int
    ) -> list[OutboxRow]:
        s, at = self._s, micros(now)
        s.own(place[0])
        lock = " FOR UPDATE OF o SKIP LOCKED" if s.postgres else ""
        rows = s.rows(
            f"SELECT {COLUMNS} FROM outbox o WHERE o.workspace_id = ? AND o.channel_id = ? AND {_FREE} AND {which} "
            f"ORDER BY o.n LIMIT ?{lock}",
            *place, at, at, *values, limit,
        )  # fmt: skip
        until = now + timedelta(seconds=lease_s)
        if rows:
            among, numbers = s.among("n", [row[15] for row in rows])
            s.run(
                f"UPDATE outbox SET lease_until = ?, lease_by = ? WHERE workspace_id = ? AND {among}",
                micros(until), by, place[0], numbers,
            )  # fmt: skip
        return [msgspec.structs.replace(row_of(row), lease_until=until) for row in rows]

    def gather(self, gathered: Gathered) -> None:
        """Keep a digest and what it carries, before it is sent; twice is the same as once. What is done stays as it is."""
        s, row = self._s, gathered.row
        if not self.add(row) and self._state(row) != "pending":
            return
        s.many(
            "INSERT INTO digest_rows (workspace_id, key, digest) SELECT workspace_id, key, CAST(? AS TEXT) FROM outbox "
            "WHERE workspace_id = ? AND key = ? AND state = 'pending' ON CONFLICT (workspace_id, key) DO NOTHING",
            [(row.key, row.workspace_id, key) for key in gathered.keys],
        )
        s.run(
            "UPDATE outbox SET next_at = ?, lease_until = NULL, lease_by = NULL WHERE workspace_id = ? AND "
            f"{_OF_DIGEST}",
            micros(NEVER), row.workspace_id, row.workspace_id, row.key,
        )  # fmt: skip

    def _state(self, row: OutboxRow) -> str | None:
        found = self._s.row(
            "SELECT state FROM outbox WHERE workspace_id = ? AND key = ?", self._s.own(row.workspace_id), row.key
        )
        return None if found is None else str(found[0])

    def release(self) -> None:
        """Let go of every message that somebody held: it can be claimed at once."""
        where, values = self._s.mine()
        self._s.run(
            f"UPDATE outbox SET lease_until = NULL, lease_by = NULL WHERE lease_until IS NOT NULL AND {where}", *values
        )

    def hold_back(self, place: Place, note: str, before: datetime, limit: int) -> list[OutboxRow]:
        """Messages for a channel that is off, at most `limit` that did not say so yet: they do now. Those intended before
        then are given up."""
        s = self._s
        s.own(place[0])
        rows = s.rows(
            f"SELECT {COLUMNS} FROM outbox o WHERE o.workspace_id = ? AND o.channel_id = ? AND o.state = 'pending' AND "
            "o.next_at < ? AND (o.created_at < ? OR o.last_error IS NULL OR o.last_error <> ?) ORDER BY o.n LIMIT ?",
            *place, micros(NEVER), micros(before), note, limit,
        )  # fmt: skip
        found = [row_of(row) for row in rows]
        self.settle([
            OutboxOutcome(
                key=row.key, workspace_id=row.workspace_id, state="failed" if row.created_at < before else "pending",
                at=s.now, error=note, sent=False,
            )
            for row in found
        ])  # fmt: skip
        return [row for row in found if row.last_error != note]

    def settle(self, outcomes: Sequence[OutboxOutcome]) -> None:
        """Record what came of attempts; twice is the same as once. A row that is done stays as it is."""
        s = self._s
        for outcome in outcomes:
            s.own(outcome.workspace_id)
            row = s.row(
                "SELECT state, attempts, last_error, subject, channel_id, incident_id FROM outbox "
                "WHERE workspace_id = ? AND key = ?",
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
                "= ?, lease_until = NULL, lease_by = NULL WHERE workspace_id = ? AND key = ?",
                outcome.state, attempts, outcome.error, None if outcome.next_at is None else micros(outcome.next_at),
                None if outcome.state == "pending" else micros(outcome.at), outcome.workspace_id, outcome.key,
            )  # fmt: skip
            if outcome.ref is not None and row[5] is not None:
                self._keep_ref(outcome, channel_id=row[4], thread=row[5])
            if row[3] == DIGEST and outcome.state != "pending":
                self._end_carried(outcome)

    def _end_carried(self, digest: OutboxOutcome) -> None:
        """What a digest carries shares its end."""
        self._s.run(
            "UPDATE outbox SET state = ?, last_error = ?, next_at = ?, done_at = ?, lease_until = NULL, lease_by = NULL "
            f"WHERE workspace_id = ? AND {_OF_DIGEST}",
            digest.state, digest.error, micros(digest.at), micros(digest.at), digest.workspace_id, digest.workspace_id,
            digest.key,
        )  # fmt: skip

    def _keep_ref(self, outcome: OutboxOutcome, *, channel_id: str, thread: str) -> None:
        """What the other side calls the latest message of an incident on a channel."""
        self._s.run(
            "INSERT INTO message_refs (workspace_id, channel_id, thread, ref, at) SELECT CAST(? AS TEXT), "
            "CAST(? AS TEXT), CAST(? AS TEXT), CAST(? AS TEXT), CAST(? AS BIGINT) WHERE EXISTS "
            "(SELECT 1 FROM channels WHERE workspace_id = ? AND id = ?) ON CONFLICT (workspace_id, channel_id, thread) "
            "DO UPDATE SET ref = excluded.ref, at = excluded.at",
            outcome.workspace_id, channel_id, thread, outcome.ref, micros(outcome.at), outcome.workspace_id, channel_id,
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
            f"SELECT {COLUMNS}, {_CARRIED} FROM outbox o WHERE {where} ORDER BY o.n DESC LIMIT ?", *values, limit + 1
        )
        found = [Delivery(row=row_of(row), attempts=self._attempts(row[1], row[16] or row[0])) for row in rows[:limit]]
        return found, write_cursor(rows[limit - 1][15]) if len(rows) > limit else None

    def get(self, key: str) -> OutboxRow | None:
        """The row with this key, or None."""
        where, values = self._s.mine("o.workspace_id")
        row = self._s.row(f"SELECT {COLUMNS}, {_CARRIED} FROM outbox o WHERE o.key = ? AND {where}", key, *values)
        return None if row is None else row_of(row)

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
        """When the message that has waited longest was intended, or None."""
        where, values = self._s.mine()
        first = f"SELECT min(n) FROM outbox WHERE state = 'pending' AND {where}"
        row = self._s.row(f"SELECT created_at FROM outbox WHERE n = ({first})", *values)
        return None if row is None else from_micros(row[0])

    def earlier_ref(self, row: OutboxRow) -> str | None:
        """What the other side calls the latest message of the same incident on the same channel, as far as it said."""
        s = self._s
        s.own(row.workspace_id)
        found = s.row(
            "SELECT ref FROM message_refs WHERE workspace_id = ? AND channel_id = ? AND thread = ?",
            row.workspace_id, row.channel_id, row.incident_id,
        )  # fmt: skip
        return None if found is None else str(found[0])

    def carried(self, digest: OutboxRow) -> list[OutboxRow]:
        """What a digest carries, oldest first."""
        rows = self._s.rows(
            f"SELECT {COLUMNS} FROM outbox o JOIN digest_rows d ON d.workspace_id = o.workspace_id AND d.key = o.key "
            "WHERE d.workspace_id = ? AND d.digest = ? ORDER BY o.n",
            self._s.own(digest.workspace_id), digest.key,
        )  # fmt: skip
        return [row_of(row) for row in rows]

    def left_since(self, since: datetime) -> list[tuple[Place, datetime, str]]:
        """The latest attempts, newest first: for which channel, when, and what was told."""
        where, values = self._s.mine("a.workspace_id")
        rows = self._s.rows(
            "SELECT o.workspace_id, o.channel_id, a.at, o.message FROM attempts a JOIN outbox o ON o.workspace_id = "
            f"a.workspace_id AND o.key = a.key WHERE {where} ORDER BY a.n DESC LIMIT ?",
            *values, _LATEST,
        )  # fmt: skip
        return [((r[0], r[1]), from_micros(r[2]), event_of(r[3])) for r in rows if r[2] >= micros(since)]

    def expire(self, before: datetime) -> int:
        """How many finished messages older than this were forgotten."""
        where, values = self._s.mine()
        s = self._s
        s.run(f"DELETE FROM message_refs WHERE at < ? AND {where}", micros(before), *values)
        return s.run(
            f"DELETE FROM outbox WHERE state <> 'pending' AND done_at < ? AND {where}", micros(before), *values
        )


def row_of(r: tuple[Any, ...]) -> OutboxRow:
    """The message in a row of COLUMNS."""
    return OutboxRow(
        key=r[0], workspace_id=r[1], channel_id=r[2], incident_id=r[3], monitor_id=r[4], subject=r[5], order=r[6],
        message=msgspec.json.decode(r[7], type=Message), created_at=from_micros(r[8]), next_at=from_micros(r[9]),
        state=cast(Literal["pending", "sent", "failed", "dropped"], r[10]), attempts=r[11],
        lease_until=None if r[12] is None else from_micros(r[12]), last_error=r[13],
        done_at=None if r[14] is None else from_micros(r[14]), digest=r[16] if len(r) > 16 else None,
    )  # fmt: skip


def event_of(message: str) -> str:
    """What a stored message tells of."""
    return msgspec.json.decode(message, type=_Told).event
