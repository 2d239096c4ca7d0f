"""Who may come in at the door for agents, and with what."""

from __future__ import annotations

import base64
import gzip
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from msgspec.structs import replace

from agent.api.conftest import Agent, Alice, an_agent
from tocsin.agent import wire
from tocsin.web.routes import ROUTES

CPU = "cpu.used_percent"


def forget(alice: Alice) -> None:
    """Who callers are is looked up once a second."""
    alice.house.parts.memory.known.forget()


async def test_an_agent_key_opens_nothing_else(alice: Alice, agent: Agent) -> None:
    caller = alice.house.caller(agent.key)
    for route in ROUTES:
        if route.permission in ("public", "agent", "enrol"):
            continue
        answer = await caller.send(route.method, route.path.replace("{id}", agent.id), headers={"accept": "*/*"})
        assert answer.status in (403, 429), (route.method, route.path, answer.status)


async def test_no_other_key_opens_the_door(alice: Alice, agent: Agent) -> None:
    api_key = (await alice.api.post("/api/v1/api-keys", {"name": "k"})).data["key"]
    enrolment = (await alice.api.post("/api/v1/enrollment-keys", {"name": "k"})).data["key"]
    for key, wanted in (
        (api_key, 403),
        (alice.api.token, 403),
        (enrolment, 403),
        ("tag_wrong", 401),
        ("ten_wrong", 401),
        ("", 401),
    ):
        other = Agent(alice.house.app, str(key), id=agent.id)
        assert (await other.beat()).status == wanted, key
        assert (await other.samples({CPU: 1.0})).status == wanted, key
    assert (await Agent(alice.house.app, api_key).enrol()).status == 403


async def test_hosts_are_listed_a_page_at_a_time(alice: Alice) -> None:
    for name in ("web-2", "db-1", "web-1"):
        assert (await alice.api.post("/api/v1/hosts", {"name": name})).status == 201
    names, cursor = list[str](), ""
    for _ in range(2):
        page = await alice.api.get(f"/api/v1/hosts?limit=2{cursor and f'&cursor={cursor}'}")
        names += [host["name"] for host in page.data["items"]]
        cursor = page.data["next_cursor"]
    assert (names, cursor) == (["db-1", "web-1", "web-2"], None)
    assert (await alice.api.get("/api/v1/hosts?limit=0")).status == 422


async def test_a_single_use_key_lets_one_host_in(alice: Alice) -> None:
    made = await alice.api.post("/api/v1/hosts", {"name": "db-1", "tags": ["prod"]})
    assert made.status == 201, made.text
    first, second = (Agent(alice.house.app, made.data["enrollment_key"]) for _ in range(2))
    assert (await first.enrol("whatever")).status == 200
    assert first.id == made.data["id"]
    forget(alice)
    answer = await second.enrol()
    assert answer.status == 401
    assert "used already" in answer.text
    (host,) = (await alice.api.get("/api/v1/hosts")).data["items"]
    assert (host["name"], host["tags"]) == ("db-1", ["prod"])


async def test_a_revoked_key_opens_nothing_and_the_host_enrols_anew(alice: Alice, agent: Agent) -> None:
    assert (await agent.beat()).status == 200
    assert (await alice.api.post(f"/api/v1/hosts/{agent.id}/revoke-keys")).status == 200
    refused = await agent.beat()
    assert refused.status == 401
    assert "revoked" in refused.text
    assert alice.house.parts.corridor.hosts.find(agent.id).host.revoked_at is not None
    again = Agent(alice.house.app, (await alice.api.post("/api/v1/enrollment-keys", {"name": "k"})).data["key"])
    assert (await again.enrol(server_uuid=agent.id)).status == 200
    assert again.id == agent.id
    assert alice.house.parts.corridor.hosts.find(agent.id).host.revoked_at is None
    assert len((await alice.api.get("/api/v1/hosts")).data["items"]) == 1


