"""Instances that nobody can reach where it was said, or at all."""

from __future__ import annotations

import socket

from builders import a_monitor, until
from cluster.test_registry import noticed
from instances import Group


async def test_an_instance_without_an_address_asks_and_gets_the_log(group: Group) -> None:
    (a,) = await group.gather("a")
    b = group.one("b")
    await b.join(a.url, sync_url="")
    await a.store.of("ws").write(lambda s: s.monitors.add(a_monitor(name="Shop")))
    await until(lambda: len(b.corridor.watchlist) == 1, within_s=20)
    assert a.cluster.carrier.node.membership.voters() == ("instance-a",)


async def test_an_instance_that_comes_back_under_another_address_is_taken_over(group: Group) -> None:
    a, b, _c = await group.gather("a", "b", "c")
    await b.stop()
    before = b.url
    with socket.create_server(("127.0.0.1", 0)) as free:
        b.port = free.getsockname()[1]
    assert b.url != before
    await b.again()
    await until(lambda: a.cluster.peers.url("instance-b") == b.url, within_s=30)
    text = await noticed(a, "is reached at")
    assert f"Instance b is reached at {b.url} now (before: {before}): it showed its certificate there" in text

    def member() -> tuple[str, str]:
        known = a.cluster.carrier.node.membership.member("instance-b")
        return ("", "") if known is None else (known.url, known.kind)

    await until(lambda: member() == (b.url, "voter"), within_s=20)
    await a.store.of("ws").write(lambda s: s.monitors.add(a_monitor(name="Shop")))
    await until(lambda: len(b.corridor.watchlist) == 1, within_s=20)


async def test_an_address_where_it_does_not_prove_to_be_is_not_taken(group: Group) -> None:
    a, b, _c = await group.gather("a", "b", "c")
    before = b.url
    await b.stop()
    await b.again(sync_url=a.url)  # another one answers there
    text = await noticed(a, "does not prove to be there")
    assert "shows another certificate" in text
    found = await a.store.everything().read(lambda s: s.instances.get("instance-b"))
    assert found.sync_url == before
