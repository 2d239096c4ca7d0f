"""Acknowledge links of messages: made by one instance, they count at every other, and lead to whoever can act."""

from __future__ import annotations

from datetime import timedelta

from builders import an_incident, until
from cluster.test_people import parts_of, ready, signed_in
from instances import Group, One
from tocsin.core.link import Link, token_of
from tocsin.core.result import micros
from tocsin.pipeline.links import PATH, Links
from tocsin.store.batch import IncidentChange
from tocsin.web.routes import application
from web.caller import Answer, Caller


async def opened(one: One, path: str, method: str = "GET") -> Answer:
    """What anybody sees who opens this at that instance."""
    caller = Caller(application(parts_of(one)), accept="text/html", origin="http://tocsin.test")
    return await caller.send(method, path)


async def an_open(one: One) -> Link:
    """A link for an open incident, as a message to Alice has it."""
    now = one.clock.now()
    incident = an_incident(
        workspace_id="ws", monitor_id="gone", subject="monitor:gone", opened_at=now, told=True, transition=1
    )
    await one.store.of("ws").write(lambda s: s.incidents.save(IncidentChange(incident=incident)))
    return Link("ws", incident.id, micros(now + timedelta(seconds=1)), "person:alice")


def links_of(one: One) -> Links:
    return one.corridor.delivery.one.links


async def test_a_link_of_a_primary_that_died_acknowledges_at_the_next_one(group: Group) -> None:
    a, b, c = await ready(group, "a", "b", "c")
    link = await an_open(a)
    path = links_of(a).path_of(link)
    await until(lambda: b.cluster.names and b.cluster.carrier.standing.primary == "instance-a")
    there = await opened(b, path)
    assert (there.status, there.headers["location"]) == (303, "http://a.example" + path)
    pressed = await opened(b, path, "POST")
    assert (pressed.status, "http://a.example" + path in pressed.text) == (409, True)
    await a.stop()
    await until(lambda: group.primary() in (b, c), within_s=20)
    follower = c if group.primary() is b else b
    primary = b if follower is c else c
    await until(lambda: follower.cluster.carrier.standing.primary == primary.cluster.me.id, within_s=20)
    assert (await opened(follower, path)).headers["location"] == f"http://{primary.name}.example{path}"
    assert "Acknowledge</button>" in (await opened(primary, path)).text
    assert "Acknowledged." in (await opened(primary, path, "POST")).text
    kept = await primary.store.of("ws").read(lambda s: s.incidents.get(link.incident_id))
    assert kept.acknowledged_by == "alice@example.org"


async def test_a_link_made_before_its_server_joined_goes_on_there(group: Group) -> None:
    a, b = await ready(group, "a", "b")
    own = b"what b had alone".ljust(32, b".")
    await b.stop(handing_over=True)
    link = await an_open_of_two(group, a, b, own)
    path = PATH + token_of(own, link)
    answer = await opened(b, path)
    assert answer.headers["location"] == "http://a.example" + links_of(a).path_of(link)
    assert (await opened(a, path)).status == 404
    assert "Acknowledge</button>" in (await opened(a, links_of(a).path_of(link))).text


async def an_open_of_two(group: Group, a: One, b: One, own: bytes) -> Link:
    """Start `b` anew with links of its own from before, and open an incident."""
    b.link_key = own
    await b.again()
    await until(lambda: b.cluster.carrier.standing.primary == "instance-a", within_s=20)
    await until(lambda: group.primary() is a and a.cluster.carrier.may_write(), within_s=20)
    await until(lambda: bool(b.cluster.names))
    return await an_open(a)


async def test_an_invitation_opened_where_nothing_is_written_leads_to_the_primary(group: Group) -> None:
    a, b = await ready(group, "a", "b")
    made = await (await signed_in(a)).post("/api/v1/invitations", {"email": "dora@example.org", "role": "USER"})
    path = "/invitations/" + made.data["link"].rsplit("/", 1)[-1]
    commit = a.cluster.carrier.node.commit
    await until(lambda: b.cluster.carrier.applied >= commit and bool(b.cluster.names))
    assert "Join Example" in (await opened(a, path)).text
    answer = await opened(b, path)
    assert (answer.status, answer.headers["location"]) == (303, "http://a.example" + path)


async def test_with_nobody_leading_a_link_says_so(group: Group) -> None:
    a, b = await ready(group, "a", "b")
    path = links_of(a).path_of(await an_open(a))
    await a.stop()
    await until(lambda: b.cluster.carrier.standing.primary is None, within_s=20)
    answer = await opened(b, path)
    assert (answer.status, answer.headers["retry-after"]) == (503, "15")
    assert "No server of this cluster leads for the moment" in answer.text
