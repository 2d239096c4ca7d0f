"""What results that came too late have told: trouble that is over, in one message."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct

from tocsin.core.alert import Channel, Item, Message, OutboxRow, group_key
from tocsin.core.consensus import Verdict
from tocsin.core.digest import digest_key, times
from tocsin.core.monitor import Monitor
from tocsin.core.result import micros
from tocsin.core.storm import DIGEST
from tocsin.core.wording import one_line


class Past(Struct, frozen=True, kw_only=True):
    """A monitor was down for a while, and nobody knew."""

    monitor: Monitor
    start: datetime
    end: datetime
    reason: str


def pasts(monitor: Monitor, filled: Sequence[tuple[Verdict, datetime]]) -> list[Past]:
    """The stretches of down among verdicts that were filled in, each with when it ended, in order; those that follow each
    other are one."""
    found: list[Past] = []
    for verdict, end in filled:
        if verdict.value != "down":
            continue
        reason = verdict.reason if verdict.error is None else verdict.error.message
        if found and found[-1].end == verdict.at:
            last = found.pop()
            found.append(Past(monitor=monitor, start=last.start, end=end, reason=last.reason))
        else:
            found.append(Past(monitor=monitor, start=verdict.at, end=end, reason=reason))
    return found


def digest_of(channel: Channel, told: Sequence[Past], now: datetime, *, base_url: str = "") -> OutboxRow | None:
    """The one message for a channel about all of them; None where there is nothing to tell. The same stretches make the
    same key."""
    if not told:
        return None
    ordered = sorted(told, key=lambda past: (past.start, past.monitor.name, past.monitor.id))
    key = digest_key(channel.id, [f"{past.monitor.id}:{micros(past.start)}:{micros(past.end)}" for past in ordered])
    base = base_url.rstrip("/")
    message = Message(
        event="digest", key=key, group=group_key(channel.workspace_id, f"late:{key}"), severity="info",
        title=_title(ordered),
        text="Its results came only now: the place it is checked from was cut off from here. Nobody was told meanwhile.",
        monitor=None, incident=None, verdict="up", reason=_title(ordered), at=now, url=f"{base}/" if base else "",
        items=tuple(
            Item(
                title=one_line(f"{_name(past)} was down {times(past.start, past.end)}: {past.reason}", 200),
                severity="info", monitor_id=past.monitor.id, url=f"{base}/monitors/{past.monitor.id}" if base else "",
            )
            for past in ordered
        ),
    )  # fmt: skip
    return OutboxRow(
        key=key, workspace_id=channel.workspace_id, channel_id=channel.id, incident_id=None, monitor_id=None,
        subject=DIGEST, order=micros(now), message=message, created_at=now, next_at=now,
    )  # fmt: skip


def _title(told: Sequence[Past]) -> str:
    if len(told) == 1:
        return f"{_name(told[0])} was down {times(told[0].start, told[0].end)} while cut off"
    monitors = len({past.monitor.id for past in told})
    who = _name(told[0]) if monitors == 1 else f"{monitors:,} monitors"
    span = times(min(past.start for past in told), max(past.end for past in told))
    return f"{who} {'was' if monitors == 1 else 'were'} down while cut off, {span}"


def _name(past: Past) -> str:
    return one_line(past.monitor.name, 80)