async def test_a_key_is_rotated_with_two_valid_at_once(alice: Alice, agent: Agent) -> None:
    await agent.beat()
    assert (await alice.api.post(f"/api/v1/hosts/{agent.id}/rotate-key")).status == 200
    lost, given = await agent.beat(), await agent.beat()
    assert lost.data["key"] != given.data["key"]
    assert (await Agent(alice.house.app, lost.data["key"], id=agent.id).beat()).status == 401
    assert (await agent.beat()).status == 200
    newest = (await agent.beat()).data["key"]
    fresh = Agent(alice.house.app, newest, id=agent.id)
    beat = await fresh.beat()
    assert (beat.status, "key" in beat.data) == (200, False)
    forget(alice)
    assert (await agent.beat()).status == 401


async def test_another_workspace_s_host_is_not_taken_over(alice: Alice, agent: Agent) -> None:
    _, token = await alice.house.person("charlie@example.org", "ADMIN")
    other = await an_agent(Alice(alice.house, alice.house.caller(token), "", ""), "theirs")
    made = await alice.house.caller(token).post("/api/v1/enrollment-keys", {"name": "k"})
    thief = Agent(alice.house.app, made.data["key"])
    assert (await thief.enrol(server_uuid=agent.id)).status == 200
    assert thief.id not in (agent.id, other.id)


async def test_a_host_that_is_switched_off_is_refused(alice: Alice, agent: Agent) -> None:
    assert (await alice.api.patch(f"/api/v1/hosts/{agent.id}", {"enabled": False})).status == 200
    answer = await agent.beat()
    assert (answer.status, "switched off" in answer.text) == (403, True)


async def test_what_is_known_of_the_machine_stays(alice: Alice, agent: Agent) -> None:
    await agent.beat(facts={"os": "Debian 12", "cores": "4"}, life="run-a")
    await agent.beat(life="run-b")  # it was started again, and has not looked yet
    assert (await alice.api.get(f"/api/v1/hosts/{agent.id}")).data["facts"]["cores"] == "4"


async def test_an_agent_is_told_that_its_host_is_switched_off(alice: Alice, agent: Agent) -> None:
    await alice.api.patch(f"/api/v1/hosts/{agent.id}", {"enabled": False})
    found: dict[str, Any] = {"incarnation": "one", "findings": []}
    for answer in (await agent.beat(), await agent.samples({CPU: 1.0}), await agent.call("POST", "findings", found)):
        assert (answer.status, answer.data["cause"]) == (403, "off")
    await alice.api.patch(f"/api/v1/hosts/{agent.id}", {"enabled": True, "maintenance": True})
    assert [one["why"] for one in (await agent.beat()).data["quiet"]] == ["the host is in maintenance"]


async def test_of_two_agents_with_one_identity_the_newer_is_quarantined(alice: Alice, agent: Agent) -> None:
    copy = Agent(alice.house.app, agent.key, id=agent.id, incarnation="two")
    assert (await agent.beat()).status == 200
    assert (await copy.beat()).status == 200
    assert (await agent.beat()).status == 200
    for answer in (await copy.beat(), await copy.samples({CPU: 1.0})):
        assert answer.status == 403
        assert "quarantine" in answer.text
    (notice,) = (await alice.api.get("/api/v1/notices")).data["items"]
    assert "Two agents speak for host web-1" in notice["text"]
    host = (await alice.api.get(f"/api/v1/hosts/{agent.id}")).data
    assert (host["incarnation"], host["quarantined"]) == ("one", ["two"])
    await alice.api.post(f"/api/v1/hosts/{agent.id}/release", {"incarnation": "two"})
    assert (await copy.beat()).status == 200
    assert (await agent.beat()).status == 403


