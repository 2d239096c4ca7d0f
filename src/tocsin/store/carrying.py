"""Results read again for another instance: by their keys, as whole as they were kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from tocsin.core.result import AssertionResult, CheckResult, Numbered, Observation, Outcome, TlsFacts
from tocsin.store.packing import COLUMNS, Packed, StoredResult
from tocsin.store.stored import each_whole
from tocsin.store.tail import not_moved
from tocsin.store.transport import Spot, advance, end_of, lacking

if TYPE_CHECKING:
    from tocsin.store.session import Session

_KEY = "monitor = ? AND at = ? AND location = ? AND attempt = ?"


class Portion(Struct, frozen=True, kw_only=True):
    """What an instance has of a source after a number, up to and with another one; numbers without a result are of results
    that are gone. `applied`: how far the sender's tables were: whoever is behind that may not know the monitors yet."""

    source: str
    after: int
    upto: int
    results: tuple[CheckResult, ...]
    applied: int = 0


def portion(s: Session, source: str, after: int, upto: int | None, limit: int) -> Portion:
    """What is here of a source after a number, at most so many results, at most up to another number. What lies behind a gap
    is had by naming where it begins and ends."""
    end = end_of(s, source)
    last = end if upto is None else upto
    rows = s.rows(
        "SELECT seq, monitor, at, location, attempt FROM transport WHERE source = ? AND seq > ? AND seq <= ? "
        "ORDER BY seq LIMIT ?",
        source, after, last, limit,
    )  # fmt: skip
    if len(rows) == limit:
        last = rows[-1][0]
    elif last > end:
        last = max(end, rows[-1][0] if rows else after)
    found = results_at(s, [(row[1], row[2], row[3], row[4]) for row in rows])
    results = [
        msgspec.structs.replace(result, numbered=Numbered(source, row[0]))
        for row, result in zip(rows, found, strict=True)
        if result is not None
    ]
    applied = s.row("SELECT applied FROM control")
    return Portion(
        source=source, after=after, upto=max(last, after), results=tuple(results),
        applied=0 if applied is None else applied[0],
    )  # fmt: skip


def take_in(s: Session, portion: Portion) -> int:
    """Keep the results of another instance: up to where everything of their source is here now. Nothing is kept while this
    instance's tables are behind the sender's."""
    applied = s.row("SELECT applied FROM control")
    if applied is None or applied[0] < portion.applied:
        return end_of(s, portion.source)
    return keep(s, portion)


def keep(s: Session, portion: Portion) -> int:
    """Keep what is not here yet of a portion (all of it may have been taken in and judged already, or lie on the spool
    still): up to where everything of its source is here now."""
    by_number = {r.numbered.seq: r for r in portion.results if r.numbered is not None}
    missing = lacking(s, portion.source, portion.after, portion.upto, by_number)
    s.results.add([by_number[seq] for seq in sorted(missing)])
    return advance(s, portion.source, portion.after, portion.upto)


def results_at(s: Session, spots: Sequence[Spot]) -> list[CheckResult | None]:
    """The results with these keys, None for each that is gone."""
    rows: dict[Spot, Packed] = {}
    for found in s.each(f"SELECT {COLUMNS} FROM results WHERE {_KEY}", spots):  # moved ones first: see store.tail
        rows.update((_spot(row), _packed(row)) for row in found)
    if left := set(spots) - rows.keys():
        among, given = s.among("n", _numbers(s, left))
        waits, marked = not_moved(s)
        tail = s.rows(f"SELECT {COLUMNS} FROM results_tail WHERE {among} AND {waits}", given, *marked)
        rows.update((_spot(row), _packed(row)) for row in tail if _spot(row) in left)
    there = list(rows)
    stored = dict(zip(there, each_whole(s, [rows[spot] for spot in there]), strict=True))
    return [None if (one := stored.get(spot)) is None else _newest(s, spot) or whole_again(one) for spot in spots]


def _newest(s: Session, spot: Spot) -> CheckResult | None:
    """A result with everything that was seen, if it is the newest of its location and came since the start."""
    known = s.memory.newest.get((spot[0], spot[2]))
    if known is None or known.result is None or (known.at, known.attempt) != (spot[1], spot[3]):
        return None
    outcome = known.result.outcome
    bare = msgspec.structs.replace(outcome, seen=msgspec.structs.replace(outcome.seen, body=b""))
    return msgspec.structs.replace(known.result, outcome=bare)


def _numbers(s: Session, spots: set[Spot]) -> list[int]:
    """The numbers of the tail's rows that may be these."""
    slots: dict[int, set[int]] = {}
    for monitor, at, _, _ in spots:
        slots.setdefault(monitor, set()).add(at)
    numbers: list[int] = []
    for monitor, wanted in slots.items():
        known = s.memory.tail.rows.get(monitor)
        if known is not None:
            numbers += [n for n, at in zip(known.numbers, known.at, strict=False) if at in wanted]
    return numbers


def _spot(row: Sequence[Any]) -> Spot:
    return row[0], row[1], row[2], row[3]


def _packed(row: Sequence[Any]) -> Packed:
    return row[0], row[1], row[2], row[3], row[4], row[5], row[6], row[7]


def whole_again(stored: StoredResult) -> CheckResult:
    """The result that was stored, as far as it was kept: without its evidence only its numbers, its status and kind of error
    are left."""
    shown: dict[str, Any] = stored.outcome or {}
    tls = shown.get("tls")
    headers: dict[str, str] = shown.get("headers") or {}
    seen = Observation(
        status_code=stored.status_code, timing=stored.timing, body_bytes=stored.body_bytes, ip=shown.get("ip"),
        http_version=shown.get("http_version"), final_url=shown.get("final_url"), redirects=shown.get("redirects"),
        headers=tuple(headers.items()), truncated=bool(shown.get("truncated")),
        tls=None if tls is None else msgspec.convert(tls, TlsFacts), facts=shown.get("facts") or {},
        engine_wait_ms=shown.get("engine_wait_ms") or 0.0,
    )  # fmt: skip
    outcome = Outcome(
        type=stored.type, target=shown.get("target") or "", status=stored.status, error=stored.error,
        started_at=stored.started_at, location=stored.location, seen=seen,
        assertions=msgspec.convert(shown.get("assertions") or [], tuple[AssertionResult, ...]),
    )  # fmt: skip
    return CheckResult(
        workspace_id=stored.workspace_id, monitor_id=stored.monitor_id, location=stored.location, scheduled_at=stored.at,
        attempt=stored.attempt, outcome=outcome, substitute_for=stored.substitute_for,
    )  # fmt: skip
