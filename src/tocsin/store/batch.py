"""What one round of intake wants kept, all or nothing. It can be written to the spool on disk and replayed: applying it
twice is the same as once."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from msgspec import Struct

from tocsin.core.alert import OutboxRow
from tocsin.core.consensus import LocationState, Verdict
from tocsin.core.incident import Entry, Incident
from tocsin.core.result import CheckResult


class StateChange(Struct, frozen=True, kw_only=True):
    """A location's state that has to survive a crash (its vote or suspicion changed)."""

    workspace_id: str
    monitor_id: str
    state: LocationState


class VerdictChange(Struct, frozen=True, kw_only=True):
    """A verdict that begins: ends the monitor's open verdict interval at `verdict.at` and opens the next, with
    evidence."""

    workspace_id: str
    monitor_id: str
    verdict: Verdict


class IncidentChange(Struct, frozen=True, kw_only=True):
    """An incident as it is now, with what to add to its timeline. `opens`: this row is new (or open again), so the
    unique index on open subjects decides a race."""

    incident: Incident
    entries: tuple[Entry, ...] = ()
    opens: bool = False


class Batch(Struct, frozen=True, kw_only=True):
    """One transaction of intake. `by` is who caused it, for the audit log ("tocsin" or an e-mail)."""

    id: str
    by: str = "tocsin"
    results: tuple[CheckResult, ...] = ()
    states: tuple[StateChange, ...] = ()
    verdicts: tuple[VerdictChange, ...] = ()
    incidents: tuple[IncidentChange, ...] = ()
    outbox: tuple[OutboxRow, ...] = ()


class OutboxOutcome(Struct, frozen=True, kw_only=True):
    """What came of one attempt to deliver, or of giving a row up. `state` is the row's state from now on: pending with
    `next_at` for another try, else sent, failed or dropped; what a digest carries shares its end. `sent` is False when
    nothing left (dropped, put off). `ref` is what the other side calls the message."""

    key: str
    workspace_id: str
    state: Literal["pending", "sent", "failed", "dropped"]
    at: datetime
    ok: bool = False
    error: str | None = None
    took_ms: float = 0.0
    next_at: datetime | None = None
    sent: bool = True
    ref: str | None = None
