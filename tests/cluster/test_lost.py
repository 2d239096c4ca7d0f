"""An instance that is lost: told once, stood in for, and told when it is back. A witness too."""

from __future__ import annotations

import asyncio

import pytest

from builders import a_monitor, until
from cluster.test_cluster import web as web  # noqa: PLC0414 (a fixture)
from instances import Group, One
from probe.hub import an_order
from tocsin.cluster import roster, watch, work
from world import Web


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost after seconds instead of most of a minute."""
    monkeypatch.setattr(watch, "SILENT_S", 3.0)
    monkeypatch.setattr(work, "POLL_S", 0.5)


async def becomes(a: One, place: str, state: str) -> None:
    await until(lambda: a.corridor.leads, within_s=20)

    def now() -> bool:
        incident = a.corridor.watchlist.incidents.get(("ws", f"probe:{place}"))
        return ("none" if incident is None else "open" if incident.open else "over") == state

    await until(now, within_s=30)


async def test_a_lost_instance_is_told_once_and_stood_in_for_until_it_is_back(group: Group, web: Web) -> None:
    a, b, _c = await group.gather("a", "b", "c")
    monitor = a_monitor(
        name="Shop", target={"url": web.url}, interval_s=1, timeout_s=0.8, retries=0, monitoring_type="global",
        locations=("b",),
    )  # fmt: skip
    await a.store.of("ws").write(lambda s: s.monitors.add(monitor))
    await a.corridor.changed(monitor.id)
    watched = a.corridor.watchlist.get(monitor.id)
    await until(lambda: "b" in watched.states and watched.states["b"].stand_in is None, within_s=20)
    await b.stop()
    await becomes(a, "b", "open")
    await until(lambda: watched.states["b"].stand_in == "a", within_s=20)
    assert "Shop" in a.corridor.watchlist.incidents["ws", "probe:b"].reason
    await b.again()
    await becomes(a, "b", "over")
    await until(lambda: watched.states["b"].stand_in is None, within_s=20)
    assert a.corridor.runner.places(watched) == []


async def test_a_lost_witness_and_one_that_watches_nothing_are_told_too(group: Group) -> None:
    a, b = await group.gather("a", "b")
    w = group.one("w")
    await w.join(a.url, witness=True)
    node = a.cluster.carrier.node
    await until(lambda: len(node.membership.voters()) == 3, within_s=30)
    await w.stop()
    await becomes(a, "w", "open")
    assert "instance w does not answer" in a.corridor.watchlist.incidents["ws", "probe:w"].reason
    await w.again(witness=True)
    await becomes(a, "w", "over")
    await b.stop()
    await becomes(a, "b", "open")
    assert "no monitor is checked from it" in a.corridor.watchlist.incidents["ws", "probe:b"].reason


async def test_a_new_primary_does_not_take_the_lost_one_for_removed(group: Group) -> None:
    a, b, c = await group.gather("a", "b", "c")
    await c.stop()
    await becomes(a, "c", "open")
    while not await b.store.of("ws").read(lambda s: s.incidents.latest_of(["probe:c"])):
        await asyncio.sleep(0.05)
    await a.cluster.carrier.promote("instance-b")
    await until(lambda: group.primary() is b, within_s=20)
    seen: list[bool] = []
    incident = b.corridor.watchlist.incidents["ws", "probe:c"]
    await until(
        lambda: (seen.append(b.corridor.watchlist.incidents["ws", "probe:c"].open), len(seen) > 300)[1], within_s=20
    )
    assert all(seen)
    assert b.corridor.watchlist.incidents["ws", "probe:c"].id == incident.id


async def test_who_leads_a_second_time_begins_with_nothing_known(group: Group, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b, c = await group.gather("a", "b", "c")
    await until(lambda: {"instance-b", "instance-c"} <= a.cluster.heard.keys(), within_s=20)
    await a.cluster.carrier.promote("instance-b")
    await until(lambda: group.primary() is b, within_s=20)
    await until(lambda: a.cluster.work.ago("instance-c") is None, within_s=5)
    assert a.cluster.heard == {}, "who follows hears no reports"
    for one in (b, c):  # they are slow to ask, and to report
        monkeypatch.setattr(one.cluster, "heartbeat_s", 60.0)
    begun = asyncio.get_running_loop().time()
    await until(lambda: asyncio.get_running_loop().time() - begun > watch.SILENT_S, within_s=20)
    await b.cluster.carrier.promote("instance-a")
    await until(lambda: group.primary() is a, within_s=20)
    await until(lambda: {"instance-b", "instance-c"} <= a.cluster.heard.keys(), within_s=10)  # at once, not in a minute
    begun = asyncio.get_running_loop().time()
    await until(lambda: asyncio.get_running_loop().time() - begun > watch.SILENT_S + watch.WATCH_S, within_s=20)
    told = [subject for _, subject in a.corridor.watchlist.incidents if subject.startswith("probe:")]
    assert told == [], "nobody was lost"


async def test_silence_is_counted_from_when_it_was_last_heard(group: Group) -> None:
    a, _b = await group.gather("a", "b")
    await until(lambda: "instance-b" in a.cluster.heard, within_s=20)
    a.cluster.heard["instance-b"].at -= 100  # its report came long ago; it asks for work, and answers to the lease
    (row,) = [one for one in await roster.listed(a.cluster) if one["id"] == "instance-b"]
    assert row["last_heartbeat_s"] < 50


async def test_a_primary_that_stops_waits_for_no_check_elsewhere() -> None:
    desk = work.Work()
    place = desk.locations({"b": "instance-b"})["b"]
    await desk.wanted("instance-b")
    order = an_order(url="http://127.0.0.1:1/", timeout_s=60)
    asked = asyncio.create_task(place(order))
    assert (await desk.wanted("instance-b")).tasks
    desk.close()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(asked, 10)
