"""Escalation policies and on-call schedules by the API: made, looked at, refused, in use."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tocsin.core.result import iso
from tocsin.pipeline.telling import UNMAILED
from web.conftest import Alice, set_up

POLICIES, SCHEDULES = "/api/v1/escalation-policies", "/api/v1/on-call-schedules"
MONDAY = "2026-03-02T08:00:00Z"


async def her_id(alice: Alice) -> str:
    return (await alice.api.get("/api/v1/members")).data["items"][0]["id"]


async def a_schedule(alice: Alice, **more: Any) -> dict[str, Any]:
    rotation = {"people": [await her_id(alice)], "starts_at": MONDAY}
    answer = await alice.api.post(SCHEDULES, {"name": "Primary", "rotations": [rotation]} | more)
    assert answer.status == 201, answer.text
    assert answer.headers["location"] == f"{SCHEDULES}/{answer.data['id']}"
    return answer.data


async def a_policy(alice: Alice, *steps: dict[str, Any], **more: Any) -> dict[str, Any]:
    given = steps or ({"delay_s": 60, "people": [await her_id(alice)]},)
    answer = await alice.api.post(POLICIES, {"name": "Ops", "steps": list(given)} | more)
    assert answer.status == 201, answer.text
    return answer.data


async def test_a_schedule_says_who_is_on_duty(alice: Alice) -> None:
    bob, _ = await alice.house.person("bob@example.org", "USER", alice.workspace_id)
    await alice.house.parts.corridor.telling_changed(alice.workspace_id)
    hers = await her_id(alice)
    rotation = {"people": [hers, bob.id], "starts_at": MONDAY, "unit": "day"}
    made = await a_schedule(alice, time_zone="Europe/Berlin", rotations=[rotation])
    assert made["warnings"] == [f"alice@example.org and bob@example.org {UNMAILED}"]
    stretch = "from=2026-03-02T08:00:00Z&to=2026-03-04T08:00:00Z"
    shown = (await alice.api.get(f"{SCHEDULES}/{made['id']}/shifts?{stretch}")).data["items"]
    assert [(s["email"], s["starts_at"], s["rotation"]) for s in shown] == [
        ("alice@example.org", "2026-03-02T08:00:00.000Z", 0), ("bob@example.org", "2026-03-03T08:00:00.000Z", 0),
    ]  # fmt: skip
    now = (await alice.api.get(f"{SCHEDULES}/{made['id']}/now")).data
    assert now["email"] in ("alice@example.org", "bob@example.org")
    assert now["warning"] == f"{now['email']} {UNMAILED}"
    assert now["person"] == (await alice.api.get(SCHEDULES)).data["items"][0]["on_duty"]


async def test_a_hole_in_a_schedule_is_warned_of(alice: Alice) -> None:
    rotation = {"people": [await her_id(alice)], "starts_at": MONDAY, "from_time": "09:00", "until_time": "17:00"}
    made = await a_schedule(alice, rotations=[rotation])
    warning, mute = made["warnings"]
    assert mute == f"alice@example.org {UNMAILED}"
    assert warning.startswith("nobody is on duty in “Primary” from ")
    assert warning.endswith("(UTC)")
    policy = await a_policy(alice, {"delay_s": 0, "schedules": [made["id"]]})
    assert policy["warnings"] == [f"step 1: {warning}", f"step 1: {mute}"]


async def test_who_left_the_workspace_is_on_duty_nowhere(alice: Alice) -> None:
    bob, _ = await alice.house.person("bob@example.org", "USER", alice.workspace_id)
    await alice.house.parts.corridor.telling_changed(alice.workspace_id)
    made = await a_schedule(alice, rotations=[{"people": [bob.id], "starts_at": MONDAY}])
    assert made["on_duty"] == bob.id
    assert (await alice.api.delete(f"/api/v1/members/{bob.id}")).status == 204
    (shown,) = (await alice.api.get(SCHEDULES)).data["items"]
    assert shown["on_duty"] is None
    hole, gone = shown["warnings"]
    assert hole.startswith("nobody is on duty in “Primary” from ")
    assert gone == "1 of its people is no member any more"
    now = (await alice.api.get(f"{SCHEDULES}/{made['id']}/now")).data
    assert (now["person"], now["email"]) == (None, None)
    assert now["warning"] == "whose turn it is, is no member any more"
    ahead = (await alice.api.get(f"{SCHEDULES}/{made['id']}/shifts")).data["items"]
    assert {shift["person"] for shift in ahead} == {None}


async def test_with_a_mail_server_everybody_is_reached(build: Callable[..., Any]) -> None:
    alice = await set_up(await build(SMTP_URL="smtp://127.0.0.1:25"))
    made = await a_schedule(alice)
    policy = await a_policy(alice, {"delay_s": 60, "schedules": [made["id"]]})
    assert (made["warnings"], policy["warnings"]) == ([], [])
    assert (await alice.api.get(f"{SCHEDULES}/{made['id']}/now")).data["warning"] is None


async def test_somebody_takes_over_for_a_while(alice: Alice) -> None:
    bob, token = await alice.house.person("bob@example.org", "USER", alice.workspace_id)
    await alice.house.parts.corridor.telling_changed(alice.workspace_id)
    made, now = await a_schedule(alice), datetime.now(UTC)
    while_ = {"starts_at": iso(now - timedelta(hours=1)), "ends_at": iso(now + timedelta(hours=1))}
    answer = await alice.house.caller(token).post(f"{SCHEDULES}/{made['id']}/overrides", while_)
    assert (answer.status, answer.data["on_duty"], answer.data["version"]) == (200, bob.id, 2)
    back = await alice.api.patch(f"{SCHEDULES}/{made['id']}", {"overrides": []})
    assert back.data["on_duty"] == await her_id(alice)
    key = (await alice.api.post("/api/v1/api-keys", {"name": "k"})).data["key"]
    assert (await alice.house.caller(key).post(f"{SCHEDULES}/{made['id']}/overrides", while_)).fields == ["person"]
    turned = {"starts_at": while_["ends_at"], "ends_at": while_["starts_at"]}
    assert (await alice.api.post(f"{SCHEDULES}/{made['id']}/overrides", turned)).fields == ["ends_at"]
    over = {"starts_at": iso(now - timedelta(hours=2)), "ends_at": iso(now - timedelta(hours=1))}
    refused = await alice.api.post(f"{SCHEDULES}/{made['id']}/overrides", over)
    assert (refused.fields, "a time to come" in refused.text) == (["ends_at"], True)
    listed = {"overrides": [over | {"person": bob.id}]}
    assert (await alice.api.patch(f"{SCHEDULES}/{made['id']}", listed)).fields == ["overrides[0].ends_at"]


async def test_nobody_is_twice_in_a_rotation(alice: Alice) -> None:
    her = await her_id(alice)
    rotation = {"people": [her, her], "starts_at": MONDAY}
    answer = await alice.api.post(SCHEDULES, {"name": "P", "rotations": [rotation]})
    assert (answer.fields, "each of them once" in answer.text) == (["rotations[0].people[1]"], True)


@pytest.mark.parametrize(
    ("wrong", "fields"),
    [
        ({"time_zone": "Mars/Base"}, ["time_zone"]),
        ({"rotations": []}, ["rotations"]),
        ({"rotations": [{"people": ["x"], "starts_at": MONDAY}]}, ["rotations[0].people[0]"]),
        ({"rotations": [{"people": [], "starts_at": MONDAY}]}, ["rotations[0].people"]),
        ({"rotations": [{"people": ["x"], "starts_at": MONDAY, "from_time": "25:00"}]}, ["rotations[0].from_time"]),
        ({"rotations": [{"people": ["x"], "starts_at": MONDAY, "days": [7]}]}, ["rotations[0].days[0]"]),
        ({"rotations": [{"people": ["x"], "starts_at": MONDAY, "every": 0}]}, ["rotations[0].every"]),
        (
            {"overrides": [{"person": "x", "starts_at": MONDAY, "ends_at": MONDAY}]},
            ["overrides[0].person", "overrides[0].ends_at"],
        ),
        ({"overrides": [{"person": "x", "starts_at": "0001-01-01T00:00:00Z", "ends_at": MONDAY}]}, None),
        ({"name": " "}, ["name"]),
        ({"mystery": 1}, ["mystery"]),
    ],
)
async def test_schedules_that_are_refused(alice: Alice, wrong: dict[str, Any], fields: list[str] | None) -> None:
    rotation = {"people": [await her_id(alice)], "starts_at": MONDAY}
    answer = await alice.api.post(SCHEDULES, {"name": "P", "rotations": [rotation]} | wrong)
    assert answer.status == 422
    if fields is not None:
        assert answer.fields == fields


@pytest.mark.parametrize(
    ("steps", "more", "fields"),
    [
        ([], {}, ["steps"]),
        ([{"delay_s": 60}], {}, ["steps[0]"]),
        ([{"delay_s": 60, "channels": ["x"]}], {}, ["steps[0].channels[0]"]),
        ([{"delay_s": 60, "people": ["x"], "schedules": ["y"]}], {}, ["steps[0].people[0]", "steps[0].schedules[0]"]),
        ([{"delay_s": -1, "people": ["x"]}], {}, ["steps[0].delay_s"]),
        ("hers", {"repeat": 1}, ["repeat"]),
        ("hers", {"repeat": 21}, ["repeat"]),
    ],
)
async def test_policies_that_are_refused(alice: Alice, steps: Any, more: dict[str, Any], fields: list[str]) -> None:
    given = [{"delay_s": 5, "people": [await her_id(alice)]}] if steps == "hers" else steps
    answer = await alice.api.post(POLICIES, {"name": "P", "steps": given} | more)
    assert (answer.status, answer.fields) == (422, fields)


async def test_what_is_in_use_cannot_be_deleted(alice: Alice) -> None:
    schedule = await a_schedule(alice)
    policy = await a_policy(alice, {"delay_s": 60, "schedules": [schedule["id"]]})
    target = {"url": "http://127.0.0.1:9/"}
    wanted = {"name": "Shop", "type": "http", "target": target, "paused": True, "escalation_policy": policy["id"]}
    monitor = await alice.api.post("/api/v1/monitors", wanted)
    assert (monitor.status, monitor.data["escalation_policy"]) == (201, policy["id"])
    refused = await alice.api.delete(f"{POLICIES}/{policy['id']}")
    assert (refused.status, refused.data["detail"]) == (409, "it is still used by monitor “Shop”")
    users = (await alice.api.get(f"{POLICIES}/{policy['id']}")).data["used_by"]
    assert users == [{"type": "monitor", "id": monitor.data["id"], "name": "Shop"}]
    refused = await alice.api.delete(f"{SCHEDULES}/{schedule['id']}")
    assert (refused.status, refused.data["detail"]) == (409, "it is still used by escalation policy “Ops”")
    await alice.api.patch(f"/api/v1/monitors/{monitor.data['id']}", {"escalation_policy": None})
    assert (await alice.api.delete(f"{POLICIES}/{policy['id']}")).status == 204
    assert (await alice.api.delete(f"{SCHEDULES}/{schedule['id']}")).status == 204
    assert (await alice.api.get(f"{POLICIES}/{policy['id']}")).status == 404
    unknown = await alice.api.patch(f"/api/v1/monitors/{monitor.data['id']}", {"escalation_policy": policy["id"]})
    assert (unknown.status, unknown.fields) == (422, ["escalation_policy"])


async def test_a_policy_is_changed_in_part(alice: Alice) -> None:
    policy = await a_policy(alice)
    answer = await alice.api.patch(f"{POLICIES}/{policy['id']}", {"repeat": 2})
    assert (answer.status, answer.data["repeat"], answer.data["version"]) == (200, 2, 2)
    assert answer.data["steps"] == policy["steps"]
    assert [p["id"] for p in (await alice.api.get(POLICIES)).data["items"]] == [policy["id"]]


@pytest.mark.parametrize("query", ["from=2026-03-02T08:00:00Z&to=2026-03-01T08:00:00Z", "to=2199-01-01T00:00:00Z"])
async def test_previews_that_are_refused(alice: Alice, query: str) -> None:
    made = await a_schedule(alice)
    answer = await alice.api.get(f"{SCHEDULES}/{made['id']}/shifts?{query}")
    assert (answer.status, answer.fields) == (422, ["to"])
