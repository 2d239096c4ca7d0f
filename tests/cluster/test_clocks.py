"""An instance whose wall clock is an hour ahead: what it judges as primary, and who is told that it is wrong."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any

from builders import a_monitor, until
from cluster.test_pages import visit
from cluster.test_people import ready
from instances import Group, One
from tocsin.clock import SystemClock
from tocsin.cluster import roster
from world import webs

TOKEN = "t" * 32


class Wrong(SystemClock):
    """The machine's clock, and so much more."""

    def __init__(self, hours: float) -> None:
        self.hours = hours

    def now(self) -> datetime:
        return super().now() + timedelta(hours=self.hours)


async def led_by_c(group: Group) -> tuple[One, One, One]:
    """Three instances; c's clock is an hour ahead, and it leads."""
    group.one("a"), group.one("b")
    group.one("c").clock = Wrong(1)
    a, b, c = await group.gather("a", "b", "c")
    await a.cluster.carrier.promote("instance-c")
    await until(lambda: group.primary() is c, within_s=20)
    return a, b, c


async def watched(a: One, **more: Any) -> str:
    """A monitor that the primary works by."""
    monitor = a_monitor(failure_threshold=1, **more)
    await a.store.of("ws").write(lambda s: s.monitors.add(monitor))
    await a.corridor.changed(monitor.id)
    return monitor.id


async def test_a_primary_whose_clock_is_ahead_counts_the_votes_and_the_calls_that_others_bring(group: Group) -> None:
    async with webs(1) as (web,):
        a, b, c = await led_by_c(group)
        push = await watched(
            c, type="push", target={"token": TOKEN, "period_s": 2, "grace_s": 1}, interval_s=20, timeout_s=1
        )
        seen = await watched(
            c, monitoring_type="global", locations=("a", "b"), interval_s=5, timeout_s=1, target={"url": web.url}
        )
        await until(lambda: all(one.corridor.watchlist.find(push) for one in (a, b)), within_s=10)
        for _ in range(20):
            await a.corridor.push_call(TOKEN)
            await asyncio.sleep(0.5)
            judged = c.corridor.watchlist.get(push).verdict
            assert judged is None or judged.value in ("up", "unknown"), judged
        assert c.corridor.watchlist.get(push).verdict.value == "up"  # pyright: ignore[reportOptionalMemberAccess]
        verdict = c.corridor.watchlist.get(seen).judge(c.clock.now())
        assert [(vote.location, vote.fresh) for vote in verdict.votes] == [("a", True), ("b", True)]


async def told(one: One) -> dict[str, str]:
    """The notices of wrong clocks: what each is about, and its text."""
    found = await one.store.of("ws").read(lambda s: s.notices.list())
    return {notice.mark: notice.text for notice in found if notice.kind == "instance.clock"}


async def told_of(one: One, *marks: str) -> None:
    """Until these are what is told of clocks."""
    async with asyncio.timeout(20):
        while set(await told(one)) != set(marks):
            await asyncio.sleep(0.1)


async def test_the_wrong_clock_is_blamed_also_where_it_leads_until_it_is_right(group: Group) -> None:
    _, _, c = await led_by_c(group)
    await told_of(c, "instance.clock:instance-c")
    assert "c is 1 h ahead of those of the others" in (await told(c))["instance.clock:instance-c"]
    off = {one["name"]: round((one["clock_off_s"] or 0) / 60) for one in await roster.listed(c.cluster)}
    assert off == {"a": 0, "b": 0, "c": 60}
    c.clock.hours = 0  # pyright: ignore[reportAttributeAccessIssue]
    await told_of(c)
    await asyncio.sleep(2)
    await told_of(c)


async def test_of_two_clocks_that_differ_nobody_knows_which_is_wrong(group: Group) -> None:
    group.one("a")
    group.one("b").clock = Wrong(-1)
    a, _ = await group.gather("a", "b")
    await told_of(a, "instance.clock:instance-b")
    assert "b is 1 h behind that of a" in (await told(a))["instance.clock:instance-b"]


async def test_promote_warns_of_an_instance_whose_clock_is_wrong(group: Group) -> None:
    group.one("a")
    group.one("b").clock = Wrong(1)
    a, _, _ = await ready(group, "a", "b", "c")
    await until(lambda: {"instance-b", "instance-c"} <= set(a.cluster.heard))
    shown = await (await visit(a)).look()
    assert "clock 1 h ahead" in shown
    assert shown.count("Its clock is 1 h ahead: while it leads, incidents and messages are dated so.") == 1
