"""A check result as a short row of integers, and its evidence as compressed JSON."""

from __future__ import annotations

import struct
import zlib
from datetime import datetime, timedelta
from typing import Any

import msgspec
from msgspec import Struct

from tocsin.core.result import (
    ERROR_TYPES,
    STATUSES,
    CheckError,
    CheckResult,
    ErrorType,
    Status,
    Timing,
    from_micros,
    iso,
    outcome_json,
    result_id,
)

COLUMNS = "monitor, at, location, attempt, workspace, flags, code, lag, total, dns, connect, tls, ttfb, transfer, size"
"""The columns of a packed result, in the order of its tuple."""
FLAGS, TOTAL = 5, 8

Packed = tuple[
    int, int, int, int, int, int, int | None, int, int | None, int | None, int | None, int | None, int | None,
    int | None,
    int | None,
]  # fmt: skip

_PHASES = (None, "dns", "connect", "tls", "send", "ttfb", "transfer")
_STATUS = {status: number for number, status in enumerate(STATUSES)}
_ERROR: dict[ErrorType, int] = {error: number for number, error in enumerate(ERROR_TYPES, 1)}
_PHASE = {phase: number for number, phase in enumerate(_PHASES)}
_CREDENTIAL = ("authorization", "cookie", "token", "secret", "api-key", "apikey", "password", "authenticate")
_KEPT_TEXT = 1024


def pack(result: CheckResult, at: int, monitor: int, location: int, workspace: int) -> Packed:
    """The row of a result. `flags`: status (2 bits), error type + 1 (4 bits), phase (3 bits)."""
    outcome = result.outcome
    seen, error = outcome.seen, outcome.error
    t = seen.timing
    flags = _STATUS[outcome.status]
    if error is not None:
        flags |= _ERROR[error.type] << 2 | _PHASE.get(error.phase, 0) << 6
    total, dns, connect, tls, ttfb, transfer = t.total, t.dns, t.connect, t.tls, t.ttfb, t.transfer
    lag = outcome.started_at - result.scheduled_at
    return (
        monitor, at, location, result.attempt, workspace, flags, seen.status_code,
        lag.days * 86_400_000 + lag.seconds * 1000 + lag.microseconds // 1000,
        None if total is None else int(total * 100 + 0.5),
        None if dns is None else int(dns * 100 + 0.5),
        None if connect is None else int(connect * 100 + 0.5),
        None if tls is None else int(tls * 100 + 0.5),
        None if ttfb is None else int(ttfb * 100 + 0.5),
        None if transfer is None else int(transfer * 100 + 0.5),
        seen.body_bytes,
    )  # fmt: skip


def status_of(flags: int) -> Status:
    """The status in a row's flags."""
    return STATUSES[flags & 3]


class StoredResult(Struct, frozen=True, kw_only=True):
    """What is kept of a result. `outcome` is the whole object as it was shown, kept only of failures, of changes, and
    of each location's latest; without it `error.message` is empty and what is not in these fields is gone."""

    workspace_id: str
    monitor_id: str
    type: str
    location: str
    at: datetime
    attempt: int
    status: Status
    error: CheckError | None
    status_code: int | None
    timing: Timing
    body_bytes: int | None
    started_at: datetime
    substitute_for: str | None = None
    outcome: dict[str, Any] | None = None

    @property
    def id(self) -> str:
        return result_id(self.monitor_id, self.location, self.at, self.attempt)