async def test_of_two_processes_with_copies_of_one_data_folder_the_newer_is_quarantined(
    alice: Alice, agent: Agent
) -> None:
    now = alice.house.parts.corridor.hosts.get(alice.workspace_id, agent.id)
    copy = Agent(alice.house.app, agent.key, id=agent.id)

    def long_after() -> None:
        now.lives = replace(now.lives, since=now.lives.since - 60)

    for speaks, life in ((agent, "run-a"), (copy, "run-b"), (agent, "run-a")):  # the last of them was merely late
        assert (await speaks.beat(life=life)).status == 200
    long_after()
    assert (await agent.beat(life="run-a")).status == 200
    for answer in (await copy.beat(life="run-b"), await copy.samples({CPU: 1.0}, life="run-b")):
        assert (answer.status, "quarantine" in answer.text) == (403, True)
    found = {"incarnation": "one", "life": "run-b", "findings": []}
    assert (await copy.call("POST", "findings", found)).status == 403
    assert (await agent.samples({CPU: 1.0}, life="run-a")).status == 200
    (notice,) = (await alice.api.get("/api/v1/notices")).data["items"]
    assert "Two agents speak for host web-1" in notice["text"]
    assert (await alice.api.get(f"/api/v1/hosts/{agent.id}")).data["quarantined"] == ["run-b"]
    assert (await copy.beat(life="run-c")).status == 200  # it was started again, and is found out again
    long_after()
    assert (await agent.beat(life="run-a")).status == 200
    assert (await copy.beat(life="run-c")).status == 403
    assert (await alice.api.post(f"/api/v1/hosts/{agent.id}/release", {"incarnation": "run-x"})).status == 422
    for chosen, well, refused in (
        ("run-c", (copy, "run-c"), (agent, "run-a")), ("run-a", (agent, "run-a"), (copy, "run-c")),
        ("one", (agent, "run-a"), (copy, "run-c")),
    ):  # fmt: skip
        answer = await alice.api.post(f"/api/v1/hosts/{agent.id}/release", {"incarnation": chosen})
        assert (answer.status, answer.data["quarantined"]) == (200, [])
        assert (await well[0].beat(life=well[1])).status == 200
        assert (await refused[0].beat(life=refused[1])).status == 403
    assert (await alice.api.get("/api/v1/notices")).data["items"] == []
    shown = (await alice.api.get(f"/api/v1/hosts/{agent.id}")).data["agents"]
    assert {one["id"]: one["standing"] for one in shown} == {"run-a": "counts", "run-b": "refused", "run-c": "refused"}


async def test_that_the_one_that_counts_is_the_host_ends_the_doubt(alice: Alice, agent: Agent) -> None:
    copy = await two(alice, agent)
    shown = (await alice.api.get(f"/api/v1/hosts/{agent.id}")).data["agents"]
    assert [(one["id"], one["standing"], one["machine"]) for one in shown] == [
        ("run-a", "counts", "web-1"), ("run-b", "in doubt", "laptop"),
    ]  # fmt: skip
    assert all(one["heard_first"] and one["heard_last"] and one["address"] for one in shown)
    host = (await alice.api.post(f"/api/v1/hosts/{agent.id}/release", {"incarnation": "one"})).data
    assert host["quarantined"] == []
    assert (await agent.beat(life="run-a")).status == 200
    assert (await copy.beat(life="run-b")).status == 403


async def test_a_twin_that_is_not_heard_for_long_falls_away(alice: Alice, agent: Agent) -> None:
    await two(alice, agent)
    await quiet_for(alice, agent, "run-b", 590)
    assert (await agent.beat(life="run-a")).status == 200
    assert (await alice.api.get(f"/api/v1/hosts/{agent.id}")).data["quarantined"] == ["run-b"]
    await quiet_for(alice, agent, "run-b", 20)
    assert (await agent.beat(life="run-a")).status == 200
    assert (await alice.api.get(f"/api/v1/hosts/{agent.id}")).data["quarantined"] == []
    assert (await alice.api.get("/api/v1/notices")).data["items"] == []


async def test_when_the_one_that_counts_falls_silent_the_other_takes_its_place(alice: Alice, agent: Agent) -> None:
    copy = await two(alice, agent)
    await quiet_for(alice, agent, "run-a", 610)
    assert (await copy.beat(life="run-b")).status == 200
    assert (await alice.api.get(f"/api/v1/hosts/{agent.id}")).data["quarantined"] == []


