"""Figures that alert rules look at: of windows, of the usual, of certificates."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from math import sqrt

from msgspec import Struct

from tocsin.core import sketch
from tocsin.core.result import Outcome, TlsFacts
from tocsin.core.uptime import Uptime


class Latency(Struct, frozen=True, kw_only=True):
    """How long answers took in a window: how many there were, and the percentile that was asked for."""

    answered: int
    value_ms: float | None


class Share(Struct, frozen=True, kw_only=True):
    """The uptime over a window, rounded so that equal ones compare equal: 0..1 or None, its coverage and its bounds."""

    uptime: float | None
    coverage: float
    worst: float
    best: float


class Usual(Struct, frozen=True, kw_only=True):
    """What response times were in the same hours of earlier weeks: `weeks` that had any, `answered` in all of them,
    their mean and standard deviation."""

    weeks: int = 0
    answered: int = 0
    mean_ms: float = 0.0
    deviation_ms: float = 0.0


class Compared(Struct, frozen=True, kw_only=True):
    """The mean of a window (None when nothing was answered) beside what is usual."""

    answered: int
    mean_ms: float | None
    usual: Usual


class Certificate(Struct, frozen=True, kw_only=True):
    """A certificate as it was seen last. `ends`: when it, or one of its chain (`of_chain`), does; None when answers
    come without one."""

    fingerprint: str
    ends: datetime | None
    of_chain: bool = False


Figure = Latency | Share | Compared | Certificate


def latency(buckets: Mapping[int, int], percentile: float) -> Latency:
    """That percentile of a latency sketch."""
    value = sketch.quantile(buckets, percentile / 100)
    return Latency(answered=sum(buckets.values()), value_ms=None if value is None else round(value, 3))


def share(uptime: Uptime) -> Share:
    """What a rule needs of an uptime."""
    known = None if uptime.uptime is None else round(uptime.uptime, 7)
    return Share(
        uptime=known, coverage=round(uptime.coverage, 3), worst=round(uptime.worst, 7), best=round(uptime.best, 7)
    )


def usual(weeks: Sequence[Mapping[int, int]]) -> Usual:
    """What is usual, from the sketches of the same hours, one a week. Their order does not matter."""
    whole: dict[int, int] = {}
    for buckets in weeks:
        sketch.merge(whole, buckets)
    count, mean, deviation = _moments(whole)
    return Usual(
        weeks=sum(1 for buckets in weeks if buckets),
        answered=count,
        mean_ms=round(mean, 3),
        deviation_ms=round(deviation, 3),
    )


def compared(window: Mapping[int, int], known: Usual) -> Compared:
    """A window beside what is usual."""
    count, mean, _ = _moments(window)
    return Compared(answered=count, mean_ms=round(mean, 3) if count else None, usual=known)


def certificate(seen: Iterable[Outcome]) -> Certificate | None:
    """Of the certificates that the locations saw last, the one that ends first; None when nothing is known (nobody
    looked, or nothing answered)."""
    outcomes = list(seen)
    found = [known for outcome in outcomes if (known := _of(outcome.seen.tls)) is not None]
    if not found and outcomes and all(outcome.status in ("up", "degraded") for outcome in outcomes):
        return Certificate(fingerprint="", ends=None)
    return min(found, key=lambda pair: (pair[0], pair[1].fingerprint), default=(None, None))[1]


def _of(tls: TlsFacts | None) -> tuple[datetime, Certificate] | None:
    if tls is None or tls.not_after is None or not tls.fingerprint_sha256:
        return None
    chain = tls.chain_not_after
    of_chain = chain is not None and chain < tls.not_after
    ends = chain if chain is not None and of_chain else tls.not_after
    return ends, Certificate(fingerprint=tls.fingerprint_sha256, ends=ends, of_chain=of_chain)


def _moments(buckets: Mapping[int, int]) -> tuple[int, float, float]:
    """(how many values, their mean, their standard deviation) in ms, within the sketch's 2 %."""
    values = [(sketch.middle(index), buckets[index]) for index in sorted(buckets)]
    count = sum(times for _, times in values)
    if count == 0:
        return 0, 0.0, 0.0
    mean = sum(value * times for value, times in values) / count
    spread = sum(times * (value - mean) ** 2 for value, times in values) / count
    return count, mean, sqrt(spread)
