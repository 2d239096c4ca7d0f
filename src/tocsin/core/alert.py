"""What is told to whom: messages, their keys, and the outbox rows of a step (VERDICT.md sections 5 and 6 of the design)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

from msgspec import Struct

from tocsin.core.consensus import Verdict
from tocsin.core.incident import Step
from tocsin.core.monitor import Monitor

Event = Literal[
    "incident.opened", "incident.reopened", "incident.escalated", "incident.resolved", "incident.reminder", "test", "digest"
]


class Channel(Struct, frozen=True, kw_only=True):
    """A notification channel. `config` is its notifier's Config as a JSON object, secrets in clear only in memory."""

    id: str
    workspace_id: str
    name: str
    type: str
    config: dict[str, Any]
    default: bool = False
    enabled: bool = True
    disabled_reason: str | None = None
    created_at: datetime
    updated_at: datetime


class Message(Struct, frozen=True, kw_only=True):
    """What a notifier renders: plain values, no secrets. `monitor`: {id, name, type, target}; `incident`: {id, severity,
    verdict, opened_at, acknowledged_at, resolved_at, duration_s}; `url`: the incident's page, or empty."""

    event: Event
    key: str
    severity: str
    title: str
    text: str
    monitor: dict[str, Any] | None
    incident: dict[str, Any] | None
    verdict: str | None
    reason: str
    at: datetime
    url: str = ""
    late_s: float | None = None


class OutboxRow(Struct, frozen=True, kw_only=True):
    """One message for one channel, from intent to outcome. States: pending → sent | failed | dropped.

    `order`: rows of one channel and subject leave in ascending order (down n before up n). `lease_until` is set while
    a sender holds it. `next_at`: not before then."""

    key: str
    workspace_id: str
    channel_id: str
    incident_id: str | None
    monitor_id: str | None
    subject: str
    order: int
    message: Message
    created_at: datetime
    next_at: datetime
    state: Literal["pending", "sent", "failed", "dropped"] = "pending"
    attempts: int = 0
    lease_until: datetime | None = None
    last_error: str | None = None
    done_at: datetime | None = None


def notification_key(workspace_id: str, channel_id: str, subject: str, number: int, what: str, step: int = 0) -> str:
    """The idempotency key of one message (VERDICT.md section 6): 32 hex digits, the same on every instance."""
    raise NotImplementedError


def rows_for(
    step: Step, monitor: Monitor, verdict: Verdict, channels: Sequence[Channel], now: datetime, *, base_url: str = ""
) -> tuple[OutboxRow, ...]:
    """The outbox rows of a step: for each transition, one for each enabled channel the monitor tells.

    A resolve goes only where its opening went (`step.incident.told`) and only if monitor.notify_on_resolve."""
    raise NotImplementedError
