"""The agent beside what it would stand in for: one run, one machine, each a process of its own.

`tocsin agent` looks at what a normal server has (system, processes, programs that push, a URL) for a real `tocsin serve`.
Beside it run Debian's prometheus-node-exporter, scraped every 15 s, and netdata where they are on PATH (or below
BENCH_PEERS, a folder into which their packages were unpacked)."""

from __future__ import annotations

import contextlib
import os
import shutil
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from bench import rig
from bench.report import Figure, at_most, plain, record
from tocsin.collectors import REGISTRY

STARTS = 5
FILE = """\
server_url: http://127.0.0.1:{server}
api_key: "{key}"
server_name: bench
data_dir: {data}
monitors:
  - type: system
    check_interval: 15s
  - type: systemd
    check_interval: 15s
  - type: process
    check_interval: 15s
    processes:
      - {{name: server, command: "tocsin serve"}}
      - {{name: bench, command: "-m bench"}}
  - type: custom
    check_interval: 15s
    http_port: {push}
"""

HTTP = """\
  - type: http
    check_interval: 30s
    endpoints:
      - url: http://127.0.0.1:{web}/m/1
        expected_status: 200
"""


@dataclass
class Used:
    """What a process and its children used, from `begin` on."""

    process: psutil.Process
    memory: list[float] = field(default_factory=list[float])
    _cpu: float = 0.0
    _at: float = 0.0

    def _all(self) -> list[psutil.Process]:
        return [self.process, *self.process.children(recursive=True)]

    def _seconds(self) -> float:
        times = [p.cpu_times() for p in self._all()]
        return sum(t.user + t.system + t.children_user + t.children_system for t in times)

    def begin(self) -> None:
        self._cpu, self._at = self._seconds(), time.monotonic()

    def look(self) -> None:
        self.memory.append(sum(p.memory_info().rss for p in self._all()) / 1e6)

    def percent(self) -> float:
        """Of one core."""
        return 100 * (self._seconds() - self._cpu) / (time.monotonic() - self._at)

    def figures(self, name: str, *bounds: float) -> list[Figure]:
        memory, percent = max(self.memory), self.percent()
        if bounds:
            return [
                at_most(f"{name}: most memory", memory, "MB", bounds[0]),
                at_most(f"{name}: processor", percent, "% of a core", bounds[1]),
            ]
        return [plain(f"{name}: most memory", memory, "MB"), plain(f"{name}: processor", percent, "% of a core")]


def main() -> list[Figure]:
    seconds = 60 * rig.minutes(3)
    with rig.running() as (server, target), rig.folder() as place, contextlib.ExitStack() as closing:
        starts = [_started(server, target, place / f"start-{n}") for n in range(STARTS)]
        agent, _ = closing.enter_context(_agent(server, target, place / "agent"))
        used = {"agent": Used(psutil.Process(agent.pid))}
        exporter = closing.enter_context(_exporter())
        if exporter is not None:
            used["prometheus-node-exporter"] = Used(psutil.Process(exporter[0].pid))
        netdata = closing.enter_context(_netdata(place / "netdata"))
        if netdata is not None:
            used["netdata"] = Used(psutil.Process(netdata.pid))
        time.sleep(20)  # what starting costs is another figure
        for one in used.values():
            one.begin()
        _watch(list(used.values()), seconds, exporter and exporter[1])
        figures = [
            at_most(f"from its start to its first look, median of {STARTS}", statistics.median(starts), "s", 1.0)
        ]
        figures += used.pop("agent").figures("agent", 45, 0.5)
        for name, one in used.items():
            figures += one.figures(name)
        how = f"an agent with {4 + ('http' in REGISTRY)} collectors every 15 to 30 s, samples every 30 s, heartbeat every 60 s, for {seconds / 60:g} min"
        return record("agent", f"{how}; others beside it in the same time", figures)


