"""A check result as a short row of integers, and its evidence as compressed JSON."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

import msgspec
from msgspec import Struct

from tocsin.core.redaction import HIDDEN, holds_credential
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

COLUMNS = "monitor, at, location, attempt, workspace, flags, total, more"
"""The columns of a packed result, in the order of its tuple."""

Packed = tuple[int, int, int, int, int, int, int | None, bytes]

_PHASES = (None, "dns", "connect", "tls", "send", "ttfb", "transfer")
_STATUS = {status: number for number, status in enumerate(STATUSES)}
_ERROR: dict[ErrorType, int] = {error: number for number, error in enumerate(ERROR_TYPES, 1)}
_PHASE = {phase: number for number, phase in enumerate(_PHASES)}
_KEPT_TEXT = 1024


def pack(
    result: CheckResult, at: int, monitor: int, location: int, workspace: int, seat: int | None = None
) -> Packed:  # fmt: skip
    """The row of a result. `flags`: status (2 bits), error type + 1 (4 bits), phase (3 bits). `seat`: the key of the
    location that it stands in for."""
    outcome = result.outcome
    seen, error = outcome.seen, outcome.error
    t = seen.timing
    flags = _STATUS[outcome.status]
    if error is not None:
        flags |= _ERROR[error.type] << 2 | _PHASE.get(error.phase, 0) << 6
    total, lag = t.total, outcome.started_at - result.scheduled_at
    more = (
        seen.status_code, _units(t.dns), _units(t.connect), _units(t.tls), _units(t.ttfb), _units(t.transfer),
        seen.body_bytes, seat,
    )  # fmt: skip
    late_ms = lag.days * 86_400_000 + lag.seconds * 1000 + lag.microseconds // 1000
    return (
        monitor, at, location, result.attempt, workspace, flags, None if total is None else int(total * 100 + 0.5),
        pack_more(late_ms, more),
    )  # fmt: skip


def _units(ms: float | None) -> int | None:
    return None if ms is None else int(ms * 100 + 0.5)


def pack_more(lag: int, more: Sequence[int | None]) -> bytes:
    """What no query asks for, as few bytes as it takes: which of the (up to 8) numbers are there, the lag from slot to
    start in ms, and the numbers, each 7 bits a byte. Status code, phases in 10 µs, size of the body, seat."""
    packed = bytearray(1)
    there, bit = 0, 1
    _put(packed, lag << 1 if lag >= 0 else ~lag << 1 | 1)
    for number in more:
        if number is not None:
            there |= bit
            _put(packed, max(0, number))
        bit <<= 1
    packed[0] = there
    return bytes(packed)


def unpack_more(packed: bytes) -> tuple[int, list[int | None]]:
    """The lag and the eight numbers of `pack_more`."""
    numbers: list[int] = []
    value = shift = 0
    for byte in packed[1:]:
        value |= (byte & 0x7F) << shift
        if byte & 0x80:
            shift += 7
        else:
            numbers.append(value)
            value = shift = 0
    found = iter(numbers)
    lag = next(found)
    return (~(lag >> 1) if lag & 1 else lag >> 1), [next(found) if packed[0] >> i & 1 else None for i in range(8)]


def _put(data: bytearray, number: int) -> None:
    while number > 0x7F:
        data.append(number & 0x7F | 0x80)
        number >>= 7
    data.append(number)


def seat_of(more: bytes) -> int | None:
    """The key of the location that a result stands in for, in what `pack_more` made; None when it stands for itself."""
    return unpack_more(more)[1][7] if more[0] & 128 else None


def status_of(flags: int) -> Status:
    """The status in a row's flags."""
    return STATUSES[flags & 3]


def error_of(flags: int, kept: bytes | None) -> CheckError | None:
    """The error that a row's flags name, with the message that its evidence has; without one its kind stands for it."""
    if _error(flags, None) is None:
        return None
    error = _error(flags, None if kept is None else open_evidence(kept))
    if error is None or error.message:
        return error
    return CheckError(error.type, error.type.replace("_", " "), error.phase)


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


def unpack(row: Packed, ids: tuple[str, str, str], names: Mapping[int, str], kept: bytes | None) -> StoredResult:
    """The stored result of a row. `ids`: its monitor's id, workspace id and type; `names`: of locations, by key."""
    flags, at = row[5], from_micros(row[1])
    lag, (code, dns, connect, tls, ttfb, transfer, size, seat) = unpack_more(row[7])
    shown = None if kept is None else open_evidence(kept)
    return StoredResult(
        workspace_id=ids[1], monitor_id=ids[0], type=ids[2], location=names.get(row[2], ""), at=at, attempt=row[3],
        status=status_of(flags), error=_error(flags, shown), status_code=code,
        timing=Timing(
            dns=_ms(dns), connect=_ms(connect), tls=_ms(tls), ttfb=_ms(ttfb), transfer=_ms(transfer), total=_ms(row[6])
        ),
        body_bytes=size, started_at=at + timedelta(milliseconds=lag),
        substitute_for=None if seat is None else names.get(seat), outcome=shown,
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
    return zlib.compress(msgspec.json.encode(shown), 1)


def open_evidence(kept: bytes) -> dict[str, Any]:
    """The outcome's JSON object again."""
    return msgspec.json.decode(zlib.decompress(kept))


def _redacted(name: str, value: str) -> str:
    return HIDDEN if holds_credential(name) else value[:_KEPT_TEXT]


def pack_buckets(buckets: dict[int, int]) -> bytes:
    """A sketch as a rollup stores it: the counts' type, the buckets, the counts. Reading it back has to be quick: a chart
    takes up to thousands."""
    if not buckets:
        return b""
    most = max(buckets.values())
    kind = "B" if most < 1 << 8 else "H" if most < 1 << 16 else "I" if most < 1 << 32 else "Q"
    places = sorted(buckets)
    counts = struct.pack(f"<{len(places)}{kind}", *map(buckets.__getitem__, places))
    return kind.encode() + struct.pack(f"<{len(places)}H", *places) + counts


@lru_cache(maxsize=4096)
def _form(kind: int, size: int) -> tuple[int, struct.Struct]:
    """How many buckets a packed sketch of this kind and size has, and its form."""
    count = (size - 1) // (2 + struct.calcsize(f"<{chr(kind)}"))
    return count, struct.Struct(f"<x{count}H{count}{chr(kind)}")


def add_buckets(buckets: dict[int, int], packed: bytes) -> None:
    """Merge a sketch of `pack_buckets` in."""
    if not packed:
        return
    count, form = _form(packed[0], len(packed))
    numbers = form.unpack(packed)
    if not buckets:
        buckets.update(zip(numbers[:count], numbers[count:], strict=True))
        return
    known = buckets.get
    for place, more in zip(numbers[:count], numbers[count:], strict=True):
        buckets[place] = known(place, 0) + more
