"""A server that was away for a day gets all of it, in order, each once."""

from __future__ import annotations

import json
import time
import zlib
from datetime import timedelta
from pathlib import Path

import msgspec
import psutil
import pytest

from agent.center import Host, agent, center
from builders import START, until
from tocsin.agent.buffer import Buffer
from tocsin.agent.disk import Disk
from tocsin.agent.push import Stored
from tocsin.agent.vitals import machine_mark


def fill(host: Host, count: int) -> None:
    """What five collectors with forty series each leave in that many looks."""
    host.data.mkdir(mode=0o700)
    disk = Disk(host.data, machine_mark())
    disk.open()
    buffer = Buffer(disk, 64 << 20, 0.0)
    for i in range(count):
        values = {f"c{i % 5}.value{n}_percent{{mount=/var/lib/{n}}}": (i * 7919 * n) % 1009 / 7 for n in range(40)}
        stored = Stored(START + timedelta(seconds=6 * i), f"c{i % 5}", values)
        buffer._unsaved.append((buffer.next_seq, float(i), zlib.compress(msgspec.json.encode(stored), 1)))
        buffer.next_seq += 1
    buffer.save(0.0, safely=True)
    disk.close()


@pytest.mark.parametrize("count", [1500, pytest.param(14_400, marks=pytest.mark.soak)])
async def test_days_arrive_in_order_through_a_kill(tmp_path: Path, count: int) -> None:
    host = Host(tmp_path)
    fill(host, count)
    async with center() as server:
        host.writes(server.url)
        began = time.monotonic()
        async with agent(host) as running:
            await until(lambda: sum(map(len, server.batches.values())) > count // 4, within_s=120)
            await running.kill()
        async with agent(host) as running:
            await until(lambda: sum(map(len, server.batches.values())) > count, within_s=240)
            took, memory = time.monotonic() - began, psutil.Process(running.process.pid).memory_info().rss
        (incarnation,) = server.batches
        kept = server.batches[incarnation]
    assert sorted(kept) == list(range(1, len(kept) + 1))
    assert [kept[seq].at for seq in sorted(kept)][:count] == [START + timedelta(seconds=6 * i) for i in range(count)]
    print(json.dumps({"batches": count, "seconds": round(took, 1), "rss_mb": round(memory / 1e6, 1)}))
    assert memory < 100e6
