"""Which check results an instance holds of each origin, so that after a change of primary none is missing anywhere."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping

from msgspec import Struct

Range = tuple[int, int]
"""Sequence numbers from the first to the last one, both included."""


class Origin(Struct, frozen=True, order=True, array_like=True):
    """Who made a result: an instance, and the incarnation of its disk, which counts its results from 1."""

    source: str
    incarnation: str


Offer = dict[Origin, tuple[Range, ...]]
"""What somebody holds, or wants: ranges without overlap, in order."""


class Cursors:
    """The sequence numbers held of each origin."""

    def __init__(self, held: Mapping[Origin, Iterable[Range]] | None = None) -> None:
        self._held: dict[Origin, list[Range]] = {origin: list(ranges) for origin, ranges in (held or {}).items()}
        self._gone: dict[Origin, int] = {}

    def add(self, origin: Origin, seq: int) -> bool:
        """Hold one more; False when it was held already."""
        ranges = self._held.setdefault(origin, [])
        if ranges and ranges[-1][1] == seq - 1:
            ranges[-1] = (ranges[-1][0], seq)
            return True
        place = bisect_right(ranges, (seq, seq))
        for near in (place - 1, place):
            if 0 <= near < len(ranges) and ranges[near][0] <= seq <= ranges[near][1]:
                return False
        low = high = seq
        if place < len(ranges) and ranges[place][0] == seq + 1:
            high = ranges.pop(place)[1]
        if place and ranges[place - 1][1] == seq - 1:
            low = ranges.pop(place - 1)[0]
            place -= 1
        ranges.insert(place, (low, high))
        return True

    def upto(self, origin: Origin) -> int:
        """Everything of this origin up to this number is held (or grew old): the cumulative acknowledgement."""
        ranges, gone = self._held.get(origin), self._gone.get(origin, 0)
        return ranges[0][1] if ranges and ranges[0][0] <= gone + 1 else gone

    def newest(self, origin: Origin) -> int:
        """The highest number held of this origin; 0 for none."""
        ranges = self._held.get(origin)
        return ranges[-1][1] if ranges else 0

    def forget(self, origin: Origin, below: int) -> None:
        """What has a lower number grew old and is gone, here and where it came from."""
        self._gone[origin] = max(below - 1, self._gone.get(origin, 0))
        self._held[origin] = [(max(low, below), high) for low, high in self._held.get(origin, []) if high >= below]

    def offer(self) -> Offer:
        """All that is held, of every origin."""
        return {origin: tuple(ranges) for origin, ranges in sorted(self._held.items()) if ranges}

    def missing(self, offer: Offer) -> Offer:
        """What of an offer is not held here."""
        found = {origin: without(ranges, self._held.get(origin, [])) for origin, ranges in offer.items()}
        return {origin: ranges for origin, ranges in found.items() if ranges}


def to_offer(held: Cursors) -> Offer:
    """What an instance offers to the primary of a new epoch: all results it holds, those of others too. The new primary may
    never have got what the one before acknowledged, and who made it may have lost its disk."""
    return held.offer()


def numbers(ranges: Iterable[Range]) -> Iterable[int]:
    """The numbers in these ranges, in order."""
    for low, high in ranges:
        yield from range(low, high + 1)


def without(ranges: Iterable[Range], held: Iterable[Range]) -> tuple[Range, ...]:
    """What of these ranges is not in those (each without overlap, in order)."""
    left: list[Range] = []
    taken = list(held)
    for low, high in ranges:
        for first, last in taken:
            if last < low or first > high:
                continue
            if first > low:
                left.append((low, first - 1))
            low = last + 1
        if low <= high:
            left.append((low, high))
    return tuple(left)
