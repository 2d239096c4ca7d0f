"""What this instance wrote as primary and no majority took: kept for the operator to see, a file a cut."""

from __future__ import annotations

import base64
import os
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from tocsin.core.result import iso
from tocsin.store import history, images
from tocsin.store.control import ROWS, Entry
from tocsin.store.shared import shared_tables


class Draft(Struct, frozen=True, kw_only=True):
    """What was not taken. `tables`: each row as it was to be (a row that was to go has only its key), by table. Sealed
    values stay sealed."""

    name: str
    cut_at: str
    epoch: int
    first: int
    last: int
    tables: dict[str, list[dict[str, Any]]]


def keep(folder: Path, entries: Sequence[Entry], now: datetime) -> None:
    """Write down what these entries were to change. Twice is the same as once."""
    rows = [entry for entry in entries if entry.kind == ROWS]
    if not rows:
        return
    tables: dict[str, list[dict[str, Any]]] = {}
    for entry in rows:
        for one in history.aside(images.decode(entry.payload).tables)[0]:
            found = tables.setdefault(one.table, [])
            found += [dict(zip(one.columns, map(_shown, row), strict=True)) for row in one.rows]
            found += [dict(zip(shared_tables()[one.table].key, key, strict=True)) for key in one.gone]
    name = f"{rows[0].epoch}-{rows[0].index}"
    draft = Draft(
        name=name, cut_at=iso(now) or "", epoch=rows[0].epoch, first=rows[0].index, last=rows[-1].index, tables=tables
    )
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    file = os.open(path.with_suffix(".new"), os.O_CREAT | os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(file, "wb") as out:
        out.write(msgspec.json.format(msgspec.json.encode(draft)))
        out.flush()
        os.fsync(out.fileno())
    path.with_suffix(".new").rename(path)


def kept(folder: Path) -> list[Draft]:
    """Every draft, the latest epoch first."""
    found = [msgspec.json.decode(path.read_bytes(), type=Draft) for path in folder.glob("*.json")]
    return sorted(found, key=lambda d: (d.epoch, d.first), reverse=True)


def _shown(value: Any) -> Any:
    return "sealed:" + base64.b64encode(value).decode() if isinstance(value, bytes) else value
