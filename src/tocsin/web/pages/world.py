"""Locations and instances on the map of the world: where each dot stands, and what shape says how it is there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from tocsin.web.pages import words

WIDTH, HEIGHT = 576, 216
TOP, SCALE = 79.0, 1.6
"""The northernmost latitude shown, and units a degree: as docs/world.py draws the land."""
EDGE = 440.0
"""East of this a name stands to the left of its dot."""
NAME = 85.0
"""So much room a name takes on a small screen."""
Look = Literal["well", "bad", "lost", "off", "leads", "follows", "probe", "unknown"]
_SAYS: dict[Look, str] = {
    "bad": "something is down from there",
    "leads": "leads",
    "follows": "follows",
    "lost": "not heard",
    "well": "all is up from there",
    "off": "switched off",
    "probe": "a probe",
    "unknown": "not known here",
}


@dataclass(frozen=True, slots=True)
class Dot:
    """One place on the map; `left`: its name stands left of it, `dy` moves the name out of another one's way."""

    code: str
    look: Look
    x: float
    y: float
    left: bool
    dy: float = 0.0


def dots(rows: Iterable[Mapping[str, Any]], bad: Iterable[str], *, leaderless: bool = False) -> list[Dot]:
    """The locations whose place is known. `bad`: codes of those from which something is down. `leaderless`: nobody leads,
    so what is seen elsewhere does not come here."""
    failing, made = set(bad), list[Dot]()
    for row in rows:
        look: Look = "well"
        if row["state"] in ("lost", "off"):
            look = row["state"]
        elif leaderless and row["state"] == "unknown":
            look = "unknown"
        elif row["code"] in failing:
            look = "bad"
        _put(made, row, row["code"], look)
    return _apart(made)


def servers(
    instances: Iterable[tuple[str, str, Look]], rows: Iterable[Mapping[str, Any]]
) -> tuple[list[Dot], list[tuple[str, bool]]]:
    """The instances (name, location, look) whose place is known and the probes beside them, and a line from the one that
    leads to each other one (its path, whether that one is heard)."""
    at, made = {row["code"]: row for row in rows}, list[Dot]()
    for name, location, look in instances:
        if location in at:
            _put(made, at[location], name, look)
    first = next((dot for dot in made if dot.look == "leads"), None)
    links = [(_line(first, dot), dot.look != "lost") for dot in made if first is not None and dot is not first]
    if made:
        for row in at.values():
            if row["kind"] == "probe" and row["state"] != "off":
                _put(made, row, row["code"], "probe" if row["state"] != "lost" else "lost")
    return _apart(made), links


def _apart(made: list[Dot]) -> list[Dot]:
    """The same, a name to the left where another dot stands close to the right and there is room."""

    def crowded(dot: Dot) -> bool:
        return dot.x > NAME and any(0 < o.x - dot.x < NAME and abs(o.y - dot.y) < 14 for o in made)

    return [replace(dot, left=True) if crowded(dot) else dot for dot in made]


def _put(made: list[Dot], row: Mapping[str, Any], name: str, look: Look) -> None:
    if row["latitude"] is None or row["longitude"] is None:
        return
    x, y = (row["longitude"] + 180) * SCALE, (TOP - row["latitude"]) * SCALE
    if 0 <= y <= HEIGHT:
        near = sum(abs(dot.x - x) < 60 and abs(dot.y + dot.dy - y) < 12 for dot in made)
        made.append(Dot(name, look, round(x, 1), round(y, 1), x > EDGE, 12.0 * near))


def _line(a: Dot, b: Dot) -> str:
    """A flat arc from one to the other."""
    bend = abs(a.x - b.x) / 6
    return f"M{a.x} {a.y}Q{(a.x + b.x) / 2:.1f} {(a.y + b.y) / 2 - bend:.1f} {b.x} {b.y}"


def sentence(made: Iterable[Dot]) -> str:
    """What the map shows, for who does not see it."""
    by: dict[Look, list[str]] = {}
    for dot in made:
        by.setdefault(dot.look, []).append(dot.code)
    parts = [f"{words.listed(by[look])}: {_SAYS[look]}" for look in _SAYS if look in by]
    return "World map. " + "; ".join(parts) + "." if parts else "World map without a location."
