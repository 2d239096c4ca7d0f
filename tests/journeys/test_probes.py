"""A real server and real probes over real sockets: one that the server calls, one that joins and calls the server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from probe.hub import listener
from tocsin import settings, telemetry
from tocsin.app import probe, server
from tocsin.errors import PeerLost
from tocsin.pipeline.roster import Roster
from tocsin.web.routes import application
from web.caller import Caller
from world import Web

KEY, NEW_KEY = "the first key of a probe", "the second key of a probe"


class House:
    """A server that answers, with Alice's account."""

    def __init__(self, running: server.Running, api: Caller) -> None:
        self.running, self.api = running, api

    @property
    def roster(self) -> Roster:
        return self.running.parts.corridor.watchlist.roster

    async def call(self, method: str, path: str, data: Any = None, status: int = 200) -> Any:
        answer = await self.api.send(method, f"/api/v1{path}", data)
        assert answer.status == status, answer.text
        return answer.data if answer.body else None

    async def until(self, path: str, wanted: Any, within_s: float = 15.0) -> Any:
        """What the API shows there, once `wanted` says so of it."""
        loop = asyncio.get_running_loop()
        end = loop.time() + within_s
        while not wanted(shown := await self.call("GET", path)):
            assert loop.time() < end, shown
            await asyncio.sleep(0.05)
        return shown

    async def watch(self, url: str, *places: str) -> str:
        wanted = {
            "name": "Page", "type": "http", "target": {"url": url}, "monitoring_type": "global", "locations": places,
            "interval_s": 2, "timeout_s": 1,
        }  # fmt: skip
        return (await self.call("POST", "/monitors", wanted, 201))["id"]


@asynccontextmanager
async def a_house(folder: Path) -> AsyncIterator[House]:
    with listener() as free:
        port = free.getsockname()[1]
    known = {"TOCSIN_DATA_DIR": str(folder), "TOCSIN_PORT": str(port), "TOCSIN_MINIMUM_INTERVAL_S": "1"}
    running = await server.start(settings.read(known))
    try:
        caller = Caller(application(running.parts), host=f"127.0.0.1:{port}")
        wanted = {"email": "alice@example.org", "password": "correct horse battery", "workspace": "Home"}
        made = await caller.post("/api/v1/setup", wanted)
        assert made.status == 201, made.text
        yield House(running, caller.as_(made.data["access_token"], host=f"127.0.0.1:{port}"))
    finally:
        await running.stop()


@asynccontextmanager
async def a_probe(folder: Path, join: str | None = None, **more: str) -> AsyncIterator[probe.Running]:
    known = {"TOCSIN_DATA_DIR": str(folder), "TOCSIN_PROBE_HOST": "127.0.0.1", "TOCSIN_PROBE_PORT": "0"}
    running = await probe.start(settings.read(known | more), join)
    try:
        yield running
    finally:
        await running.stop()


