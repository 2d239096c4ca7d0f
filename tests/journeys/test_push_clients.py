"""Jobs that were written for Healthchecks and Uptime Kuma call us with their own commands, only the host changed."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from needs import require
from real import FIRST, ask, given, running

UUID = "5bf66975-d4c7-4bf5-bcc8-b8d8a82ea278"

# As https://healthchecks.io/docs/ and the push examples of Uptime Kuma have them.
SIMPLE = "curl -fsS -m 10 --retry 5 -o /dev/null https://hc-ping.com/your-uuid-here"
HEAD = "curl -fsS -m 10 --head https://hc-ping.com/your-uuid-here"
POST = 'curl -fsS -m 10 --retry 5 --data-raw "Hello World" https://hc-ping.com/your-uuid-here'
FAIL = "curl -fsS -m 10 --retry 5 https://hc-ping.com/your-uuid-here/fail"
LOG = 'curl -fsS -m 10 --retry 5 --data-raw "still going" https://hc-ping.com/your-uuid-here/log'
OUTPUT = """
m=$(ls /no/such/place 2>&1)
curl -fsS -m 10 --retry 5 --data-raw "$m" https://hc-ping.com/your-uuid-here/$?
"""
RUNS = """
RID=7c7e6c0e-0ae2-4d5c-8c86-5a8e5c7f0d11
# send a start ping, specify rid parameter:
curl -fsS -m 10 --retry 5 "https://hc-ping.com/your-uuid-here/start?rid=$RID"
# ... FIXME: run the job here ...
# send the success ping, use the same rid parameter:
curl -fsS -m 10 --retry 5 "https://hc-ping.com/your-uuid-here?rid=$RID"
"""
KUMA = """
PUSH_URL="https://example.com/api/push/key?status=up&msg=OK&ping="
curl -s -o /dev/null $PUSH_URL
"""
KUMA_DOWN = 'curl -fsS "https://example.com/api/push/key?status=down&msg=Backup+failed&ping=42"'


class House:
    """A server with one push monitor, and a shell for its jobs."""

    def __init__(self, port: int, token: str, monitor: str) -> None:
        self.port, self.token, self.monitor = port, token, monitor

    async def job(self, script: str) -> str:
        """What the commands print; they must succeed."""
        here = f"http://127.0.0.1:{self.port}"
        script = script.replace("https://hc-ping.com/your-uuid-here", f"{here}/ping/{UUID}")
        script = script.replace("https://example.com/api/push/key", f"{here}/api/push/{UUID}")
        done = await asyncio.create_subprocess_exec(
            "bash", "-ec", script, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            env={"PATH": os.environ["PATH"]},
        )  # fmt: skip
        output, errors = await asyncio.wait_for(done.communicate(), 30)
        assert done.returncode == 0, errors.decode()
        return output.decode()

    async def results(self) -> list[dict[str, Any]]:
        path = f"/api/v1/monitors/{self.monitor}/results"
        return (await ask(self.port, "GET", path, None, self.token))[1]["items"]


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    require("curl", shutil.which("curl"))
    async with running(given(tmp_path)) as server:
        token = (await ask(server.port, "POST", "/api/v1/setup", FIRST))[1]["access_token"]
        wanted = {"name": "job", "type": "push", "target": {"token": UUID, "schedule": "30 2 * * *"}}
        status, made = await ask(server.port, "POST", "/api/v1/monitors", wanted, token)
        assert status == 201, made
        yield House(server.port, token, made["id"])


@pytest.mark.parametrize("command", [SIMPLE, HEAD, POST])
async def test_a_success(house: House, command: str) -> None:
    await house.job(command)
    (result,) = await house.results()
    assert (result["status"], result["error"]) == ("up", None)
    assert result["facts"] == ({"message": "Hello World"} if command == POST else {})


async def test_a_failure(house: House) -> None:
    assert await house.job(FAIL) == "OK"
    (result,) = await house.results()
    assert (result["status"], result["error"]["type"]) == ("down", "assertion")


async def test_an_exit_code_with_the_output(house: House) -> None:
    # `m=$(…)` that fails ends a shell that stops at errors: the scripts of the documentation do not
    assert await house.job("set +e\n" + OUTPUT) == "OK"
    (result,) = await house.results()
    assert result["status"] == "down"
    assert result["error"]["message"].startswith("exit code 2: ls: cannot access '/no/such/place'")


async def test_runs_with_ids(house: House) -> None:
    assert await house.job(RUNS) == "OKOK"
    (result,) = await house.results()
    assert result["status"] == "up"
    assert 0 < result["timing_ms"]["total"] < 10_000


async def test_a_log_is_no_result(house: House) -> None:
    await house.job(LOG)
    assert await house.results() == []
    await house.job(SIMPLE)
    (result,) = await house.results()
    assert [line["text"] for line in result["facts"]["log"]] == ["still going"]


async def test_uptime_kuma(house: House) -> None:
    await house.job(KUMA)
    await house.job(KUMA_DOWN)
    down, up = await house.results()
    assert (up["status"], up["facts"]) == ("up", {})
    assert (down["status"], down["error"]["message"]) == ("down", "Backup failed")
    assert down["timing_ms"]["total"] == 42


async def test_an_output_larger_than_is_kept_is_no_failure(house: House) -> None:
    await house.job(
        "head -c 500000 /dev/zero | tr '\\0' x | curl -fsS --data-binary @- https://hc-ping.com/your-uuid-here"
    )
    (result,) = await house.results()
    assert result["status"] == "up"
    assert len(result["facts"]["body"]) == 10_000


async def test_an_unknown_address_is_not_found(house: House) -> None:
    other = UUID.replace("5bf66975", "6bf66975")
    script = f"curl -s -o /dev/null -w '%{{http_code}}' http://127.0.0.1:{house.port}/ping/{other}"
    assert await house.job(script) == "404"
    assert json.loads(await house.job(script.replace("-o /dev/null -w '%{http_code}'", "")))["status"] == 404