async def two(alice: Alice, agent: Agent) -> Agent:
    """A copy of the agent's data folder, `run-b`, that is in quarantine beside `run-a`."""
    now = alice.house.parts.corridor.hosts.get(alice.workspace_id, agent.id)
    copy = Agent(alice.house.app, agent.key, id=agent.id)
    await agent.beat(life="run-a", facts={"hostname": "web-1"})
    await copy.beat(life="run-b", facts={"hostname": "laptop"})
    now.lives = replace(now.lives, since=now.lives.since - 60)
    assert (await agent.beat(life="run-a", facts={"hostname": "web-1"})).status == 200
    assert (await copy.beat(life="run-b", facts={"hostname": "laptop"})).status == 403
    return copy


async def quiet_for(alice: Alice, agent: Agent, life: str, seconds: float) -> None:
    """Let that run have been silent for so much longer."""
    speakers = alice.house.parts.corridor.hosts.get(alice.workspace_id, agent.id).speakers
    speakers["one", life] = replace(speakers["one", life], last=speakers["one", life].last - seconds)


async def test_an_agent_that_was_started_again_and_again_stays_the_host(alice: Alice, agent: Agent) -> None:
    now = alice.house.parts.corridor.hosts.get(alice.workspace_id, agent.id)
    for life in ("run-a", "run-b", "run-c"):
        assert (await agent.beat(life=life)).status == 200
        now.lives = replace(now.lives, since=now.lives.since - 60)
        assert (await agent.beat(life=life)).status == 200
    assert now.host.quarantined == ()


async def test_a_turn_whose_number_was_used_for_another_is_not_passed_over(alice: Alice, agent: Agent) -> None:
    async def say(number: int, what: str, at: datetime, words: str) -> None:
        turn = {
            "rule": "builtin:system.disk", "rule_name": "disk", "what": "disk.used_percent{mount=/}", "number": number,
            "turn": what, "severity": "warning", "words": words, "at": at,
        }  # fmt: skip
        said = {"incarnation": "one", "findings": [turn]}
        assert (await agent.call("POST", "findings", said)).data["taken"] == 1

    async def incidents() -> list[tuple[str, bool]]:
        found = (await alice.api.get(f"/api/v1/incidents?host={agent.id}")).data["items"]
        return [(one["reason"], one["resolved_at"] is None) for one in found]

    at = datetime.now(UTC) - timedelta(minutes=30)
    await say(1, "opened", at, "94, limit 90")
    await say(2, "resolved", at + timedelta(minutes=1), "80, limit 90")
    before = await incidents()
    assert [is_open for _, is_open in before] == [False]
    await say(1, "opened", at, "94, limit 90")
    await say(2, "resolved", at + timedelta(minutes=1), "80, limit 90")
    assert await incidents() == before
    await say(1, "opened", at + timedelta(minutes=20), "97, limit 90")
    after = await incidents()
    assert [is_open for _, is_open in after].count(True) == 1
    await say(1, "opened", at + timedelta(minutes=20), "97, limit 90")
    assert await incidents() == after
    await say(2, "resolved", at + timedelta(minutes=21), "81, limit 90")
    assert [is_open for _, is_open in await incidents()].count(True) == 0


