"""Maintenance windows and silences through the API: what is refused, when they come, what they hold back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tocsin.core.result import iso
from web.conftest import Alice

WINDOWS = "/api/v1/maintenance-windows"
SOON = datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)
GOOD: dict[str, Any] = {"name": "Updates", "scope": {"everything": True}, "starts_at": iso(SOON), "duration_s": 3600}


async def test_a_window_is_planned_read_changed_and_forgotten(alice: Alice) -> None:
    made = await alice.api.post(WINDOWS, GOOD | {"rrule": "FREQ=WEEKLY", "time_zone": "Europe/Berlin"})
    assert made.status == 201, made.text
    one = f"{WINDOWS}/{made.data['id']}"
    assert made.headers["location"] == one
    assert (made.data["running"], made.data["next_at"], made.data["ends_at"]) == (False, iso(SOON), None)
    assert (await alice.api.get(one)).data == made.data
    assert (await alice.api.get(WINDOWS)).data["items"] == [made.data]
    times = (await alice.api.get(one + "/occurrences?count=3")).data["items"]
    assert len(times) == 3
    assert times[0] == {"starts_at": iso(SOON), "ends_at": iso(SOON + timedelta(hours=1))}
    changed = await alice.api.patch(one, {"duration_s": 60, "enabled": False})
    assert (changed.data["duration_s"], changed.data["rrule"], changed.data["next_at"]) == (60, "FREQ=WEEKLY", None)
    assert changed.data["version"] == 2
    once = await alice.api.patch(one, {"rrule": None, "enabled": True})
    assert (once.data["rrule"], once.data["next_at"]) == (None, iso(SOON))
    assert (await alice.api.delete(one)).status == 204
    assert (await alice.api.get(one)).status == 404


async def test_all_that_is_wrong_with_a_window_is_named_together(alice: Alice) -> None:
    answer = await alice.api.post(
        WINDOWS,
        {"name": "", "scope": {"monitors": ["nope"]}, "starts_at": "tomorrow", "duration_s": 5, "time_zone": "Mars/X"},
    )
    assert answer.status == 422
    assert set(answer.fields) == {"name", "scope.monitors[0]", "starts_at", "duration_s", "time_zone"}


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"scope": {}}, "scope"),
        ({"scope": {"monitors": []}}, "scope"),
        ({"time_zone": "../etc/passwd"}, "time_zone"),
        ({"time_zone": "Europe/Atlantis"}, "time_zone"),
        ({"rrule": "FREQ=SECONDLY"}, "rrule"),
        ({"rrule": "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30"}, "rrule"),
        ({"rrule": "every week"}, "rrule"),
        ({"rrule": "FREQ=WEEKLY;UNTIL=20200101"}, "rrule"),
        ({"starts_at": "2020-01-01T00:00:00Z"}, "starts_at"),
        ({"starts_at": "1970-01-01T00:00:00Z", "rrule": "FREQ=DAILY"}, "starts_at"),
        ({"starts_at": "9999-12-31T23:59:59Z"}, "starts_at"),
        ({"duration_s": 40_000_000}, "duration_s"),
        ({"silence": True}, "silence"),
    ],
)
async def test_what_can_never_be_is_refused(alice: Alice, fields: dict[str, Any], wrong: str) -> None:
    answer = await alice.api.post(WINDOWS, GOOD | fields)
    assert (answer.status, answer.fields) == (422, [wrong]), answer.text
    preview = await alice.api.post(WINDOWS + "/preview", GOOD | fields)
    assert preview.fields == [wrong]


async def test_a_window_can_be_seen_before_it_is_kept(alice: Alice) -> None:
    wanted = GOOD | {"rrule": "FREQ=MONTHLY;BYDAY=1SU", "time_zone": "America/New_York"}
    shown = await alice.api.post(WINDOWS + "/preview?count=2", wanted)
    assert (shown.status, len(shown.data["items"])) == (200, 2)
    assert (await alice.api.get(WINDOWS)).data["items"] == []


async def test_a_window_that_lasts_is_there_at_once_and_ends_when_it_is_deleted(alice: Alice) -> None:
    monitor = (
        await alice.api.post("/api/v1/monitors", {"name": "x", "type": "push", "target": {}, "interval_s": 60})
    ).data
    now = datetime.now(UTC)
    made = await alice.api.post(WINDOWS, GOOD | {"starts_at": iso(now - timedelta(minutes=1))})
    assert (made.data["running"], made.data["ends_at"] is not None) == (True, True)
    assert (await alice.api.get(made.headers["location"] + "/occurrences")).data["items"][0]["ends_at"] == made.data[
        "ends_at"
    ]
    why = (await alice.api.get(f"/api/v1/monitors/{monitor['id']}/explain")).data
    assert why["now"]["maintenance"] is True
    assert why["held_back"] == {"kind": "maintenance", "why": "maintenance “Updates”", "until": made.data["ends_at"]}
    await alice.api.delete(made.headers["location"])
    why = (await alice.api.get(f"/api/v1/monitors/{monitor['id']}/explain")).data
    assert (why["now"]["maintenance"], why["held_back"]) == (False, None)


async def test_a_silence_begins_now_and_ends_when_told(alice: Alice) -> None:
    made = await alice.api.post("/api/v1/silences", {"scope": {"tags": ["x"]}, "duration_s": 3600, "reason": "Moving"})
    assert made.status == 201, made.text
    assert (made.data["reason"], made.data["created_by"]) == ("Moving", "alice@example.org")
    until = iso(datetime.now(UTC) + timedelta(hours=2))
    other = await alice.api.post("/api/v1/silences", {"scope": {"everything": True}, "until": until})
    assert abs(datetime.fromisoformat(other.data["ends_at"]) - datetime.fromisoformat(str(until))) < timedelta(
        seconds=1
    )
    items = (await alice.api.get("/api/v1/silences")).data["items"]
    assert [item["id"] for item in items] == [made.data["id"], other.data["id"]]
    assert (await alice.api.get(WINDOWS)).data["items"] == []
    assert (await alice.api.get(f"{WINDOWS}/{made.data['id']}")).status == 404
    assert (await alice.api.delete(f"{WINDOWS}/{made.data['id']}")).status == 404
    for item in items:
        assert (await alice.api.delete(f"/api/v1/silences/{item['id']}")).status == 204
    assert (await alice.api.get("/api/v1/silences")).data["items"] == []


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({}, {"duration_s"}),
        ({"duration_s": 60, "until": iso(SOON)}, {"duration_s"}),
        ({"until": "2020-01-01T00:00:00Z"}, {"until"}),
        ({"until": "9999-01-01T00:00:00Z"}, {"until"}),
        ({"duration_s": 1, "scope": {"monitors": ["nope"]}, "x": 1}, {"duration_s", "scope.monitors[0]", "x"}),
    ],
)
async def test_a_silence_without_an_end_is_refused(alice: Alice, fields: dict[str, Any], wrong: set[str]) -> None:
    answer = await alice.api.post("/api/v1/silences", {"scope": {"everything": True}} | fields)
    assert (answer.status, set(answer.fields)) == (422, wrong), answer.text


async def test_who_may_only_look_plans_and_silences_nothing(alice: Alice) -> None:
    _, token = await alice.house.person("viewer@example.org", "VIEWER", alice.workspace_id)
    viewer = alice.house.caller(token)
    assert (await viewer.get(WINDOWS)).status == 200
    assert (await viewer.post(WINDOWS, GOOD)).status == 403
    assert (await viewer.post("/api/v1/silences", {"scope": {"everything": True}, "duration_s": 60})).status == 403


async def test_nobody_sees_anothers_windows(alice: Alice) -> None:
    made = await alice.api.post(WINDOWS, GOOD)
    _, token = await alice.house.person("charlie@example.org", "ADMIN")
    charlie = alice.house.caller(token)
    assert (await charlie.get(WINDOWS)).data["items"] == []
    for answer in (await charlie.get(made.headers["location"]), await charlie.delete(made.headers["location"])):
        assert answer.status == 404
    monitor = (await alice.api.post("/api/v1/monitors", {"name": "x", "type": "push", "target": {}})).data["id"]
    wrong = await charlie.post(WINDOWS, GOOD | {"scope": {"monitors": [monitor]}})
    assert wrong.fields == ["scope.monitors[0]"]
