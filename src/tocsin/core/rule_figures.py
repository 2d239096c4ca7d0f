"""Conditions on figures: of windows, of the usual, of certificates."""

from __future__ import annotations

from datetime import datetime, timedelta
from math import ceil

from msgspec import Struct

from tocsin.core.condition import OnAnomaly, OnCertificate, OnResponseTime, OnUptime
from tocsin.core.figures import Certificate, Compared, Latency, Share
from tocsin.core.wording import CERTIFICATE, span

ENOUGH_COVERAGE = 0.5
"""With less of a window seen, its uptime is an open question, unless what was not seen could not change the answer."""
ENOUGH_ANSWERS = 8
"""With fewer answers in earlier weeks nobody knows what is usual."""
_WAY_BACK = 0.75
_LEAST_SHARE, _LEAST_MS = 0.1, 1.0


class Seen(Struct, frozen=True, kw_only=True):
    """What a figure says: `trouble` None when nobody can tell. `rank` 0: as the rule's severity has it."""

    trouble: bool | None
    words: str
    reason: str
    why: str = ""
    rank: int = 0
    mark: str = ""
    again_at: datetime | None = None


def on_response_time(condition: OnResponseTime, figure: Latency, *, fires: bool) -> Seen:
    """A percentile over its limit; once it was, until it is under the way back. Without answers nobody can tell."""
    over = span(condition.window_s)
    if figure.value_ms is None:
        return Seen(trouble=None, words="slow", reason=f"nothing was answered in the last {over}")
    back = 0.9 * condition.over_ms if condition.back_ms is None else condition.back_ms
    trouble = figure.value_ms > condition.over_ms or (fires and figure.value_ms >= back and back < condition.over_ms)
    limit = f"more than {ms(condition.over_ms)}"
    if not figure.value_ms > condition.over_ms:
        limit = f"not under {ms(back)} yet" if trouble else f"at most {ms(condition.over_ms)}"
    reason = f"p{condition.percentile:.15g} over {over} is {ms(figure.value_ms)}, {limit}"
    return Seen(trouble=trouble, words="slow", reason=reason)


def on_uptime(condition: OnUptime, figure: Share, *, fires: bool) -> Seen:
    """An uptime under its limit; once it was, until it is at the way back. With too little of the window seen it is
    an open question, unless the rest could not change the answer."""
    words, over = "below its uptime objective", span(condition.window_s)
    limit = condition.back if fires and condition.back is not None else condition.under
    if figure.uptime is None or figure.coverage < ENOUGH_COVERAGE:
        sure = True if figure.best < limit else False if figure.worst >= limit else None
        if sure is None or figure.uptime is None:
            reason = f"only {percent(figure.coverage)} of the last {over} were seen"
            return Seen(trouble=None, words=words, reason=reason)
        trouble = sure
    else:
        trouble = figure.uptime < limit
    compared = "less than" if trouble else "at least"
    seen = "" if figure.coverage >= 1 else f" ({percent(figure.coverage)} of it seen)"
    reason = f"uptime over {over} is {percent(figure.uptime)}, {compared} {percent(limit)}{seen}"
    return Seen(trouble=trouble, words=words, reason=reason)


def on_anomaly(condition: OnAnomaly, figure: Compared, *, fires: bool) -> Seen:
    """The mean of a window far above the usual of this hour of the week. What hardly varies is given a tenth of its
    mean as deviation (at least 1 ms). Too little history is an open question; so is a window without answers."""
    usual, words, over = figure.usual, "unusually slow", span(condition.window_s)
    if usual.weeks < min(2, condition.weeks) or usual.answered < ENOUGH_ANSWERS:
        return Seen(trouble=None, words=words, reason="there is too little history to say what is usual at this hour")
    if figure.mean_ms is None:
        return Seen(trouble=None, words=words, reason=f"nothing was answered in the last {over}")
    deviation = max(usual.deviation_ms, _LEAST_SHARE * usual.mean_ms, _LEAST_MS)
    sensitivity = condition.sensitivity * (_WAY_BACK if fires else 1)
    trouble = figure.mean_ms > usual.mean_ms + sensitivity * deviation
    reason = (
        f"the mean over {over} is {ms(figure.mean_ms)}; at this hour of the week it is usually {ms(usual.mean_ms)} "
        f"± {ms(deviation)}"
    )
    return Seen(trouble=trouble, words=words, reason=reason)


def on_certificate(condition: OnCertificate, figure: Certificate, now: datetime) -> Seen:
    """How many thresholds a certificate has passed; the more, the worse."""
    if figure.ends is None:
        return Seen(trouble=False, words=CERTIFICATE, reason="it answers without a certificate")
    left = figure.ends - now
    passed = [days for days in condition.days if left <= timedelta(days=days)]
    coming = [figure.ends - timedelta(days=days) for days in condition.days if left > timedelta(days=days)]
    return Seen(
        trouble=bool(passed),
        words=CERTIFICATE,
        reason=_ends(figure.ends, left, of_chain=figure.of_chain),
        rank=len(set(passed)),
        mark=figure.fingerprint,
        again_at=min(coming, default=None),
    )


def _ends(ends: datetime, left: timedelta, *, of_chain: bool) -> str:
    what, day = "a certificate of its chain" if of_chain else "its certificate", f"{ends:%Y-%m-%d}"
    if left <= timedelta():
        return f"{what} has ended, on {day}"
    days, hours = ceil(left / timedelta(days=1)), ceil(left / timedelta(hours=1))
    counted = f"{hours} h" if left < timedelta(days=1) else f"{days} {'day' if days == 1 else 'days'}"
    return f"{what} ends in {counted}, on {day}"


def ms(value: float) -> str:
    """A time for people: "812 ms", "4.5 ms", "12.3 s"."""
    if value >= 10_000:
        return f"{value / 1000:.1f} s"
    return f"{value:.0f} ms" if value >= 100 else f"{value:.3g} ms"


def percent(share: float) -> str:
    """A share for people, never rounded up to 100 %."""
    shown = f"{int(share * 1e6) / 1e4:.4f}".rstrip("0").rstrip(".")
    return f"{shown} %"