async def test_what_a_deleted_rule_found_opens_nothing_and_its_end_is_heard_of_soon(alice: Alice, agent: Agent) -> None:
    rule = {"name": "Load", "scope": {"everything": True}, "condition": {"type": "sample", "metric": CPU, "above": 20}}
    made = (await alice.api.post("/api/v1/alert-rules", rule)).data["id"]
    assert len((await agent.beat()).data["config"]["text"]) > 0
    assert "beat" not in (await agent.samples({CPU: 99.0})).data

    async def find(number: int, what: str) -> None:
        turn = {
            "rule": made, "rule_name": "Load", "what": CPU, "number": number, "turn": what, "severity": "warning",
            "words": "99, limit 20", "at": datetime.now(UTC),
        }  # fmt: skip
        said = {"incarnation": "one", "findings": [turn]}
        assert (await agent.call("POST", "findings", said)).data["taken"] == 1

    async def incidents() -> list[bool]:
        found = (await alice.api.get(f"/api/v1/incidents?host={agent.id}")).data["items"]
        return [one["resolved_at"] is None for one in found]

    await find(1, "opened")
    assert await incidents() == [True]
    assert (await alice.api.delete(f"/api/v1/alert-rules/{made}")).status == 204
    await alice.house.parts.corridor.host_watch.look()
    assert await incidents() == [False]
    assert (await agent.samples({CPU: 99.0})).data["beat"]
    for number, what in ((2, "resolved"), (3, "opened")):
        await find(number, what)
        assert await incidents() == [False]
    config = (await agent.beat(config_version=2)).data["config"]
    assert "rules" not in msgspec.json.decode(config["text"])
    assert "beat" not in (await agent.samples({CPU: 99.0})).data
    configuration = {"monitors": [], "heartbeat_interval_s": 30, "metrics_push_interval_s": 30}
    assert (await alice.api.send("PUT", f"/api/v1/hosts/{agent.id}/config", configuration)).status == 200
    assert (await agent.samples({CPU: 99.0})).data["beat"]


async def test_nobody_enrols_as_a_host_that_lives(alice: Alice, agent: Agent) -> None:
    await agent.beat()
    key = (await alice.api.post("/api/v1/enrollment-keys", {"name": "k"})).data["key"]
    thief = Agent(alice.house.app, key, incarnation="two")
    answer = await thief.enrol(server_uuid=agent.id)
    assert answer.status == 403
    assert "is heard from another data folder" in answer.text
    assert (await agent.beat()).status == 200
    same = Agent(alice.house.app, key)
    assert (await same.enrol(server_uuid=agent.id)).status == 200
    assert same.id == agent.id


async def test_who_brings_more_than_can_be_written_is_asked_to_come_again(alice: Alice, agent: Agent) -> None:
    door = alice.house.parts.agents
    door._waiting = 200
    answer = await agent.samples({CPU: 1.0})
    assert (answer.status, answer.headers["retry-after"]) == (429, "10")
    door._waiting = 0
    assert (await agent.samples({CPU: 1.0})).status == 200


async def test_open_pages_hear_of_hosts(alice: Alice, agent: Agent) -> None:
    live = alice.house.parts.corridor.live.subscribe(alice.workspace_id)
    await agent.beat()
    await agent.samples({CPU: 1.0})
    heard = [await anext(live), await anext(live)]
    assert [(event["type"], event["data"]["host_id"]) for event in heard] == [
        ("host.changed", agent.id), ("host.sample", agent.id),
    ]  # fmt: skip
    live.close()


async def test_what_is_set_is_signed_and_comes_once(alice: Alice, agent: Agent) -> None:
    enrolled = msgspec.json.decode(agent.sent[0].body, type=wire.Enrolled)
    key = Ed25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(enrolled.public_key + "=="))

    def read(signed: Any) -> wire.Config:
        text = signed["text"]
        key.verify(base64.urlsafe_b64decode(signed["signature"] + "=="), f"{agent.id}\n{text}".encode())
        return msgspec.json.decode(text, type=wire.Config)

    assert enrolled.config is not None
    first = read(msgspec.to_builtins(enrolled.config))
    assert (first.version, first.rules, first.channels) == (1, (), [])
    assert "config" not in (await agent.beat(config_version=1)).data
    channel = await alice.api.post(
        "/api/v1/channels", {"name": "w", "type": "webhook", "config": {"url": "http://127.0.0.1:9/"}}
    )
    rule = {"name": "Load", "scope": {"everything": True}, "severity": "critical", "direct": True,
            "condition": {"type": "sample", "metric": "load.per_core", "above": 2.0}}  # fmt: skip
    made = await alice.api.post("/api/v1/alert-rules", rule)
    assert made.status == 201, made.text
    await alice.api.patch(f"/api/v1/hosts/{agent.id}", {"direct_channels": [channel.data["id"]]})
    second = read((await agent.beat(config_version=1)).data["config"])
    assert second.version == 2
    assert [(r.id, r.severity, r.direct, r.channels) for r in second.rules] == [
        (made.data["id"], "critical", True, None)
    ]
    assert second.channels == [
        {"id": channel.data["id"], "name": "w", "type": "webhook", "config": {"url": "http://127.0.0.1:9/"}}
    ]
    assert read((await agent.beat(config_version=1)).data["config"]).version == 2
    assert "config" not in (await agent.beat(config_version=2)).data
    assert read((await agent.beat(config_version=9)).data["config"]).version == 10


