"""Results as they were stored: rows unpacked, with their evidence."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from tocsin.store.packing import Packed, StoredResult, unpack

if TYPE_CHECKING:
    from tocsin.store.session import Session


def whole(s: Session, rows: list[Packed], kept: dict[tuple[int, ...], bytes] | None = None) -> list[StoredResult]:
    """The stored results of these rows, each with its evidence if that was kept, without those of monitors that are gone."""
    return [stored for stored in each_whole(s, rows, kept) if stored is not None]


def each_whole(
    s: Session, rows: list[Packed], kept: dict[tuple[int, ...], bytes] | None = None
) -> Iterator[StoredResult | None]:
    """`whole`, with None for each row of a monitor that is gone."""
    names = s.places.location_names()
    ids: dict[int, tuple[str, str, str]] = {}
    for row in rows:
        if row[0] not in ids:
            of = s.row("SELECT id, workspace_id, type FROM monitors WHERE key = ?", row[0])
            if of is None:
                yield None
                continue
            ids[row[0]] = of[0], of[1], of[2]
        data = None if kept is None else kept.get(row[:4])
        if data is None:
            proof = s.row(
                "SELECT data FROM evidence WHERE monitor = ? AND at = ? AND location = ? AND attempt = ?", *row[:4]
            )
            data = None if proof is None else proof[0]
        yield unpack(row, ids[row[0]], names, data)
