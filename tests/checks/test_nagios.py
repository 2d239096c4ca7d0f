"""nagios: Debian's own plugins against local servers, and scripts that hang, flood, fork and die."""

# ruff: noqa: E501

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import uvloop

import hostile
from checks.looking import look, why
from hostile import good, serving
from needs import require
from tocsin.checks.nagios import MOST_OUTPUT, Target
from tocsin.core.result import Outcome
from tocsin.core.shape import read
from tocsin.errors import Invalid
from tocsin.net import Egress, Local, Net

DEBIAN = Path("/usr/lib/nagios/plugins")


async def run(folder: Path | None, plugin: str, *arguments: str, **more: Any) -> Outcome:
    async with Net(egress=Egress("private"), local=Local(plugin_dir=folder)) as net:
        return await look("nagios", net=net, plugin=plugin, arguments=list(arguments), **more)


@pytest.fixture
def plugins() -> Path:
    require("monitoring-plugins-basic", (DEBIAN / "check_tcp").is_file())
    return DEBIAN


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "plugins"
    made.mkdir(mode=0o755)
    return made


def script(folder: Path, text: str, name: str = "check_it", mode: int = 0o755) -> str:
    file = folder / name
    file.write_text("#!/bin/sh\n" + text)
    file.chmod(mode)
    return name


async def test_debians_plugins_look_at_real_servers(plugins: Path):
    async with serving(good) as server:
        tcp = await run(plugins, "check_tcp", "-H", "127.0.0.1", "-p", str(server.port))
        http = await run(plugins, "check_http", "-H", "127.0.0.1", "-p", str(server.port), "-u", "/")
        wrong = await run(plugins, "check_http", "-I", "127.0.0.1", "-p", str(server.port), "-s", "not there")
    assert why(tcp) == ("up", "", None)
    assert tcp.seen.facts["output"].startswith("TCP OK")
    (figure,) = tcp.seen.facts["perfdata"]
    assert (figure["label"], figure["unit"]) == ("time", "s")
    assert 0 < figure["value"] < 5
    assert why(http) == ("up", "", None)
    assert {f["label"] for f in http.seen.facts["perfdata"]} == {"time", "size"}
    assert why(wrong) == ("down", "assertion", None)
    assert "not there" in str(wrong.error)
    refused = await run(plugins, "check_tcp", "-H", "127.0.0.1", "-p", str(hostile.refused_port()))
    assert why(refused) == ("down", "assertion", None)
    assert refused.error is not None
    assert "refused" in refused.error.message.lower()


@pytest.mark.parametrize(
    ("code", "status", "says"),
    [("0", "up", ""), ("1", "degraded", "WARNING: so so"), ("2", "down", "CRITICAL: so so"), ("3", "invalid", "UNKNOWN: so so")],
)  # fmt: skip
async def test_exit_codes(plugins: Path, code: str, status: str, says: str):
    outcome = await run(plugins, "check_dummy", code, "so so")
    assert outcome.status == status
    assert says in (outcome.error.message if outcome.error else "")
    assert ("exit_code" in outcome.seen.facts) == (status != "invalid")


async def test_a_plugin_known_by_the_name_it_is_called_by(plugins: Path):
    """check_ftp is a link to check_tcp that looks at its own name."""
    outcome = await run(plugins, "check_ftp", "-H", "127.0.0.1", "-p", str(hostile.refused_port()))
    assert outcome.status == "down"


