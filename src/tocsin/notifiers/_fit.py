"""Fitting text into what a channel takes: what the notifiers with limits share."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec.structs import replace

from tocsin.core.alert import Item, Message

_LATE = ("incident.escalated", "incident.reminder")


def fitted(text: str, limit: int, escape: Callable[[str], str], length: Callable[[str], int] = len) -> str:
    """The escaped text, cut before an escape and with "…" where it would be longer than `limit` as `length` counts."""
    made = escape(text)
    if length(made) <= limit:
        return made
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if length(escape(text[:middle])) < limit else (low, middle - 1)
    return escape(text[:low]) + "…"


def listed(items: Sequence[Item], limit: int, line: Callable[[Item], str], length: Callable[[str], int] = len) -> str:
    """A line for each item, as many as `limit` holds as `length` counts, and how many more there are. All are named before
    any has its acknowledge link; of links too, as many as there is room for: first of what nobody acknowledged in time."""
    bare = [line(replace(item, acknowledge_url="")) for item in items]
    shown, rest = _named(bare, limit, length)
    room = limit - length("\n".join([*shown, *rest]))
    for n in sorted(range(len(shown)), key=lambda n: items[n].event not in _LATE):
        whole = line(items[n]) if items[n].acknowledge_url else shown[n]
        if 0 < (more := length(whole) - length(shown[n])) <= room:
            shown[n], room = whole, room - more
    return "\n".join([*shown, *rest])


def _named(lines: list[str], limit: int, length: Callable[[str], int]) -> tuple[list[str], list[str]]:
    """(the lines there is room for, how many more there are)."""
    if length("\n".join(lines)) <= limit:
        return lines, []
    used, shown = 0, 0
    rest = length(f"\nand {len(lines)} more")
    for text in lines:
        used += length(text) + 1
        if used + rest > limit:
            break
        shown += 1
    return lines[:shown], [f"and {len(lines) - shown} more"]


def plain(item: Item) -> str:
    """An item as a line of plain text, and a second one to acknowledge it by."""
    return f"• {item.title}" + (f"\n  Acknowledge: {item.acknowledge_url}" if item.acknowledge_url else "")


def link_words(message: Message) -> str:
    """What the link to a message's page says."""
    if message.event == "digest":
        return "Open the incidents"
    return "Open the incident" if message.incident is not None else "Open Tocsin"


def utf16(text: str) -> int:
    """How long it is in UTF-16 code units, as several services count."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2