async def test_a_rule_on_silence_that_rings_while_all_is_well_is_warned_of(alice: Alice, agent: Agent) -> None:
    await agent.beat(every_s=5.0)
    slow = await an_agent(alice, "web-2")
    await slow.beat(every_s=30.0)
    rule = {"name": "r", "scope": {"everything": True}, "condition": {"type": "heartbeat", "warn_s": 10, "down_s": 20}}
    (warned,) = (await alice.api.post("/api/v1/alert-rules", rule)).data["warnings"]
    assert warned.startswith("web-2: no heartbeat is due within 10 s")
    rule = rule | {"condition": {"type": "heartbeat"}}
    assert (await alice.api.post("/api/v1/alert-rules", rule)).data["warnings"] == []


async def test_what_a_host_cannot_have_is_refused(alice: Alice, agent: Agent) -> None:
    channel = await alice.api.post(
        "/api/v1/channels", {"name": "d", "type": "discord", "config": {"url": "https://discord.com/api/webhooks/1/a"}}
    )
    for wanted, field in (
        ({"direct_channels": [channel.data["id"]]}, "direct_channels[0]"),
        ({"direct_channels": ["x"]}, "direct_channels[0]"),
        ({"addresses": ["http://a"]}, "addresses[0]"), ({"addresses": ["tcp:a:99999"]}, "addresses[0]"),
        ({"id": "x"}, "id"), ({"incarnation": "x"}, "incarnation"), ({"name": ""}, "name"),
    ):  # fmt: skip
        answer = await alice.api.patch(f"/api/v1/hosts/{agent.id}", wanted)
        assert (answer.status, answer.fields) == (422, [field]), wanted
    rule = {"name": "r", "scope": {"everything": True}}
    for limits, field in (
        ({"above": 20, "clear": 30}, "clear"), ({"below": 20, "clear": 10}, "clear"), ({"above": 5, "below": 9}, "below"),
        ({"above": 9, "below": 5, "clear": 7}, "clear"),
    ):  # fmt: skip
        condition = {"type": "sample", "metric": "load.1m"} | limits
        answer = await alice.api.post("/api/v1/alert-rules", rule | {"condition": condition})
        assert (answer.status, answer.fields) == (422, [f"condition.{field}"]), limits
    rule = {"name": "r", "scope": {"monitors": []}, "condition": {"type": "heartbeat"}}
    for scope in ({"hosts": ["nowhere"]}, {}):
        assert (await alice.api.post("/api/v1/alert-rules", rule | {"scope": scope})).status == 422


def batch(**more: Any) -> dict[str, Any]:
    known = {"seq": 1, "at": "2026-03-02T08:00:00Z", "collector": "system", "values": [[0, 1.0]]}
    return {"incarnation": "one", "series": [CPU], "batches": [known | more]}