def _watch(used: list[Used], seconds: float, scraped: str | None) -> None:
    until, scrape = time.monotonic() + seconds, 0.0
    while (now := time.monotonic()) < until:
        if scraped is not None and now >= scrape:
            scrape = now + 15
            with urllib.request.urlopen(scraped, timeout=10) as answer:
                answer.read()
        for one in used:
            one.look()
        time.sleep(1)


@contextlib.contextmanager
def _agent(server: rig.Server, target: rig.Target, folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], float]]:
    """An agent that has started, and how long that took."""
    folder.mkdir()
    key = server.call("POST", "/enrollment-keys", {"name": "bench"})["key"]
    file = folder / "agent.yaml"
    text = FILE + (HTTP if "http" in REGISTRY else "")
    file.write_text(
        text.format(server=server.port, key=key, data=folder / "data", push=rig.free_port(), web=target.http)
    )
    file.chmod(0o600)
    log = folder / "log"
    began = time.monotonic()
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "tocsin", "agent", "--config", str(file)],
            env=rig.clean_environment(), stdout=out, stderr=out, cwd=folder,
        )  # fmt: skip
    try:
        rig.wait_for(
            lambda: process.poll() is not None or b"agent.started" in log.read_bytes(), 20, "the agent's start"
        )
        took = time.monotonic() - began
        rig.wait_for(lambda: process.poll() is not None or b"agent.enrolled" in log.read_bytes(), 20, "enrolling")
        assert process.poll() is None, log.read_text()
        yield process, took
    finally:
        process.terminate()
        process.wait(30)


def _started(server: rig.Server, target: rig.Target, folder: Path) -> float:
    with _agent(server, target, folder) as (_process, took):
        return took


def _program(name: str) -> str | None:
    peers = os.environ.get("BENCH_PEERS")
    path = os.pathsep.join(
        filter(None, (os.environ.get("PATH"), "/usr/sbin", *(f"{peers}/usr/{b}" for b in ("bin", "sbin"))))
    )
    return shutil.which(name, path=path)


@contextlib.contextmanager
def _exporter() -> Iterator[tuple[subprocess.Popen[bytes], str] | None]:
    program = _program("prometheus-node-exporter")
    if program is None:
        yield None
        return
    port = rig.free_port()
    process = subprocess.Popen(
        [program, f"--web.listen-address=127.0.0.1:{port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield process, f"http://127.0.0.1:{port}/metrics"
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def _netdata(folder: Path) -> Iterator[subprocess.Popen[bytes] | None]:
    """netdata as Debian ships it, with its own collectors of the system; in memory, without a cloud."""
    program = _program("netdata")
    if program is None:
        yield None
        return
    plugins = next((p for p in sorted(Path(program).parents[1].glob("lib*/**/netdata/plugins.d"))), folder / "etc")
    for name in ("lib", "cache", "log", "etc"):
        (folder / name).mkdir(parents=True)
    (folder / "etc" / "netdata.conf").write_text(
        f"[directories]\nlib = {folder}/lib\ncache = {folder}/cache\nlog = {folder}/log\nconfig = {folder}/etc\n"
        f"stock config = {folder}/etc\nweb = {folder}/etc\nplugins = {plugins}\n"
        f"[db]\nmode = ram\n[web]\nbind to = 127.0.0.1:{rig.free_port()}\n[ml]\nenabled = no\n[global]\nrun as user = root\n"
        "[plugins]\npython.d = no\ncharts.d = no\ngo.d = no\nnode.d = no\n"
    )
    process = subprocess.Popen(
        [program, "-D", "-c", str(folder / "etc" / "netdata.conf")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        time.sleep(2)
        yield process if process.poll() is None else None
    finally:
        for child in [*psutil.Process(process.pid).children(recursive=True)] if process.poll() is None else []:
            with contextlib.suppress(psutil.Error):
                child.kill()
        process.kill()
        process.wait()
