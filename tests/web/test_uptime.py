"""Uptime figures: what they count, and what cannot be asked of them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from builders import a_verdict, an_incident
from tocsin.core.result import iso
from tocsin.store.batch import Batch, IncidentChange, VerdictChange
from web.conftest import Alice

WINDOWS = ("1h", "24h", "7d", "30d", "90d", "1y")


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


async def test_partial_counts_as_the_workspace_settled(alice: Alice) -> None:
    wanted = {"name": "x", "type": "http", "target": {"url": "http://127.0.0.1:9/"}, "paused": True}
    made = (await alice.api.post("/api/v1/monitors", wanted)).data["id"]
    parts = alice.house.parts
    now = parts.clock.now().replace(microsecond=0)
    verdicts = [
        a_verdict(value, at=now - timedelta(minutes=ago))
        for value, ago in (("up", 50), ("partial", 40), ("down", 10), ("unknown", 5))
    ]
    changes = tuple(VerdictChange(workspace_id=alice.workspace_id, monitor_id=made, verdict=v) for v in verdicts)
    await parts.store.commit(Batch(id="b", verdicts=changes))

    async def shown() -> list[int]:
        start, end = iso(now - timedelta(minutes=50)), iso(now - timedelta(minutes=5))
        span = f"from={start}&to={end}"
        one = (await alice.api.get(f"/api/v1/monitors/{made}/uptime?{span}")).data
        two = (await alice.api.get(f"/api/v1/reports/sla?{span}")).data["total"]
        assert (one["up_s"], one["down_s"]) == (two["up_s"], two["down_s"])
        windows = [(await alice.api.get(f"/api/v1/monitors/{made}/uptime?window={w}")).data for w in WINDOWS]
        assert all((round(w["up_s"]), round(w["down_s"])) == (one["up_s"], one["down_s"]) for w in windows)
        return [round(one["up_s"] / 60), round(one["down_s"] / 60)]

    path = "/api/v1/preferences"
    assert (await alice.api.get(path)).data == {"partial_is_down": False}
    assert await shown() == [40, 5]
    assert (await alice.api.send("PUT", path, {"partial_is_down": True})).data == {"partial_is_down": True}
    assert await shown() == [10, 35]
    browser = alice.house.caller()
    browser.cookies["tocsin_session"] = alice.api.token or ""
    assert "partial counts as down" in (await browser.get("/reports", accept="text/html")).text
    _, token = await alice.house.person("bob@example.org", "USER", alice.workspace_id)
    assert (await alice.house.caller(token).send("PUT", path, {"partial_is_down": False})).status == 403
    _, stranger = await alice.house.person("charlie@example.org", "ADMIN")
    assert (await alice.house.caller(stranger).get(path)).data == {"partial_is_down": False}
