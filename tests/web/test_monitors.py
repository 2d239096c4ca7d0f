from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from tocsin.core.consensus import LocationState, Seat, decide, lost
from tocsin.core.result import CheckError, iso
from tocsin.store.batch import Batch, VerdictChange
from web.conftest import Alice


@pytest.fixture
async def target() -> AsyncIterator[str]:
    """A web server that says ok."""

    async def serve(reader: Any, writer: Any) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    server.close()
    await server.wait_closed()


async def made(alice: Alice, **fields: Any) -> dict[str, Any]:
    wanted = {"name": "Shop", "type": "http", "target": {"url": "http://127.0.0.1:9/"}, "paused": True}
    answer = await alice.api.post("/api/v1/monitors", wanted | fields)
    assert answer.status == 201, answer.text
    return answer.data


async def test_what_is_left_out_comes_from_the_settings(alice: Alice) -> None:
    usual = await made(alice)
    assert (usual["interval_s"], usual["timeout_s"], usual["retry_interval_s"]) == (60, 10, 15)
    assert (usual["monitoring_type"], usual["quorum"], usual["channels"], usual["tags"]) == (
        "local",
        "majority",
        None,
        [],
    )
    assert usual["failure_threshold"] == 2
    quick = await made(alice, interval_s=5)
    assert (quick["timeout_s"], quick["retry_interval_s"]) == (4, 2.5)
    quicker = (await alice.api.patch(f"/api/v1/monitors/{usual['id']}", {"interval_s": 2})).data
    assert (quicker["timeout_s"], quicker["retry_interval_s"], quicker["name"]) == (1.6, 1, "Shop")


async def test_a_run_checks_now_and_is_kept(alice: Alice, target: str) -> None:
    monitor = await made(alice, target={"url": target}, paused=False, interval_s=3600)
    ran = (await alice.api.post(f"/api/v1/monitors/{monitor['id']}/run")).data
    assert ran["verdict"] == "up"
    assert [r["status"] for r in ran["results"]] == ["up"]
    kept = (await alice.api.get(f"/api/v1/monitors/{monitor['id']}/results")).data["items"]
    assert ran["results"][0]["id"] in {r["id"] for r in kept}
    why = (await alice.api.get(f"/api/v1/monitors/{monitor['id']}/explain")).data
    assert why["recomputed"] == why["verdict"] == "up"
    assert why["now"]["votes"][0]["vote"] == "up"
    once = (await alice.api.post("/api/v1/checks", {"type": "http", "target": {"url": target}})).data
    assert once["status"] == "up"
    later = (await alice.api.get(f"/api/v1/monitors/{monitor['id']}/results")).data["items"]
    assert once["started_at"] not in {r["started_at"] for r in later}


async def test_a_paused_monitor_is_unknown_because_it_is_paused(alice: Alice, target: str) -> None:
    monitor = await made(alice, target={"url": target}, paused=False, interval_s=3600)
    path = f"/api/v1/monitors/{monitor['id']}"
    assert (await alice.api.post(f"{path}/run")).data["verdict"] == "up"
    held = (await alice.api.post(f"{path}/pause")).data
    told = ("unknown", "It is paused", None, False)
    assert (held["verdict"], held["reason"], held["since"], held["pending"]) == told
    why = (await alice.api.get(f"{path}/explain")).data
    assert (why["verdict"], why["paused"], why["stored"]["value"]) == ("unknown", True, "up")


async def test_lists_are_filtered_and_paged(alice: Alice) -> None:
    for n in range(7):
        await made(alice, name=f"Monitor {n}", tags=["odd" if n % 2 else "even"])
    names: list[str] = []
    url = "/api/v1/monitors?limit=3"
    while True:
        page = (await alice.api.get(url)).data
        names += [m["name"] for m in page["items"]]
        if page["next_cursor"] is None:
            break
        url = f"/api/v1/monitors?limit=3&cursor={page['next_cursor']}"
    assert names == [f"Monitor {n}" for n in range(7)]
    for query, count in (
        ("tag=odd", 3),
        ("q=monitor%205", 1),
        ("verdict=unknown", 7),
        ("verdict=up", 0),
        ("type=tcp", 0),
    ):
        assert len((await alice.api.get(f"/api/v1/monitors?{query}")).data["items"]) == count


