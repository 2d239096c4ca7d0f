"""What the map and the list of locations say where nobody leads."""

from __future__ import annotations

from typing import Any

from tocsin.web.pages import world
from tocsin.web.pages.locations import verdict


def place(code: str, state: str, longitude: float) -> dict[str, Any]:
    return {"code": code, "state": state, "latitude": 10.0, "longitude": longitude, "quarantined": False}


def test_of_a_place_that_nobody_asks_the_map_does_not_say_that_all_is_up() -> None:
    rows = [place("here", "well", 0), place("there", "unknown", 50), place("lost", "lost", 100)]
    assert [dot.look for dot in world.dots(rows, [])] == ["well", "well", "lost"], "results come while somebody leads"
    dots = world.dots(rows, [], leaderless=True)
    assert [dot.look for dot in dots] == ["well", "unknown", "lost"]
    assert "there: not known here" in world.sentence(dots)
    assert verdict(rows, leaderless=True) == "Nobody leads: how the other locations are is not known here."
    assert verdict(rows) == "3 locations look. lost is lost."
