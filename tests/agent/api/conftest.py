"""A whole server, an admin of it, and what speaks as agents do."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from web.caller import Answer, Caller
from web.conftest import Alice, House, servers, set_up

__all__ = ["Agent", "Alice", "House"]


@pytest.fixture
async def build(tmp_path: Path) -> AsyncIterator[Callable[..., Any]]:
    async for make in servers(tmp_path):
        yield make


@pytest.fixture
async def alice(build: Callable[..., Any]) -> Alice:
    return await set_up(await build())


@dataclass(slots=True)
class Agent:
    """An agent by hand: what it sends is what the test says."""

    app: Any
    key: str
    id: str = ""
    incarnation: str = "one"
    seq: int = 0
    sent: list[Answer] = field(default_factory=list[Answer])

    async def call(self, method: str, path: str, data: Any, *, packed: bool = False, **headers: str) -> Answer:
        body = data if isinstance(data, bytes) else msgspec.json.encode(data)
        more = {"content-encoding": "gzip"} | headers if packed else headers
        caller = Caller(self.app, self.key)
        answer = await caller.send(
            method, f"/agent/api/{path}", raw=gzip.compress(body) if packed else body, headers=more
        )
        self.sent.append(answer)
        return answer

    async def enrol(self, name: str = "web-1", **more: Any) -> Answer:
        wanted = {"name": name, "incarnation": self.incarnation, "agent_version": "1.0", "facts": {"os": "Debian 12"}}
        answer = await self.call("POST", "enrol", wanted | more)
        if answer.status == 200:
            self.key, self.id = answer.data["key"], answer.data["server_uuid"]
        return answer

    async def beat(self, at: datetime | None = None, **more: Any) -> Answer:
        said = {"server_uuid": self.id, "timestamp": at or datetime.now(UTC), "agent_version": "1.0"}
        return await self.call("PUT", "heartbeat", said | {"incarnation": self.incarnation} | more)

    async def samples(self, *looks: dict[str, float], at: datetime | None = None, **more: Any) -> Answer:
        """Looks of the collector `system`, ten seconds apart, the last of them at that time."""
        names = sorted({name for look in looks for name in look})
        at, batches = at or datetime.now(UTC), list[dict[str, Any]]()
        for n, look in enumerate(looks):
            self.seq += 1
            when = at - timedelta(seconds=10 * (len(looks) - 1 - n))
            values = [[names.index(name), value] for name, value in look.items()]
            batches.append({"seq": self.seq, "at": when, "collector": "system", "values": values})
        message = {"incarnation": self.incarnation, "series": names, "batches": batches}
        return await self.call("POST", "samples", message | more)


async def an_agent(alice: Alice, name: str = "web-1", **more: Any) -> Agent:
    """One that has enrolled with a key of Alice's."""
    made = await alice.api.post("/api/v1/enrollment-keys", {"name": name})
    assert made.status == 201, made.text
    agent = Agent(alice.house.app, made.data["key"], **more)
    answer = await agent.enrol(name)
    assert answer.status == 200, answer.text
    return agent


@pytest.fixture
async def agent(alice: Alice) -> Agent:
    return await an_agent(alice)
