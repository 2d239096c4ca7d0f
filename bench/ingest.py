"""What agents bring, at the server: how long one message takes, what 200 agents cost, and how much can be taken at most."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from bench import rig
from bench.report import Figure, at_least, at_most, plain, record

AGENTS, SERIES, EVERY_S = 200, 100, 30
POINTS = 500
AT_ONCE, FULL_S = 8, 15


class Agent:
    """One that speaks over a connection that stays open; what it sends is made up."""

    def __init__(self, port: int, key: str, name: str) -> None:
        self._port, self._key, self._name = port, key, name
        self._to: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._seq, self._id = 0, ""

    async def ask(self, method: str, path: str, body: Any) -> Any:
        if self._to is None:
            self._to = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._to
        said = json.dumps(body).encode()
        head = f"{method} /agent/api/{path} HTTP/1.1\r\nHost: 127.0.0.1:{self._port}\r\nAuthorization: Bearer {self._key}\r\n"
        head += f"Content-Type: application/json\r\nContent-Length: {len(said)}\r\n\r\n"
        writer.write(head.encode() + said)
        top = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = next(int(line.split(":")[1]) for line in top.splitlines() if line.startswith("content-length"))
        answer = await reader.readexactly(length)
        assert top.split()[1] == "200", (top, answer)
        return json.loads(answer)

    async def enrol(self) -> None:
        said = {"name": self._name, "incarnation": f"i-{self._name}", "agent_version": "1"}
        gave = await self.ask("POST", "enrol", said)
        self._key, self._id = gave["key"], gave["server_uuid"]

    async def beat(self) -> None:
        said = {"server_uuid": self._id, "timestamp": datetime.now(UTC).isoformat(), "agent_version": "1"}
        await self.ask("PUT", "heartbeat", said | {"incarnation": f"i-{self._name}"})

    async def bring(self, looks: int, series: int, every_s: float = 15) -> float:
        """A message of so many looks at so many series; how long its answer took, ms."""
        now, batches = datetime.now(UTC), list[dict[str, Any]]()
        for n in range(looks):
            self._seq += 1
            values = [[i, (self._seq * 7 + i * 13) % 1000 / 10] for i in range(series)]
            at = (now - timedelta(seconds=every_s * (looks - 1 - n))).isoformat()
            batches.append({"seq": self._seq, "at": at, "collector": "system", "values": values})
        names = [f"bench.value{{of=n{i}}}" for i in range(series)]
        began = time.perf_counter()
        gave = await self.ask(
            "POST", "samples", {"incarnation": f"i-{self._name}", "series": names, "batches": batches}
        )
        assert gave["acked"] == self._seq, gave
        return (time.perf_counter() - began) * 1000

    def close(self) -> None:
        if self._to is not None:
            self._to[1].close()


async def _agents(server: rig.Server, count: int, mark: str) -> list[Agent]:
    key = server.call("POST", "/enrollment-keys", {"name": mark})["key"]
    made = [Agent(server.port, key, f"{mark}-{n}") for n in range(count)]
    for agent in made:
        await agent.enrol()
    return made


async def _single(server: rig.Server) -> list[float]:
    (agent,) = await _agents(server, 1, "single")
    took = [await agent.bring(5, POINTS // 5) for _ in range(220)]
    agent.close()
    return took[20:]


async def _many(server: rig.Server, seconds: float) -> tuple[float, list[float], float]:
    """Processor of the server (% of a core), how long answers took, its memory."""
    agents = await _agents(server, AGENTS, "many")
    took: list[float] = []

    async def live(number: int, until: float) -> None:
        await asyncio.sleep(EVERY_S * number / AGENTS)
        turn = number % 2
        while time.monotonic() < until:
            next_at = time.monotonic() + EVERY_S
            took.append(await agents[number].bring(2, SERIES))
            if (turn := turn + 1) % 2:
                await agents[number].beat()
            await asyncio.sleep(max(0, next_at - time.monotonic()))

    cpu, at = rig.cpu_s(server.pid), time.monotonic()
    await asyncio.gather(*(live(n, at + seconds) for n in range(AGENTS)))
    percent = 100 * (rig.cpu_s(server.pid) - cpu) / (time.monotonic() - at)
    for agent in agents:
        agent.close()
    return percent, took, rig.rss_mb(server.pid)


async def _full(server: rig.Server) -> float:
    """Points a second, by agents that send again at once."""
    agents = await _agents(server, AT_ONCE, "full")
    began, sent = time.monotonic(), 0

    async def hurry(agent: Agent) -> None:
        nonlocal sent
        while time.monotonic() < began + FULL_S:
            await agent.bring(20, SERIES, 1)
            sent += 20 * SERIES

    await asyncio.gather(*map(hurry, agents))
    for agent in agents:
        agent.close()
    return sent / (time.monotonic() - began)


@contextlib.contextmanager
def _postgres() -> Iterator[str | None]:
    """A PostgreSQL of our own, as the tests start one; None where there is none."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
    try:
        from pg_cluster import cluster
    except ImportError:
        yield None
        return
    with cluster() as port:
        yield f"postgresql://tocsin@127.0.0.1:{port}/postgres"


def main() -> list[Figure]:
    seconds = 60 * rig.minutes(2)
    limits = {"TOCSIN_REQUESTS_PER_MINUTE": "1000000"}
    with rig.running(**limits) as (server, _):
        single = asyncio.run(_single(server))
        percent, took, memory = asyncio.run(_many(server, seconds))
        most = asyncio.run(_full(server))
    figures = [
        at_most(f"a message of {POINTS} points, p95", rig.percentile(single, 0.95), "ms", 25),
        plain(f"a message of {POINTS} points, median", rig.percentile(single, 0.5), "ms"),
        at_most(f"{AGENTS} agents: the server's processor", percent, "% of a core", 30),
        at_most(f"{AGENTS} agents: an answer, p95", rig.percentile(took, 0.95), "ms", 25),
        plain(f"{AGENTS} agents: the server's memory", memory, "MB"),
        at_least("SQLite: points a second at most", most, "", 10_000),
    ]
    with _postgres() as url:
        if url is not None:
            with rig.running(**limits, TOCSIN_DATABASE_URL=url) as (server, _):
                figures.append(
                    at_least(
                        "PostgreSQL (a test's, without fsync): points a second at most",
                        asyncio.run(_full(server)),
                        "",
                        10_000,
                    )
                )
    how = (
        f"{AGENTS} agents with {SERIES} series every 15 s, handed over every {EVERY_S} s, heartbeats every 60 s, for"
        f" {seconds / 60:g} min on SQLite; at most: {AT_ONCE} agents that send 2,000 points at a time"
    )
    return record("ingest", how, figures)
