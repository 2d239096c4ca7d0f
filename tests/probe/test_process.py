"""`tocsin probe` as a program of its own: listening, joining, calling, and what it does when the server goes."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest

from builders import until
from daemon import free_port
from probe.hub import KEY, Hub, Registry, an_order, hub
from tocsin import settings as knobs
from tocsin.app import probe as app_probe
from tocsin.clock import SystemClock
from tocsin.net import Net
from tocsin.probe.client import health, location
from tocsin.secret import Secret
from world import Web

CLOCK = SystemClock()


def environment(folder: Path, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TOCSIN_")}
    return kept | {"TOCSIN_DATA_DIR": str(folder), "TOCSIN_LOG_LEVEL": "debug"} | more


class Program:
    """A `tocsin probe` that runs, and what it has said."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self.process, self._log = process, log

    @property
    def said(self) -> str:
        return self._log.read_text(errors="replace")

    async def says(self, pattern: str) -> re.Match[str]:
        """What it says that is like this, as soon as it has."""
        async with asyncio.timeout(30):
            while (found := re.search(pattern, self.said)) is None:
                assert self.process.returncode is None, self.said
                await asyncio.sleep(0.02)
        return found


@asynccontextmanager
async def probe(folder: Path, *words: str, **settings: str) -> AsyncIterator[Program]:
    folder.mkdir(exist_ok=True)
    log = folder.with_suffix(".log")
    with log.open("wb") as out:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tocsin", "probe", *words, stdout=out, stderr=out, env=environment(folder, **settings)
        )
    made = Program(process, log)
    try:
        yield made
    finally:
        if process.returncode is None:
            process.terminate()
            async with asyncio.timeout(20):
                await process.wait()