async def test_arguments_go_as_they_are_and_nothing_else_goes_along(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TOCSIN_SECRET_KEY", "x" * 40)
    name = script(folder, 'echo "$#:$1:$2:$(pwd)"; env; exit 2')
    outcome = await run(folder, name, "$(id); `id` | a", "")
    assert outcome.error is not None
    assert outcome.error.message == "2:$(id); `id`"  # what follows | is perfdata
    printed = outcome.seen.body.decode()
    assert f"2:$(id); `id` | a::{folder}\n" in printed
    names = {line.partition("=")[0] for line in printed.splitlines()[1:]}
    assert names <= {"PATH", "LANG", "PWD", "_", "SHLVL", "OLDPWD", "LC_CTYPE"}


async def test_figures_and_assertions_on_the_output(folder: Path):
    name = script(folder, "echo \"fine | 'a b'=3;5;7 junk c=U\"; echo more; exit 0")
    outcome = await run(folder, name, rules=[{"type": "body", "op": "contains", "value": "fine"}])
    assert why(outcome) == ("up", "", None)
    assert outcome.seen.facts["perfdata"] == [
        {"label": "a b", "value": 3.0, "warn": "5", "crit": "7"},
        {"label": "c", "value": None},
    ]
    assert outcome.seen.facts["more"] == ["more"]
    outcome = await run(folder, name, rules=[{"type": "body", "op": "contains", "value": "rotten"}])
    assert why(outcome)[:2] == ("down", "assertion")


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def gone(pid: int) -> bool:
    """Whether it goes within two seconds."""
    until = time.monotonic() + 2
    while alive(pid) and time.monotonic() < until:
        await asyncio.sleep(0.01)
    return not alive(pid)


async def test_what_hangs_is_killed_with_its_children(folder: Path):
    name = script(folder, "trap '' TERM\nsleep 300 &\necho $! > child\necho $$ > self\nwait\nsleep 300")
    outcome = await run(folder, name, timeout_s=1)
    assert why(outcome) == ("down", "timeout", None)
    for file in ("self", "child"):
        assert await gone(int((folder / file).read_text()))


def children() -> set[int]:
    """Processes that were started by this one and are not buried yet."""
    found: set[int] = set()
    for file in Path("/proc/self/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found |= {int(pid) for pid in file.read_text().split()}
    return found


async def test_a_deadline_in_the_middle_of_the_start_leaves_nothing(folder: Path):
    name = script(folder, "exec sleep 300")
    before = children()
    for wait_ms in (0, 0.5, 1, 2, 4, 8):
        assert (await run(folder, name, timeout_s=wait_ms / 1000)).status in ("down", "invalid")
    until = time.monotonic() + 5
    while left := children() - before:
        assert time.monotonic() < until, left
        await asyncio.sleep(0.01)


def test_on_the_loop_that_servers_use(folder: Path):
    script(folder, "echo fine | tee said; sleep 300 & exit 1", "check_left")
    script(folder, "sleep 300", "check_hang")
    left = uvloop.run(run(folder, "check_left"))
    assert (left.status, left.seen.facts["output"]) == ("degraded", "fine")
    assert why(uvloop.run(run(folder, "check_hang", timeout_s=0.3)))[:2] == ("down", "timeout")


async def test_children_that_are_left_behind_hold_nobody_up(folder: Path):
    name = script(folder, "sleep 300 &\necho $! > child\necho left one\nexit 0")
    outcome = await run(folder, name)
    assert outcome.status == "up"
    assert outcome.seen.facts["output"] == "left one"
    assert await gone(int((folder / "child").read_text()))


async def test_a_child_that_got_away_holds_nobody_up_either(folder: Path):
    """It has a session of its own, so we cannot find it; that it holds our pipe is no matter."""
    name = script(
        folder,
        "setsid sleep 300 &\necho $! > child\nuntil [ \"$(ps -o sid= -p $! | tr -d ' ')\" = $! ]; do :; done\necho away\nexit 0",
    )
    outcome = await run(folder, name)
    pid = int((folder / "child").read_text())
    try:
        assert outcome.status == "up"
        assert outcome.seen.facts["output"] == "away"
    finally:
        os.kill(pid, 9)


@pytest.mark.parametrize("stream", ["", " >&2"])
async def test_a_flood_is_ended(folder: Path, stream: str):
    outcome = await run(folder, script(folder, f"yes{stream}"))
    assert outcome.status == "invalid"
    assert f"more than {MOST_OUTPUT} bytes" in str(outcome.error)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("kill -SEGV $$", "was ended by SIGSEGV"), ("echo usage >&2; exit 64", "ended with 64, which is no plugin's exit code: usage"),
        ("exit 127", "it printed nothing"), ("printf 'a\\033[31m\\000b'; exit 9", "a\\u001b[31m\\u0000b"),
    ],
)  # fmt: skip
async def test_what_is_no_verdict_is_invalid(folder: Path, text: str, says: str):
    outcome = await run(folder, script(folder, text))
    assert outcome.status == "invalid"
    assert outcome.error is not None
    assert says in outcome.error.message