async def test_secrets_go_in_and_never_come_out(alice: Alice) -> None:
    channel = await alice.api.post(
        "/api/v1/channels",
        {"name": "hook", "type": "webhook", "config": {"url": "http://127.0.0.1:9/", "secret": "s3cret-one"}},
    )
    assert channel.status == 201, channel.text
    assert channel.data["default"] is True
    assert channel.data["config"]["secret"] == "***"
    one = f"/api/v1/channels/{channel.data['id']}"
    changed = await alice.api.patch(one, {"name": "other", "config": {"secret": "***"}})
    assert changed.status == 200
    stored = alice.house.parts.corridor.watchlist.channel(alice.workspace_id, channel.data["id"])
    assert stored is not None
    assert stored.config["secret"] == "s3cret-one"
    log = await alice.api.get("/api/v1/audit-log")
    assert "s3cret-one" not in log.text + changed.text + (await alice.api.get("/api/v1/channels")).text


async def test_the_past_can_be_put_in_and_opens_nothing(alice: Alice) -> None:
    monitor = await made(alice, interval_s=60)
    url, now = f"/api/v1/monitors/{monitor['id']}", alice.house.parts.clock.now()
    past = [
        {"at": iso(now - timedelta(minutes=600 - n)), "status": "down" if 100 <= n < 200 else "up", "total_ms": 20}
        for n in range(590)
    ]
    assert (await alice.api.post(f"{url}/results", {"results": past})).data == {"accepted": 590}
    share = (await alice.api.get(f"{url}/uptime?window=12h")).data
    assert share["uptime"] == pytest.approx(490 / 590, abs=0.01)
    assert share["worst"] <= share["uptime"] <= share["best"]
    assert share["checks"] == 590
    assert share["avg_ms"] == pytest.approx(20, rel=0.02)
    points = (await alice.api.get(f"{url}/series?window=12h&step=3600")).data["points"]
    assert sum(p["count"] for p in points) == 590
    assert (await alice.api.get("/api/v1/incidents")).data["items"] == []
    ahead = await alice.api.post(f"{url}/results", {"results": [{"at": iso(now + timedelta(hours=1)), "status": "up"}]})
    assert ahead.fields == ["results[0].at"]


async def test_a_repeated_write_is_done_once(alice: Alice) -> None:
    wanted = {"name": "once", "type": "http", "target": {"url": "http://127.0.0.1:9/"}, "paused": True}
    answers = await asyncio.gather(
        *(alice.api.post("/api/v1/monitors", wanted, Idempotency_Key="abc") for _ in range(5))
    )  # fmt: skip
    assert {a.status for a in answers} == {201}
    assert len({a.data["id"] for a in answers}) == 1
    assert len((await alice.api.get("/api/v1/monitors")).data["items"]) == 1
    other = await alice.api.post("/api/v1/monitors", wanted | {"name": "another"}, Idempotency_Key="abc")
    assert other.fields == ["Idempotency-Key"]


async def test_deleting_forgets_it(alice: Alice) -> None:
    parent = await made(alice, name="parent")
    child = await made(alice, name="child", parents=[parent["id"]])
    loop = await alice.api.patch(f"/api/v1/monitors/{parent['id']}", {"parents": [child["id"]]})
    assert loop.fields == ["parents[0]"]
    assert loop.data["errors"][0]["found"] == "parent → child → parent"
    group = await alice.api.patch(f"/api/v1/monitors/{parent['id']}", {"parents": [[child["id"], "nope"], []]})
    assert group.fields == ["parents[1]", "parents[0][0]", "parents[0][1]"]
    twice = await alice.api.patch(
        f"/api/v1/monitors/{child['id']}", {"parents": [parent["id"], [parent["id"]] * 2, parent["id"]]}
    )
    assert (twice.fields, "each of them once" in twice.text) == (["parents[1][1]", "parents[2]"], True)
    other = await made(alice, name="other")
    both = [parent["id"], [parent["id"], other["id"]]]
    assert (await alice.api.patch(f"/api/v1/monitors/{child['id']}", {"parents": both})).data["parents"] == both
    renamed = await alice.api.patch(f"/api/v1/monitors/{child['id']}", {"name": "renamed"})
    assert (renamed.status, renamed.data["parents"]) == (200, both)
    assert (await alice.api.delete(f"/api/v1/monitors/{other['id']}")).status == 204
    assert (await alice.api.get(f"/api/v1/monitors/{child['id']}")).data["parents"] == [parent["id"]]
    assert (await alice.api.delete(f"/api/v1/monitors/{parent['id']}")).status == 204
    assert (await alice.api.get(f"/api/v1/monitors/{parent['id']}")).status == 404
    assert (await alice.api.get(f"/api/v1/monitors/{child['id']}")).data["parents"] == []