async def test_a_probe_that_the_server_calls(tmp_path: Path) -> None:
    async with (
        Web() as site,
        a_house(tmp_path / "server") as house,
        a_probe(tmp_path / "probe", TOCSIN_PROBE_KEY=KEY) as there,
    ):
        given = {"code": "europe", "endpoint_url": f"https://127.0.0.1:{there.port}", "pin": there.fingerprint}
        for wrong, field in (
            ({"api_key": "not the key of that probe"}, "api_key"),
            ({"api_key": KEY, "pin": "0" * 64}, "pin"),
            ({"api_key": KEY, "endpoint_url": site.url, "pin": None}, "endpoint_url"),
        ):
            answer = await house.api.post("/api/v1/locations", given | wrong)
            assert answer.status == 422, answer.text
            assert [p["field"] for p in answer.data["errors"]] == [field], answer.text
        made = await house.call("POST", "/locations", given | {"api_key": KEY}, 201)
        row = await house.call("POST", f"/probes/{made['id']}/health-check", {})
        assert (row["state"], row["why"]) == ("well", None)
        assert row["latency_ms"] > 0

        id = await house.watch(site.url, "local", "europe")
        found = await house.until(
            f"/monitors/{id}/results", lambda r: {i["location"] for i in r["items"]} == {"local", "europe"}
        )
        assert {i["status"] for i in found["items"]} == {"up"}

        # A new key: the probe has only the first one yet, so that is used; then both; then the new one alone.
        await house.call("POST", f"/probes/{made['id']}/rotate-key", {"api_key": NEW_KEY})
        row = await house.call("POST", f"/probes/{made['id']}/health-check", {})
        assert row["state"] == "well"
        post = next(iter(house.roster))
        assert post.probe.keys == (NEW_KEY, KEY)
        await there.stop()
        keys = f"{NEW_KEY},{KEY}"
        async with a_probe(tmp_path / "probe", TOCSIN_PROBE_KEY=keys, TOCSIN_PROBE_PORT=str(there.port)):
            row = await house.call("POST", f"/probes/{made['id']}/health-check", {})
            assert row["state"] == "well"
            assert next(iter(house.roster)).probe.keys == (NEW_KEY,)

        # Another certificate at its address is not it: that is told, and the probe is lost.
        async with a_probe(tmp_path / "another", TOCSIN_PROBE_KEY=NEW_KEY, TOCSIN_PROBE_PORT=str(there.port)):
            for _ in range(2):
                row = await house.call("POST", f"/probes/{made['id']}/health-check", {})
            assert row["state"] == "lost"
            (notice,) = (await house.call("GET", "/notices"))["items"]
            assert (notice["kind"], notice["location"]) == ("location.refused", "europe")
            assert "certificate" in notice["text"]
            (incident,) = (await house.call("GET", "/incidents?open=true"))["items"]
            assert "it watches Page" in incident["reason"]


def denied(cause: str) -> float:
    """How often somebody was not let in for that."""
    return telemetry.probes_denied.labels(cause)._value.get()


async def test_a_probe_that_joins_and_calls_the_server(tmp_path: Path) -> None:
    async with Web() as site, a_house(tmp_path / "server") as house:
        made = await house.call("POST", "/locations", {"code": "office", "mode": "pull"}, 201)
        join = f"{house.running.url}#{made['join']['token']}"
        async with a_probe(tmp_path / "probe", join) as there:
            row = await house.until("/locations/office", lambda r: r["state"] == "well")
            assert row["version"]
            id = await house.watch(site.url, "office")
            found = await house.until(f"/monitors/{id}/results", lambda r: r["items"])
            assert {(i["location"], i["status"]) for i in found["items"]} == {("office", "up")}

            with pytest.raises(PeerLost, match="used"):
                async with a_probe(tmp_path / "thief", join):
                    pass
            (notice,) = (await house.call("GET", "/notices"))["items"]
            assert (notice["kind"], notice["location"]) == ("location.token", "office")
            before = denied("token"), denied("token_used")
            with pytest.raises(PeerLost, match="no such join token"):
                async with a_probe(tmp_path / "thief", f"{house.running.url}#tpj_guessed"):
                    pass
            assert (denied("token"), denied("token_used")) == (before[0] + 1, before[1])
            assert before[1] >= 1

            assert (await house.call("POST", f"/probes/{made['id']}/rotate-key", {}))["handed_over"]
            assert there.pull is not None

        # Gone, and back by itself with the key that it kept.
        await house.until("/locations/office", lambda r: r["state"] != "well")
        async with a_probe(tmp_path / "probe"):
            await house.until("/locations/office", lambda r: r["state"] == "well")
            await house.call("PATCH", "/locations/office", {"enabled": False})
            row = await house.until("/locations/office", lambda r: r["state"] == "off")
            assert house.running.parts.links is not None
            await asyncio.sleep(0.2)
            assert (
                house.running.parts.links.linked((house.running.parts.corridor.watchlist.workspaces()[0], "office"))
                is None
            )
