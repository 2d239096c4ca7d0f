"""What a check saw, how it was judged, and the record that is kept of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from msgspec import UNSET, Struct, UnsetType

Status = Literal["up", "degraded", "down", "invalid"]
ErrorType = Literal[
    "dns",
    "connection_refused",
    "timeout",
    "tls",
    "connection_reset",
    "protocol",
    "assertion",
    "network",
    "cors",
    "unknown",
]
ERROR_TYPES: tuple[ErrorType, ...] = (
    "dns", "connection_refused", "timeout", "tls", "connection_reset", "protocol", "assertion", "network", "cors", "unknown",
)  # fmt: skip
STATUSES: tuple[Status, ...] = ("up", "degraded", "down", "invalid")


class CheckError(Struct, frozen=True):
    """Why a check is not up. `phase`: dns, connect, tls, send, ttfb, transfer, or None when it was none of the exchange."""

    type: ErrorType
    message: str
    phase: str | None = None


class Timing(Struct, frozen=True, omit_defaults=True):
    """Durations in ms; a phase that did not happen is None. `total` runs from the start to the end or failure."""

    dns: float | None = None
    connect: float | None = None
    tls: float | None = None
    ttfb: float | None = None
    transfer: float | None = None
    total: float | None = None


class TlsFacts(Struct, frozen=True, kw_only=True):
    """What the TLS handshake showed, also when verification failed. `chain`: subjects' summaries, leaf first, as sent.
    `chain_not_after`: when the first certificate between the leaf and the trusted authority expires, if that is before the
    leaf does."""

    protocol: str | None = None
    cipher: str | None = None
    subject: str = ""
    issuer: str = ""
    sans: tuple[str, ...] = ()
    not_before: datetime | None = None
    not_after: datetime | None = None
    days_left: float | None = None
    fingerprint_sha256: str = ""
    verified: bool = False
    chain: tuple[dict[str, Any], ...] = ()
    chain_not_after: datetime | None = None


class AssertionResult(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One assertion, judged. `expected` and `actual` are short and safe to show (no secrets, capped)."""

    type: str
    ok: bool
    expected: Any
    actual: Any
    name: str | UnsetType = UNSET
    path: str | UnsetType = UNSET
    on_fail: Literal["down", "degrade"] = "down"


class Observation(Struct, frozen=True, kw_only=True):
    """What a check type saw, before assertions are judged.

    `body` is what assertions read (capped, decoded bytes); it is never stored or shown whole. `picture` is a JPEG of what a
    failure looked like, kept with the incident that it opens and nowhere else. `facts` holds what only
    this check type knows (dns answers, ping loss, smtp banner) and is shown as it is. `degraded` names a limit of the
    check type itself that was passed (packet loss). `engine_wait_ms` is time we made the check wait, never the target's.
    """

    status_code: int | None = None
    timing: Timing = Timing()
    ip: str | None = None
    http_version: str | None = None
    final_url: str | None = None
    redirects: int | None = None
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    picture: bytes = b""
    body_bytes: int | None = None
    truncated: bool = False
    tls: TlsFacts | None = None
    facts: dict[str, Any] = {}
    degraded: CheckError | None = None
    engine_wait_ms: float = 0.0


class Outcome(Struct, frozen=True, kw_only=True):
    """One finished check: the judged object that `outcome_json` shows."""

    type: str
    target: str
    status: Status
    error: CheckError | None
    started_at: datetime
    location: str
    seen: Observation
    assertions: tuple[AssertionResult, ...] = ()


class Numbered(Struct, frozen=True, array_like=True):
    """The number that another instance of a cluster gave to a result it took in first. `source`: the instance, and the
    incarnation of its disk."""

    source: str
    seq: int


