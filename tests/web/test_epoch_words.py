"""What people read of the epochs, and where servers stand on the map."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from tocsin.core.epoch import Epoch
from tocsin.web.pages import world
from tocsin.web.pages.epoch_words import SHOWN, chapters


def told(epoch: int, name: str, cause: Any, **more: Any) -> Epoch:
    since = datetime(2026, 1, 1, 0, epoch, tzinfo=UTC)
    return Epoch(epoch=epoch, id=name, name=name, since=since, cause=cause, **more)


def test_each_change_of_who_leads_says_why() -> None:
    rows = [
        told(1, "a", "first"), told(2, "a", "elected"), told(3, "a", "elected", unheard_s=16.2),
        told(4, "b", "elected", unheard_s=15.7), told(5, "a", "handed", by="bob"), told(6, "b", "handed"),
        told(7, "c", "forced", by="alice"),
    ]  # fmt: skip
    said = chapters(rows)
    assert [one.why for one in said] == [
        "Promoted by force by alice", "a was stopped and handed over", "Handed over by bob",
        "Elected: a was not heard for 16 s", "Elected again: nobody led for 16 s", "Elected again: nobody led for 0 s",
        "It began the cluster",
    ]  # fmt: skip
    assert (said[0].lasted, said[1].lasted) == ("", "1 min")
    assert len(chapters([*rows, told(8, "a", "elected"), told(9, "a", "elected")])) == SHOWN
    assert chapters([told(17, "a", "elected")])[0].why == "Elected"


def place(code: str, latitude: float | None, longitude: float | None, kind: str = "instance") -> dict[str, Any]:
    return {"code": code, "latitude": latitude, "longitude": longitude, "kind": kind, "state": "well"}


def test_servers_on_the_map_have_lines_from_who_leads() -> None:
    rows = [
        place("europe", 50.0, 9.0, "home"), place("us-east", 39.0, -77.0), place("asia", 1.0, 104.0),
        place("nowhere", None, None), place("us-west", 37.5, -122.0, "probe"),
    ]  # fmt: skip
    servers: list[tuple[str, str, world.Look]] = [
        ("one", "europe", "leads"), ("two", "us-east", "follows"), ("three", "asia", "lost"), ("four", "nowhere", "follows"),
    ]  # fmt: skip
    dots, links = world.servers(servers, rows)
    assert [(d.code, d.look) for d in dots] == [
        ("one", "leads"), ("two", "follows"), ("three", "lost"), ("us-west", "probe"),
    ]  # fmt: skip
    assert [heard for _, heard in links] == [True, False]
    assert links[0][0].startswith("M302.4 46.4Q")
    assert [d.code for d in dots if d.left] == ["three", "us-west"]  # at the edge; where two stands close to the right
    assert world.sentence(dots) == "World map. one: leads; two: follows; three: not heard; us-west: a probe."
    assert world.servers([], rows) == ([], [])