def refused(folder: Path, *words: str, stdin: str = "", **settings: str) -> tuple[int, str]:
    """Exit code and what it says, of a probe that does not start."""
    done = subprocess.run(
        [sys.executable, "-m", "tocsin", "probe", *words], env=environment(folder, **settings), input=stdin,
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    return done.returncode, done.stderr


async def test_a_probe_that_listens_is_asked(tmp_path: Path) -> None:
    port = free_port()
    more = {"TOCSIN_PROBE_PORT": str(port), "TOCSIN_PROBE_KEY": KEY, "TOCSIN_REGION_CODE": "asia"}
    async with Net() as net, Web() as web, probe(tmp_path / "data", **more) as program:
        pin = (await program.says(r"certificate: ([0-9a-f]{64})"))[1]
        there = location(f"https://127.0.0.1:{port}", Secret(KEY), pin, net, CLOCK)
        outcome = await there(an_order(url=web.url))
        said = await health(f"https://127.0.0.1:{port}", Secret(KEY), pin, net, CLOCK)
        there.close()
        program.process.terminate()
        assert await program.process.wait() == 0
        assert KEY not in program.said
    async with Net() as net, Web() as web, probe(tmp_path / "data", **more) as program:
        assert (await program.says(r"certificate: ([0-9a-f]{64})"))[1] == pin  # kept in the data folder
    assert (outcome.status, outcome.location, said.region) == ("up", "europe", "asia")
    modes = {f.name: f.stat().st_mode & 0o777 for f in (tmp_path / "data").iterdir()}
    assert modes["probe.key"] == 0o600


async def test_a_probe_joins_once_and_calls_ever_after(tmp_path: Path) -> None:
    data, local = tmp_path / "data", {"TOCSIN_PROBE_PORT": str(free_port())}
    registry = Registry(tokens={"t0ken": "us-east"})
    async with Web() as web, hub(registry=registry) as server:
        who = ("ws", "us-east")
        there = server.links.location(who)
        async with probe(data, "--join", f"{server.url}#t0ken", **local) as program:
            await until(lambda: server.links.linked(who) is not None)
            assert (await there(an_order(url=web.url))).status == "up"
            kept = json.loads((data / "probe.json").read_text())["enrolled"]
            assert (kept["location"], kept["urls"]) == ("us-east", [server.url])
            assert (data / "probe.json").stat().st_mode & 0o777 == 0o600
            assert kept["key"] not in program.said
            assert "t0ken" not in program.said
        await until(lambda: server.links.linked(who) is None)
        for words in ((), ("--join", f"{server.url}#t0ken")):  # a container is started with the same words each time
            async with probe(data, *words, **local):
                await until(lambda: server.links.linked(who) is not None)
                assert (await there(an_order(url=web.url))).status == "up"
            await until(lambda: server.links.linked(who) is None)
    (offer,) = registry.offers
    assert "http" in offer.types
    assert offer.fingerprint is None


async def test_a_probe_that_calls_takes_no_port_that_another_one_may_want(tmp_path: Path) -> None:
    registry = Registry(tokens={"t0ken": "us-east", "another": "us-west"})
    async with hub(registry=registry) as server:
        for token, more, listens in (("t0ken", {}, False), ("another", {"TOCSIN_PROBE_PORT": "0"}, True)):
            known = knobs.read({"TOCSIN_DATA_DIR": str(tmp_path / token)} | more)
            running = await app_probe.start(known, f"{server.url}#{token}")
            try:
                assert (running.port is not None) is listens
            finally:
                await running.stop()


async def test_a_probe_outlives_a_server_that_is_killed_and_gives_it_its_results(tmp_path: Path) -> None:
    registry = Registry(tokens={"t": "europe"})
    async with Web() as web:
        web.hang = asyncio.Event()
        first = Hub(registry=registry)
        await first.start()
        args = ("--join", f"{first.url}#t")
        async with probe(tmp_path / "data", *args, TOCSIN_PROBE_PORT=str(free_port())) as program:
            who = ("ws", "europe")
            await until(lambda: first.links.linked(who) is not None)
            asked = asyncio.create_task(first.links.location(who)(an_order(url=web.url, monitor="m3")))
            await until(lambda: bool(web.calls))
            await first.stop()
            asked.cancel()
            await program.says("pull.link_lost")
            web.hang.set()
            async with hub(first.port, registry) as second:
                await until(lambda: bool(second.late), within_s=20)
                assert second.late[0].monitor_id == "m3"
                assert (await second.links.location(who)(an_order(url=web.url))).status == "up"


async def test_a_token_that_is_no_good_leaves_nothing_behind(tmp_path: Path) -> None:
    registry = Registry(tokens={"once": "europe"})
    async with hub(registry=registry) as server:
        registry.used.add("us3d")
        for token, words in (("wr0ng", "no such token"), ("us3d", "used before")):
            code, said = await asyncio.to_thread(refused, tmp_path, "--join", f"{server.url}#{token}")
            assert (code, words in said) == (1, True), said
            assert token not in said
        code, said = await asyncio.to_thread(refused, tmp_path, "--join", "-", stdin=f"{server.url}#wrong\n")
        assert (code, "no such token" in said) == (1, True), said
    gone = f"http://127.0.0.1:{free_port()}"
    code, said = await asyncio.to_thread(refused, tmp_path, "--join", f"{gone}#once")
    assert (code, "cannot be asked" in said) == (1, True), said
    async with Web() as web:
        web.status = 404
        code, said = await asyncio.to_thread(refused, tmp_path, "--join", f"{web.url}#once")
        assert (code, "no Tocsin" in said) == (1, True), said
    assert not (tmp_path / "probe.json").exists()


@pytest.mark.parametrize(
    ("words", "settings", "says"),
    [
        ((), {}, "TOCSIN_PROBE_KEY: expected a key"),
        ((), {"TOCSIN_PROBE_KEY": "short"}, "TOCSIN_PROBE_KEY: expected keys of at least 16"),
        ((), {"TOCSIN_PROBE_KEY": KEY, "TOCSIN_PROBE_ALLOW": "x"}, "TOCSIN_PROBE_ALLOW: expected addresses"),
        ((), {"TOCSIN_PROBE_KEY": KEY, "TOCSIN_ANCHORS": "x"}, "TOCSIN_ANCHORS"),
        ((), {"TOCSIN_PROBE_KEY": KEY, "TOCSIN_PROBE_CERT": "/nowhere.pem"}, "/nowhere.pem: expected a certificate"),
        ((), {"TOCSIN_PROBE_KEY": KEY, "TOCSIN_PROBE_HOST": "192.0.2.1"}, "TOCSIN_PROBE_HOST: expected an address"),
        (("--join", "https://watch.example.org"), {}, "--join: expected URL#token"),
        (("--join", "http://watch.example.org#t"), {}, "--join: expected an https:// URL"),
    ],
)
def test_a_probe_that_cannot_start_says_what_to_change(
    tmp_path: Path, words: tuple[str, ...], settings: dict[str, str], says: str
) -> None:
    code, said = refused(tmp_path, *words, **({"TOCSIN_PROBE_PORT": "0"} | settings))
    assert code == 2
    assert says in said
    assert "Traceback" not in said


def test_a_taken_port_is_told(tmp_path: Path) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        more = {"TOCSIN_PROBE_KEY": KEY, "TOCSIN_PROBE_PORT": port, "TOCSIN_PROBE_HOST": "127.0.0.1"}
        code, said = refused(tmp_path, **more)
    assert (code, f"TOCSIN_PROBE_PORT: expected a free port, found {port}" in said) == (2, True)


def test_what_joining_left_must_be_private_and_whole(tmp_path: Path) -> None:
    file = tmp_path / "probe.json"
    file.write_text("{}")
    file.chmod(0o644)
    code, said = refused(tmp_path)
    assert (code, "0600" in said) == (2, True), said
    file.chmod(0o600)
    code, said = refused(tmp_path)
    assert (code, "expected what joining left there" in said) == (2, True), said


@pytest.mark.untraced
async def test_a_probe_is_small(tmp_path: Path) -> None:
    """It reaches no database and no web framework, and stays small with checks done."""
    port = free_port()
    more = {"TOCSIN_PROBE_PORT": str(port), "TOCSIN_PROBE_KEY": KEY, "TOCSIN_PROBE_HOST": "127.0.0.1"}
    async with Net() as net, Web() as web, probe(tmp_path / "data", **more) as program:
        pin = (await program.says(r"certificate: ([0-9a-f]{64})"))[1]
        there = location(f"https://127.0.0.1:{port}", Secret(KEY), pin, net, CLOCK)
        for _ in range(20):
            assert (await there(an_order(url=web.url))).status == "up"
            assert (await there(an_order("tcp", host="127.0.0.1", port=web.port))).status == "up"
        there.close()
        used = psutil.Process(program.process.pid)
        assert (
            used.memory_info().rss < 70 * 1024 * 1024
        )  # what it takes is among the figures; other builds of Python differ a little
        loaded = {Path(m.path).name for m in used.memory_maps()}
        assert not {name for name in loaded if "sqlalchemy" in name or "_sqlite3" in name}
        os.kill(program.process.pid, signal.SIGINT)
        assert await program.process.wait() == 0
