"""Agents and several instances: who leads takes them in, all know them, and who takes over goes on where the other was."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from agent.api.conftest import Agent
from builders import ALICE, until
from cluster.test_people import PASSWORD, parts_of, ready
from instances import Group, One
from tocsin.agent import wire
from tocsin.core.host_rule import HostFinding, subject_of
from tocsin.web.parts import Parts
from tocsin.web.routes import application
from web.caller import Caller

CPU = "cpu.used_percent"


async def enrolled(parts: Parts) -> Agent:
    app = application(parts)
    signed_in = await Caller(app).post("/api/v1/auth/login", {"email": ALICE, "password": PASSWORD})
    made = await Caller(app, signed_in.data["access_token"]).post("/api/v1/enrollment-keys", {"name": "k"})
    assert made.status == 201, made.text
    agent = Agent(app, made.data["key"])
    answer = await agent.enrol()
    assert answer.status == 200, answer.text
    return agent


def at(agent: Agent, one: One) -> Agent:
    """The same agent, calling another instance."""
    return Agent(application(parts_of(one)), agent.key, id=agent.id, seq=agent.seq)


async def find(agent: Agent, number: int, **more: Any) -> int:
    turn = HostFinding(
        rule="builtin:system.disk", rule_name="Disk", what="disk.used_percent{mount=/}", number=number,
        turn="opened" if number % 2 else "resolved", severity="critical", words="95, limit 90",
        at=msgspec.convert("2026-03-02T08:00:00Z", type=datetime), **more,
    )  # fmt: skip
    found = wire.Findings(incarnation="one", findings=[turn])
    return (await agent.call("POST", "findings", msgspec.json.encode(found))).status


async def test_who_follows_says_that_the_primary_hears_a_host(group: Group) -> None:
    a, b, _ = await ready(group, "a", "b", "c")
    agent = await enrolled(parts_of(a))
    assert (await agent.beat()).status == 200
    await until(lambda: (now := b.corridor.hosts.find(agent.id)) is not None and now.host.enrolled_at is not None)
    app = application(parts_of(b))
    token = (await Caller(app).post("/api/v1/auth/login", {"email": ALICE, "password": PASSWORD})).data["access_token"]
    browser = Caller(app, accept="text/html")
    browser.cookies["tocsin_session"] = token
    assert (await Caller(app, token).get(f"/api/v1/hosts/{agent.id}")).data["state"] == "unknown"
    page = await browser.get(f"/hosts/{agent.id}")
    assert f'href="http://a.example/hosts/{agent.id}"' in page.text
    assert "Heard by the primary" in page.text
    assert "never heard" not in page.text
    assert "within a minute" not in page.text
    listed = await browser.get("/hosts")
    assert "1 host, heard by the primary" in listed.text
    assert 'href="http://a.example/hosts"' in listed.text


async def test_an_agent_is_sent_to_who_leads_and_goes_on_at_who_takes_over(group: Group) -> None:
    a, b, c = await ready(group, "a", "b", "c")
    agent = await enrolled(parts_of(a))
    assert (await agent.beat()).status == 200
    await agent.samples({CPU: 1.0})
    assert await find(agent, 1) == 200
    subject = subject_of(agent.id, "builtin:system.disk", "disk.used_percent{mount=/}")
    for follower in (b, c):
        await until(lambda f=follower: f.corridor.hosts.find(agent.id) is not None)
        await until(lambda f=follower: ("ws", subject) in f.corridor.watchlist.incidents)
        beside = at(agent, follower)
        for answer in (await beside.beat(), await beside.samples({CPU: 2.0}), await beside.enrol()):
            assert answer.status == 409, answer.text
            elsewhere = msgspec.json.decode(answer.plain, type=wire.Elsewhere)
            assert (elsewhere.primary, elsewhere.urls[0]) == ("http://a.example", "http://a.example")
    public = msgspec.json.decode(agent.sent[0].plain, type=wire.Enrolled).public_key
    await a.stop(handing_over=True)
    new = await until(group.primary, within_s=30)
    moved = at(agent, new)
    await until(lambda: new.corridor.leads, within_s=20)
    beat = await moved.beat(config_version=1)
    assert (beat.status, "config" in beat.data) == (200, False)
    parts = parts_of(new)
    assert await parts.agents.settled.public_key() == public
    assert (await moved.samples({CPU: 3.0})).data["acked"] == 2
    assert await find(moved, 1) == 200
    assert await find(moved, 2, told_at=msgspec.convert("2026-03-02T08:00:00Z", type=datetime)) == 200
    incident = new.corridor.watchlist.incidents["ws", subject]
    assert (incident.open, incident.turn) == (False, ("one", 2))
