"""Real servers, each a process of its own: what happens when one is killed, frozen or cut off."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from namespace import alone
from needs import require
from servers import QUIET, SHORT, Server, Servers, servers, slow, until
from world import Web

FAILOVER_S = 60.0
"""From a kill to the next write that is taken, at most, however busy the machine is."""
TOLD_S = 150.0
pytestmark = pytest.mark.timeout(300)
SOAK = [pytest.mark.soak, pytest.mark.timeout(7200)]


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

    async def at_rest(self, *ones: Server) -> set[str]:
        """The results that all of these have, when nobody looks any more and each has the same."""
        last: list[set[str]] = []

        async def same() -> bool:
            nonlocal last
            before, last = last, [set(await one.results(self.monitor)) for one in ones]
            await asyncio.sleep(1)
            return before == last and all(one == last[0] for one in last)

        await until(same, 60, "all to have the same results")
        return last[0]


@asynccontextmanager
async def scene(folder: Path, *, network: bool = False, **more: str) -> AsyncIterator[Scene]:
    async with servers(folder, network=network, **more) as group:
        async with Web(group.host) as target, Web(group.host) as sink:
            yield Scene(group, target, sink)


@pytest.mark.parametrize("kills", [2, pytest.param(30, marks=SOAK)])
async def test_when_the_primary_is_killed_another_one_takes_over_with_everything(tmp_path: Path, kills: int) -> None:
    async with scene(tmp_path) as s:
        a, b, c = await s.begin("a", "b", "c")
        s.target.status = 500
        assert await s.told(1, 30) == ["incident.opened"]
        for _ in range(kills):
            killed = await s.next_primary(a, b, c)
            left = [one for one in (a, b, c) if one is not killed]
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


async def test_an_outage_over_a_change_of_primary_is_told_once_and_so_is_its_end(tmp_path: Path) -> None:
    async with scene(tmp_path, **SHORT) as s:
        a, b, c = await s.begin("a", "b", "c")
        s.target.status = 500
        await asyncio.sleep(0.5)
        a.kill()  # while it is being confirmed, or just told
        began = time.monotonic()
        new = await s.next_primary(b, c)
        assert set(await s.told(1, TOLD_S)) == {"incident.opened"}
        print(f"told {time.monotonic() - began:.1f} s after the kill")
        await asyncio.sleep(3)
        opened = len(s.sink.events)
        new.kill()
        await a.start()
        last = await s.next_primary(a, *(one for one in (b, c) if one is not new))
        assert s.sink.events == ["incident.opened"] * opened, "what was told is not told again"
        s.target.status = 200
        assert (await s.told(opened + 1, TOLD_S))[opened:] == ["incident.resolved"]
        await new.start()
        await until(lambda: s.verdict(last, "up"), 30, "the target to be up")
        await asyncio.sleep(3)
        assert s.sink.events[opened:] == ["incident.resolved"]


async def test_a_primary_that_stood_still_steps_down_and_tells_nothing_twice(tmp_path: Path) -> None:
    async with scene(tmp_path, **SHORT) as s:
        a, b, c = await s.begin("a", "b", "c")
        a.send(signal.SIGSTOP)
        new = await s.next_primary(b, c)
        s.target.status = 500
        assert await s.told(1, TOLD_S) == ["incident.opened"]
        a.send(signal.SIGCONT)
        await until(lambda: _follows(a), 20, "the one that stood still to follow")
        assert not await s.group.writes(a)
        s.target.status = 200
        assert await s.told(2, TOLD_S) == ["incident.opened", "incident.resolved"]
        await s.alike(a, b, c)
        assert s.sink.events == ["incident.opened", "incident.resolved"]
        assert await new.leads()


async def _follows(one: Server) -> bool:
    """Whether this server runs and says that another one leads."""
    return await one.healthy() and not await one.leads()


@pytest.mark.parametrize(("terms", "short_s"), [(SHORT, 1.0), pytest.param({}, 9.5, marks=SOAK)])
def test_a_cut_shorter_than_the_lease_changes_nothing_and_a_longer_one_is_healed(
    tmp_path: Path, terms: dict[str, str], short_s: float
) -> None:
    async def work() -> None:
        async with scene(tmp_path, network=True, **terms) as s:
            a, b, c = await s.begin("a", "b", "c")
            s.group.cut(a, b, c)
            await asyncio.sleep(short_s)
            s.group.cut(a, b, c, heal=True)
            await asyncio.sleep(5 * short_s)
            assert await a.leads()
            assert epochs(a, b, c) == {1}
            s.group.cut(a, b, c)
            new = await s.next_primary(b, c)
            await until(lambda: _follows(a), 10, "the one that is cut off to step down")
            assert not await s.group.writes(a)
            s.target.status = 500
            told = await s.told(1, TOLD_S)
            assert told[0] == "incident.opened"
            await asyncio.sleep(10)  # the one that is cut off may tell it too, marked as unconfirmed
            s.group.cut(a, b, c, heal=True)
            await until(lambda: s.group.primary([new]), 30, "one primary")
            await until(lambda: _follows(a), 10, "the one that was cut off to follow")
            await s.alike(a, b, c, at_least=20)
            confirmed = [post for post in s.sink.posts if "unconfirmed" not in post["reason"]]
            assert [post["event"] for post in confirmed] == ["incident.opened"]

    alone(work, *QUIET)


def epochs(*ones: Server) -> set[int]:
    """The epochs that these servers have on disk."""
    return {one.epoch() for one in ones}


def test_links_that_are_cut_one_way_flap_or_are_slow_depose_nobody(tmp_path: Path) -> None:
    async def work() -> None:
        async with scene(tmp_path, network=True, **SHORT) as s:
            a, b, c = await s.begin("a", "b", "c")
            for one, others in ((b, (a,)), (c, (a, b)), (b, (c,)), (c, (b,))):
                s.group.cut(one, *others, both=False)
                await asyncio.sleep(5)
                assert await a.leads(), f"{one.name} is cut from {[other.name for other in others]}"
                s.group.cut(one, *others, heal=True)
                await asyncio.sleep(2)
            for _ in range(3):
                s.group.cut(a, b, c)
                await asyncio.sleep(1)
                s.group.cut(a, b, c, heal=True)
                await asyncio.sleep(2)
            assert await a.leads()
            assert epochs(a, b, c) == {1}
            s.group.cut(a, b, c, both=False)  # whoever cannot say anything is primary no longer
            new = await s.next_primary(b, c)
            s.group.cut(a, b, c, heal=True)
            await until(lambda: _follows(a), 20, "the one that was cut off to follow")
            assert await new.leads()

    alone(work, *QUIET)


def test_two_that_are_cut_apart_write_nothing_and_tell_unconfirmed(tmp_path: Path) -> None:
    async def work() -> None:
        async with scene(tmp_path, network=True, **SHORT) as s:
            a, b = await s.begin("a", "b")
            s.group.cut(a, b)
            await until(lambda: _follows(a), 10, "the primary to step down")
            assert not await s.group.writes(a)
            assert not await s.group.writes(b)
            s.target.status = 500
            events = await s.told(2, TOLD_S)
            assert events == ["incident.opened"] * 2
            places = {post["reason"].rpartition("(")[2] for post in s.sink.posts}
            assert places == {f"unconfirmed: seen from place-{one.name} alone)" for one in (a, b)}
            assert await s.group.primary() is None
            assert epochs(a, b) == {1}
            s.group.cut(a, b, heal=True)
            await until(s.group.primary, 30, "one primary")
            await s.alike(a, b)

    alone(work, *QUIET)


def test_the_side_with_the_witness_goes_on_and_the_witness_has_nothing(tmp_path: Path) -> None:
    async def work() -> None:
        async with scene(tmp_path, network=True, **SHORT) as s:
            for name, more in (("a", {}), ("b", {}), ("w", {"TOCSIN_WITNESS": "true"})):
                s.group.one(name, **more)
            a, b, w = await s.begin("a", "b", "w", locations=["place-a", "place-b"])
            s.group.cut(a, b, w)
            assert await s.next_primary(b, w) is b
            await until(lambda: _follows(a), 10, "the one that is cut off to step down")
            s.group.cut(a, b, w, heal=True)
            await until(lambda: s.group.primary([b]), 20, "one primary")
            await s.alike(a, b)
            w.kill()
            assert await s.group.writes(b)
            await w.start()
            b.kill()
            assert await s.next_primary(a, w) is a
            assert not await w.leads()
            assert w.rows("monitors") == w.rows("users") == w.rows("results") == 0
            assert w.rows("control_log", "length(payload) > 0 AND kind = 'rows'") == 0

    alone(work, *QUIET)


@pytest.mark.soak
def test_a_slow_link_deposes_nobody(tmp_path: Path) -> None:
    async def work() -> None:
        async with AsyncExitStack() as lines, scene(tmp_path) as s:
            for name in ("a", "b", "c"):
                one = s.group.one(name)
                one.reached_at = f"https://127.0.0.1:{await lines.enter_async_context(slow(one.sync_port, 0.3))}"
            a, b, c = await s.begin("a", "b", "c")
            await asyncio.sleep(20)
            assert await a.leads()
            assert epochs(a, b, c) == {1}
            a.kill()
            assert await s.next_primary(b, c)

    asyncio.run(work())


def test_a_clock_that_is_an_hour_wrong_deposes_nobody(tmp_path: Path) -> None:
    library = next(iter(Path("/usr/lib").glob("*/faketime/libfaketime.so.1")), None)
    require("libfaketime", library)

    async def work() -> None:
        async with scene(tmp_path, TOCSIN_HEARTBEAT_INTERVAL_S="2") as s:
            wrong = {"LD_PRELOAD": str(library), "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
            s.group.one("a")
            s.group.one("b", FAKETIME="+1h", **wrong)
            s.group.one("c", FAKETIME="-1h", **wrong)
            a, b, c = await s.begin("a", "b", "c")
            await asyncio.sleep(10)
            assert await a.leads()
            assert epochs(a, b, c) == {1}
            notices = await a.call("GET", "/api/v1/notices")
            clocks = sorted(one["text"] for one in notices["items"] if one["kind"] == "instance.clock")
            ways = [(text.split(" is ")[0], "ahead of" in text) for text in clocks]
            assert ways == [("The clock of instance b", True), ("The clock of instance c", False)]
            off = {one["name"]: one["clock_off_s"] for one in (await a.call("GET", "/api/v1/instances"))["items"]}
            assert [round(off[name] / 60) for name in ("a", "b", "c")] == [0, 60, -60]
            a.kill()
            assert await s.next_primary(b, c)
            await a.start()
            await until(lambda: _follows(a), 20, "the killed one to follow")
            assert s.sink.events == []

    asyncio.run(work())


@pytest.mark.parametrize("rounds", [2, pytest.param(100, marks=SOAK)])
def test_over_and_over_nothing_acknowledged_is_lost_and_nothing_is_there_twice(tmp_path: Path, rounds: int) -> None:
    async def work() -> None:
        async with scene(tmp_path, network=True, **SHORT) as s:
            ones = await s.begin("a", "b", "c")
            known: set[str] = set()
            for number in range(rounds):
                lead = await s.next_primary(*ones)
                ran = await lead.call("POST", f"/api/v1/monitors/{s.monitor}/run")
                known |= {one["id"] for one in ran["results"] if "id" in one}
                others = [one for one in ones if one is not lead]
                if number % 2:
                    lead.kill()
                    await s.next_primary(*others)
                    await lead.start()
                else:
                    s.group.cut(lead, *others)
                    await s.next_primary(*others)
                    s.group.cut(lead, *others, heal=True)
                await until(lambda lead=lead: _follows(lead), 30, f"{lead.name} to follow")
                if number % 10 == 9:
                    print(f"{number + 1} of {rounds}, {len(known)} results acknowledged", flush=True)
            lead = await s.next_primary(*ones)
            await lead.call("PATCH", f"/api/v1/monitors/{s.monitor}", {"paused": True})
            have = await s.at_rest(*ones)
            assert known <= have, f"lost: {known - have}"
            assert [one.twice() for one in ones] == [0, 0, 0]
            assert len(have) > len(known) >= rounds
            assert s.sink.events == []

    alone(work, *QUIET)
