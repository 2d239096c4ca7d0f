"""Results on their way between instances. Each instance numbers those it takes in first, by its source (it and the
incarnation of its disk); whoever gets them keeps the number, so that it can tell up to where it has everything, hand them
on, and take one in twice as once. Only keys are kept here, for a day: what was seen is read from the results.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from msgspec import Struct

from tocsin.core.result import Numbered, micros

if TYPE_CHECKING:
    from tocsin.store.session import Session

Spot = tuple[int, int, int, int]
"""A result's monitor, slot (µs), location and attempt."""
Range = tuple[int, int]
KEPT = timedelta(hours=24)
_SOURCE = "transport_source"
_SLICE = 5000
_MOST_BEHIND = 50_000
_MOST_ISLANDS = 500
_PUT = (
    "INSERT INTO transport (source, seq, monitor, at, location, attempt, taken_at) VALUES (?, ?, ?, ?, ?, ?, ?) "
    "ON CONFLICT (source, seq) DO NOTHING"
)
_END = (
    "INSERT INTO transport_ends (source, upto) VALUES (?, ?) ON CONFLICT (source) DO UPDATE SET upto = excluded.upto "
    "WHERE transport_ends.upto < excluded.upto"
)
_ISLANDS = (
    "SELECT min(seq), max(seq) FROM (SELECT seq, seq - row_number() OVER (ORDER BY seq) AS island FROM "
    "(SELECT seq FROM transport WHERE source = ? AND seq > ? ORDER BY seq LIMIT ?) AS behind) AS numbered "
    "GROUP BY island ORDER BY 1 LIMIT ?"
)


class Numbering(Struct, kw_only=True):
    """How this instance numbers its own results. Only the writer changes it."""

    source: str
    next: int


def begin(s: Session, source: str | None) -> None:
    """Number results as of this source from now on; None: as before, if they were."""
    source = source or s.notes.get(_SOURCE)
    if source is None:
        return
    s.notes.set(_SOURCE, source)
    before, memory = s.memory.numbering, s.memory
    memory.numbering = Numbering(source=source, next=end_of(s, source) + 1)
    s.undo.append(lambda: setattr(memory, "numbering", before))


def finish(s: Session) -> None:
    """Number nothing any more."""
    s.run("DELETE FROM notes WHERE name = ?", _SOURCE)
    s.memory.numbering = None


def number(s: Session, own: Sequence[Spot], carried: Iterable[tuple[Numbered, Spot]]) -> None:
    """Give numbers to this instance's own new results, and keep those that others gave to theirs."""
    numbering, at = s.memory.numbering, s.now_us
    rows = [(it.source, it.seq, *spot, at) for it, spot in carried]
    if numbering is not None and own:
        first = numbering.next
        rows += [(numbering.source, seq, *spot, at) for seq, spot in enumerate(own, first)]
        numbering.next = first + len(own)
        s.undo.append(lambda: setattr(numbering, "next", first))
        s.run(_END, numbering.source, numbering.next - 1)
    s.many(_PUT, rows)
    s.many(_END, [(source, 0) for source in {row[0] for row in rows}])  # so that `ends` names every source


def end_of(s: Session, source: str) -> int:
    """Everything of a source up to this number is here, or was and grew old."""
    row = s.row("SELECT upto FROM transport_ends WHERE source = ?", source)
    return 0 if row is None else int(row[0])


def ends(s: Session) -> dict[str, int]:
    """`end_of` every source."""
    return {row[0]: row[1] for row in s.rows("SELECT source, upto FROM transport_ends")}


def advance(s: Session, source: str, after: int, upto: int) -> int:
    """Up to where everything of a source is here, now that what the sender had after one number up to another was taken in.
    A gap before it stays one."""
    end = end_of(s, source)
    if after > end or upto <= end:
        return end
    end = upto
    for (seq,) in s.rows(
        "SELECT seq FROM transport WHERE source = ? AND seq > ? ORDER BY seq LIMIT ?", source, end, _SLICE
    ):
        if seq != end + 1:
            break
        end = seq
    s.run(_END, source, end)
    return end


def islands(s: Session) -> dict[str, list[Range]]:
    """The ranges of numbers that are here behind a gap, by source: the first ones of each, if there are very many."""
    found: dict[str, list[Range]] = {}
    for source, end in ends(s).items():
        if ranges := s.rows(_ISLANDS, source, end, _MOST_BEHIND, _MOST_ISLANDS):
            found[source] = [(low, high) for low, high in ranges]
    return found


def lacking(s: Session, source: str, after: int, upto: int, seqs: Iterable[int]) -> set[int]:
    """Which of these numbers after one up to another are not here."""
    rows = s.rows("SELECT seq FROM transport WHERE source = ? AND seq > ? AND seq <= ?", source, after, upto)
    return set(seqs) - {row[0] for row in rows}


def expire(s: Session, before: datetime, limit: int = _SLICE) -> int:
    """How many keys older than this were forgotten. Where each source ends stays known."""
    gone = 0
    for (source,) in s.rows("SELECT source FROM transport_ends UNION SELECT DISTINCT source FROM transport"):
        rows = s.rows("SELECT seq, taken_at FROM transport WHERE source = ? ORDER BY seq LIMIT ?", source, limit - gone)
        old = [seq for seq, at in rows if at < micros(before)]
        if old:
            s.many("DELETE FROM transport WHERE source = ? AND seq = ?", [(source, seq) for seq in old])
        gone += len(old)
        if gone >= limit:
            break
    return gone
