"""StatsD datagrams, with the tags of DogStatsD, as things that were said."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tocsin.collectors._pushed import Fresh, What

_KINDS: dict[str, What] = {
    "c": "count", "g": "gauge", "ms": "timing", "h": "timing", "d": "timing", "s": "member", "m": "count",
}  # fmt: skip
_NUMBER = re.compile(r"[+-]?(\d{1,30}(\.\d{0,30})?|\.\d{1,30})([eE][+-]?\d{1,3})?")


def read_datagram(data: bytes) -> Iterator[Fresh | None]:
    """What each line of a datagram says: `name:value|type|@rate|#tag:value`. None for a line that says nothing."""
    for line in data.decode("utf-8", "replace").split("\n"):
        if line.strip() and not line.startswith(("_e{", "_sc|")):  # events and states of DogStatsD are no metrics
            yield from _line(line.strip())


def _line(line: str) -> Iterator[Fresh | None]:
    head, bar, rest = line.partition("|")
    name, colon, values = head.partition(":")
    kind, *more = rest.split("|")
    what = _KINDS.get(kind)
    if not bar or not colon or not name or what is None:
        yield None
        return
    rate, labels = 1.0, dict[str, str]()
    for part in more:
        if part.startswith("@") and _NUMBER.fullmatch(part[1:]):
            rate = float(part[1:])
        elif part.startswith("#"):
            labels |= _tags(part[1:])
    if not 0 < rate <= 1:
        yield None
        return
    for value in values.split(":")[:1000]:
        yield _one(name, what, value, rate, labels)


def _one(name: str, what: What, value: str, rate: float, labels: dict[str, str]) -> Fresh | None:
    if what == "member":
        return Fresh(what, name, labels=labels, text=value)
    if not _NUMBER.fullmatch(value):
        return None
    number = float(value)
    if what == "gauge" and value[0] in "+-":
        what = "shift"
    return Fresh(what, name, number / rate if what == "count" else number, labels)


def _tags(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for tag in text.split(",")[:20]:
        name, colon, value = tag.partition(":")
        if name:
            found[name] = value if colon else "yes"
    return found