class CheckResult(Struct, frozen=True, kw_only=True):
    """The record of one check of one monitor from one location.

    `scheduled_at` is the slot it belongs to (a retry keeps its slot and counts `attempt` up from 0). `substitute_for`: the
    lost location in whose place `location` looked; the vote is that one's. `numbered`: it came from another instance.
    `here_at`: what our clock showed at `scheduled_at`, where the clock of who saw it is known to differ from ours.
    """

    workspace_id: str
    monitor_id: str
    location: str
    scheduled_at: datetime
    attempt: int
    outcome: Outcome
    substitute_for: str | None = None
    numbered: Numbered | None = None
    here_at: datetime | None = None

    @property
    def at(self) -> datetime:
        """The slot, by our own clock as far as that is known."""
        return self.here_at or self.scheduled_at

    @property
    def status(self) -> Status:
        return self.outcome.status

    @property
    def seat(self) -> str:
        """The location whose vote it counts towards."""
        return self.substitute_for or self.location

    @property
    def id(self) -> str:
        return result_id(self.monitor_id, self.location, self.scheduled_at, self.attempt)


def result_id(monitor_id: str, location: str, scheduled_at: datetime, attempt: int) -> str:
    """The id of a result: the same check arriving twice has the same one (26 lower-case hex digits)."""
    import hashlib

    text = f"{monitor_id}\n{location}\n{micros(scheduled_at)}\n{attempt}"
    return hashlib.blake2b(text.encode(), digest_size=13).hexdigest()


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def micros(at: datetime) -> int:
    """Whole microseconds since 1970 (UTC)."""
    delta = at - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


def from_micros(us: int) -> datetime:
    """The aware UTC datetime of `us` microseconds since 1970."""
    return _EPOCH + timedelta(microseconds=us)


def iso(at: datetime | None) -> str | None:
    """ISO 8601 with milliseconds and `Z`, as every JSON of ours shows it."""
    if at is None:
        return None
    if at.tzinfo is not UTC:
        at = at.astimezone(UTC)
    return at.isoformat(timespec="milliseconds")[:-6] + "Z"


def outcome_json(outcome: Outcome) -> dict[str, Any]:
    """The JSON object of one check, as the API and `tocsin check --json` show it: dicts, lists, strings and numbers."""
    seen, error, tls = outcome.seen, outcome.error, outcome.seen.tls
    timing = {name: round(v, 3) for name in Timing.__struct_fields__ if (v := getattr(seen.timing, name)) is not None}
    shown: dict[str, Any] = {
        "type": outcome.type,
        "target": outcome.target,
        "status": outcome.status,
        "status_code": seen.status_code,
        "error": None if error is None else {"type": error.type, "message": error.message, "phase": error.phase},
        "timing_ms": timing,
        "ip": seen.ip,
        "http_version": seen.http_version,
        "final_url": seen.final_url,
        "redirects": seen.redirects,
        "headers": dict(seen.headers),
        "body_bytes": seen.body_bytes,
        "truncated": seen.truncated,
        "tls": None if tls is None else tls_json(tls),
        "assertions": [assertion_json(a) for a in outcome.assertions],
        "facts": seen.facts,
        "engine_wait_ms": round(seen.engine_wait_ms, 3),
        "started_at": iso(outcome.started_at),
        "location": outcome.location,
    }
    return shown


def tls_json(tls: TlsFacts) -> dict[str, Any]:
    """The `tls` part of a check's JSON object."""
    return {
        "protocol": tls.protocol,
        "cipher": tls.cipher,
        "subject": tls.subject,
        "issuer": tls.issuer,
        "sans": list(tls.sans),
        "not_before": iso(tls.not_before),
        "not_after": iso(tls.not_after),
        "days_left": None if tls.days_left is None else round(tls.days_left, 2),
        "fingerprint_sha256": tls.fingerprint_sha256,
        "verified": tls.verified,
        "chain": list(tls.chain),
        "chain_not_after": iso(tls.chain_not_after),
    }


def assertion_json(a: AssertionResult) -> dict[str, Any]:
    """One judged assertion as JSON."""
    shown: dict[str, Any] = {"type": a.type, "ok": a.ok, "expected": a.expected, "actual": a.actual}
    if a.name is not UNSET:
        shown["name"] = a.name
    if a.path is not UNSET:
        shown["path"] = a.path
    if a.on_fail != "down":
        shown["on_fail"] = a.on_fail
    return shown