async def test_what_is_not_run(folder: Path, tmp_path: Path):
    script(tmp_path, "exit 0", "outside")
    (folder / "link").symlink_to(tmp_path / "outside")
    (folder / "circle").symlink_to(folder / "circle")
    (folder / "sub").mkdir()
    script(folder, "exit 0", "plain", 0o644)
    script(folder, "exit 0", "open", 0o757)
    (folder / "noise").write_bytes(b"\0\1\2")
    (folder / "noise").chmod(0o755)
    said = {n: str((await run(folder, n)).error) for n in ("none", "link", "circle", "sub", "plain", "open", "noise")}
    assert "there is no plugin none here" in said["none"]
    assert "leads out of the folder" in said["link"]
    assert "there is no plugin circle here" in said["circle"]
    assert "no program that we may run" in said["sub"]
    assert "no program that we may run" in said["plain"]
    assert "may be written by anybody" in said["open"]
    assert "cannot be run" in said["noise"]
    assert (await run(folder, "link")).status == "invalid"
    name = script(folder, "exit 0")
    assert (await run(folder, name)).status == "up"
    folder.chmod(0o777)
    assert (await run(folder, name)).status == "invalid"


async def test_without_a_folder_nothing_is_run():
    outcome = await run(None, "check_tcp")
    assert outcome.status == "invalid"
    assert "TOCSIN_PLUGIN_DIR" in str(outcome.error)


async def test_many_at_once_leave_nothing_open(folder: Path):
    name = script(folder, "echo ok")
    before = len(os.listdir("/proc/self/fd"))
    async with Net(egress=Egress("private"), local=Local(plugin_dir=folder)) as net:
        outcomes = await asyncio.gather(*(look("nagios", net=net, plugin=name) for _ in range(20)))
    assert {o.status for o in outcomes} == {"up"}
    assert len(os.listdir("/proc/self/fd")) <= before + 2


@pytest.mark.parametrize("plugin", ["../check", "a/b", ".hidden", "", " x", "a\nb", "/bin/sh"])
def test_names_that_are_refused(plugin: str):
    with pytest.raises(Invalid) as caught:
        read(Target, {"plugin": plugin})
    assert [p.field for p in caught.value.problems] == ["plugin"]


async def test_the_command_takes_the_folder_from_the_settings(folder: Path):
    name = script(folder, 'echo "got $1"')
    words = [sys.executable, "-m", "tocsin", "check", "nagios", name, "--arguments=-x", "--json"]
    for given, status in (({"TOCSIN_PLUGIN_DIR": str(folder)}, "up"), ({}, "invalid")):
        process = await asyncio.create_subprocess_exec(*words, stdout=-1, env=os.environ | given)
        shown = json.loads((await process.communicate())[0])
        assert shown["status"] == status
        assert ("got -x" in str(shown["facts"])) == (status == "up")
    process = await asyncio.create_subprocess_exec(*words, stdout=-1, stderr=-1, env=os.environ | {"TOCSIN_NONE": "1"})
    assert b"TOCSIN_NONE" in (await process.communicate())[1]
    assert process.returncode == 2


async def test_a_server_refuses_such_monitors_unless_a_folder_is_named(folder: Path, tmp_path: Path):
    from real import FIRST, ask, given, running

    wanted = {"name": "It", "type": "nagios", "target": {"plugin": script(folder, "echo fine")}}
    for settings in ({}, {"TOCSIN_PLUGIN_DIR": str(folder)}):
        async with running(given(tmp_path / str(len(settings)), **settings)) as server:
            token = (await ask(server.port, "POST", "/api/v1/setup", FIRST))[1]["access_token"]
            status, answer = await ask(server.port, "POST", "/api/v1/monitors", wanted, token)
            if not settings:
                assert status == 422
                assert answer["errors"][0]["field"] == "target.plugin"
                assert "TOCSIN_PLUGIN_DIR" in answer["errors"][0]["expected"]
            else:
                ran = await ask(server.port, "POST", f"/api/v1/monitors/{answer['id']}/run", None, token)
                assert ran[1]["verdict"] == "up"
                watched = server.parts.corridor.watchlist.find(answer["id"])
                assert watched is not None
                assert watched.host == "this machine"  # so that only so many run at once


async def test_a_folder_that_is_missing_is_named(tmp_path: Path):
    outcome = await run(tmp_path / "nowhere", "ls")
    assert outcome.status == "invalid"
    assert f"the folder of plugins, {tmp_path}/nowhere (TOCSIN_PLUGIN_DIR), is not there" in str(outcome.error)
