"""Real servers, each a process of its own: what happens when one is killed, frozen or cut off."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from servers import Server, Servers, servers, until
from world import Web

FAILOVER_S = 60.0
"""From a kill to the next write that is taken, at most, however busy the machine is."""
TOLD_S = 150.0


class Scene:
    """Servers, one target that all of them watch, and a channel that keeps what it is told."""

    def __init__(self, group: Servers, target: Web, sink: Web) -> None:
        self.group, self.target, self.sink = group, target, sink
        self.monitor = self.channel = ""

    async def begin(self, *names: str, **more: Any) -> list[Server]:
        """Gather the servers and let all of them watch the target, every second."""
        ones = await self.group.gather(*names)
        hook = {"name": "Hook", "type": "webhook", "config": {"url": self.sink.url}}
        self.channel = (await ones[0].call("POST", "/api/v1/channels", hook))["id"]
        monitor = {
            "name": "Shop", "type": "http", "target": {"url": self.target.url}, "interval_s": 1, "timeout_s": 0.8,
            "retry_interval_s": 0.3, "monitoring_type": "global", "locations": [f"place-{one.name}" for one in ones],
            "flap_detection": False, "reopen_s": 0,
        } | more  # fmt: skip
        self.monitor = (await ones[0].call("POST", "/api/v1/monitors", monitor))["id"]
        await until(lambda: self.verdict(ones[0], "up"), 30, "the target to be up")
        return ones

    async def verdict(self, at: Server, wanted: str) -> bool:
        """Whether this server shows this verdict."""
        status, data = await at.ask("GET", f"/api/v1/monitors/{self.monitor}")
        return status == 200 and data["verdict"] == wanted

    async def next_primary(self, *among: Server) -> Server:
        """Who of these takes a write, as soon as one does."""
        return await until(lambda: self.group.primary(among), FAILOVER_S, "a new primary")

    async def told(self, count: int, within_s: float) -> list[str]:
        """The events that were told, once there are so many; each key at most once."""

        async def enough() -> bool:
            return len(self.sink.posts) >= count

        await until(enough, within_s, f"{count} messages, not {self.sink.events}")
        keys = [post["key"] for post in self.sink.posts]
        assert len(set(keys)) == len(keys), f"told twice: {self.sink.posts}"
        return self.sink.events

    async def alike(self, *ones: Server, at_least: int = 1) -> None:
        """Returns when all of these have the same results up to now, none twice."""
        known = set().union(*[await one.results(self.monitor) for one in ones])
        assert len(known) >= at_least

        async def all_have() -> bool:
            return all([known <= (await one.results(self.monitor)).keys() for one in ones])

        await until(all_have, 60, "all to have all results")


@asynccontextmanager
async def scene(folder: Path, *, network: bool = False, **more: str) -> AsyncIterator[Scene]:
    async with servers(folder, network=network, **more) as group:
        async with Web(group.host) as target, Web(group.host) as sink:
            yield Scene(group, target, sink)


async def test_when_the_primary_is_killed_another_one_takes_over_with_everything(tmp_path: Path) -> None:
    async with scene(tmp_path) as s:
        a, b, c = await s.begin("a", "b", "c")
        s.target.status = 500
        assert await s.told(1, 30) == ["incident.opened"]
        for killed, left in ((a, (b, c)), (None, (a, b, c))):
            killed = killed or await s.next_primary(*left)
            left = tuple(one for one in left if one is not killed)
            known = await killed.results(s.monitor)
            began = time.monotonic()
            killed.kill()
            new = await s.next_primary(*left)
            print(f"{time.monotonic() - began:.1f} s from the kill to the next write")
            assert await new.sign_in() == 200
            names = {one["name"] for one in (await new.call("GET", "/api/v1/monitors"))["items"]}
            assert names == {"Marker", "Shop"}
            assert [one["id"] for one in (await new.call("GET", "/api/v1/channels"))["items"]] == [s.channel]
            (incident,) = (await new.call("GET", "/api/v1/incidents?open=true"))["items"]
            assert incident["open"]
            await killed.start()
            await until(lambda new=new: s.group.voting(3), 30, "all to vote")
            await s.alike(a, b, c, at_least=len(known))
            assert not await killed.leads()
        s.target.status = 200
        assert await s.told(2, TOLD_S) == ["incident.opened", "incident.resolved"]
