"""Values of a series gathered into steps of time: 10 s, a minute, an hour, a day. Pure.

A bucket holds how many values fell into it, the lowest, the highest, their sum and the last. Buckets of a longer step are
made of those of the shorter one. Times are whole seconds since 1970.
"""

from __future__ import annotations

import zlib
from array import array
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import NamedTuple

STEPS = (10, 60, 3600, 86_400)
SPANS = {10: 3600, 60: 3600, 3600: 86_400, 86_400: 100 * 86_400}
"""How long a stretch is kept together, by step."""
_EVEN, _ENOUGH = (10, 20, 30, 60, 120, 300), 10
MOST_POINTS = 1500
"""So many points a series has at most, about, when nobody asks for a step."""


class Bucket(NamedTuple):
    """What fell into one step: how many values (`n`), and of them …"""

    n: int
    low: float
    high: float
    sum: float
    last: float


Buckets = dict[int, Bucket]
"""By the second a step begins at."""


def gather(points: Iterable[tuple[int, float]], step: int) -> Buckets:
    """Points (second, value), in order of time, as buckets."""
    found: Buckets = {}
    begin, n, low, high, total, last = -1, 0, 0.0, 0.0, 0.0, 0.0
    for at, value in points:
        if at - begin >= step or n == 0:
            if n:
                found[begin] = Bucket(n, low, high, total, last)
            begin, n, low, high, total, last = at - at % step, 1, value, value, value, value
            continue
        n, total, last = n + 1, total + value, value
        if value < low:
            low = value
        elif value > high:
            high = value
    if n:
        found[begin] = Bucket(n, low, high, total, last)
    return found


def coarser(buckets: Mapping[int, Bucket], step: int) -> Buckets:
    """The same values in longer steps."""
    found: Buckets = {}
    known: Bucket | None = None
    begin = 0
    for at in sorted(buckets):
        one = buckets[at]
        if known is None or at - begin >= step:
            if known is not None:
                found[begin] = known
            begin, known = at - at % step, one
        else:
            known = _both(known, one)
    if known is not None:
        found[begin] = known
    return found


def merged(before: Mapping[int, Bucket], more: Mapping[int, Bucket]) -> Buckets:
    """What was there and what came."""
    found = dict(before)
    for at, one in more.items():
        known = found.get(at)
        found[at] = one if known is None else _both(known, one)
    return found


def _both(one: Bucket, other: Bucket) -> Bucket:
    n, low, high, total, _ = one
    more, lower, higher, sum_, last = other
    return Bucket(n + more, low if low <= lower else lower, high if high >= higher else higher, total + sum_, last)


def by_span(buckets: Mapping[int, Bucket], step: int) -> dict[int, Buckets]:
    """The buckets of each stretch that is kept together, by its first second."""
    span, found = SPANS[step], dict[int, Buckets]()
    for at, one in buckets.items():
        found.setdefault(at - at % span, {})[at] = one
    return found


def step_for(span_s: float, age_s: float, keeps: Mapping[int, float], asked: int | None = None) -> tuple[int, int]:
    """(the step to read, the step to show) for a stretch that is so long and begins so long ago: the shortest that is kept
    so long and gives not too many points; with one that is `asked` for, at least that, in whole steps of what is kept."""
    able = [step for step in STEPS if keeps[step] >= age_s] or [STEPS[-1]]
    if asked is not None:
        read = max((step for step in able if step <= asked), default=able[0])
        return read, max(read, asked - asked % read)
    read = next((step for step in able if span_s / step <= MOST_POINTS), able[-1])
    return read, read


def even_step(series: Iterable[Mapping[int, Bucket]], step: int) -> int:
    """The step, from this one on and up to five minutes, in which each of these has a value as a rule: what is looked at
    every 15 s has none in each third step of 10 s, and would look as if it had gaps."""
    gaps: list[int] = []
    for buckets in series:
        ats = sorted(buckets)
        gaps += [later - at for at, later in pairwise(ats)]
    if len(gaps) < _ENOUGH:
        return step
    usual = sorted(gaps)[len(gaps) * 9 // 10]
    return next((even for even in _EVEN if even >= usual and even % step == 0), step)


def packed(buckets: Mapping[int, Bucket], begin: int, step: int) -> bytes:
    """The buckets of one stretch as bytes: a column after the other, alike bytes together, compressed."""
    ats = sorted(buckets)
    rows = [buckets[at] for at in ats]
    numbers = array("I", [(at - begin) // step for at in ats])
    counts = array("I", [min(row.n, 0xFFFFFFFF) for row in rows])
    doubles = array("d")
    for column in (1, 2, 3, 4):
        doubles.extend(row[column] for row in rows)
    raw = doubles.tobytes()
    small = numbers.tobytes() + counts.tobytes()
    return zlib.compress(len(ats).to_bytes(4, "little") + small + b"".join(raw[i::8] for i in range(8)), 6)


def unpacked(data: bytes, begin: int, step: int) -> Buckets:
    """What `packed` packed."""
    raw = zlib.decompress(data)
    count = int.from_bytes(raw[:4], "little")
    numbers, counts, doubles = array("I"), array("I"), array("d")
    numbers.frombytes(raw[4 : 4 + 4 * count])
    counts.frombytes(raw[4 + 4 * count : 4 + 8 * count])
    shuffled, whole = raw[4 + 8 * count :], bytearray(32 * count)
    each = 4 * count
    for i in range(8):
        whole[i::8] = shuffled[i * each : (i + 1) * each]
    doubles.frombytes(bytes(whole))
    columns = [doubles[n * count : (n + 1) * count] for n in range(4)]
    return {
        begin + number * step: Bucket(*row)
        for number, *row in zip(numbers, counts, *columns, strict=True)
    }  # fmt: skip
