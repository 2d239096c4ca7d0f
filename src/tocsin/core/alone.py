"""What an instance says that is cut off from all others: what it alone sees, and that nobody confirmed it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from msgspec.structs import replace

from tocsin.core.alert import Item, Message
from tocsin.core.wording import one_line

TELLS = frozenset(("opened", "reopened", "resolved"))
"""Transitions that are told: reminders and steps need somebody who knows whether they were acknowledged."""
LINES = 50


def unconfirmed(message: Message, instance: str, place: str, *, cut_off: bool = True) -> Message:
    """The message as this instance may send it: marked, under a key that no confirmed message has, without a link to
    acknowledge (that could not be kept). `cut_off`: it still is; else it tells the end of what it told then."""
    alone = f"Unconfirmed: {instance} is cut off from the other instances and saw this from {place} alone."
    said = f"{alone} When they are back, they judge it anew."
    if not cut_off:
        said = f"Unconfirmed: {instance} saw this from {place} alone, as it told the beginning while nobody led."
    key = hashlib.blake2b(f"unconfirmed\n{instance}\n{message.key}".encode(), digest_size=16).hexdigest()
    text = message.text.replace(f"\n{message.acknowledge_url}", "") if message.acknowledge_url else message.text
    return replace(
        message, key=key, title=f"Unconfirmed: {message.title}", text=f"{text}\n{said}", acknowledge_url="",
        reason=f"{message.reason} (unconfirmed: seen from {place} alone)".strip(),
        group=f"{message.group}:unconfirmed" if message.group else "",
    )  # fmt: skip


def together(messages: Sequence[Message]) -> Message:
    """One message in place of several (unconfirmed ones) for one channel."""
    first = messages[0]
    if len(messages) == 1:
        return first
    key = hashlib.blake2b("\n".join(m.key for m in messages).encode(), digest_size=16).hexdigest()
    down = sum(m.event != "incident.resolved" for m in messages)
    title = f"Unconfirmed: {down} down, {len(messages) - down} up again, seen by one instance alone"
    lines = [one_line(m.title.removeprefix("Unconfirmed: "), 200) for m in messages[:LINES]]
    if len(messages) > LINES:
        lines.append(f"and {len(messages) - LINES} more")
    said = first.text.rpartition("\n")[2]
    return replace(
        first, event="digest", key=key, group="", title=title, text="\n".join([*lines, said]), monitor=None, incident=None,
        verdict="down" if down else "up", reason=title,
        items=tuple(Item(title=line, severity=first.severity) for line in lines),
    )  # fmt: skip
