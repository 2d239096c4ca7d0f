"""Locations on the map of the world: where each dot stands, and what shape says how it is there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tocsin.web.pages import words

WIDTH, HEIGHT = 576, 216
TOP, SCALE = 79.0, 1.6
"""The northernmost latitude shown, and units a degree: as docs/world.py draws the land."""
EDGE = 440.0
"""East of this a name stands to the left of its dot."""
Look = Literal["well", "bad", "lost", "off"]
_SAYS = {
    "well": "all is up from there",
    "bad": "something is down from there",
    "lost": "not heard",
    "off": "switched off",
}


@dataclass(frozen=True, slots=True)
class Dot:
    """One location on the map; `left`: its name stands left of it, `dy` moves the name out of another one's way."""

    code: str
    look: Look
    x: float
    y: float
    left: bool
    dy: float = 0.0


def dots(rows: Iterable[Mapping[str, Any]], bad: Iterable[str]) -> list[Dot]:
    """The locations whose place is known. `bad`: codes of those from which something is down."""
    failing, made = set(bad), list[Dot]()
    for row in rows:
        if row["latitude"] is None or row["longitude"] is None:
            continue
        x, y = (row["longitude"] + 180) * SCALE, (TOP - row["latitude"]) * SCALE
        if not 0 <= y <= HEIGHT:
            continue
        near = sum(abs(dot.x - x) < 60 and abs(dot.y + dot.dy - y) < 12 for dot in made)
        look: Look = "well"
        if row["state"] in ("lost", "off"):
            look = row["state"]
        elif row["code"] in failing:
            look = "bad"
        made.append(Dot(row["code"], look, round(x, 1), round(y, 1), x > EDGE, 12.0 * near))
    return made


def sentence(made: Iterable[Dot]) -> str:
    """What the map shows, for who does not see it."""
    by: dict[Look, list[str]] = {}
    for dot in made:
        by.setdefault(dot.look, []).append(dot.code)
    parts = [f"{words.listed(by[look])}: {_SAYS[look]}" for look in ("bad", "lost", "well", "off") if look in by]
    return "World map. " + "; ".join(parts) + "." if parts else "World map without a location."
