"""One message in place of many: what it says, and what it is known by."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from msgspec import Struct
from msgspec.structs import replace

from tocsin.core.alert import Item, Message, OutboxRow, group_key
from tocsin.core.result import micros
from tocsin.core.storm import DIGEST
from tocsin.core.wording import one_line

UPDATED = 500
"""Lines that an updated digest shows at most; it is for places where people read, and those show fewer."""
_LINE_MAX = 200
_INSTEAD = "Sent here because"
_WORST_FIRST = ("critical", "down", "warning", "info")


class Gathered(Struct, frozen=True, kw_only=True):
    """A digest, and the keys of the messages it carries in their place."""

    row: OutboxRow
    keys: tuple[str, ...]


class Line(Struct, frozen=True, kw_only=True):
    """Where one subject stands in a digest: `down` while its trouble lasts, `also` how often else it was told of."""

    item: Item
    down: bool


Lines = dict[str, Line]


def gather(
    rows: Sequence[OutboxRow],
    now: datetime,
    *,
    storm: str,
    base_url: str = "",
    earlier: Mapping[str, Line] | None = None,
    heard: int = 0,
) -> tuple[Gathered, Lines]:
    """The digest of messages for one channel, in the order they were intended in, and its line for each subject. `storm`
    names the spell of trouble: its digests are one group. `earlier` are the lines of the digest in whose place this one
    will be put: it says them too. `heard`: of how many open incidents the channel was told, these among them.

    Its key is a hash of what it carries: the same messages make the same digest."""
    first = rows[0]
    found = lines(rows)
    shown = {**(earlier or {}), **found}
    key = digest_key(first.channel_id, [row.key for row in rows])
    title, text = _words(shown.values(), len(rows), heard)
    text = "\n".join((text, *_instead(rows)))
    down = [line.item for line in shown.values() if line.down]
    message = Message(
        event="digest", key=key, group=group_key(first.workspace_id, f"digest:{first.channel_id}:{storm}"),
        severity=min((item.severity for item in down), key=_rank, default="info"), title=title, text=text,
        monitor=None, incident=None, verdict="down" if down else "up", reason=title, at=now,
        url=f"{base_url.rstrip('/')}/incidents" if base_url else "", items=_items(shown, whole=earlier is None),
    )  # fmt: skip
    row = OutboxRow(
        key=key, workspace_id=first.workspace_id, channel_id=first.channel_id, incident_id=None, monitor_id=None,
        subject=DIGEST, order=micros(now), message=message, created_at=now, next_at=now,
    )  # fmt: skip
    return Gathered(row=row, keys=tuple(row.key for row in rows)), shown


def digest_key(channel_id: str, keys: Sequence[str]) -> str:
    """The key of the digest that carries these messages: 32 hex digits."""
    text = "\n".join(("digest", channel_id, *keys))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def lines(rows: Iterable[OutboxRow]) -> Lines:
    """What came to each subject, a line each, in the order they were first told of."""
    told: dict[str, list[Message]] = {}
    for row in sorted(rows, key=lambda row: row.order):
        told.setdefault(row.subject, []).append(row.message)
    return {subject: _line(told[subject]) for subject in dict.fromkeys(row.subject for row in rows)}


def _line(messages: Sequence[Message]) -> Line:
    last, first = messages[-1], messages[0]
    over = last.event == "incident.resolved"
    title = last.title
    if over and first.event != "incident.resolved" and last.monitor:
        title = f"{one_line(str(last.monitor['name']), 80)} was down {_span(first, last)}: {first.reason}"
    elif over and first.event != "incident.resolved":
        title = f"{first.title} (over, {_span(first, last)})"
    elif len(messages) > 1:
        title = f"{last.title} ({len(messages)} changes, {times(first.at, last.at)})"
    severity = "info" if over else last.severity
    return Line(
        item=Item(
            title=one_line(title, _LINE_MAX), severity=severity, url=last.url, event=last.event,
            monitor_id=str(last.monitor["id"]) if last.monitor else None,
            incident_id=str(last.incident["id"]) if last.incident else None,
            keys=tuple(m.key for m in messages), at=last.at,
        ),
        down=not over,
    )  # fmt: skip


def _span(first: Message, last: Message) -> str:
    """From when to when it was in trouble, which a rule is sure of later."""
    begin, end = (first.incident or {}).get("trouble_from"), (last.incident or {}).get("trouble_to")
    return times(datetime.fromisoformat(begin) if begin else first.at, datetime.fromisoformat(end) if end else last.at)


def times(begin: datetime, end: datetime) -> str:
    """From when to when, for people: "12:01–12:03", with seconds within a minute, with days where they differ."""
    clock = "%H:%M:%S" if end.replace(second=0, microsecond=0) == begin.replace(second=0, microsecond=0) else "%H:%M"
    day = "%Y-%m-%d " if begin.date() != end.date() else ""
    return f"{begin:{day}{clock}}–{end:{day}{clock}} UTC"


def _items(shown: Lines, *, whole: bool) -> tuple[Item, ...]:
    """What is down first, then what is over; in each the order of the telling."""
    ordered = [line.item for line in shown.values() if line.down] + [
        line.item for line in shown.values() if not line.down
    ]
    if whole or len(ordered) <= UPDATED:
        return tuple(ordered)
    return (*ordered[:UPDATED], Item(title=f"and {len(ordered) - UPDATED:,} more", severity="info"))


def _words(shown: Iterable[Line], count: int, heard: int) -> tuple[str, str]:
    """Title and text: how many are down, how many were, and how many are in all where the channel was told of more. Where
    not all are monitors, that is said of alerts: they are open, or over."""
    told = list(shown)
    stands = Counter(line.down for line in told)
    down, over = stands[True], stands[False]
    monitors = all(line.item.monitor_id for line in told)
    thing, bad, good = ("monitor", "down", "up again") if monitors else ("alert", "open", "over")
    if not down:
        title = _counted(over, thing, good) + (f", {heard:,} still {bad}" if heard else "")
    else:
        more = " more" if heard > down else ""
        title = _counted(down, f"{more} {thing}".strip(), bad) + (f", {heard:,} in all" if more else "")
        title += f", {over:,} {good}" if over else ""
    many = f"{count:,} messages in one: so much changed at once that each by itself would be too many."
    return title, many


def _instead(rows: Iterable[OutboxRow]) -> list[str]:
    """Why messages are told here in place of another channel, each reason once, three at most."""
    last = (row.message.text.rpartition("\n")[2] for row in rows)
    return list(dict.fromkeys(line for line in last if line.startswith(_INSTEAD)))[:3]


def _counted(number: int, thing: str, state: str) -> str:
    return f"1 {thing} is {state}" if number == 1 else f"{number:,} {thing}s are {state}"


def _rank(severity: str) -> int:
    return _WORST_FIRST.index(severity) if severity in _WORST_FIRST else len(_WORST_FIRST)


def fallback_key(key: str, to: str) -> str:
    """The key that a message has on the channel with id `to`, which is told it in place of another."""
    return hashlib.blake2b(f"fallback\n{key}\n{to}".encode(), digest_size=16).hexdigest()


def as_fallback(row: OutboxRow, used: str, to: str, why: str, now: datetime) -> OutboxRow:
    """The same message for the channel with id `to`, since the one named `used` did not take it; with `why` empty, what
    came before it."""
    key, named = fallback_key(row.key, to), one_line(used, 80)
    said = f"did not take it: {one_line(why, 200)}" if why else "did not take what came before it."
    said = f"{row.message.text}\n{_INSTEAD} {named} {said}"
    return replace(
        row, key=key, channel_id=to, message=replace(row.message, key=key, text=said.lstrip("\n")), next_at=now,
        state="pending", attempts=0, lease_until=None, last_error=None, done_at=None,
    )  # fmt: skip
