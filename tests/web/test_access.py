"""Every route × everybody who may not call it; every field that names an id × somebody else's id."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import pytest

from tocsin.clock import new_id
from tocsin.core.access import BY_ROLE, Permission
from tocsin.core.incident import Entry, Incident
from tocsin.core.notice import Notice
from tocsin.store.batch import IncidentChange
from tocsin.web.routes import ROUTES
from web.caller import Caller
from web.conftest import Alice

CANARY = "canary-5f0c"


@dataclass(slots=True)
class Place:
    """What a workspace holds, and its owner."""

    api: Caller
    workspace_id: str
    monitor: str
    channel: str
    incident: str
    key: str
    policy: str
    schedule: str
    notice: str
    host: str
    enrolment: str


async def furnish(alice: Alice, api: Caller, workspace_id: str) -> Place:
    """One of everything, named so that a leak shows."""
    target = {"url": f"http://127.0.0.1:9/{CANARY}"}
    wanted = {"name": CANARY, "type": "http", "target": target, "interval_s": 3600, "paused": True}
    monitor = await api.post("/api/v1/monitors", wanted)
    assert monitor.status == 201, monitor.text
    config = {"url": f"http://127.0.0.1:9/{CANARY}"}
    channel = await api.post("/api/v1/channels", {"name": CANARY, "type": "webhook", "config": config})
    assert channel.status == 201, channel.text
    key = await api.post("/api/v1/api-keys", {"name": CANARY})
    now, id_ = alice.house.parts.clock.now(), new_id()
    incident = Incident(
        id=id_, workspace_id=workspace_id, subject=f"monitor:{monitor.data['id']}", monitor_id=monitor.data["id"],
        reason=CANARY, opened_at=now,
    )  # fmt: skip
    change = IncidentChange(incident=incident, entries=(Entry(at=now, kind="opened", text=CANARY),), opens=True)
    store = alice.house.parts.store.of(workspace_id)
    await store.write(lambda s: s.incidents.save(change))
    notice = Notice(workspace_id=workspace_id, mark="m", kind="channel.given_up", at=now, text=CANARY)
    await store.write(lambda s: s.notices.put(notice))
    (kept,) = await store.read(lambda s: s.notices.list())
    step = {"delay_s": 60, "channels": [channel.data["id"]]}
    policy = await api.post("/api/v1/escalation-policies", {"name": CANARY, "steps": [step]})
    assert policy.status == 201, policy.text
    me = [p["id"] for p in (await api.get("/api/v1/members")).data["items"]]
    rotation = {"people": me[:1], "starts_at": "2026-03-02T08:00:00Z"}
    schedule = await api.post("/api/v1/on-call-schedules", {"name": CANARY, "rotations": [rotation]})
    assert schedule.status == 201, schedule.text
    host = await api.post("/api/v1/hosts", {"name": CANARY})
    assert host.status == 201, host.text
    enrolment = await api.post("/api/v1/enrollment-keys", {"name": CANARY})
    made = (monitor, channel, policy, schedule, host, enrolment)
    names = ("monitor", "channel", "policy", "schedule", "host", "enrolment")
    ids = {name: m.data["id"] for name, m in zip(names, made, strict=True)}
    return Place(api, workspace_id, incident=id_, key=key.data["id"], notice=kept.id, **ids)


def url_of(path: str, place: Place) -> str:
    """The route's URL for this place's things."""
    noun = re.search(
        r"/(monitors|channels|incidents|api-keys|site-stats|escalation-policies|on-call-schedules|notices|hosts|enrollment-keys)/\{id\}",
        path,
    )
    ids = {
        "monitors": place.monitor, "channels": place.channel, "incidents": place.incident, "api-keys": place.key,
        "site-stats": place.monitor, "escalation-policies": place.policy, "on-call-schedules": place.schedule,
        "notices": place.notice, "hosts": place.host, "enrollment-keys": place.enrolment,
    }  # fmt: skip
    return re.sub(r"\{\w+\}", ids[noun[1]] if noun else place.monitor, path)


def protected() -> list[Any]:
    return [r for r in ROUTES if r.permission != "public"]


async def people(alice: Alice) -> dict[str, Caller]:
    """Everybody with credentials that are no good any more, and nobody."""
    house = alice.house
    made = (await alice.api.post("/api/v1/api-keys", {"name": "revoked"})).data
    await alice.api.delete(f"/api/v1/api-keys/{made['id']}")
    gone, gone_token = await house.person("gone@example.org", "ADMIN", alice.workspace_id)
    out, out_token = await house.person("out@example.org", "ADMIN", alice.workspace_id)

    def break_them(s: Any) -> None:
        s.run("UPDATE users SET disabled = 1 WHERE id = ?", gone.id)
        s.run("DELETE FROM memberships WHERE user_id = ?", out.id)

    await house.parts.store.everything().write(break_them)
    house.parts.memory.known.forget()
    return {
        "nobody": house.caller(),
        "revoked key": house.caller(made["key"]),
        "disabled user": house.caller(gone_token),
        "removed member": house.caller(out_token),
        "empty token": house.caller(" "),
        "old cookie": house.caller(cookie="tocsin_session=x; tocsin_refresh=y"),
    }


async def test_credentials_that_are_no_good_open_no_route(alice: Alice) -> None:
    place = await furnish(alice, alice.api, alice.workspace_id)
    wrong: list[str] = []
    for who, caller in (await people(alice)).items():
        for n, route in enumerate(protected()):
            caller.address = f"203.0.113.{n % 250}"
            data = {} if route.method in ("POST", "PATCH") and route.kind == "api" else None
            answer = await caller.send(route.method, url_of(route.path, place), data, headers={"accept": "*/*"})
            if answer.status != 401 or CANARY in answer.text:
                wrong.append(f"{who}: {route.method} {route.path} {answer.status}")
    assert wrong == []


async def test_a_strangers_things_are_not_there(alice: Alice) -> None:
    """Charlie, an admin of his own workspace, asks for everything of Alice's."""
    hers = await furnish(alice, alice.api, alice.workspace_id)
    charlie, token = await alice.house.person("charlie@example.org", "ADMIN")
    caller = alice.house.caller(token)
    wrong: list[str] = []
    for route in ROUTES:
        if (route.permission == "public" and route.kind != "page") or "logout" in route.path:
            continue
        data = {} if route.method in ("POST", "PATCH") and route.kind == "api" else None
        answer = await caller.send(route.method, url_of(route.path, hers), data)
        named = "{" in route.path
        if CANARY in answer.text or (named and answer.status not in (404, 422)) or answer.status >= 500:
            wrong.append(f"{route.method} {route.path} {answer.status}")
    assert [w for w in wrong if not w.startswith("GET /static")] == []
    kept = await alice.api.get(f"/api/v1/monitors/{hers.monitor}")
    assert kept.status == 200
    assert kept.data["version"] == 1
    assert (await alice.api.get(f"/api/v1/incidents/{hers.incident}")).data["open"] is True
    assert charlie.email not in (await alice.api.get("/api/v1/audit-log")).text


