"""Processes that a test starts, ends and lets die."""

# ruff: noqa: E501

from __future__ import annotations

import asyncio
import os
import pwd
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from collectors.looking import named, source, troubles
from tocsin import collectors
from tocsin.collectors import _proc
from tocsin.collectors._kernel import Kernel
from tocsin.core.sample import Reading, Service
from tocsin.core.shape import read
from tocsin.errors import Invalid

PROGRAM = "import sys, time; files = [open('/dev/null') for _ in range(20)]; print('up', flush=True); time.sleep(1000)"


class Started:
    """Programs of a test's own, found by a word in their command line."""

    def __init__(self, word: str) -> None:
        self.word = word
        self.children: list[subprocess.Popen[bytes]] = []

    def one(self, program: str = PROGRAM) -> subprocess.Popen[bytes]:
        child = subprocess.Popen([sys.executable, "-c", program, self.word], stdout=subprocess.PIPE)
        assert child.stdout is not None
        assert child.stdout.readline() == b"up\n"
        self.children.append(child)
        return child


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Started]:
    made = Started(f"word-of-{tmp_path.name}-{os.getpid()}")
    yield made
    for child in made.children:
        child.kill()
        child.wait()
        assert child.stdout is not None
        child.stdout.close()


def the_one(reading: Reading) -> Service:
    (service,) = named(reading).services
    return service


async def test_a_process_and_what_it_uses(started: Started) -> None:
    child = started.one()
    looking = source("process", processes=[{"name": "web", "command": started.word}])
    reading = await looking.collect()
    service = the_one(reading)
    assert (service.state, service.ok, service.facts["pid"]) == ("running", True, child.pid)
    seen = psutil.Process(child.pid)
    assert service.since is not None
    assert service.since.timestamp() == pytest.approx(seen.create_time(), abs=2)
    assert reading.values["process.count{process=web}"] == 1
    assert reading.values["process.memory_bytes{process=web}"] == pytest.approx(seen.memory_info().rss, rel=0.2)
    assert reading.values["process.open_files{process=web}"] == pytest.approx(seen.num_fds(), abs=2)
    assert reading.values["process.threads{process=web}"] == 1
    assert reading.values["process.cpu_percent{process=web}"] == 0
    assert not troubles("process", reading)


async def test_one_that_works_hard(started: Started) -> None:
    started.one("print('up', flush=True)\nwhile True: pass")
    looking = source("process", processes=[{"name": "web", "command": started.word}])
    await looking.collect()
    before = psutil.cpu_count() or 1
    for _ in range(100):  # until the kernel gave it some time
        await asyncio.sleep(0.3)
        if (share := (await looking.collect()).values["process.cpu_percent{process=web}"]) > 0:
            break
    assert 0 < share <= 100 * before


