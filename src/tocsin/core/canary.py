"""Canaries: a test message on a schedule, the whole way from the outbox to the channel, so that a dead way is noticed
before it is needed."""

from __future__ import annotations

import hashlib
from datetime import datetime

from tocsin.core.alert import Channel, Message, OutboxRow, notification_key
from tocsin.core.storm import CANARY
from tocsin.core.wording import one_line, span

SHORTEST_S = 3600


def slot(channel: Channel, now: datetime) -> int:
    """The number of the stretch of `canary_s` seconds that now is in; each channel's begin at a moment of their own."""
    shift = int.from_bytes(hashlib.blake2b(channel.id.encode(), digest_size=4).digest()) % channel.canary_s
    return int((now.timestamp() - shift) // channel.canary_s)


def canary_key(channel: Channel, number: int) -> str:
    """The key of a channel's canary in that stretch: there is one, however often we start."""
    return notification_key(channel.workspace_id, channel.id, CANARY, number, "test", channel.canary_s)


def canary_row(channel: Channel, now: datetime, *, base_url: str = "") -> OutboxRow:
    """The canary of a channel for the stretch that now is in."""
    number = slot(channel, now)
    key = canary_key(channel, number)
    message = Message(
        event="test", key=key, group=key, severity="info", title=f"Canary for {one_line(channel.name, 80)}",
        text=f"A test message that is sent every {span(channel.canary_s)}. This channel works; nothing is wrong.",
        monitor=None, incident=None, verdict=None, reason="a test on a schedule", at=now,
        url=f"{base_url.rstrip('/')}/channels" if base_url else "",
    )  # fmt: skip
    return OutboxRow(
        key=key, workspace_id=channel.workspace_id, channel_id=channel.id, incident_id=None, monitor_id=None,
        subject=CANARY, order=number, message=message, created_at=now, next_at=now,
    )  # fmt: skip