async def test_why_it_was_so_can_be_asked_for_any_moment(alice: Alice) -> None:
    monitor = await made(alice)
    parts = alice.house.parts
    now, path = parts.clock.now(), f"/api/v1/monitors/{monitor['id']}/explain"
    state = LocationState(location="local", vote="down", at=now - timedelta(hours=2), reason=CheckError("tls", "no"))
    down = decide([Seat(location="local", state=state)], "majority", 130, None, now - timedelta(hours=2))
    unseen = lost(down, now - timedelta(hours=1), "Nobody looked")
    changes = [
        VerdictChange(workspace_id=alice.workspace_id, monitor_id=monitor["id"], verdict=v) for v in (down, unseen)
    ]
    await parts.store.commit(Batch(id="b", verdicts=tuple(changes)))

    async def asked(hours: float) -> dict[str, Any]:
        return (await alice.api.get(f"{path}?at={iso(now - timedelta(hours=hours))}")).data

    before, then, later = [await asked(hours) for hours in (2.1, 1.5, 0.5)]
    assert (before["verdict"], before["stored"], before["recomputed"]) == ("unknown", None, None)
    assert (then["verdict"], then["recomputed"], then["ended"]) == ("down", "down", iso(now - timedelta(hours=1)))
    assert then["stored"]["votes"][0]["reason"]["message"] == "no"
    assert (later["verdict"], later["recomputed"], later["ended"]) == ("unknown", "unknown", None)
    assert later["stored"]["votes"][0] | {"at": None, "reason": None} == {
        "location": "local", "vote": "down", "at": None, "age_s": 3600.0, "fresh": False, "quarantined": False,
        "failure_domain": None, "reason": None, "stand_in": None,
    }  # fmt: skip
    wrong = await alice.api.get(f"{path}?at={iso(now + timedelta(hours=1))}")
    assert (wrong.status, wrong.fields) == (422, ["at"])
    browser = alice.house.caller()
    browser.cookies["tocsin_session"] = alice.api.token or ""
    text = (await browser.get(f"/monitors/{monitor['id']}", accept="text/html")).text
    changes_shown = text[text.index('id="changes"') : text.index('id="history"')]
    assert changes_shown.count("<details") == 2
    assert "Nobody looked" in changes_shown
    assert "too old to count" in changes_shown


async def test_what_fails_together_with_a_location_can_be_said(alice: Alice) -> None:
    path = "/api/v1/locations"
    assert (await alice.api.get(path)).data["items"][0]["failure_domain"] is None
    changed = await alice.api.patch(f"{path}/local", {"failure_domain": "aws"})
    assert (changed.status, changed.data["failure_domain"], changed.data["quarantined"]) == (200, "aws", False)
    assert (await alice.api.get(path)).data["items"][0]["failure_domain"] == "aws"
    monitor = await made(alice)
    why = (await alice.api.get(f"/api/v1/monitors/{monitor['id']}/explain")).data
    assert why["now"]["votes"][0]["failure_domain"] == "aws"
    changed = await alice.api.patch(f"{path}/local", {"failure_domain": None})
    assert changed.data["failure_domain"] is None
    assert (await alice.api.patch(f"{path}/nowhere", {"failure_domain": "aws"})).status == 404
    assert (await alice.api.patch(f"{path}/local", {"name": "here"})).status == 422
    log = (await alice.api.get("/api/v1/audit-log")).data["items"]
    assert [entry["after"] for entry in log if entry["noun"] == "preferences"] == [
        {"failure_domains": {}},
        {"failure_domains": {"local": "aws"}},
    ]


async def test_the_page_of_a_stored_target_that_breaks_a_rule_says_which(alice: Alice) -> None:
    parts = alice.house.parts
    wanted = {"name": "Shop", "type": "http", "target": {"url": "http://127.0.0.1:9/"}, "paused": True}
    made = (await alice.api.post("/api/v1/monitors", wanted)).data
    old = parts.corridor.watchlist.get(made["id"]).monitor
    broken = replace(old, target={**old.target, "max_redirects": 50})
    await parts.store.of(alice.workspace_id).write(lambda s: s.monitors.replace(broken))
    await parts.corridor.changed(old.id)
    reader = alice.house.caller()
    reader.cookies["tocsin_session"] = await alice.house.sign_in("alice@example.org")
    page = (await reader.get(f"/monitors/{old.id}", accept="text/html")).text
    assert "It is checked as before, though by now it breaks a rule." in page
    assert "max_redirects: expected a whole number from 0 to 20, found 50" in page
    assert (await alice.api.post(f"/api/v1/monitors/{old.id}/resume")).status == 200
    refused = await alice.api.patch(f"/api/v1/monitors/{old.id}", {"name": "Other"})
    assert refused.fields == ["target.max_redirects"]
    mended = await alice.api.patch(f"/api/v1/monitors/{old.id}", {"name": "Other", "target": {"max_redirects": 5}})
    assert mended.status == 200
    assert parts.corridor.watchlist.get(old.id).breaks == ""
