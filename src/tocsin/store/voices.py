"""What the results of many monitors say, as short as folding takes it, and the errors behind some of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from tocsin.core.result import CheckError, Status, from_micros, micros
from tocsin.store.packing import error_of, seat_of, status_of
from tocsin.store.tail import tails

if TYPE_CHECKING:
    from tocsin.store.session import Session

_COLUMNS = "at, location, attempt, flags, more"
_SPAN = (
    f"SELECT {_COLUMNS} FROM results WHERE monitor = ? AND at >= ? AND at < ? "
    "ORDER BY at DESC, location DESC, attempt DESC LIMIT ?"
)
_PROOF = "SELECT data FROM evidence WHERE monitor = ? AND at = ? AND location = ? AND attempt = ?"


class Span(NamedTuple):
    """Whose results of start ≤ slot < end, at most so many of the newest."""

    monitor_id: str
    start: datetime
    end: datetime
    limit: int


class Voice(NamedTuple):
    """What one result says. `error` is another object each, with its kind for a message; `flags` are for `reasons`."""

    at: datetime
    attempt: int
    location: str
    seat: str
    status: Status
    error: CheckError | None
    flags: int


def voices(s: Session, spans: Sequence[Span]) -> Iterator[list[Voice]]:
    """What the results of each span say, oldest first. Cheap for a thousand monitors at once."""
    names = s.places.location_names()
    asked = [(s.places.of(one.monitor_id).monitor, micros(one.start), micros(one.end), one.limit) for one in spans]
    late = tails(s, [one[0] for one in asked], _COLUMNS)
    for (monitor, start, end, limit), main in zip(asked, s.each(_SPAN, asked), strict=True):
        rows = [*main, *(row for row in late.get(monitor, ()) if start <= row[0] < end)]
        if len(rows) > limit:
            rows = sorted(rows, reverse=True)[:limit]
        rows.sort(key=_order)
        found: list[Voice] = []
        for at, location, attempt, flags, more in rows:
            name, seat = names.get(location, ""), seat_of(more)
            stood = name if seat is None else names.get(seat, name)
            error = error_of(flags, None) if flags >> 2 else None
            found.append(Voice(from_micros(at), attempt, name, stood, status_of(flags), error, flags))
        yield found


def reasons(s: Session, of: Sequence[tuple[str, Voice]]) -> list[CheckError | None]:
    """The errors of these (monitor, what a result said): as their evidence has them, else their kind for a message."""
    keys = {name: key for key, name in s.places.location_names().items()}
    spots = [(s.places.of(id).monitor, micros(one.at), keys[one.location], one.attempt) for id, one in of]
    proofs = s.each(_PROOF, spots)
    return [error_of(one.flags, found[0][0] if found else None) for (_, one), found in zip(of, proofs, strict=True)]


def _order(row: Sequence[int]) -> tuple[int, int, int]:
    return row[0], row[2], -row[1]
