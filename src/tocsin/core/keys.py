"""The keys of messages: the same on every instance, at every agent, and after every restart. Pure."""

from __future__ import annotations

import hashlib


def notification_key(workspace_id: str, channel_id: str, subject: str, number: int, what: str, step: int = 0) -> str:
    """The idempotency key of one message: 32 hex digits, the same on every instance and after every restart."""
    return _hash(workspace_id, channel_id, subject, str(number), what, str(step))


def group_key(workspace_id: str, what: str) -> str:
    """What all messages of one incident (or digest), named by its id, are grouped by: 32 hex digits, on every channel."""
    return _hash(workspace_id, what)


def _hash(*parts: str) -> str:
    text = "".join(f"{len(part)}:{part}" for part in parts)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
