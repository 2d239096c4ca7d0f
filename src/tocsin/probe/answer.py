"""From an outcome to the answer that carries it, and back to an outcome that is no worse than one of our own. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta
from ipaddress import ip_address
from typing import Literal

import msgspec
from msgspec.structs import replace

from tocsin.core.plain import clip
from tocsin.core.result import CheckError, Outcome
from tocsin.errors import Invalid, Problem
from tocsin.probe.wire import MAX_MESSAGE, MOST_BODY, MOST_HEADERS, MOST_TEXT, Answer, Execute, TimingMs, Trouble


def answer_of(job: Execute, outcome: Outcome, region: str, took_ms: float) -> Answer:
    """The answer that an outcome makes."""
    seen, t = outcome.seen, outcome.seen.timing
    return Answer(
        jobId=job.jobId,
        region=region,
        status=_status(outcome),
        responseTimeMs=round(t.total or 0.0, 3),
        statusCode=seen.status_code,
        headers=dict(seen.headers),
        timing=TimingMs(*(None if v is None else round(v, 3) for v in (t.dns, t.connect, t.tls, t.ttfb, t.transfer))),
        bodySizeBytes=seen.body_bytes,
        error=_trouble(outcome),
        monitorId=job.monitorId,
        scheduledAt=job.scheduledAt,
        attempt=job.attempt,
        tookMs=round(took_ms, 3),
        outcome=_for_the_way(outcome),
    )


def _status(outcome: Outcome) -> Literal["success", "failure", "timeout"]:
    if outcome.status in ("up", "degraded"):
        return "success"
    timed_out = outcome.status == "down" and outcome.error is not None and outcome.error.type == "timeout"
    return "timeout" if timed_out else "failure"


def _trouble(outcome: Outcome) -> Trouble | None:
    error = outcome.error
    if outcome.status in ("up", "degraded"):
        return None
    kind = "invalid" if outcome.status == "invalid" else "unknown" if error is None else error.type
    return Trouble("" if error is None else error.message, kind)


def _for_the_way(outcome: Outcome) -> Outcome:
    """The outcome without what nobody at the other end will look at."""
    body = outcome.seen.body[:MOST_BODY] if outcome.status == "down" else b""
    picture = outcome.seen.picture if outcome.status == "down" else b""
    return replace(outcome, seen=replace(outcome.seen, body=body, picture=picture))


def written(answer: Answer) -> bytes:
    """The answer as JSON of at most MAX_MESSAGE bytes less a margin: what is too much is left out, the outcome's facts and
    headers last."""
    text = msgspec.json.encode(answer)
    for smaller in (_no_picture, _no_facts):
        if len(text) <= MAX_MESSAGE - 1024:
            break
        answer = smaller(answer)
        text = msgspec.json.encode(answer)
    return text


def _no_picture(answer: Answer) -> Answer:
    assert answer.outcome is not None
    seen = replace(answer.outcome.seen, picture=b"", body=b"")
    return replace(answer, outcome=replace(answer.outcome, seen=seen))


def _no_facts(answer: Answer) -> Answer:
    assert answer.outcome is not None
    seen = replace(answer.outcome.seen, facts={}, headers=(), tls=None)
    return replace(answer, headers={}, outcome=replace(answer.outcome, seen=seen, assertions=()))


def sound(answer: Answer, at: datetime, age_ms: float = 0.0) -> Outcome:
    """The outcome in an answer, with nothing in it that a check of our own could not have given; `at` is when it came, our
    clock. Raises Invalid when there is none.

    Which type, target and location it is of the caller puts in itself."""
    outcome = answer.outcome
    if outcome is None:
        raise Invalid(Problem("outcome", "what the check saw", "nothing"))
    seen = outcome.seen
    if outcome.status in ("down", "invalid") and outcome.error is None:
        raise Invalid(Problem("outcome.error", "why it is not up", "nothing"))
    ago = min(max(0.0, answer.tookMs), 3_600_000.0) + min(max(0.0, age_ms), 30 * 86_400_000.0)
    return replace(
        outcome,
        error=None if outcome.status == "up" else _clean_error(outcome.error),
        started_at=at - timedelta(milliseconds=ago),
        assertions=outcome.assertions[:100],
        seen=replace(
            seen,
            ip=_address(seen.ip),
            http_version=None if seen.http_version is None else clip(seen.http_version, 10),
            final_url=None if seen.final_url is None else clip(seen.final_url, 8192),
            headers=seen.headers[:MOST_HEADERS],
            body=seen.body[:MOST_BODY],
            status_code=seen.status_code if seen.status_code is None or 0 <= seen.status_code < 100_000 else None,
            body_bytes=None if seen.body_bytes is None else max(0, seen.body_bytes),
            timing=replace(seen.timing, **{n: _ms(getattr(seen.timing, n)) for n in seen.timing.__struct_fields__}),
            degraded=_clean_error(seen.degraded),
            engine_wait_ms=_ms(seen.engine_wait_ms) or 0.0,
        ),
    )


_PHASES = ("dns", "connect", "tls", "send", "ttfb", "transfer")


def _clean_error(error: CheckError | None) -> CheckError | None:
    if error is None:
        return None
    return CheckError(
        error.type, clip(error.message, MOST_TEXT)[:MOST_TEXT], error.phase if error.phase in _PHASES else None
    )


def _ms(value: float | None) -> float | None:
    return None if value is None else min(max(0.0, value), 3_600_000.0)


def _address(ip: str | None) -> str | None:
    try:
        return None if ip is None else str(ip_address(ip.partition("%")[0]))
    except ValueError:
        return None
