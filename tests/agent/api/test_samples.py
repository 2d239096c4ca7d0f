"""An agent enrols, says that it is alive, brings what it saw; people read it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from agent.api.conftest import Agent, Alice, an_agent

CPU, DISK = "cpu.used_percent", "disk.used_percent{mount=/var}"


async def test_an_agent_enrols_and_its_host_is_there(alice: Alice, agent: Agent) -> None:
    (host,) = (await alice.api.get("/api/v1/hosts")).data["items"]
    assert (host["id"], host["name"], host["state"]) == (agent.id, "web-1", "new")
    assert host["facts"] == {"os": "Debian 12"}
    beat = await agent.beat(troubles={"docker": "no socket"}, buffered=3)
    assert beat.status == 200, beat.text
    assert beat.data["urls"] == ["http://tocsin.test"]
    host = (await alice.api.get(f"/api/v1/hosts/{agent.id}")).data
    assert (host["state"], host["buffered"], host["troubles"]) == ("well", 3, {"docker": "no socket"})
    (stretch,) = (await alice.api.get(f"/api/v1/hosts/{agent.id}/heartbeats")).data["items"]
    assert stretch["count"] == 1


async def test_the_least_that_the_outside_contract_names_is_a_heartbeat(alice: Alice, agent: Agent) -> None:
    said = {"server_uuid": agent.id, "timestamp": "2026-01-01T00:00:00Z", "agent_version": "0.1"}
    answer = await agent.call("PUT", "heartbeat", said)
    assert answer.status == 200, answer.text
    host = (await alice.api.get(f"/api/v1/hosts/{agent.id}")).data
    assert (host["state"], host["agent_version"]) == ("well", "0.1")
    assert host["clock_offset_s"] > 0


@pytest.mark.parametrize("packed", [False, True])
async def test_samples_are_stored_and_read(alice: Alice, agent: Agent, packed: bool) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    first = {"incarnation": "one", "series": [CPU, DISK], "batches": [
        {"seq": 1, "at": now - timedelta(seconds=120), "collector": "system", "values": [[0, 12.5], [1, 40]]},
        {"seq": 2, "at": now - timedelta(seconds=30), "collector": "system", "values": [[0, 14.5], [1, 41]]},
    ]}  # fmt: skip
    answer = await agent.call("POST", "samples", first, packed=packed)
    assert answer.status == 200, answer.text
    assert answer.data == {"acked": 2, "urls": ["http://tocsin.test"]}
    shown = (await alice.api.get(f"/api/v1/hosts/{agent.id}/series?metric=cpu.used_percent")).data
    assert shown["step_s"] == 10
    (series,) = shown["series"]
    seen = [(p["count"], p["min"], p["avg"], p["last"]) for p in series["points"] if p["count"]]
    assert seen == [(1, 12.5, 12.5, 12.5), (1, 14.5, 14.5, 14.5)]
    assert len(series["points"]) in (360, 361)
    named = await alice.api.get(
        f"/api/v1/hosts/{agent.id}/series?metric=disk.used_percent%7Bmount%3D%2Fvar%7D&step=3600"
    )
    (series,) = named.data["series"]
    assert series["labels"] == {"mount": "/var"}
    assert sum(p["count"] for p in series["points"]) == 2
    metrics = (await alice.api.get(f"/api/v1/hosts/{agent.id}/metrics")).data["items"]
    assert [(m["name"], m["last"]) for m in metrics] == [(CPU, 14.5), (DISK, 41.0)]


async def test_samples_that_come_twice_are_there_once(alice: Alice, agent: Agent) -> None:
    await agent.samples({CPU: 1.0}, {CPU: 2.0})
    agent.seq = 0
    again = await agent.samples({CPU: 1.0}, {CPU: 2.0}, {CPU: 3.0})
    assert again.data["acked"] == 3
    (series,) = (await alice.api.get(f"/api/v1/hosts/{agent.id}/series?metric={CPU}&step=3600")).data["series"]
    assert sum(p["count"] for p in series["points"]) == 3
    agent.incarnation, agent.seq = "two", 0
    assert (await agent.samples({CPU: 4.0})).data["acked"] == 1


async def test_what_moved_reads_as_what_waits(alice: Alice, agent: Agent) -> None:
    looks: list[dict[str, float]] = [{CPU: float(n)} for n in range(100)]
    await agent.samples(*looks[:60], at=datetime.now(UTC) - timedelta(seconds=400))
    await agent.samples(*looks[60:])
    url = f"/api/v1/hosts/{agent.id}/series?metric={CPU}&window=2h"
    before = [(await alice.api.get(f"{url}&step={step}")).data["series"] for step in (10, 60, 300, 3600)]
    store = alice.house.parts.store
    keeps = {10: 1e6, 60: 1e6, 3600: 1e6, 86_400: 1e6}
    found = await store.everything().read(lambda s: s.samples.gathered((alice.workspace_id, agent.id)))
    moved = await store.everything().write(lambda s: s.samples.move(found, keeps), local=True)
    assert moved == 100
    after = [(await alice.api.get(f"{url}&step={step}")).data["series"] for step in (10, 60, 300, 3600)]
    for was, now in zip(before, after, strict=True):
        kept = [[p for p in some[0]["points"] if p["count"]] for some in (was, now)]
        assert kept[0] == kept[1]
    await agent.samples({CPU: 100.0})
    (series,) = (await alice.api.get(f"{url}&step=3600")).data["series"]
    assert sum(p["count"] for p in series["points"]) == 101


async def test_what_runs_there_is_kept_with_its_changes(alice: Alice, agent: Agent) -> None:
    def look(seq: int, state: str, *more: dict[str, Any]) -> dict[str, Any]:
        things = [{"kind": "unit", "name": "nginx.service", "state": state, "ok": state == "active"}, *more]
        batch = {"seq": seq, "at": datetime.now(UTC), "collector": "systemd", "services": things}
        return {"incarnation": "one", "series": [], "batches": [batch]}

    extra = {"kind": "unit", "name": "cron.service", "state": "active", "ok": True, "facts": {"pid": 7}}
    for message in (look(1, "active", extra), look(2, "active", extra), look(3, "failed")):
        assert (await agent.call("POST", "samples", message)).status == 200
    (thing,) = (await alice.api.get(f"/api/v1/hosts/{agent.id}/services")).data["items"]
    assert (thing["name"], thing["state"], thing["ok"]) == ("nginx.service", "failed", False)
    at = datetime.now(UTC) + timedelta(seconds=20)
    batch = {"seq": 4, "at": at, "collector": "systemd", "values": []}  # it looked again, and nothing changed
    assert (await agent.call("POST", "samples", {"incarnation": "one", "series": [], "batches": [batch]})).status == 200
    (again,) = (await alice.api.get(f"/api/v1/hosts/{agent.id}/services")).data["items"]
    assert again["state"] == "failed"
    assert datetime.fromisoformat(again["seen_at"]) > datetime.fromisoformat(thing["seen_at"])
    batch |= {"seq": 5, "trouble": "the bus is away"}  # it could not look
    assert (await agent.call("POST", "samples", {"incarnation": "one", "series": [], "batches": [batch]})).status == 200
    (still,) = (await alice.api.get(f"/api/v1/hosts/{agent.id}/services")).data["items"]
    assert still["seen_at"] == again["seen_at"]
    changes = (await alice.api.get(f"/api/v1/hosts/{agent.id}/service-changes")).data["items"]
    assert [(c["name"], c["from"], c["to"]) for c in changes] == [
        ("cron.service", "active", "gone"), ("nginx.service", "active", "failed"),
        ("cron.service", "", "active"), ("nginx.service", "", "active"),
    ]  # fmt: skip


async def test_agents_of_two_workspaces_see_nothing_of_each_other(alice: Alice, agent: Agent) -> None:
    await agent.samples({CPU: 1.0})
    _, token = await alice.house.person("charlie@example.org", "ADMIN")
    charlie = alice.house.caller(token)
    assert (await charlie.get("/api/v1/hosts")).data["items"] == []
    for path in ("", "/series?metric=cpu.used_percent", "/metrics", "/services", "/service-changes", "/heartbeats"):
        assert (await charlie.get(f"/api/v1/hosts/{agent.id}{path}")).status == 404
    other = await an_agent(Alice(alice.house, charlie, "", ""), "theirs")
    stolen = await other.call(
        "PUT", "heartbeat", {"server_uuid": agent.id, "timestamp": "2026-01-01T00:00:00Z", "agent_version": "1"}
    )
    assert stolen.status == 403
    assert "another host" in stolen.text


async def test_a_disk_that_fills_says_when_it_will_be_full(alice: Alice, agent: Agent) -> None:
    now = datetime.now(UTC)
    batches = [
        {
            "seq": n + 1,
            "at": now - timedelta(seconds=60 * (180 - n)),
            "collector": "s",
            "values": [[0, 70 + n / 10], [1, 50]],
        }
        for n in range(181)
    ]
    await agent.call("POST", "samples", {"incarnation": "one", "series": [DISK, CPU], "batches": batches})
    for metric, wanted in ((DISK, 120 * 60), (CPU, None)):
        url = f"/api/v1/hosts/{agent.id}/series?metric={metric.partition('{')[0]}"
        (series,) = (await alice.api.get(url)).data["series"]
        assert series["full_in_s"] == (None if wanted is None else pytest.approx(wanted, rel=0.05))
