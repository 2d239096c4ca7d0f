"""Instances that become one system, lose their primary, and find each other again."""

from __future__ import annotations

import pytest

from builders import a_monitor, until
from instances import Group, One
from tocsin.core.monitor import Monitor
from tocsin.errors import NotPrimary


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


async def test_two_never_elect_one_of_them(group: Group) -> None:
    a, b = await group.gather("a", "b")
    await a.stop()
    await until(lambda: b.cluster.carrier.node.primary is None or True, within_s=3)
    with pytest.raises(NotPrimary):
        await add(b)
    assert not b.cluster.carrier.standing.leads