async def test_one_that_ends_and_one_that_takes_its_place(started: Started) -> None:
    child = started.one()
    looking = source("process", processes=[{"name": "web", "command": started.word}])
    assert the_one(await looking.collect()).ok
    child.send_signal(signal.SIGKILL)
    await asyncio.to_thread(os.waitid, os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # a zombie: nobody took its end
    reading = await looking.collect()
    service = the_one(reading)
    assert (service.state, service.ok, service.detail) == ("not running", False, "0 found, 1 or more expected")
    assert troubles("process", reading) == {("running", "process/web")}
    assert "process.uptime_s{process=web}" not in reading.values
    started.one()
    reading = await looking.collect()
    assert the_one(reading).ok
    assert reading.values["process.restarts{process=web}"] == 1


@pytest.mark.parametrize(
    ("low", "high", "ok"), [(1, None, True), (2, 2, True), (3, None, False), (0, 1, False), (1, 4, True)]
)
async def test_how_many_there_should_be(started: Started, low: int, high: int | None, ok: bool) -> None:
    started.one(), started.one()
    wanted = {"name": "web", "command": started.word, "min": low, "max": high}
    service = the_one(await source("process", processes=[wanted]).collect())
    assert (service.state, service.ok) == ("2 running", ok)


async def test_one_that_hangs_is_what_it_was_before_and_holds_nothing_up(tmp_path: Path) -> None:
    """A command line that nobody answers for, as of a process that waits for its disk: a pipe stands for it."""
    stat = "{pid} (x) S 1 1 1 0 -1 0 0 0 0 0 5 5 0 0 20 0 1 0 100 1000 50 0 0 0 0 0 0 0 0 0 0 0 0 0 17 0 0 0 0 0 0 0"
    for pid in (7, 8):
        folder = tmp_path / "proc" / str(pid)
        folder.mkdir(parents=True)
        (folder / "cmdline").write_bytes(b"sleeper\0of-mine\0")
        (folder / "stat").write_text(stat.format(pid=pid))
    made = source("process", processes=[{"name": "mine", "command": "of-mine", "min": 2}])
    made._kernel = Kernel(str(tmp_path))
    assert the_one(await made.collect()).state == "2 running"
    line = tmp_path / "proc" / "8" / "cmdline"
    line.unlink()
    os.mkfifo(line)
    for _ in range(2):
        seen = the_one(await made.collect())
        assert (seen.state, seen.ok) == ("2 running", True)
    with line.open("wb") as pipe:
        line.unlink()
        line.write_bytes(b"another\0")
        pipe.write(b"sleeper\0")
    async with asyncio.timeout(10):
        while the_one(await made.collect()).state != "running":
            await asyncio.sleep(0.05)


async def test_only_those_of_a_user(started: Started) -> None:
    started.one()
    me = pwd.getpwuid(os.geteuid()).pw_name
    entries = [
        {"name": "mine", "command": started.word, "user": me}, {"name": "by number", "command": started.word, "user": str(os.geteuid())},
        {"name": "others", "command": started.word, "user": "54321"}, {"name": "nobody", "command": started.word, "user": "no-such-user"},
        {"name": "all of mine", "user": me},
    ]  # fmt: skip
    found = {s.name: s for s in named(await source("process", processes=entries).collect()).services}
    assert {name: s.ok for name, s in found.items()} == {
        "mine": True, "by number": True, "others": False, "nobody": False, "all of mine": True,
    }  # fmt: skip
    assert found["nobody"].detail == "there is no such user"


async def test_a_pid_file(started: Started, tmp_path: Path) -> None:
    child = started.one()
    path = tmp_path / "web.pid"
    looking = source("process", pidfiles={"web": str(path)})
    assert the_one(await looking.collect()).ok is False
    path.write_text(f"{child.pid}\n")
    assert the_one(await looking.collect()).ok
    for nonsense in ("", "-1", "99999999999999999999", "abc", "4194304000"):
        path.write_text(nonsense)
        assert the_one(await looking.collect()).ok is False


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({}, "processes: expected at least one, or a pid file"),
        ({"processes": [{"name": "a"}]}, r"processes\[0\].command: expected a command or a user, found neither"),
        ({"processes": [{"name": "a", "command": "("}]}, r"processes\[0\].command: expected a regular expression"),
        (
            {"processes": [{"name": "a", "command": "x", "min": 3, "max": 2}]},
            r"processes\[0\].max: expected at least the 3",
        ),
        ({"processes": [{"name": "a", "command": "x"}], "pidfiles": {"a": "/x"}}, "names of their own, found a twice"),
        ({"processes": [{"name": "{" * 90, "command": "x"}]}, r"processes\[0\].name: expected a name"),
        ({"pidfiles": {"a\x7f": "/x"}}, "pidfiles: expected"),
        ({"pidfiles": {"a": "x"}}, "pidfiles.a: expected an absolute path"),
    ],
)
def test_what_is_refused(given: dict[str, Any], says: str) -> None:
    with pytest.raises(Invalid, match=says):
        read(collectors.kind("process").options, given)


def test_a_name_may_hold_what_it_likes() -> None:
    stat = "7 (a) S (b)) R 1 7 7 0 -1 0 1 2 3 4 100 50 0 0 20 0 4 0 777 1000 25 18446744073709551615 0"
    found = _proc.process(stat)
    assert found == _proc.Process("R", 150, 4, 777, 25)
    assert _proc.process("") is None
    assert _proc.process("7 (x) R 1 2") is None
