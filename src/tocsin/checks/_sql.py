"""What checks of SQL databases have in common: their fields, and how an answer is shown and judged."""

from __future__ import annotations

from typing import Annotated

from msgspec.structs import replace

from tocsin.core.plain import clip
from tocsin.core.result import Observation
from tocsin.core.shape import Help, Length, Long, Private
from tocsin.errors import CheckFailed
from tocsin.net.sql import Rows

User = Annotated[str, Length(1, 500), Help("Sign in as this user")]
Query = Annotated[str, Private, Long, Length(1, 10_000), Help("One statement that only reads")]
Expect = Annotated[str | None, Length(0, 1000), Help("Text that the first column of the first row must be equal to")]


def with_answer(seen: Observation, rows: Rows, took_s: float) -> Observation:
    """The observation with the facts of the query's answer."""
    facts = seen.facts | {"query_ms": round(took_s * 1000, 2), "rows": rows.count}
    if rows.count:
        facts["value"] = None if rows.first is None else clip(rows.first, 200)
    return replace(seen, facts=facts)


def require(expect: str | None, rows: Rows, seen: Observation) -> None:
    """Raise CheckFailed (assertion) unless the first column of the first row is what it should be."""
    if expect is None or (rows.count and rows.first == expect):
        return
    found = "no row" if not rows.count else "NULL" if rows.first is None else repr(clip(rows.first, 200))
    raise CheckFailed("assertion", f"expected {clip(expect, 200)!r}, found {found}", observation=seen)
