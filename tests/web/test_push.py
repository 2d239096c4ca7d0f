"""Push monitors: their tokens are the server's, seen by who may write, gone when they are replaced."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tocsin.core.access import UserRole
from web.caller import Caller
from web.conftest import Alice

PUSH = {"name": "backup", "type": "push", "target": {"period_s": 60}}
TOKEN = re.compile(r"http://tocsin\.test/api/push/([A-Za-z0-9_-]{43})")


async def made(alice: Alice, **more: Any) -> dict[str, Any]:
    answer = await alice.api.post("/api/v1/monitors", PUSH | more)
    assert answer.status == 201, answer.text
    return answer.data


def token_of(monitor: dict[str, Any]) -> str:
    fit = TOKEN.fullmatch(monitor["push_url"])
    assert fit is not None, monitor["push_url"]
    return fit[1]


async def calls(alice: Alice, token: str) -> int:
    return (await alice.house.caller().get(f"/ping/{token}")).status


async def as_role(alice: Alice, role: UserRole) -> Caller:
    _, token = await alice.house.person(f"{role.lower()}@example.org", role, alice.workspace_id)
    return alice.house.caller(token)


async def test_the_server_makes_the_token(alice: Alice) -> None:
    one, two = await made(alice), await made(alice, target={"token": ""})
    assert token_of(one) != token_of(two)
    assert await calls(alice, token_of(one)) == 200
    assert one["target"]["token"] == "***"
    assert alice.house.parts.corridor.watchlist.get(one["id"]).monitor.target["token"] == token_of(one)


async def test_an_unknown_token_is_told_as_such(alice: Alice) -> None:
    for path in ("/api/push/", "/ping/"):
        answer = await alice.house.caller().get(path + "t" * 43)
        assert (answer.status, "there is no monitor with this token" in answer.text) == (404, True)


@pytest.mark.parametrize("token", ["backupbackupbackup", "x" * 43, "***"])
async def test_nobody_chooses_a_token(alice: Alice, token: str) -> None:
    answer = await alice.api.post("/api/v1/monitors", PUSH | {"target": {"token": token}})
    assert (answer.status, answer.fields) == (422, ["target.token"])
    mine = await made(alice)
    answer = await alice.api.patch(f"/api/v1/monitors/{mine['id']}", {"target": {"token": "y" * 43}})
    assert (answer.status, answer.fields) == (422, ["target.token"])
    assert await calls(alice, token_of(mine)) == 200


async def test_another_workspaces_token_cannot_be_taken(alice: Alice) -> None:
    hers = token_of(await made(alice))
    _, token = await alice.house.person("charlie@example.org", "ADMIN")
    charlie = alice.house.caller(token)
    answer = await charlie.post("/api/v1/monitors", PUSH | {"target": {"token": hers}})
    assert answer.status == 422
    assert hers not in answer.text


async def test_a_change_keeps_the_token_and_an_empty_one_renews_it(alice: Alice) -> None:
    mine = await made(alice)
    path, old = f"/api/v1/monitors/{mine['id']}", token_of(mine)
    for data in ({"name": "x"}, {"target": {"grace_s": 5}}, {"target": mine["target"]}, {"target": {"token": old}}):
        assert token_of((await alice.api.patch(path, data)).data) == old
    fresh = token_of((await alice.api.patch(path, {"target": {"token": ""}})).data)
    assert fresh != old
    assert (await calls(alice, old), await calls(alice, fresh)) == (404, 200)


async def test_an_old_token_is_over_when_the_type_changes_or_the_monitor_goes(alice: Alice) -> None:
    mine, other = await made(alice), await made(alice)
    changed = {"type": "tcp", "target": {"host": "127.0.0.1", "port": 9}, "paused": True}
    assert (await alice.api.patch(f"/api/v1/monitors/{mine['id']}", changed)).data["push_url"] is None
    assert await calls(alice, token_of(mine)) == 404
    again = (await alice.api.patch(f"/api/v1/monitors/{mine['id']}", {"type": "push", "target": {}})).data
    assert token_of(again) != token_of(mine)
    await alice.api.delete(f"/api/v1/monitors/{other['id']}")
    assert await calls(alice, token_of(other)) == 404


async def test_only_who_may_write_sees_the_address(alice: Alice) -> None:
    mine = await made(alice)
    path, token = f"/api/v1/monitors/{mine['id']}", token_of(mine)
    viewer, user = await as_role(alice, "VIEWER"), await as_role(alice, "USER")
    key = (await alice.api.post("/api/v1/api-keys", {"name": "r", "scopes": ["read"]})).data["key"]
    for reader in (viewer, alice.house.caller(key)):
        for place in (path, "/api/v1/monitors", f"{path}/explain", f"{path}/results", "/site-stats"):
            assert token not in (await reader.get(place)).text
        assert (await reader.get(path)).data["push_url"] is None
    assert token_of((await user.get(path)).data) == token
    page = f"/monitors/{mine['id']}"
    for who, seen in ((viewer, False), (user, True)):
        who.cookies["tocsin_session"], who.token = who.token or "", None
        text = (await who.get(page, accept="text/html")).text
        assert (token in text) is seen
        assert ("data-copy" in text) is seen
        assert (f"{page}/address" in text) is seen


async def test_a_push_monitor_made_and_readdressed_in_the_browser(alice: Alice) -> None:
    browser = alice.house.caller(origin="http://tocsin.test", content_type="application/x-www-form-urlencoded")
    browser.cookies["tocsin_session"] = alice.api.token or ""
    form = b"name=nightly&type=push&target.period_s=3600&target.grace_s=60&interval_s=60&channels_mode=default"
    answer = await browser.send("POST", "/monitors/new", raw=form)
    assert answer.status == 303, answer.text
    page = answer.headers["location"].partition("?")[0]
    found = TOKEN.search((await browser.get(page)).text)
    assert found is not None
    assert await calls(alice, found[1]) == 200
    edited = await browser.send("POST", f"{page}/edit", raw=form + b"&target.token=" + b"z" * 43)
    assert edited.status == 303, edited.text
    assert await calls(alice, found[1]) == 200
    assert (await browser.send("POST", f"{page}/address", raw=b"")).status == 303
    fresh = TOKEN.search((await browser.get(page)).text)
    assert fresh is not None
    assert (await calls(alice, found[1]), await calls(alice, fresh[1])) == (404, 200)


async def test_a_jobs_message_becomes_one_plain_line(alice: Alice) -> None:
    mine = await made(alice)
    token, path = token_of(mine), f"/api/v1/monitors/{mine['id']}/results"
    caller = alice.house.caller()
    assert (await caller.send("POST", f"/ping/{token}/fail", raw=b"disk\x00full\r\n\x1b[31mred")).status == 200
    (result,) = (await alice.api.get(path)).data["items"]
    assert result["error"]["message"] == "disk full [31mred"
    assert (await caller.get(f"/api/push/{token}?status=down&msg=a%00b%1bc")).status == 200
    assert (await alice.api.get(path)).data["items"][0]["error"]["message"] == "a b c"


@pytest.mark.parametrize(
    ("ping", "total"),
    [("", None), ("12.5", 12.5), ("12ms", 12), ("fast", None), ("-1", None), ("NaN", None), ("9" * 30, 86_400_000)],
)
async def test_a_ping_that_is_no_number_says_nothing(alice: Alice, ping: str, total: float | None) -> None:
    mine = await made(alice)
    answer = await alice.house.caller().get(f"/api/push/{token_of(mine)}?status=up&msg=OK&ping={ping}")
    assert (answer.status, answer.data) == (200, {"ok": True})
    (result,) = (await alice.api.get(f"/api/v1/monitors/{mine['id']}/results")).data["items"]
    assert result["timing_ms"].get("total") == total


async def test_a_status_that_is_neither_is_refused(alice: Alice) -> None:
    token = token_of(await made(alice))
    assert (await alice.house.caller().get(f"/api/push/{token}?status=failed")).status == 422


UUID, OTHER = "5bf66975-d4c7-4bf5-bcc8-b8d8a82ea278", "9a1f0c52-3a55-4cbb-8a0e-6c1d0e0e7f11"


async def test_an_admin_may_bring_an_address_from_elsewhere(alice: Alice) -> None:
    mine = await made(alice, target={"token": UUID})
    assert mine["push_url"] == f"http://tocsin.test/api/push/{UUID}"
    assert await calls(alice, UUID) == 200
    path = f"/api/v1/monitors/{mine['id']}"
    assert (await alice.api.patch(path, {"target": {"token": OTHER}})).status == 200
    assert (await calls(alice, UUID), await calls(alice, OTHER)) == (404, 200)
    assert (await alice.api.patch(path, {"target": {"token": OTHER, "grace_s": 1}})).status == 200


async def test_two_monitors_never_share_an_address(alice: Alice) -> None:
    await made(alice, target={"token": UUID})
    again = await alice.api.post("/api/v1/monitors", PUSH | {"target": {"token": UUID}})
    assert (again.status, again.fields) == (422, ["target.token"])
    _, token = await alice.house.person("charlie@example.org", "ADMIN")
    assert (await alice.house.caller(token).post("/api/v1/monitors", PUSH | {"target": {"token": UUID}})).status == 422


async def test_only_an_admin_may(alice: Alice) -> None:
    user = await as_role(alice, "USER")
    answer = await user.post("/api/v1/monitors", PUSH | {"target": {"token": UUID}})
    assert (answer.status, answer.fields) == (422, ["target.token"])
    key = (await alice.api.post("/api/v1/api-keys", {"name": "w", "scopes": ["write"]})).data["key"]
    assert (await alice.house.caller(key).post("/api/v1/monitors", PUSH | {"target": {"token": UUID}})).status == 422


async def test_a_run_id_is_a_uuid(alice: Alice) -> None:
    token, caller = token_of(await made(alice)), alice.house.caller()
    for path in (f"/ping/{token}", f"/ping/{token}/start"):
        assert (await caller.get(f"{path}?rid={UUID}")).status == 200
        assert (await caller.get(f"{path}?rid={UUID.upper()}")).status == 200
        assert (await caller.get(f"{path}?rid=nightly")).status == 400
        assert (await caller.get(f"{path}?rid=")).status == 200


async def test_what_a_job_printed_is_for_those_who_may_write(alice: Alice) -> None:
    mine = await made(alice)
    token, path, caller = token_of(mine), f"/api/v1/monitors/{mine['id']}", alice.house.caller()
    printed = b"first line\nDB_PASSWORD=s3cret\x1b[0m\n" + b"x" * 20_000
    answer = await caller.send("POST", f"/ping/{token}/log", raw=b"half way, s3cret")
    assert (answer.status, answer.text, answer.headers["ping-body-limit"]) == (200, "OK", "10000")
    assert (await caller.send("POST", f"/ping/{token}", raw=printed)).status == 200
    (result,) = (await alice.api.get(f"{path}/results")).data["items"]
    body = result["facts"]["body"]
    assert body.startswith("first line\nDB_PASSWORD=s3cret [0m\nxxx")
    assert len(body) == 10_000
    assert result["facts"]["log"][0]["text"] == "half way, s3cret"
    viewer = await as_role(alice, "VIEWER")
    seen = (await viewer.get(f"{path}/results")).data["items"][0]["facts"]
    assert set(seen) == {"message"}
    for who, sees in ((alice.api, True), (viewer, False)):
        browser = alice.house.caller()
        browser.cookies["tocsin_session"] = who.token or ""
        text = (await browser.get(f"/monitors/{mine['id']}", accept="text/html")).text
        assert ("What the job said last" in text, "half way, s3cret" in text) == (sees, sees)


async def test_a_schedule_by_api_and_form(alice: Alice) -> None:
    target = {"schedule": "30 2 * * 1-5", "timezone": "Europe/Berlin", "max_run_s": 600}
    mine = await made(alice, target=target)
    assert mine["shown"].startswith("a call at 02:30 on Monday through Friday (Europe/Berlin)")
    wrong = await alice.api.post("/api/v1/monitors", PUSH | {"target": {"schedule": "0 25 * * *", "timezone": "x"}})
    assert (wrong.status, sorted(wrong.fields)) == (422, ["target.schedule", "target.timezone"])
    browser = alice.house.caller(origin="http://tocsin.test", content_type="application/x-www-form-urlencoded")
    browser.cookies["tocsin_session"] = alice.api.token or ""
    form = b"name=n&type=push&target.schedule=0+4+*+*+*&target.timezone=Europe%2FBerlin&target.grace_s=60&interval_s=60"
    words = (await browser.send("POST", "/monitors/new/words", raw=form + b"&channels_mode=default")).text
    assert "A job should call us at 04:00 every day (Europe/Berlin)." in words
    assert "When no call has come 1 min later, it is down." in words
    assert (await browser.send("POST", "/monitors/new", raw=form + b"&channels_mode=default")).status == 303