def unpack(row: Packed, ids: tuple[str, str, str], location: str, kept: bytes | None) -> StoredResult:
    """The stored result of a row. `ids`: its monitor's id, workspace id and type."""
    flags, at = row[5], from_micros(row[1])
    shown = None if kept is None else open_evidence(kept)
    substitute_for = None if shown is None else shown.pop("substitute_for", None)
    return StoredResult(
        workspace_id=ids[1], monitor_id=ids[0], type=ids[2], location=location, at=at, attempt=row[3],
        status=status_of(flags), error=_error(flags, shown), status_code=row[6],
        timing=Timing(
            dns=_ms(row[9]), connect=_ms(row[10]), tls=_ms(row[11]), ttfb=_ms(row[12]), transfer=_ms(row[13]),
            total=_ms(row[8])
        ),
        body_bytes=row[14], started_at=at + timedelta(milliseconds=row[7]), substitute_for=substitute_for,
        outcome=shown,
    )  # fmt: skip


def _ms(units: int | None) -> float | None:
    return None if units is None else units / 100


def _error(flags: int, shown: dict[str, Any] | None) -> CheckError | None:
    number = flags >> 2 & 15
    if number == 0:
        return None
    kept: dict[str, str] = (shown or {}).get("error") or {}
    return CheckError(ERROR_TYPES[number - 1], kept.get("message", ""), _PHASES[flags >> 6 & 7])


def result_json(stored: StoredResult) -> dict[str, Any]:
    """The JSON object of a stored result: that of a check, with `id`, `attempt` and `scheduled_at`."""
    timing = {name: v for name in Timing.__struct_fields__ if (v := getattr(stored.timing, name)) is not None}
    error = stored.error
    kept = stored.outcome or {
        "type": stored.type,
        "target": None,
        "status": stored.status,
        "status_code": stored.status_code,
        "error": None if error is None else {"type": error.type, "message": error.message, "phase": error.phase},
        "timing_ms": timing,
        "ip": None,
        "http_version": None,
        "final_url": None,
        "redirects": None,
        "headers": {},
        "body_bytes": stored.body_bytes,
        "truncated": False,
        "tls": None,
        "assertions": [],
        "facts": {},
        "engine_wait_ms": 0.0,
        "started_at": iso(stored.started_at),
        "location": stored.location,
    }
    more = {"id": stored.id, "attempt": stored.attempt, "scheduled_at": iso(stored.at)}
    return {**more, **kept, "substitute_for": stored.substitute_for} if stored.substitute_for else {**more, **kept}


def evidence_of(result: CheckResult) -> bytes:
    """The whole outcome of a result, without credentials, its texts cut, compressed."""
    shown = outcome_json(result.outcome)
    shown["headers"] = {name: _redacted(name, value) for name, value in shown["headers"].items()}
    if result.substitute_for is not None:
        shown["substitute_for"] = result.substitute_for
    return zlib.compress(msgspec.json.encode(shown), 1)


def open_evidence(kept: bytes) -> dict[str, Any]:
    """The outcome's JSON object again."""
    return msgspec.json.decode(zlib.decompress(kept))


def _redacted(name: str, value: str) -> str:
    low = name.lower()
    return "***" if any(word in low for word in _CREDENTIAL) else value[:_KEPT_TEXT]


def pack_buckets(buckets: dict[int, int]) -> bytes:
    """A sketch as a rollup stores it: the counts' type, the buckets, the counts. Reading it back has to be quick, a chart
    takes up to thousands; core.sketch.encode is smaller and slower."""
    if not buckets:
        return b""
    most = max(buckets.values())
    kind = "B" if most < 1 << 8 else "H" if most < 1 << 16 else "I" if most < 1 << 32 else "Q"
    places = sorted(buckets)
    counts = struct.pack(f"<{len(places)}{kind}", *map(buckets.__getitem__, places))
    return kind.encode() + struct.pack(f"<{len(places)}H", *places) + counts


def unpack_buckets(packed: bytes) -> dict[int, int]:
    """The sketch of `pack_buckets`."""
    if not packed:
        return {}
    kind = chr(packed[0])
    count = (len(packed) - 1) // (2 + struct.calcsize(f"<{kind}"))
    numbers = struct.unpack(f"<{count}H{count}{kind}", packed[1:])
    return dict(zip(numbers[:count], numbers[count:], strict=True))
