"""A location that was cut off hands its results over when it is back: they fill history, open nothing, and one message
tells what was down meanwhile."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from builders import a_result, at, until
from tocsin.core.uptime import uptime
from world import Web, World, a_world, webs


async def remote(world: World, name: str, **more: object) -> str:
    """A monitor that is checked from a place we only hear of."""
    wanted = {"monitoring_type": "global", "locations": ("far",), "interval_s": 60, "timeout_s": 10, "name": name}
    return (await world.watch(**(wanted | more))).monitor.id


async def hand_over(world: World, id: str, statuses: dict[int, str]) -> None:
    """Results of the far place, by minute."""
    monitor = world.corridor.watchlist.get(id).monitor
    results = [a_result(s, monitor=monitor, at=at(60 * m), location="far") for m, s in statuses.items()]  # type: ignore[arg-type]
    await world.corridor.intake.take_in(results)


def digests(sink: Web) -> list[dict[str, Any]]:
    """What it was told of the past (that monitors are not seen at all is told too, by itself)."""
    return [post for post in sink.posts if post["event"] == "digest"]


async def test_what_was_down_while_cut_off_is_told_once(tmp_path: Path) -> None:
    async with webs(2) as (sink, other), a_world(tmp_path) as world:
        await world.tell(sink)
        named = await world.tell(other, default=False)
        shop, mail = await remote(world, "Shop"), await remote(world, "Mail", channels=(named.id,))
        fine, calm = await remote(world, "Fine"), await remote(world, "Calm")
        for id in (shop, mail, fine, calm):
            await hand_over(world, id, {0: "up"})
        await world.go(1800, step=30)
        for part in (range(1, 10), range(10, 20), range(20, 25)):
            down = {m: "down" if 5 <= m < 15 else "up" for m in part}
            await hand_over(world, shop, down)
            await hand_over(world, mail, down)
            await hand_over(world, fine, dict.fromkeys(part, "up"))
            await world.go(3)
        assert digests(sink) == digests(other) == []
        await until(lambda: digests(sink) and digests(other), clock=world.clock)
        await world.go(30)
        assert [post["reason"] for post in digests(sink)] == ["Shop was down 12:06–12:15 UTC while cut off"]
        assert [post["reason"] for post in digests(other)] == ["Mail was down 12:06–12:15 UTC while cut off"]
        assert not any(w.incident for w in world.corridor.watchlist)
        intervals = await world.store.of("ws").read(lambda s: s.verdicts.intervals(shop, at(0), at(1800)))
        share = uptime(intervals, at(0), at(1800))
        assert share.down_s == 9 * 60
        assert share.up_s == 6 * 60 + (24 - 15) * 60 + 130
        again = {m: "down" if 5 <= m < 15 else "up" for m in range(1, 25)}
        await hand_over(world, shop, again)
        await until(lambda: not world.corridor.watchdog.late.waiting, clock=world.clock)
        await world.go(60, step=5)
        assert len(digests(sink)) == 1


async def test_many_are_one_message_that_names_all(tmp_path: Path) -> None:
    async with webs(1) as (sink,), a_world(tmp_path) as world:
        await world.tell(sink)
        ids = [await remote(world, f"Monitor {n}") for n in range(8)]
        await world.go(1200, step=30)
        for n, id in enumerate(ids):
            await hand_over(world, id, {m: "down" if 2 <= m < 5 + n else "up" for m in range(14)})
        await until(lambda: digests(sink), clock=world.clock)
        await world.go(30)
        (post,) = digests(sink)
        assert (post["event"], post["severity"]) == ("digest", "info")
        assert post["reason"] == "8 monitors were down while cut off, 12:03–12:12 UTC"
        assert [item["title"].split(" was")[0] for item in post["items"]] == [f"Monitor {n}" for n in range(8)]
        assert world.clock.now() > at(1200) + timedelta(seconds=10)
