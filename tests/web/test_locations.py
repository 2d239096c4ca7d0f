"""Locations over the API: added, asked, changed, given new keys, deleted; wrong ones refused with the reason."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tocsin.pipeline.ticking import Ticking
from web.conftest import Alice, set_up
from world import Probes

PUSH = {"code": "europe", "endpoint_url": "https://127.0.0.1:9", "api_key": "a key that the probe has"}


@pytest.fixture
async def reach() -> Probes:
    return Probes()


@pytest.fixture
async def alice(build: Callable[..., Any], reach: Probes) -> Alice:
    return await set_up(await build(reach=reach))


async def test_a_push_location_is_added_with_what_is_usual_for_it(alice: Alice) -> None:
    made = await alice.api.post("/api/v1/locations", PUSH | {"failure_domain": "hetzner"})
    assert made.status == 201, made.text
    row = made.data
    assert (row["code"], row["name"], row["mode"], row["kind"]) == ("europe", "Europe", "push", "probe")
    assert (row["latitude"], row["longitude"], row["failure_domain"]) == (50.1, 8.7, "hetzner")
    assert row["api_key"] is None
    assert row["join"] is None
    assert "a key that the probe has" not in made.text
    listed = (await alice.api.get("/api/v1/locations")).data["items"]
    assert [r["code"] for r in listed] == ["local", "europe"]
    assert [r["code"] for r in (await alice.api.get("/api/v1/probes")).data["items"]] == ["europe"]
    by_id = await alice.api.get(f"/api/v1/probes/{row['id']}")
    assert by_id.data["code"] == "europe"


async def test_a_key_that_is_made_here_is_shown_once(alice: Alice) -> None:
    made = (await alice.api.post("/api/v1/locations", {"code": "lab", "endpoint_url": "https://127.0.0.1:9"})).data
    assert made["api_key"].startswith("tpk_")
    assert made["api_key"] not in (await alice.api.get("/api/v1/locations")).text
    fresh = (await alice.api.post(f"/api/v1/probes/{made['id']}/rotate-key", {})).data
    assert fresh["api_key"] != made["api_key"]
    probe = alice.house.parts.corridor.watchlist.roster.get(alice.workspace_id, "lab").probe
    assert probe.keys == (fresh["api_key"], made["api_key"])
    assert made["api_key"] not in (await alice.api.get("/api/v1/audit-log")).text


async def test_a_pull_location_gives_a_command_to_join_with(alice: Alice) -> None:
    made = (await alice.api.post("/api/v1/locations", {"code": "office", "mode": "pull"})).data
    assert made["join"]["command"] == f"tocsin probe --join http://tocsin.test#{made['join']['token']}"
    again = await alice.api.post(f"/api/v1/probes/{made['id']}/join-token", {})
    assert again.status == 201
    assert again.data["token"] != made["join"]["token"]
    refused = await alice.api.post(f"/api/v1/probes/{made['id']}/rotate-key", {})
    assert refused.status == 409
    assert "not linked" in refused.data["detail"]
    push = (await alice.api.post("/api/v1/locations", PUSH)).data
    assert (await alice.api.post(f"/api/v1/probes/{push['id']}/join-token", {})).status == 409


@pytest.mark.parametrize(
    ("given", "field", "says"),
    [
        ({"code": "local", "mode": "pull"}, "code", "this is what this server itself is called"),
        ({"code": "US East", "mode": "pull"}, "code", "lower-case letters, digits and dashes"),
        ({"code": "x", "mode": "push"}, "endpoint_url", "the https:// address"),
        ({"code": "x", "mode": "pull", "api_key": "sixteen letters or more"}, "api_key", "a pull probe calls us"),
        (PUSH | {"endpoint_url": "ftp://127.0.0.1"}, "endpoint_url", "an https:// URL"),
        (PUSH | {"endpoint_url": "https://u:p@127.0.0.1"}, "endpoint_url", "an https:// URL"),
        (PUSH | {"endpoint_url": "https://169.254.169.254"}, "endpoint_url", "a place that may be contacted"),
        (PUSH | {"pin": "z" * 64}, "pin", "a SHA-256 fingerprint"),
        (PUSH | {"latitude": 12}, "latitude", "latitude and longitude"),
    ],
)
async def test_wrong_locations_are_refused_by_field(alice: Alice, given: dict[str, Any], field: str, says: str) -> None:
    answer = await alice.api.post("/api/v1/locations", given)
    assert answer.status == 422, answer.text
    (problem,) = answer.data["errors"]
    assert problem["field"] == field
    assert says in problem["expected"]


@pytest.mark.parametrize(("cause", "field"), [("no_probe", "endpoint_url"), ("key", "api_key"), ("certificate", "pin")])
async def test_what_answers_and_is_not_our_probe_is_refused_with_the_reason(
    alice: Alice, reach: Probes, cause: str, field: str
) -> None:
    reach.silence("europe", why="it said 404", cause=cause)
    answer = await alice.api.post("/api/v1/locations", PUSH)
    assert answer.status == 422
    assert [(p["field"], p["found"]) for p in answer.data["errors"]] == [(field, "that it said 404")]
    reach.silence("europe", why="connection refused")
    assert (await alice.api.post("/api/v1/locations", PUSH)).status == 201  # it may not run yet


async def test_a_code_that_exists_is_refused(alice: Alice) -> None:
    assert (await alice.api.post("/api/v1/locations", PUSH)).status == 201
    again = await alice.api.post("/api/v1/probes", PUSH)
    assert again.status == 409
    assert again.data["detail"] == "there is a location europe already"


async def test_it_is_asked_how_it_is(alice: Alice, reach: Probes) -> None:
    id = (await alice.api.post("/api/v1/locations", PUSH)).data["id"]
    row = (await alice.api.post(f"/api/v1/probes/{id}/health-check", {})).data
    assert (row["state"], row["is_healthy"], row["latency_ms"], row["version"]) == ("well", True, 12.5, "1.0")
    reach.silence("europe", why="connection refused")
    await alice.api.post(f"/api/v1/probes/{id}/health-check", {})
    row = (await alice.api.post(f"/api/v1/probes/{id}/health-check", {})).data
    assert (row["state"], row["is_healthy"], row["why"]) == ("lost", False, "connection refused")
    (incident,) = (await alice.api.get("/api/v1/incidents?open=true")).data["items"]
    assert incident["monitor_id"] is None
    assert "(connection refused); no monitor is checked from it" in incident["reason"]


async def test_a_key_is_not_sent_to_another_place_without_being_typed_again(alice: Alice) -> None:
    await alice.api.post("/api/v1/locations", PUSH)
    moved = await alice.api.patch("/api/v1/locations/europe", {"endpoint_url": "https://127.0.0.1:10"})
    assert [p["field"] for p in moved.data["errors"]] == ["api_key"]
    moved = await alice.api.patch(
        "/api/v1/locations/europe", {"endpoint_url": "https://127.0.0.1:10", "api_key": "another key of it"}
    )
    assert moved.data["endpoint_url"] == "https://127.0.0.1:10"
    assert (await alice.api.patch("/api/v1/locations/europe", {"name": "Frankfurt"})).data["name"] == "Frankfurt"
    assert (await alice.api.patch("/api/v1/locations/europe", {"code": "eu"})).status == 422


async def test_locations_alone_mean_a_global_monitor_and_local_takes_none(alice: Alice) -> None:
    await alice.api.post("/api/v1/locations", PUSH)
    monitor = {"name": "Shop", "type": "http", "target": {"url": "http://127.0.0.1:9/"}, "locations": ["europe"]}
    refused = await alice.api.post("/api/v1/monitors", monitor | {"monitoring_type": "local"})
    assert [(p["field"], p["expected"]) for p in refused.data["errors"]] == [
        ("locations", "none, as monitoring_type is local (global is checked at locations)")
    ]
    made = await alice.api.post("/api/v1/monitors", monitor)
    assert (made.status, made.data["monitoring_type"], made.data["locations"]) == (201, "global", ["europe"])
    path = f"/api/v1/monitors/{made.data['id']}"
    renamed = await alice.api.patch(path, {"name": "Till"})
    assert (renamed.data["monitoring_type"], renamed.data["locations"]) == ("global", ["europe"])
    home = await alice.api.patch(path, {"monitoring_type": "local"})
    assert (home.status, home.data["monitoring_type"], home.data["locations"]) == (200, "local", [])
    away = await alice.api.patch(path, {"locations": ["europe", "local"], "quorum": 2})
    assert (away.status, away.data["monitoring_type"], away.data["quorum"]) == (200, "global", 2)


async def test_one_that_monitors_use_is_not_deleted(alice: Alice) -> None:
    await alice.api.post("/api/v1/locations", PUSH)
    monitor = {
        "name": "Shop", "type": "http", "target": {"url": "http://127.0.0.1:9/"}, "monitoring_type": "global",
        "locations": ["local", "europe"],
    }  # fmt: skip
    made = await alice.api.post("/api/v1/monitors", monitor)
    assert made.status == 201, made.text
    refused = await alice.api.delete("/api/v1/locations/europe")
    assert refused.status == 409
    assert refused.data["detail"].startswith("Shop would still be checked from there")
    await alice.api.patch(f"/api/v1/monitors/{made.data['id']}", {"monitoring_type": "local", "locations": []})
    assert (await alice.api.delete("/api/v1/locations/europe")).status == 204
    assert (await alice.api.get("/api/v1/locations/europe")).status == 404
    unknown = await alice.api.post("/api/v1/monitors", monitor)
    assert [p["field"] for p in unknown.data["errors"]] == ["locations[1]"]


async def test_this_server_itself_can_only_be_told_what_it_fails_with(alice: Alice) -> None:
    assert (await alice.api.patch("/api/v1/locations/local", {"failure_domain": "office"})).data[
        "failure_domain"
    ] == "office"
    assert (await alice.api.patch("/api/v1/locations/local", {"enabled": False})).status == 422
    assert (await alice.api.delete("/api/v1/locations/local")).status == 404


async def test_another_workspace_and_those_who_may_not_see_or_change_nothing(alice: Alice) -> None:
    row = (await alice.api.post("/api/v1/locations", PUSH)).data
    _, bob = await alice.house.person("bob@example.org", "VIEWER", alice.workspace_id)
    _, charlie = await alice.house.person("charlie@example.org", "ADMIN")
    as_bob, as_charlie = alice.house.caller(bob), alice.house.caller(charlie)
    seen = (await as_bob.get("/api/v1/locations/europe")).data
    assert (seen["state"], seen["endpoint_url"]) == (row["state"], None) or seen["endpoint_url"] is None
    for call in (
        as_bob.post("/api/v1/locations", PUSH | {"code": "x"}),
        as_bob.patch("/api/v1/locations/europe", {"name": "x"}),
        as_bob.delete("/api/v1/locations/europe"),
        as_bob.post(f"/api/v1/probes/{row['id']}/rotate-key", {}),
        as_bob.post(f"/api/v1/probes/{row['id']}/health-check", {}),
    ):
        assert (await call).status == 403
    assert [r["code"] for r in (await as_charlie.get("/api/v1/locations")).data["items"]] == ["local"]
    for path in ("/api/v1/locations/europe", f"/api/v1/probes/{row['id']}"):
        assert (await as_charlie.get(path)).status == 404
        assert (await as_charlie.patch(path, {"name": "x"})).status == 404
        assert (await as_charlie.delete(path)).status == 404
    for what in ("rotate-key", "health-check", "join-token"):
        assert (await as_charlie.post(f"/api/v1/probes/{row['id']}/{what}", {})).status == 404
    monitor = {
        "name": "Spy", "type": "http", "target": {"url": "http://127.0.0.1:9/"}, "monitoring_type": "global",
        "locations": ["europe"],
    }  # fmt: skip
    assert (await as_charlie.post("/api/v1/monitors", monitor)).status == 422


async def test_what_the_locations_agreed_on_is_told_tick_by_tick(alice: Alice, reach: Probes) -> None:
    await alice.api.post("/api/v1/locations", PUSH)
    await alice.api.post("/api/v1/locations", PUSH | {"code": "asia"})
    monitor = {
        "name": "Shop", "type": "http", "target": {"url": "http://127.0.0.1:9/"}, "monitoring_type": "global",
        "locations": ["europe", "asia"], "interval_s": 60, "retries": 0,
    }  # fmt: skip
    id = (await alice.api.post("/api/v1/monitors", monitor)).data["id"]
    await alice.api.post(f"/api/v1/monitors/{id}/run", {})
    reach.status["asia"] = "down"
    await alice.api.post(f"/api/v1/monitors/{id}/run", {})
    shown = (await alice.api.get(f"/api/v1/monitors/{id}/consensus?window=1h")).data
    tick = shown["items"][0]
    assert (tick["total"], tick["successful"], tick["consensus"]) == (2, 1, "PARTIAL")
    assert (tick["avg_ms"], tick["min_ms"], tick["max_ms"]) == (5.0, 5.0, 5.0)
    assert [(r["location"], r["status"], r["stand_in"]) for r in tick["results"]] == [
        ("asia", "down", None), ("europe", "up", None),
    ]  # fmt: skip
    assert shown["next_cursor"] is None
    parts = alice.house.parts
    ticking = Ticking(parts.store, parts.corridor.watchlist, parts.clock)
    assert await ticking.settle() >= 1  # kept, it is the same
    assert (await alice.api.get(f"/api/v1/monitors/{id}/consensus?window=1h")).data == shown
    assert (await alice.api.get(f"/api/v1/monitors/{id}/consensus?cursor=nonsense")).status == 422
    _, charlie = await alice.house.person("charlie@example.org", "ADMIN")
    assert (await alice.house.caller(charlie).get(f"/api/v1/monitors/{id}/consensus")).status == 404


async def test_a_server_has_a_place_on_the_map_where_it_is_given_one(alice: Alice) -> None:
    here = "/api/v1/locations/local"
    placed = await alice.api.send("PATCH", here, {"latitude": 48.2, "longitude": 16.4})
    assert (placed.status, placed.data["latitude"], placed.data["longitude"]) == (200, 48.2, 16.4), placed.text
    for wrong, why in (
        ({"latitude": None}, "latitude and longitude, or neither"), ({"latitude": 91}, "latitude"),
        ({"name": "Vienna"}, "nothing: this is this server itself"),
    ):  # fmt: skip
        refused = await alice.api.send("PATCH", here, wrong)
        assert (refused.status, why in refused.text) == (422, True), refused.text
    gone = await alice.api.send("PATCH", here, {"latitude": None, "longitude": None})
    assert (gone.data["latitude"], gone.data["longitude"]) == (None, None)
