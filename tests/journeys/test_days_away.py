"""A server that was away for a day gets all of it from a real agent, each value once, through a kill of the agent."""

from __future__ import annotations

import json
import time
import zlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlencode

import msgspec
import psutil
import pytest

from agent.center import Host, agent
from journeys.test_agents import alone
from servers import Server, servers, until
from tocsin.agent.buffer import Buffer
from tocsin.agent.disk import Disk
from tocsin.agent.push import Stored
from tocsin.agent.vitals import machine_mark

COLLECTORS, METRICS, EVERY_S = 5, 40, 30


def fill(host: Host, count: int, since: datetime) -> None:
    """What five collectors with forty series each leave in that many looks."""
    host.data.mkdir(mode=0o700)
    disk = Disk(host.data, machine_mark())
    disk.open()
    buffer = Buffer(disk, 64 << 20, 0.0)
    for i in range(count):
        values = {f"c{i % COLLECTORS}.value{{of=n{n}}}": (i * 7919 * (n + 1)) % 1009 / 7 for n in range(METRICS)}
        stored = Stored(since + timedelta(seconds=EVERY_S / COLLECTORS * i), f"c{i % COLLECTORS}", values)
        buffer._unsaved.append((buffer.next_seq, float(i), zlib.compress(msgspec.json.encode(stored), 1)))
        buffer.next_seq += 1
    buffer.save(0.0, safely=True)
    disk.close()


async def kept(one: Server, metric: str, since: datetime) -> int:
    """How many values of a series the server has."""
    hosts = (await one.call("GET", "/api/v1/hosts"))["items"]
    if not hosts:
        return 0
    asked = {"metric": metric, "from": since.isoformat(), "to": datetime.now(UTC).isoformat(), "step": "86400"}
    status, data = await one.ask("GET", f"/api/v1/hosts/{hosts[0]['id']}/series?{urlencode(asked)}")
    return sum(p["count"] for s in data["series"] for p in s["points"]) if status == 200 else 0


@pytest.mark.timeout(900)
@pytest.mark.parametrize("count", [1_000, pytest.param(14_400, marks=pytest.mark.soak)])
async def test_a_day_without_the_server_arrives_whole(tmp_path: Path, count: int) -> None:
    host, since = Host(tmp_path / "host"), datetime.now(UTC) - timedelta(seconds=EVERY_S / COLLECTORS * count + 60)
    fill(host, count, since)
    async with servers(tmp_path) as group:
        one = await alone(group)
        key = (await one.call("POST", "/api/v1/enrollment-keys", {"name": "hosts"}))["key"]
        host.writes(f"http://{one.host}:{one.port}")
        began = time.monotonic()
        async with agent(host, TOCSIN_API_KEY=key) as program:

            async def some() -> bool:
                return await kept(one, "c0.value{of=n0}", since) > count // COLLECTORS // 8

            await until(some, 200, "some of it")
            await program.kill()
        async with agent(host, TOCSIN_API_KEY=key) as program:
            last = f"c{(count - 1) % COLLECTORS}.value{{of=n{METRICS - 1}}}"

            async def all_of_it() -> bool:
                return await kept(one, last, since) >= count // COLLECTORS

            await until(all_of_it, 600, "all of it")
            took, memory = time.monotonic() - began, psutil.Process(program.process.pid).memory_info().rss
        for collector in range(COLLECTORS):
            assert await kept(one, f"c{collector}.value{{of=n7}}", since) == count // COLLECTORS
    print(json.dumps({"batches": count, "seconds": round(took, 1), "rss_mb": round(memory / 1e6, 1)}))
    assert memory < 100e6
