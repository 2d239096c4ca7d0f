"""What a workspace begins with."""

from __future__ import annotations

from datetime import datetime

from tocsin.clock import Clock, new_id
from tocsin.core.rule import first_rule
from tocsin.store import Session, Store


def begin(s: Session, workspace_id: str, now: datetime) -> None:
    """Give a workspace its first alert rule, unless it was given one before (and may have deleted it)."""
    note = f"first_rule:{workspace_id}"
    if s.notes.get(note) is None:
        s.alert_rules.add(first_rule(new_id(), workspace_id, now))
        s.notes.set(note, value=True)


async def begin_all(store: Store, clock: Clock) -> None:
    """Give every workspace that was made by an older version its first alert rule."""
    now = clock.now()

    def work(s: Session) -> None:
        for workspace in s.accounts.workspaces():
            begin(s, workspace.id, now)

    await store.everything().write(work)
