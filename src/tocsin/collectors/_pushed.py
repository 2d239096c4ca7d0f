"""What programs say of themselves, gathered between two looks of the agent. Pure: times go in."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Literal

from msgspec import Struct

from tocsin.core import sketch
from tocsin.core.sample import series

What = Literal["gauge", "shift", "total", "count", "timing", "member", "spread"]
MOST_LABELS, MOST_LABEL, MOST_NAME = 10, 80, 100
MOST_MEMBERS = 10_000
"""Of so many different values of one set it is known how many there are; no more are counted."""
MOST_VALUE = 1e18
SHORTEST_S = 0.2
_UNITS = (
    ("_seconds", "_s"),
    ("_milliseconds", "_ms"),
    ("_bytes", "_bytes"),
    ("_percent", "_percent"),
    ("_ms", "_ms"),
    ("_s", "_s"),
)


class Fresh(Struct, frozen=True):
    """One thing that was said. `what`: a gauge, a shift of one, the total of a counter since its program began, a count to
    add, a timing in milliseconds, a member of a set (`text`), or how many there were and the sum of them (`spread`, with
    `total` when both count since the program began)."""

    what: What
    name: str
    value: float = 0.0
    labels: Mapping[str, str] = {}
    text: str = ""
    sum: float = 0.0
    total: bool = True


class _Total:
    """A counter that is said as its total. The rate stands until the next total comes."""

    def __init__(self) -> None:
        self.value: float | None = None
        self.at, self.rate = 0.0, 0.0
        self.known = False

    def take(self, value: float, now: float) -> None:
        """A new total. One that is smaller than before began anew: the rate stays for this time."""
        before, passed = self.value, now - self.at
        if before is not None and 0 <= passed < SHORTEST_S:
            return
        if before is not None and passed > 0:
            self.rate = (value - before) / passed if value >= before else self.rate
            self.known = True
        self.value, self.at = value, now


class _Kept:
    """What is known of one name with its labels."""

    def __init__(self, what: What, metric: str, unit: str, labels: Mapping[str, str]) -> None:
        self.what, self.metric, self.unit, self.labels = what, metric, unit, labels
        self.at = 0.0
        self.gauge = 0.0
        self.total, self.sums = _Total(), _Total()
        self.count, self.sum, self.most = 0.0, 0.0, 0.0
        self.buckets: dict[int, int] = {}
        self.members: set[str] = set()

    @property
    def weight(self) -> int:
        """How many series it becomes."""
        return {"timing": 4, "spread": 2}.get(self.what, 1)


class Pushed:
    """All that was said. `most` is how many series there may be; what nobody speaks of for `keep_s` seconds is gone."""

    def __init__(self, most: int, keep_s: float, prefix: str = "custom.") -> None:
        self._most, self._keep_s, self._prefix = most, keep_s, prefix
        self._kept: dict[str, _Kept] = {}
        self._weight = 0
        self._looked_at: float | None = None
        self.refused = 0

    def take(self, fresh: Fresh, now: float) -> bool:
        """Take in one thing; False when it is refused: no number, too large, too long a name, or one too many."""
        kept = self._find(fresh) if _sound(fresh) else None
        if kept is None:
            self.refused += 1
            return False
        kept.at = now
        value = fresh.value
        match fresh.what:
            case "gauge":
                kept.gauge = value
            case "shift":
                kept.gauge += value
            case "total":
                kept.total.take(value, now)
            case "count":
                kept.count += value
            case "timing":
                kept.count, kept.sum, kept.most = kept.count + 1, kept.sum + value, max(kept.most, value)
                sketch.add(kept.buckets, value)
            case "member":
                if len(kept.members) < MOST_MEMBERS:
                    kept.members.add(fresh.text[:200])
            case "spread" if fresh.total:
                kept.total.take(value, now)
                kept.sums.take(fresh.sum, now)
            case "spread":
                kept.count, kept.sum = kept.count + value, kept.sum + fresh.sum
        return True

    def look(self, now: float) -> dict[str, float]:
        """The series since the look before, and how many there are. Counting begins anew."""
        passed = 0.0 if self._looked_at is None else now - self._looked_at
        self._looked_at = now
        for key, kept in list(self._kept.items()):
            if now - kept.at > self._keep_s:
                del self._kept[key]
                self._weight -= kept.weight
        made: dict[str, float] = {}
        for kept in self._kept.values():
            made |= {series(f"{kept.metric}{end}", **kept.labels): value for end, value in _shown(kept, passed).items()}
        return made

    def _find(self, fresh: Fresh) -> _Kept | None:
        what: What = "gauge" if fresh.what == "shift" else fresh.what
        try:
            stem, unit = named(fresh.name, what)
            labels = {label(k): "".join(c for c in v if c.isprintable())[:MOST_LABEL] for k, v in fresh.labels.items()}
            metric = self._prefix + stem
            key = what + series(metric + ".count_per_s" + unit, **labels)
        except ValueError:
            return None
        kept = self._kept.get(key)
        if kept is None and len(labels) <= MOST_LABELS:
            kept = _Kept(what, metric, unit, labels)
            if self._weight + kept.weight > self._most:
                return None
            self._weight += kept.weight
            self._kept[key] = kept
        return kept


def _sound(fresh: Fresh) -> bool:
    if fresh.what == "member":
        return True
    numbers = (fresh.value, fresh.sum)
    if not all(math.isfinite(n) and abs(n) <= MOST_VALUE for n in numbers):
        return False
    return fresh.value >= 0 or fresh.what in ("gauge", "shift")


def _shown(kept: _Kept, passed: float) -> dict[str, float]:
    """The series of one name, by what is put behind the metric."""
    made: dict[str, float] = {}
    match kept.what:
        case "gauge" | "shift":
            made[kept.unit] = kept.gauge
        case "total":
            if kept.total.known:
                made[f"{kept.unit}_per_s"] = kept.total.rate
        case "count":
            if passed > 0:
                made[f"{kept.unit}_per_s"] = kept.count / passed
        case "member":
            made[kept.unit] = float(len(kept.members))
        case _ if kept.total.known:
            made[".count_per_s"] = kept.total.rate
            if kept.total.rate > 0:
                made[f".mean{kept.unit}"] = kept.sums.rate / kept.total.rate
        case _:
            if passed > 0 and kept.total.value is None:
                made[".count_per_s"] = kept.count / passed
            if kept.count > 0:
                made[f".mean{kept.unit}"] = kept.sum / kept.count
            if kept.what == "timing" and kept.count > 0:
                made[".p95_ms"], made[".max_ms"] = sketch.quantile(kept.buckets, 0.95) or 0.0, kept.most
    kept.count, kept.sum, kept.most = 0.0, 0.0, 0.0
    kept.buckets, kept.members = {}, set()
    return made


@lru_cache(4096)
def named(name: str, what: What = "gauge") -> tuple[str, str]:
    """A program's name of a metric as ours, and its unit: `Http.Latency-seconds` is `http.latency` and `_s`. Raises
    ValueError when nothing is left of it."""
    text = re.sub(r"[^a-z0-9.]+", "_", name[: 2 * MOST_NAME].lower())
    text = ".".join(part for part in (p.strip("_") for p in text.split(".")) if part)[:MOST_NAME].strip("._")
    if what in ("total", "count"):
        text = text.removesuffix("_total")
    if not text:
        raise ValueError(f"expected the name of a metric, found {name[:MOST_NAME]!r}")
    for end, unit in _UNITS:
        if text.endswith(end) and len(text) > len(end) and not text.endswith("_per_s"):
            stem = text.removesuffix(end).strip("._")
            return (stem, "_ms" if what == "timing" else unit) if stem else (text, "")
    return text, "_ms" if what == "timing" else ""


@lru_cache(4096)
def label(name: str) -> str:
    """A program's name of a label as ours. Raises ValueError when nothing is left of it."""
    text = re.sub(r"[^a-z0-9]+", "_", name[:MOST_LABEL].lower()).strip("_")[:40]
    if not text:
        raise ValueError(f"expected the name of a label, found {name[:MOST_LABEL]!r}")
    return text if text[0].isalpha() else f"n{text}"