@pytest.mark.parametrize("role", ["VIEWER", "USER"])
async def test_a_role_opens_what_it_may_and_no_more(alice: Alice, role: Any) -> None:
    place = await furnish(alice, alice.api, alice.workspace_id)
    _, token = await alice.house.person(f"{role.lower()}@example.org", role, alice.workspace_id)
    key = (await alice.api.post("/api/v1/api-keys", {"name": "k", "role": role})).data["key"]
    wrong: list[str] = []
    for how, caller in (("session", alice.house.caller(token)), ("key", alice.house.caller(key))):
        for route in protected():
            allowed = BY_ROLE[role] - ({"self"} if how == "key" else set[Permission]())
            if route.permission in allowed:
                continue
            data = {} if route.method in ("POST", "PATCH") and route.kind == "api" else None
            answer = await caller.send(route.method, url_of(route.path, place), data)
            if answer.status != 403 or CANARY in answer.text:
                wrong.append(f"{how}: {route.method} {route.path} {answer.status}")
    assert wrong == []
    assert (await alice.api.get(f"/api/v1/monitors/{place.monitor}")).data["version"] == 1


async def test_ids_of_another_workspace_inside_a_body_are_refused(alice: Alice) -> None:
    hers = await furnish(alice, alice.api, alice.workspace_id)
    _, token = await alice.house.person("charlie@example.org", "ADMIN")
    caller = alice.house.caller(token)
    mine = {"name": "mine", "type": "http", "target": {"url": "http://127.0.0.1:9/"}, "paused": True}
    made = (await caller.post("/api/v1/monitors", mine)).data
    host = (await caller.post("/api/v1/hosts", {"name": "mine"})).data
    answer = await caller.patch(f"/api/v1/hosts/{host['id']}", {"direct_channels": [hers.channel]})
    assert (answer.status, answer.fields) == (422, ["direct_channels[0]"])
    rule = {"name": "r", "scope": {"hosts": [hers.host]}, "condition": {"type": "heartbeat"}}
    window = {"name": "w", "scope": {"hosts": [hers.host]}, "starts_at": "2026-03-02T08:00:00Z", "duration_s": 600}
    for noun, body in (("alert-rules", rule), ("maintenance-windows", window)):
        answer = await caller.post(f"/api/v1/{noun}", body)
        assert (answer.status, answer.fields) == (422, ["scope.hosts[0]"]), answer.text
    for field, value in (("channels", [hers.channel]), ("parents", [hers.monitor])):
        for answer in (
            await caller.post("/api/v1/monitors", mine | {field: value}),
            await caller.patch(f"/api/v1/monitors/{made['id']}", {field: value}),
        ):
            assert answer.status == 422
            assert answer.fields == [f"{field}[0]"]
            assert CANARY not in answer.text
    assert (await caller.get(f"/api/v1/incidents?monitor={hers.monitor}")).data["items"] == []
    assert (await caller.get(f"/api/v1/notifications?incident={hers.incident}")).data["items"] == []


async def test_fields_that_nobody_may_set_are_refused(alice: Alice) -> None:
    place = await furnish(alice, alice.api, alice.workspace_id)
    for field, value in (("id", "x"), ("workspace_id", "x"), ("version", 7), ("created_at", "2020-01-01T00:00:00Z")):
        for path in (f"/api/v1/monitors/{place.monitor}", f"/api/v1/channels/{place.channel}"):
            answer = await alice.api.patch(path, {field: value})
            assert answer.status == 422
            assert answer.fields == [field]
    assert (await alice.api.patch("/api/v1/me", {"role": "ADMIN"})).status == 422


def test_every_route_says_who_may_call_it() -> None:
    known = {"public", "self", "read", "operate", "write", "admin", "metrics", "enrol", "agent"}
    assert {r.permission for r in ROUTES} <= known
    assert len({(r.method, r.path) for r in ROUTES}) == len(ROUTES)
    assert [r.path for r in ROUTES if r.method != "GET" and r.permission == "read" and "ticket" not in r.path] == []
