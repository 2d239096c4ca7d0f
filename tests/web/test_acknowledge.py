"""Acknowledging by a link: looking changes nothing, the button does, and only for whom and what the link was made."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any

from msgspec.structs import replace

from builders import an_incident
from tocsin.core.incident import Incident
from tocsin.core.link import Link, token_of
from tocsin.core.result import micros
from tocsin.store.batch import IncidentChange
from web.conftest import Alice

KEY = b"l" * 32
HTML = {"accept": "text/html"}


async def an_open(alice: Alice, **more: Any) -> tuple[Incident, str, datetime]:
    """(an open incident of a monitor of hers, the id of her channel, now)."""
    target = {"url": "http://127.0.0.1:9/secret-path"}
    monitor = await alice.api.post(
        "/api/v1/monitors", {"name": "Shop", "type": "http", "target": target, "paused": True}
    )
    config = {"url": "http://127.0.0.1:9/hook"}
    channel = await alice.api.post("/api/v1/channels", {"name": "Chat", "type": "webhook", "config": config})
    now = alice.house.parts.clock.now()
    incident = an_incident(
        workspace_id=alice.workspace_id, monitor_id=monitor.data["id"], subject=f"monitor:{monitor.data['id']}",
        opened_at=now, reason="a secret reason", told=True, transition=1, **more,
    )  # fmt: skip
    await keep(alice, incident)
    return incident, channel.data["id"], now


async def keep(alice: Alice, incident: Incident) -> None:
    parts = alice.house.parts
    await parts.store.of(alice.workspace_id).write(lambda s: s.incidents.save(IncidentChange(incident=incident)))
    await parts.corridor.watchlist.reload_incident(alice.workspace_id, incident.subject)


def path_of(incident: Incident, who: str, at: datetime, key: bytes = KEY) -> str:
    return "/acknowledge/" + token_of(key, Link(incident.workspace_id, incident.id, micros(at), who))


async def seen(alice: Alice, incident: Incident) -> dict[str, Any]:
    return (await alice.api.get(f"/api/v1/incidents/{incident.id}")).data


async def test_only_the_button_acknowledges(alice: Alice) -> None:
    incident, channel, now = await an_open(alice)
    anybody, path = alice.house.caller(), path_of(incident, channel, now)
    page = await anybody.get(path, **HTML)
    assert (page.status, page.headers["x-robots-tag"]) == (200, "noindex")
    assert "<h1>Shop is down</h1>" in page.text
    assert re.search("secret|alice", page.text) is None
    assert (await anybody.send("HEAD", path)).status == 200
    assert (await seen(alice, incident))["acknowledged_at"] is None
    for said in ("Acknowledged. Nobody else", "It is acknowledged already"):
        assert said in (await anybody.post(path, **HTML)).text
    after = await seen(alice, incident)
    assert after["acknowledged_by"] == "a link in Chat"
    assert [e["kind"] for e in after["timeline"]].count("acknowledged") == 1


async def test_a_members_link_acknowledges_as_that_member(alice: Alice) -> None:
    incident, _, now = await an_open(alice)
    her_id = (await alice.api.get("/api/v1/members")).data["items"][0]["id"]
    await alice.house.caller().post(path_of(incident, f"person:{her_id}", now), **HTML)
    assert (await seen(alice, incident))["acknowledged_by"] == "alice@example.org"


async def test_links_that_are_wrong_old_or_of_somebody_else(alice: Alice) -> None:
    incident, channel, now = await an_open(alice)
    anybody = alice.house.caller()
    stranger, _ = await alice.house.person("charlie@example.org", "ADMIN")
    refused = {
        path_of(incident, channel, now, b"x" * 32): 404,
        path_of(incident, channel, now)[:-3]: 404,
        "/acknowledge/x": 404,
        path_of(incident, f"person:{stranger.id}", now): 404,
        path_of(incident, "gone", now): 404,
        path_of(incident, channel, now - timedelta(days=8)): 410,
        path_of(replace(incident, id="other"), channel, now): 404,
        path_of(replace(incident, workspace_id="elsewhere"), channel, now): 404,
    }
    for path, status in refused.items():
        for answer in (await anybody.get(path, **HTML), await anybody.post(path, **HTML)):
            assert (answer.status, "Shop" in answer.text) == (status, False), path
    assert (await seen(alice, incident))["acknowledged_at"] is None


async def test_a_link_of_an_earlier_stretch_does_not_acknowledge_the_next(alice: Alice) -> None:
    incident, channel, now = await an_open(alice)
    later = replace(incident, transition=3, flips=(now, now + timedelta(seconds=5), now + timedelta(seconds=9)))
    await keep(alice, later)
    answer = await alice.house.caller().post(path_of(incident, channel, now), **HTML)
    assert "It began again" in answer.text
    assert (await seen(alice, incident))["acknowledged_at"] is None


async def test_what_is_over_is_not_acknowledged(alice: Alice) -> None:
    incident, channel, now = await an_open(alice)
    await keep(alice, replace(incident, transition=2, resolved_at=now, resolution="recovered"))
    answer = await alice.house.caller().post(path_of(incident, channel, now), **HTML)
    assert (answer.status, "It is over" in answer.text) == (200, True)


async def test_guessing_is_slowed_down(alice: Alice) -> None:
    anybody = alice.house.caller()
    found = [(await anybody.get(f"/acknowledge/{n}", **HTML)).status for n in range(35)]
    assert found == [404] * 30 + [429] * 5
    incident, channel, now = await an_open(alice)
    assert (await anybody.get(path_of(incident, channel, now), **HTML)).status == 200


async def test_another_site_cannot_press_the_button(alice: Alice) -> None:
    incident, channel, now = await an_open(alice)
    answer = await alice.house.caller().post(path_of(incident, channel, now), origin="https://evil.example", **HTML)
    assert answer.status == 403
    assert (await seen(alice, incident))["acknowledged_at"] is None