BAD = [
    b"", b"{", b"[]", b"null", b"\xff", b'{"incarnation":"\\ud800"}', b"[" * 100_000, b'{"a":' * 5000,
    b'{"incarnation":"one","series":["cpu.used_percent"],"batches":[{"seq":1,"at":"2026-03-02T08:00:00Z","collector":"s","values":[[0,NaN]]}]}',
    b'{"incarnation":"one","series":["cpu.used_percent"],"batches":[{"seq":1,"at":"2026-03-02T08:00:00Z","collector":"s","values":[[0,1e999]]}]}',
    msgspec.json.encode(batch(seq=2**63)), msgspec.json.encode(batch(seq=0)), msgspec.json.encode(batch(seq="1")),
    msgspec.json.encode(batch(at="2026-03-02T08:00:00")), msgspec.json.encode(batch(at="0001-01-01T00:00:00Z")),
    msgspec.json.encode(batch() | {"incarnation": ""}), msgspec.json.encode(batch() | {"incarnation": "\x00"}),
    msgspec.json.encode(batch() | {"series": [f"a.b{n}" for n in range(2001)]}),
]  # fmt: skip


@pytest.mark.parametrize("body", BAD, ids=range(len(BAD)))
async def test_what_is_no_message_is_refused_in_words(agent: Agent, body: bytes) -> None:
    answer = await agent.call("POST", "samples", body)
    assert answer.status == 422, (answer.status, answer.text)
    assert answer.headers["content-type"] == "application/problem+json"


async def test_bombs_and_floods_are_refused(agent: Agent) -> None:
    bomb = gzip.compress(bytes(1 << 28))
    for body, encoding, wanted in (
        (bomb, "gzip", 422),
        (b"x" * (wire.MAX_BODY + 1), "", 413),
        (b"x", "br", 422),
        (bomb[:50], "gzip", 422),
    ):
        assert (await agent.call("POST", "samples", body, **{"content-encoding": encoding})).status == wanted


async def test_what_is_wrong_with_some_of_it_is_named_and_the_rest_is_kept(alice: Alice, agent: Agent) -> None:
    now = datetime.now(UTC)
    names = [CPU, "Bad Name", "net.bytes_per_s", "x{y=z"]
    message = {"incarnation": "one", "series": names, "batches": [
        {"seq": 1, "at": now - timedelta(days=60), "collector": "s", "values": [[0, 1.0]]},
        {"seq": 2, "at": now, "collector": "s", "values": [[0, 2.0], [1, 1], [2, -5], [3, 1], [9, 1], [-1, 1]]},
    ]}  # fmt: skip
    answer = await agent.call("POST", "samples", message)
    assert answer.data["acked"] == 2
    refused = "\n".join(answer.data["refused"])
    for words in ("older than 30 days", "'Bad Name'", "less than nothing", "'x{y=z'", "no series 9", "no series -1"):
        assert words in refused
    (series,) = (await alice.api.get(f"/api/v1/hosts/{agent.id}/series?metric={CPU}&step=3600")).data["series"]
    assert [p["last"] for p in series["points"] if p["count"]] == [2.0]


async def test_a_million_names_do_not_fill_the_store(alice: Alice, agent: Agent) -> None:
    for n in range(3):
        names, values = [f"a.b{n}_{i}" for i in range(1000)], [[i, 1.0] for i in range(1000)]
        message = {"incarnation": "one", "series": names, "batches": [
            {"seq": n + 1, "at": datetime.now(UTC), "collector": "s", "values": values}]}  # fmt: skip
        answer = await agent.call("POST", "samples", message)
    assert answer.data["acked"] == 3
    assert "no room for a.b2_0: a host has 2000 series at most" in answer.data["refused"]
    assert len((await alice.api.get(f"/api/v1/hosts/{agent.id}/metrics")).data["items"]) == 2000


async def test_a_clock_that_is_a_day_off_is_put_right_and_shown(alice: Alice, agent: Agent) -> None:
    wrong = datetime.now(UTC) - timedelta(days=1)
    await agent.beat(wrong)
    await agent.samples({CPU: 7.0}, at=wrong)
    host = (await alice.api.get(f"/api/v1/hosts/{agent.id}")).data
    assert host["clock_offset_s"] == pytest.approx(86_400, abs=60)
    (series,) = (await alice.api.get(f"/api/v1/hosts/{agent.id}/series?metric={CPU}")).data["series"]
    assert [p["last"] for p in series["points"] if p["count"]] == [7.0]
