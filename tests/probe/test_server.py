"""A whole server and two real probes, one that it calls and one that calls it: one monitor from three places."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from daemon import free_port
from probe.hub import KEY
from probe.test_process import probe
from real import FIRST, ask, given, running
from world import Web


async def test_one_monitor_from_here_and_from_two_probes(tmp_path: Path) -> None:
    port, listening = free_port(), free_port()
    more = {"TOCSIN_PROBE_PORT": str(listening), "TOCSIN_PROBE_KEY": KEY, "TOCSIN_PROBE_HOST": "127.0.0.1"}
    async with Web() as web, running(given(tmp_path, TOCSIN_PORT=str(port), TOCSIN_MINIMUM_INTERVAL_S="1")) as server:
        token = (await ask(server.port, "POST", "/api/v1/setup", FIRST))[1]["access_token"]

        async def call(method: str, path: str, body: Any = None) -> Any:
            status, said = await ask(server.port, method, f"/api/v1{path}", body, token)
            assert status < 300, said
            return said

        made = await call("POST", "/locations", {"code": "office", "mode": "pull"})
        words = made["join"]["command"].split()[2:]
        async with (
            probe(tmp_path / "calls", *words, TOCSIN_PROBE_PORT="0") as one,
            probe(tmp_path / "listens", **more) as two,
        ):
            await one.says("pull.linked")
            pin = (await two.says(r"certificate: ([0-9a-f]{64})"))[1]
            place = {"code": "europe", "endpoint_url": f"https://127.0.0.1:{listening}", "api_key": KEY, "pin": pin}
            await call("POST", "/locations", place)
            monitor = await call(
                "POST", "/monitors",
                {"name": "Page", "type": "http", "target": {"url": web.url}, "interval_s": 60, "timeout_s": 5,
                 "monitoring_type": "global", "locations": ["office", "europe", "local"]},
            )  # fmt: skip
            async with asyncio.timeout(30):
                while True:
                    ran = await call("POST", f"/monitors/{monitor['id']}/run")
                    seen = {r["location"]: r["status"] for r in ran["results"]}
                    if seen == {"office": "up", "europe": "up", "local": "up"}:
                        break
                    await asyncio.sleep(0.2)
            assert ran["verdict"] == "up"
            web.status = 500
            ran = await call("POST", f"/monitors/{monitor['id']}/run")
            assert [r["error"]["type"] for r in ran["results"]] == ["assertion"] * 3
