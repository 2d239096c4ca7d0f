"""The server as a whole: it comes up in order, refuses clearly, stops without losing anything."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from daemon import free_port
from real import FIRST, ask, given, running
from tocsin.app.server import start, welcome
from tocsin.errors import SettingsError


async def test_it_answers_and_checks_and_stops(tmp_path: Path) -> None:
    async with running(given(tmp_path)) as server:
        assert (await ask(server.port, "GET", "/health"))[0] == 200
        status, made = await ask(server.port, "POST", "/api/v1/setup", FIRST)
        assert status in (200, 201)
        token = made["access_token"]
        listener = await asyncio.start_server(lambda _, w: w.close(), "127.0.0.1", 0)
        async with listener:
            port = listener.sockets[0].getsockname()[1]
            monitor = {"name": "Port", "type": "tcp", "target": {"host": "127.0.0.1", "port": port}}
            status, made = await ask(server.port, "POST", "/api/v1/monitors", monitor, token)
            assert status in (200, 201)
            status, seen = await ask(server.port, "POST", f"/api/v1/monitors/{made['id']}/run", None, token)
        assert (status, seen["verdict"]) == (200, "up")
        assert server.url == f"http://127.0.0.1:{server.port}"
    with pytest.raises(OSError, match=r"refused|Connect"):
        await asyncio.open_connection("127.0.0.1", server.port)


async def test_own_port_is_refused_to_checks(tmp_path: Path) -> None:
    async with running(given(tmp_path)) as server:
        token = (await ask(server.port, "POST", "/api/v1/setup", FIRST))[1]["access_token"]
        order = {"type": "tcp", "target": {"host": "127.0.0.1", "port": server.port}}
        status, seen = await ask(server.port, "POST", "/api/v1/checks", order, token)
    assert (status, seen["status"], seen["error"]["type"]) == (200, "invalid", "network")


async def test_what_was_stored_is_there_after_a_restart(tmp_path: Path) -> None:
    async with running(given(tmp_path)) as server:
        token = (await ask(server.port, "POST", "/api/v1/setup", FIRST))[1]["access_token"]
        monitor = {"name": "Kept", "type": "tcp", "target": {"host": "127.0.0.1", "port": 9}, "interval_s": 3600}
        made = (await ask(server.port, "POST", "/api/v1/monitors", monitor, token))[1]
        ran = (await ask(server.port, "POST", f"/api/v1/monitors/{made['id']}/run", None, token))[1]
    async with running(given(tmp_path)) as server:
        status, found = await ask(server.port, "GET", f"/api/v1/monitors/{made['id']}/results", None, token)
        assert (await ask(server.port, "POST", "/api/v1/setup", FIRST))[0] == 409
    assert status == 200
    assert {r["id"] for r in ran["results"]} <= {r["id"] for r in found["items"]}


async def test_a_second_server_on_the_same_data_is_refused(tmp_path: Path) -> None:
    async with running(given(tmp_path)):
        with pytest.raises(SettingsError, match=f"process {os.getpid()} has"):
            await start(given(tmp_path))


async def test_a_taken_port_stops_the_start_before_the_database(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        with pytest.raises(SettingsError, match=f"TOCSIN_PORT: expected a free port, found {number}"):
            await start(given(tmp_path, TOCSIN_PORT=str(number)))
    assert [p.name for p in (tmp_path / "data").iterdir()] == [], "nor does it leave a key behind"


async def test_on_every_address_the_first_account_needs_the_token(tmp_path: Path) -> None:
    async with running(given(tmp_path, TOCSIN_HOST="0.0.0.0")) as server:
        assert server.parts.setup_token is not None
        assert server.parts.setup_token in welcome(server)
        assert (await ask(server.port, "POST", "/api/v1/setup", FIRST))[0] in (401, 403, 422)
        first = FIRST | {"setup_token": server.parts.setup_token}
        assert (await ask(server.port, "POST", "/api/v1/setup", first))[0] in (200, 201)
    async with running(given(tmp_path, TOCSIN_HOST="0.0.0.0")) as server:
        assert server.parts.setup_token is None, "nothing to set up any more"
        assert "Sign in at" in welcome(server)


# The real process
@contextmanager
def process(tmp_path: Path, **more: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("TOCSIN_")}
    environment |= {"TOCSIN_DATA_DIR": str(tmp_path / "data"), "TOCSIN_PORT": "0", "TOCSIN_LOG_FORMAT": "json", **more}
    made = subprocess.Popen(
        [sys.executable, "-m", "tocsin", "serve"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert made.stdout is not None
        url = ""
        while not url:
            line = made.stdout.readline()
            assert line or made.poll() is None, made.communicate()[1]
            url = found[0] if (found := re.search(r"http://\S+", line)) else ""
        yield made, url
    finally:
        if made.poll() is None:
            made.kill()
        made.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_gracefully_with_0(tmp_path: Path, number: signal.Signals) -> None:
    with process(tmp_path) as (server, url):
        assert url.startswith("http://127.0.0.1:")
        began = time.monotonic()
        server.send_signal(number)
        _, log = server.communicate(timeout=20)
        assert server.returncode == 0
        assert time.monotonic() - began < 10
    assert "server.stopped" in log
    assert "Traceback" not in log
    log_file = tmp_path / "data" / "tocsin.db-wal"
    assert not log_file.exists() or log_file.stat().st_size == 0, "the file was closed in order"


def test_two_signals_at_once_are_one(tmp_path: Path) -> None:
    with process(tmp_path) as (server, _):
        server.send_signal(signal.SIGTERM)
        server.send_signal(signal.SIGTERM)
        server.send_signal(signal.SIGINT)
        _, log = server.communicate(timeout=20)
    assert server.returncode == 0
    assert "server.stopped_at_once" not in log


def test_a_server_that_waits_to_join_ends_at_the_first_signal(tmp_path: Path) -> None:
    settings = {
        "TOCSIN_DATA_DIR": str(tmp_path / "data"), "TOCSIN_PORT": "0", "TOCSIN_LOG_FORMAT": "json",
        "TOCSIN_PRIMARY_SYNC_URL": f"https://127.0.0.1:{free_port()}", "TOCSIN_SYNC_API_PORT": str(free_port()),
        "TOCSIN_SYNC_SECRET": "the secret of these servers", "TOCSIN_LOCATION": "two",
    }  # fmt: skip
    environment = {k: v for k, v in os.environ.items() if not k.startswith("TOCSIN_")} | settings
    command = [sys.executable, "-m", "tocsin", "serve"]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as server:
        try:
            assert server.stderr is not None
            log = ""
            while "cluster.not_joined_yet" not in log:
                line = server.stderr.readline()
                assert line, log
                log += line
            server.send_signal(signal.SIGTERM)
            log += server.communicate(timeout=20)[1]
        finally:
            server.kill()
    assert server.returncode == 0
    assert "server.stopped" in log
    assert "Traceback" not in log


def test_a_folder_that_others_can_look_into_is_warned_about_once(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir(mode=0o755)
    (tmp_path / "data").chmod(0o755)
    with process(tmp_path) as (server, _):
        server.send_signal(signal.SIGTERM)
        _, log = server.communicate(timeout=20)
    assert log.count("server.data_folder_open") == 1
    assert "chmod 700" in log
    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o755


def test_after_kill_9_it_starts_again(tmp_path: Path) -> None:
    with process(tmp_path) as (server, _):
        server.kill()
        server.wait()
    with process(tmp_path) as (server, _):
        server.send_signal(signal.SIGTERM)
        assert server.wait(20) == 0
