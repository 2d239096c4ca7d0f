"""Instances that become one system, lose their primary, and find each other again."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import closing
from typing import Any

import pytest
from msgspec.structs import replace

from builders import a_monitor, a_probe, until
from instances import Group, One
from tocsin.cluster import disk, wire
from tocsin.cluster.carrier import boottime
from tocsin.core import turn
from tocsin.core.control_log import Entry, Position
from tocsin.core.epoch import HANDED
from tocsin.core.monitor import Monitor
from tocsin.core.peer import Append
from tocsin.errors import NotPrimary
from tocsin.store import images
from world import Web, webs


@pytest.fixture
async def web() -> AsyncIterator[Web]:
    async with webs(1) as (web,):
        yield web


async def add(one: One, **more: object) -> Monitor:
    monitor = a_monitor(**more)
    await one.store.of("ws").write(lambda s: s.monitors.add(monitor))
    return monitor


async def names(one: One) -> list[str]:
    return [m.name for m in await one.store.everything().read(lambda s: s.monitors.all())]


async def test_one_alone_leads_and_writes(group: Group) -> None:
    (a,) = await group.gather("a")
    await add(a, name="Shop")
    assert await names(a) == ["Shop"]


async def test_what_the_primary_writes_everybody_has(group: Group) -> None:
    a, b, c = await group.gather("a", "b", "c")
    await add(a, name="Shop", target={"url": "http://shop.example/", "headers": {"Authorization": "secret"}})
    for one in (b, c):
        await until(lambda one=one: one.corridor.watchlist and len(one.corridor.watchlist) == 1, within_s=10)
        (found,) = await one.store.everything().read(lambda s: s.monitors.all())
        assert found.target["headers"] == {"Authorization": "secret"}
        with pytest.raises(NotPrimary) as refused:
            await add(one, name="Another")
        assert refused.value.primary == "http://a.example"  # where people reach it, not its peers


async def test_who_follows_knows_the_locations_of_a_workspace(group: Group) -> None:
    a, b = await group.gather("a", "b")
    probe = a_probe(code="paris")
    await a.store.of("ws").write(lambda s: s.probes.add(probe))
    monitor = await add(a, name="Shop", paused=True, monitoring_type="global", locations=("paris",))
    roster = b.corridor.watchlist.roster
    await until(lambda: roster.find("ws", "paris") and b.corridor.watchlist.find(monitor.id), within_s=10)
    assert b.corridor.watchlist.get(monitor.id).assigned == ("paris",)
    await a.store.of("ws").write(lambda s: s.probes.replace(replace(probe, enabled=False)))
    await until(lambda: b.corridor.watchlist.get(monitor.id).assigned == (), within_s=10)


async def test_when_the_primary_is_lost_another_one_leads(group: Group) -> None:
    a, b, c = await group.gather("a", "b", "c")
    await add(a, name="Shop")
    await a.stop()
    new = await until(group.primary, within_s=20)
    assert new in (b, c)
    await add(new, name="Second")
    assert await names(new) == ["Second", "Shop"] or await names(new) == ["Shop", "Second"]
    await a.again()
    await until(lambda: len(a.corridor.watchlist) == 2, within_s=20)
    assert not a.cluster.carrier.standing.leads
    assert sorted(await names(a)) == ["Second", "Shop"]


async def test_a_primary_that_stops_hands_over(group: Group, caplog: pytest.LogCaptureFixture) -> None:
    a, b, c = await group.gather("a", "b", "c")
    await add(a, name="Shop")
    await until(lambda: all(a.cluster.work.ago(f"instance-{name}") is not None for name in "bc"), within_s=10)
    await a.stop(handing_over=True)
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []  # nobody waits for it to the end
    new = await until(group.primary, within_s=20)
    assert new is b  # the next in order
    assert new.cluster.carrier.chosen == HANDED  # and not elected once the lease was over
    await add(new, name="Second")  # which a majority has then
    await until(lambda: len(c.corridor.watchlist) == 2, within_s=10)  # and who follows knows of


async def test_a_witness_takes_up_a_log_that_begins_late_without_any_tables(group: Group) -> None:
    a, _ = await group.gather("a", "b")
    await add(a, name="Shop")
    node = a.cluster.carrier.node
    a.cluster.carrier.hand(turn.Compacted(index=node.commit))
    await until(lambda: node.log.base.index > 0, within_s=5)
    w = group.one("w")
    await w.join(a.url, witness=True)
    await until(lambda: "instance-w" in node.membership.voters(), within_s=20)
    assert node.membership.member("instance-w").kind == "witness"
    await add(a, name="Second")
    await until(lambda: w.cluster.carrier.node.commit == node.commit, within_s=10)
    assert w.cluster.carrier.node.log.base.index > 0
    assert await names(w) == []
    await w.stop()
    await w.again(witness=True)
    await until(lambda: w.cluster.carrier.node.commit == node.commit, within_s=10)


async def test_the_largest_entry_goes_into_a_message(group: Group) -> None:
    a, b = await group.gather("a", "b")
    entry = Entry(epoch=1, index=1, kind="rows", payload=os.urandom(images.MOST_PAYLOAD))
    message = Append(epoch=1, stamp=1e9, prev=Position(0, 0), commit=0, entries=(entry,))
    body = wire.write(wire.Said(sender="instance-a", message=message))
    assert len(body) < wire.MOST_BODY * 3 // 4
    reply = await a.cluster.peers.ask("instance-b", "POST", "/sync/api/message", body, timeout_s=60)
    assert reply.status == 200
    assert b.running


async def test_what_is_not_on_disk_yet_is_not_applied(
    group: Group, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    a, b = await group.gather("a", "b")
    await a.stop()
    carrier = b.cluster.carrier
    node, gate, write = carrier.node, asyncio.Event(), disk.write

    async def slow(*what: Any) -> bool:
        await gate.wait()
        return await write(*what)

    await until(lambda: carrier.stored == node.log.last.index == carrier.applied, within_s=10)
    monkeypatch.setattr(disk, "write", slow)
    last = node.log.last
    entry = Entry(epoch=node.epoch, index=last.index + 1, kind="rows", payload=images.encode([]))
    said = Append(epoch=node.epoch, stamp=boottime(), prev=last, commit=entry.index, entries=(entry,))
    carrier.hand(turn.Received(sender="instance-a", message=said))
    await until(lambda: node.commit == entry.index, within_s=10)
    carrier.settled.set()  # something that came before is looked at just now
    await asyncio.sleep(0.3)
    assert carrier.applied == last.index
    gate.set()
    await until(lambda: carrier.applied == entry.index, within_s=10)
    assert [r for r in caplog.records if r.getMessage() == "cluster.not_applied"] == []


async def test_two_never_elect_one_of_them(group: Group) -> None:
    a, b = await group.gather("a", "b")
    await a.stop()
    await until(lambda: b.cluster.carrier.node.primary is None or True, within_s=3)
    with pytest.raises(NotPrimary):
        await add(b)
    assert not b.cluster.carrier.standing.leads


async def statuses(one: One, monitor: Monitor) -> dict[str, int]:
    """How many results are here, by location."""
    found, _ = await one.store.of("ws").read(lambda s: s.results.page(monitor.id, limit=1000))
    counts: dict[str, int] = {}
    for result in found:
        counts[result.location] = counts.get(result.location, 0) + 1
    return counts


async def test_every_instance_checks_and_all_have_all_results(group: Group, web: Web) -> None:
    a, b, c = await group.gather("a", "b", "c")
    monitor = await add(
        a, target={"url": web.url}, monitoring_type="global", locations=("a", "b", "c"), interval_s=1, timeout_s=0.8
    )
    await a.corridor.changed(monitor.id)

    async def all_three(one: One) -> bool:
        return len(await statuses(one, monitor)) == 3

    for one in (a, b, c):
        await until_async(lambda one=one: all_three(one))
    await until(lambda: a.corridor.watchlist.get(monitor.id).verdict.value == "up", within_s=15)
    assert a.corridor.watchlist.get(monitor.id).verdict.f == 3


async def test_no_result_is_lost_or_doubled_over_a_change_of_primary(group: Group, web: Web) -> None:
    a, b, c = await group.gather("a", "b", "c")
    monitor = await add(
        a, target={"url": web.url}, monitoring_type="global", locations=("a", "b", "c"), interval_s=1, timeout_s=0.8
    )
    await a.corridor.changed(monitor.id)
    await until_async(lambda: _at_least(a, monitor, 9))
    known = await rows(a, monitor)
    await a.stop()
    new = await until(group.primary, within_s=20)
    await until_async(lambda: _at_least(new, monitor, 20))
    await a.again()
    await until(lambda: len(a.corridor.watchlist) == 1 and a.cluster.carrier.standing.primary is not None, within_s=20)
    await until_async(lambda: _more_than(a, monitor, len(known)))
    lead = await until(group.primary, within_s=20)
    await lead.store.of("ws").write(lambda s: s.monitors.replace(replace(monitor, paused=True)))
    await lead.corridor.changed(monitor.id)

    async def at_rest() -> bool:
        """Nobody looks any more, and what each has are the same rows."""
        if any(one.corridor.scheduler.admission.running for one in (a, b, c)):
            return False
        if not all(one.corridor.watchlist.get(monitor.id).monitor.paused for one in (a, b, c)):
            return False
        first, *others = [await rows(one, monitor) for one in (a, b, c)]
        return all(other == first for other in others)

    await until_async(at_rest)
    kept = await rows(a, monitor)
    await asyncio.sleep(1)  # what came later would be seen
    for one in (a, b, c):
        assert await rows(one, monitor) == kept
    assert known <= kept


async def rows(one: One, monitor: Monitor) -> set[str]:
    """The ids of the results that this instance has of a monitor; fails when one of them is there in two rows."""
    found: list[str] = []
    cursor: str | None = None
    while True:
        page, cursor = await one.store.of("ws").read(
            lambda s, cursor=cursor: s.results.page(monitor.id, limit=500, cursor=cursor)
        )
        found += [result.id for result in page]
        if cursor is None:
            break
    with closing(sqlite3.connect(f"file:{one.folder / 'tocsin.db'}?mode=ro", uri=True)) as database:
        both = "SELECT at, location, attempt FROM results UNION ALL SELECT at, location, attempt FROM results_tail"
        twice = database.execute(f"SELECT count(*) FROM ({both}) GROUP BY at, location, attempt HAVING count(*) > 1")
        assert twice.fetchall() == [], f"{one.name} has rows twice"
    assert len(found) == len(set(found)), f"{one.name} has results twice"
    return set(found)


async def _more_than(one: One, monitor: Monitor, count: int) -> bool:
    return len(await rows(one, monitor)) > count


async def _at_least(one: One, monitor: Monitor, count: int) -> bool:
    return sum((await statuses(one, monitor)).values()) >= count


async def until_async(condition: Callable[[], Awaitable[bool]], within_s: float = 30.0) -> None:
    async with asyncio.timeout(within_s):
        while not await condition():
            await asyncio.sleep(0.05)
