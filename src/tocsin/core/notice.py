"""Notices: what the people who run a workspace must know though no incident says it."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from msgspec import Struct

NoticeKind = Literal[
    "channel.disabled", "channel.canary", "channel.fallback", "channel.given_up", "channel.refused",
    "location.refused", "location.token", "location.twice",
    "instance.refused", "instance.twice", "instance.certificate", "instance.moved", "instance.clock", "instance.removed",
    "host.twin",
]  # fmt: skip


class Notice(Struct, frozen=True, kw_only=True):
    """One of them. `mark` says what it is about: the same trouble again is the same notice, newer. `seen_at`: somebody
    put it away. `channel_id` is the channel it is about, `location` the location."""

    workspace_id: str
    mark: str
    kind: NoticeKind
    at: datetime
    text: str
    channel_id: str | None = None
    location: str | None = None
    seen_at: datetime | None = None
    id: str = ""
