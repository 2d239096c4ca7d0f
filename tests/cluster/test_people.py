"""What people see of a cluster and may do with it, by the API of each of its servers."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest

from builders import ALICE, until
from instances import Group, One
from tocsin.clock import SystemClock
from tocsin.core.account import Membership, User, Workspace
from tocsin.settings import read
from tocsin.web import passwords
from tocsin.web.parts import Parts
from tocsin.web.routes import application
from web.caller import Caller


class HourAhead(SystemClock):
    """A machine whose clock is an hour ahead."""

    def now(self) -> datetime:
        return super().now() + timedelta(hours=1)


PASSWORD = "correct horse battery"
HERE = "/api/v1/instances"


async def people(one: One) -> None:
    """Alice can sign in, Bob looks, and Charlie is an admin elsewhere."""
    parts = parts_of(one)
    hashed = await passwords.hashed(parts.memory, PASSWORD)
    now = one.clock.now()

    def make(s: Any) -> None:
        s.accounts.set_password("alice", hashed)
        for name, role, place in (("bob", "VIEWER", "ws"), ("charlie", "ADMIN", "elsewhere")):
            if place != "ws":
                s.accounts.add_workspace(Workspace(id=place, name=place, created_at=now))
            s.accounts.add_user(User(id=name, email=f"{name}@example.org", password_hash=hashed, created_at=now))
            s.accounts.add_membership(Membership(user_id=name, workspace_id=place, role=role))

    await one.store.everything().write(make)


def parts_of(one: One) -> Parts:
    env = {"TOCSIN_DATA_DIR": str(one.folder), "TOCSIN_BASE_URL": "http://tocsin.test", "TOCSIN_LOCATION": one.name}
    return Parts(
        settings=read(env), clock=one.clock, store=one.store, net=one.net, corridor=one.corridor, cluster=one.cluster,
        signing_key=b"k" * 32, setup_token=None, is_set_up=True,
    )  # fmt: skip


async def signed_in(one: One, email: str = ALICE) -> Caller:
    app = application(parts_of(one))
    answer = await Caller(app).post("/api/v1/auth/login", {"email": email, "password": PASSWORD})
    assert answer.status == 200, answer.text
    return Caller(app, answer.data["access_token"])


async def ready(group: Group, *names: str) -> list[One]:
    ones = await group.gather(*names)
    await people(ones[0])
    commit = ones[0].cluster.carrier.node.commit
    for one in ones[1:]:
        await until(lambda one=one: one.cluster.carrier.node.commit >= commit)
        for _ in range(500):
            if await one.store.everything().read(lambda s: s.accounts.user("charlie")):
                break
            await asyncio.sleep(0.02)
    return ones


async def test_everybody_sees_who_is_there_and_the_primary_how_they_are(group: Group) -> None:
    a, b = await ready(group, "a", "b")
    await until(lambda: "instance-b" in a.cluster.heard)
    seen = (await (await signed_in(a)).get(HERE)).data
    assert [(i["name"], i["role"], i["status"], i["kind"]) for i in seen["items"]] == [
        ("a", "primary", "active", "voter"), ("b", "dependent", "active", "voter"),
    ]  # fmt: skip
    assert seen["items"][1]["report"]["systemMetrics"]["memoryUsage"] > 0
    assert seen["items"][1]["entry"] == seen["items"][0]["entry"]
    cluster = seen["cluster"]
    assert (cluster["voters"], cluster["needed"], cluster["heard"], cluster["primary_name"]) == (2, 2, 2, "a")
    assert 0 < cluster["lease_left_s"] <= cluster["lease_s"]
    there = (await (await signed_in(b, "bob@example.org")).get(HERE)).data
    assert [(i["name"], i["role"], i["status"]) for i in there["items"]] == [
        ("a", "primary", "unknown"), ("b", "dependent", "active"),
    ]  # fmt: skip
    assert there["cluster"]["primary_url"] == "http://a.example"
    assert there["cluster"]["lease_left_s"] is None
    for told in (cluster["epochs"], there["cluster"]["epochs"]):
        assert [(e["epoch"], e["name"], e["cause"], e["by"], e["until"]) for e in told] == [(1, "a", "first", "", None)]


async def test_who_follows_refuses_writes_and_says_where_to_go(group: Group) -> None:
    _a, b = await ready(group, "a", "b")
    api = await signed_in(b)
    monitor = {"name": "Shop", "type": "http", "target": {"url": "http://127.0.0.1:9/"}}
    for method, url, body in (
        ("POST", "/api/v1/monitors", monitor), ("POST", HERE + "/instance-b/promote", None),
        ("POST", HERE + "/instance-a/demote", None), ("PATCH", HERE + "/instance-b", {"failover_order": 7}),
        ("DELETE", HERE + "/instance-b", None),
    ):  # fmt: skip
        answer = await api.send(method, url, body)
        assert (answer.status, answer.data["primary"]) == (409, "http://a.example"), (url, answer.text)
        assert "http://a.example" in answer.data["detail"]
        assert int(answer.headers["retry-after"]) >= 1


async def test_admins_alone_change_anything(group: Group) -> None:
    (a,) = await ready(group, "a")
    bob = await signed_in(a, "bob@example.org")
    forced = {"name": "a", "others_are_off": True}
    for method, url, body in (
        ("POST", HERE + "/instance-a/promote", None), ("POST", HERE + "/instance-a/demote", None),
        ("PATCH", HERE + "/instance-a", {"name": "x"}), ("DELETE", HERE + "/instance-a", None),
        ("POST", HERE + "/instance-a/force", forced), ("GET", HERE + "/drafts", None),
    ):  # fmt: skip
        assert (await bob.send(method, url, body)).status == 403, url


async def test_the_office_is_handed_over_and_back(group: Group) -> None:
    a, b = await ready(group, "a", "b")
    api = await signed_in(a)
    await until(lambda: "instance-b" in a.cluster.heard)
    assert (await api.post(HERE + "/instance-a/promote")).status == 409
    assert (await api.post(HERE + "/nobody/promote")).status == 404
    assert (await api.post(HERE + "/instance-b/demote")).status == 409
    answer = await api.post(HERE + "/instance-b/promote")
    assert (answer.status, answer.data["role"]) == (200, "primary"), answer.text
    await until(lambda: b.corridor.leads)
    back = await (await signed_in(b)).post(HERE + "/instance-b/demote")
    assert back.status == 200, back.text
    await until(lambda: a.corridor.leads)
    log = (await (await signed_in(a)).get("/api/v1/audit-log")).data["items"]
    told = [(c["by"], c["after"]["primary"]) for c in log if c["noun"] == "instance" and "primary" in c["after"]]
    assert told == [(ALICE, "to be handed to the next in order"), (ALICE, "to be handed to b")]
    epochs = (await (await signed_in(a)).get(HERE)).data["cluster"]["epochs"]
    assert [(one["cause"], one["by"]) for one in epochs] == [("handed", ALICE), ("handed", ALICE), ("first", "")]
    assert epochs[0]["lasted_s"] is None
    assert 0 < epochs[1]["lasted_s"] < 30


async def test_an_hour_between_clocks_changes_neither_cause_nor_length_of_an_epoch(group: Group) -> None:
    group.one("b").clock = HourAhead()
    a, b = await ready(group, "a", "b")
    await until(lambda: "instance-b" in a.cluster.heard)
    assert (await (await signed_in(a)).post(HERE + "/instance-b/promote")).status == 200
    await until(lambda: b.corridor.leads)
    epochs = (await (await signed_in(b)).get(HERE)).data["cluster"]["epochs"]
    assert [(one["cause"], one["by"]) for one in epochs] == [("handed", ALICE), ("first", "")]
    assert 0 < epochs[1]["lasted_s"] < 60


async def test_names_and_places_change_and_are_written_down(group: Group) -> None:
    a, b = await ready(group, "a", "b")
    api = await signed_in(a)
    answer = await api.patch(HERE + "/instance-b", {"name": "berlin", "failover_order": 7})
    assert (answer.status, answer.data["name"], answer.data["failover_order"]) == (200, "berlin", 7), answer.text
    assert (await api.patch(HERE + "/instance-b", {"name": "a"})).status == 409
    assert (await api.patch(HERE + "/instance-b", {})).status == 422
    assert (await api.patch(HERE + "/instance-b", {"failover_order": -1})).fields == ["failover_order"]
    assert (await api.patch(HERE + "/nobody", {"name": "x"})).status == 404
    await until(lambda: b.cluster.names.get("instance-b") == "berlin")
    await until(lambda: a.cluster.carrier.node.membership.member("instance-b").order == 7)
    (change,) = [c for c in (await api.get("/api/v1/audit-log")).data["items"] if c["noun"] == "instance"]
    assert change["after"] == {"name": "berlin", "failover_order": 7}
    assert change["before"] == {"name": "b", "failover_order": 1}


async def test_who_is_removed_gets_nothing_any_more(group: Group) -> None:
    a, b, _c = await ready(group, "a", "b", "c")
    api = await signed_in(a)
    assert (await api.delete(HERE + "/instance-a")).status == 409
    removed = await api.delete(HERE + "/instance-b")
    assert (removed.status, removed.data) == (200, {"monitors": []})
    assert (await api.delete(HERE + "/instance-b")).status == 404
    assert [i["name"] for i in (await api.get(HERE)).data["items"]] == ["a", "c"]
    await until(lambda: len(a.cluster.carrier.node.membership.voters()) == 2)
    from tocsin.errors import Denied

    with pytest.raises(Denied, match="any more"):
        await b.cluster.peers.ask("instance-a", "POST", "/sync/api/snapshot", {})


async def test_by_force_one_of_two_leads_alone(group: Group) -> None:
    a, b = await ready(group, "a", "b")
    api = await signed_in(b)
    forced = {"name": "b", "others_are_off": True}
    answer = await api.post(HERE + "/instance-b/force", forced)
    assert (answer.status, "hand over" in answer.data["detail"]) == (409, True)  # a is well
    await a.stop()
    await until(lambda: b.cluster.carrier.standing.primary is None, within_s=20)
    said = (await api.post("/api/v1/monitors", {"name": "Shop", "type": "http", "target": {"url": "http://a/"}})).data
    assert said["primary"] is None
    assert "no primary just now" in said["detail"]
    assert (await api.post(HERE + "/instance-b/force", forced | {"name": "a"})).fields == ["name"]
    assert (await api.post(HERE + "/instance-b/force", forced | {"others_are_off": False})).fields == ["others_are_off"]
    assert (await api.post(HERE + "/instance-a/force", forced)).status == 409
    answer = await api.post(HERE + "/instance-b/force", forced)
    assert answer.status == 200, answer.text
    assert answer.data["role"] == "primary"
    assert answer.data["epoch"] > 1000
    log = (await api.get("/api/v1/audit-log")).data["items"]
    assert log[0]["after"]["primary"] == "b, by force"
    assert log[0]["by"] == ALICE
    await a.again()
    await until(lambda: a.cluster.carrier.standing.primary == "instance-b", within_s=20)


async def test_rejected_drafts_are_shown_to_their_own_workspace(group: Group) -> None:
    (a,) = await ready(group, "a")
    import msgspec

    from tocsin.store.drafts import Draft

    rows = {"monitors": [{"workspace_id": "ws", "name": "Shop"}, {"workspace_id": "elsewhere", "name": "Secret"}]}
    draft = Draft(name="3-9", cut_at="2026-01-01T00:00:00Z", epoch=3, first=9, last=9, tables=rows)
    assert a.store.replica is not None
    a.store.replica._drafts.mkdir(parents=True, exist_ok=True)
    (a.store.replica._drafts / "3-9.json").write_bytes(msgspec.json.encode(draft))
    (mine,) = (await (await signed_in(a)).get(HERE + "/drafts")).data["items"]
    assert mine["tables"] == {"monitors": [{"workspace_id": "ws", "name": "Shop"}]}
    assert (mine["epoch"], mine["elsewhere"]) == (3, 1)
    (theirs,) = (await (await signed_in(a, "charlie@example.org")).get(HERE + "/drafts")).data["items"]
    assert [row["name"] for row in theirs["tables"]["monitors"]] == ["Secret"]


async def test_open_pages_hear_of_changes(group: Group) -> None:
    a, b = await ready(group, "a", "b")
    heard = a.corridor.live.subscribe("ws")
    await until(lambda: "instance-b" in a.cluster.heard)
    async for event in heard:
        if event["type"] == "instance.changed":
            break
    heard.close()
    del b
