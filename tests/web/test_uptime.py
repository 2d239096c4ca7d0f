"""Uptime figures: what they count, and what cannot be asked of them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from builders import an_incident
from tocsin.store.batch import IncidentChange
from web.conftest import Alice


async def test_every_incident_that_touches_the_stretch_counts_and_no_other(alice: Alice) -> None:
    wanted = {"name": "x", "type": "http", "target": {"url": "http://127.0.0.1:9/"}, "paused": True}
    made, other = [(await alice.api.post("/api/v1/monitors", wanted)).data["id"] for _ in range(2)]
    parts = alice.house.parts
    now, monitor = parts.clock.now(), parts.corridor.watchlist.get(made).monitor

    def fill(s: Any) -> None:
        def add(began_min: float, ended_min: float | None, of: Any) -> None:
            s.incidents.save(
                IncidentChange(
                    incident=an_incident(
                        of,
                        opened_at=now - timedelta(minutes=began_min),
                        resolved_at=None if ended_min is None else now - timedelta(minutes=ended_min),
                    )
                )
            )

        for n in range(520):
            add(600 - n, 599.5 - n, monitor)
        add(1000, 900, monitor)  # over before
        add(900, 650, monitor)  # goes on into the stretch
        add(5, None, monitor)  # open still
        add(100, 90, parts.corridor.watchlist.get(other).monitor)

    await parts.store.of(alice.workspace_id).write(fill)
    assert (await alice.api.get(f"/api/v1/monitors/{made}/uptime?window=11h")).data["incidents"] == 522
    assert (await alice.api.get(f"/api/v1/monitors/{made}/uptime?window=1m")).data["incidents"] == 1


async def test_uptime_is_of_the_monitor_not_of_a_location(alice: Alice) -> None:
    wanted = {"name": "x", "type": "http", "target": {"url": "http://127.0.0.1:9/"}, "paused": True}
    made = (await alice.api.post("/api/v1/monitors", wanted)).data["id"]
    answer = await alice.api.get(f"/api/v1/monitors/{made}/uptime?location=local")
    assert (answer.status, answer.fields) == (422, ["location"])
    assert (await alice.api.get(f"/api/v1/monitors/{made}/series?location=local")).status == 200
