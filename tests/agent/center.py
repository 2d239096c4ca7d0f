"""A small real server that an agent talks to, on a port of its own; it can be away, slow, or lose what it answers. Also an
agent as a program of its own, with a toy collector that sees what a file says."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tocsin.agent.wire import (
    CAUSE_OFF,
    ENROL,
    FINDINGS,
    HEARTBEAT,
    SAMPLES,
    Batch,
    Beat,
    Config,
    Enrol,
    Enrolled,
    Findings,
    Heartbeat,
    Quiet,
    Receipt,
    Samples,
    Signed,
    Taken,
)
from tocsin.app.port import bind
from tocsin.core.host_rule import HostFinding
from tocsin.net.listen import Listening, configuration

KEY = "an enrolment key"


def text_of(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Center:
    """The server's end as the wire describes it. `away`: nobody listens. `deaf` names paths whose questions are carried out
    and never answered. `answers` (path: status, headers, body) take the place of the usual ones."""

    def __init__(self) -> None:
        self.port = 0
        self.enrolments: list[Enrol] = []
        self.beats: list[Heartbeat] = []
        self.batches: dict[str, dict[int, Batch]] = {}
        self.names: dict[str, dict[int, list[str]]] = {}
        self.acked: dict[str, int] = {}
        self.repeated = 0
        self.posts: list[Samples] = []
        self.findings: dict[tuple[str, str, str, int], HostFinding] = {}
        self.arrivals: list[HostFinding] = []
        self.deaf: set[str] = set()
        self.answers: dict[str, tuple[int, dict[str, str], bytes]] = {}
        self.asked: list[str] = []
        self.keys: set[str] = {"key-1"}
        self.enrolment_keys = {KEY}
        self.new_key: str | None = None
        self.host = "host-1"
        self.urls: list[str] = []
        self.config: Signed | None = None
        self.config_version = 0
        self.has_news = False
        self.quiet: tuple[Quiet, ...] = ()
        self._signs = Ed25519PrivateKey.generate()
        self._server: Listening | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> Center:
        """Listen, at the same port as before."""
        sock = bind("127.0.0.1", self.port)
        self._server = Listening(self, sock, None, configuration(self, per_address=100, grace_s=1))
        await self._server.start()
        self.port = self._server.port
        self.urls = self.urls or [self.url]
        return self

    async def stop(self) -> None:
        """Be away."""
        if self._server is not None:
            await self._server.stop()
            self._server = None

    def set_config(self, signer: Ed25519PrivateKey | None = None, **parts: Any) -> None:
        """Have a new configuration for the agent."""
        self.config_version += 1
        text = msgspec.json.encode(Config(version=self.config_version, **parts)).decode()
        made = (signer or self._signs).sign(f"{self.host}\n{text}".encode())
        self.config = Signed(text=text, signature=text_of(made))

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        path = scope["path"]
        self.asked.append(path)
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        status, extra, said = self._answer(path, headers.get("authorization", "").removeprefix("Bearer "), body)
        if path in self.deaf:
            await asyncio.sleep(3600)
        shown = [(b"content-type", b"application/json"), (b"content-length", str(len(said)).encode())]
        shown += [(name.encode(), value.encode()) for name, value in extra.items()]
        await send({"type": "http.response.start", "status": status, "headers": shown})
        await send({"type": "http.response.body", "body": said})

    def switch(self, *, on: bool) -> None:
        """Switch the host off, or on."""
        said = msgspec.json.encode({"detail": "host web-1 is switched off at the server", "cause": CAUSE_OFF})
        refusal = 403, dict[str, str](), said
        self.answers = {} if on else dict.fromkeys((ENROL, HEARTBEAT, SAMPLES, FINDINGS), refusal)

    def _answer(self, path: str, key: str, body: bytes) -> tuple[int, dict[str, str], bytes]:
        if path in self.answers:
            return self.answers[path]
        if key not in (self.enrolment_keys if path == ENROL else self.keys):
            return 401, {}, b'{"detail": "this key does not count"}'
        ways = {ENROL: self._enrol, HEARTBEAT: self._beat, SAMPLES: self._samples, FINDINGS: self._findings}
        return 200, {}, msgspec.json.encode(ways[path](body))

    def _enrol(self, body: bytes) -> Enrolled:
        said = msgspec.json.decode(body, type=Enrol)
        self.enrolments.append(said)
        public = text_of(self._signs.public_key().public_bytes_raw())
        return Enrolled(
            server_uuid=said.server_uuid or self.host, workspace_id="ws", key=min(self.keys), urls=self.urls,
            public_key=public, config=self.config,
        )  # fmt: skip

    def _beat(self, body: bytes) -> Beat:
        said = msgspec.json.decode(body, type=Heartbeat)
        self.beats.append(said)
        new = self.config if self.config is not None and said.config_version != self.config_version else None
        key, self.new_key, self.has_news = self.new_key, None, False
        return Beat(urls=self.urls, config=new, key=key, quiet=self.quiet)

    def _samples(self, body: bytes) -> Taken:
        said = msgspec.json.decode(body, type=Samples)
        assert len(body) <= 1 << 20
        self.posts.append(said)
        kept = self.batches.setdefault(said.incarnation, {})
        for batch in said.batches:
            if batch.seq <= self.acked.get(said.incarnation, 0):
                self.repeated += 1
                continue
            assert batch.seq not in kept
            kept[batch.seq] = batch
            self.names.setdefault(said.incarnation, {})[batch.seq] = said.series
            self.acked[said.incarnation] = batch.seq
        return Taken(acked=self.acked.get(said.incarnation, 0), urls=self.urls, beat=self.has_news)

    def _findings(self, body: bytes) -> Receipt:
        said = msgspec.json.decode(body, type=Findings)
        for finding in said.findings:
            self.arrivals.append(finding)
            key = (said.incarnation, finding.rule, finding.what, finding.number)
            if key not in self.findings or finding.told_at is not None:
                self.findings[key] = finding
        return Receipt(taken=len(said.findings), urls=self.urls)

    def values(self, series: str) -> list[float]:
        """Every value of a series that came, in order."""
        found: list[float] = []
        for incarnation, batches in self.batches.items():
            for seq in sorted(batches):
                names = self.names[incarnation][seq]
                found += [value for i, value in batches[seq].values if names[i] == series]
        return found

    def turns(self) -> list[tuple[int, str, bool]]:
        """Of each turn that came: its number, what it is, whether the agent told it."""
        return [(f.number, f.turn, f.told_at is not None) for f in self.findings.values()]


@asynccontextmanager
async def center() -> AsyncIterator[Center]:
    made = await Center().start()
    try:
        yield made
    finally:
        await made.stop()


TOY = '''
"""A toy collector: it sees what a file says, or fails as it says."""
import json
from dataclasses import dataclass
from pathlib import Path
from tocsin.core.host_rule import HostRule, OnSample
from tocsin.core.sample import Reading, Service
from tocsin.errors import CheckFailed

LOCAL_ONLY = ("file",)
EVERY_S = 1.0
RULES = (HostRule(id="builtin:toy.high", name="too high", condition=OnSample(metric="toy.value", above=10.0)),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    file: str
    word: str = ""


class Source:
    def __init__(self, options, facility):
        self._options = options

    async def collect(self):
        said = json.loads(Path(self._options.file).read_text())
        if "fail" in said:
            raise CheckFailed("network", said["fail"])
        if "break" in said:
            raise RuntimeError(said["break"])
        values = {name: float(value) for name, value in said.get("values", {}).items()}
        states = said.get("services", {}).items()
        services = tuple(Service(kind="unit", name=n, state=s, ok=s == "active") for n, s in states)
        return Reading(values=values, services=services, facts={"os": "Toy 1"})

    async def close(self):
        pass
'''
LAUNCH = """
import sys, tocsin.collectors
tocsin.collectors.REGISTRY["toy"] = "toy_collector"
from tocsin.cli.main import run
sys.exit(run(sys.argv[1:]))
"""


class Host:
    """A folder in which an agent lives: its file, its data, and what its toy sees."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.data = folder, folder / "data"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "toy_collector.py").write_text(TOY)
        self.file, self.seen = folder / "agent.yaml", folder / "seen.json"
        self.log = folder / "agent.log"
        self.sees(1)

    def sees(self, value: Any, **more: Any) -> None:
        """What the toy sees from now on."""
        draft = self.seen.with_suffix(".new")
        draft.write_text(json.dumps({"values": {"toy.value": value}} | more))
        draft.replace(self.seen)

    def writes(self, *urls: str, more: str = "", every: str = "1s") -> None:
        """The agent's file."""
        self.file.write_text(
            f"api_key: {KEY}\nserver_name: production-server-1\nserver_url: [{', '.join(urls)}]\n"
            f"data_dir: {self.data}\nheartbeat_interval: 1s\nmetrics_push_interval: 1s\n"
            f"monitors:\n  - type: toy\n    enabled: true\n    check_interval: {every}\n    file: {self.seen}\n{more}\n"
        )
        self.file.chmod(0o600)

    def environment(self, **more: str) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("TOCSIN_", "API_KEY"))}
        path = os.pathsep.join(filter(None, (str(self.folder), kept.get("PYTHONPATH", ""))))
        return kept | {"PYTHONPATH": path, "TOCSIN_AGENT_CONFIG": str(self.file), "TOCSIN_LOG_LEVEL": "debug"} | more

    def words(self, *words: str) -> list[str]:
        return [sys.executable, "-c", LAUNCH, "agent", *words]

    def does(self, *words: str) -> tuple[int, str, str]:
        """Exit code, output and errors of a command that ends."""
        done = subprocess.run(
            self.words(*words), env=self.environment(), capture_output=True, text=True, timeout=30, cwd=self.folder
        )
        return done.returncode, done.stdout, done.stderr


class Program:
    """An agent that runs as a process."""

    def __init__(self, process: asyncio.subprocess.Process, host: Host) -> None:
        self.process, self.host = process, host

    @property
    def said(self) -> str:
        return self.host.log.read_text(errors="replace")

    async def says(self, pattern: str, times: int = 1) -> None:
        async with asyncio.timeout(30):
            while len(re.findall(pattern, self.said)) < times:
                assert self.process.returncode is None, self.said
                await asyncio.sleep(0.02)

    async def kill(self) -> None:
        self.process.kill()
        await self.process.wait()

    async def end(self) -> int:
        """Ask it to stop; its exit code."""
        if self.process.returncode is None:
            self.process.terminate()
        async with asyncio.timeout(20):
            return await self.process.wait()


@asynccontextmanager
async def agent(host: Host, *before: str, **more: str) -> AsyncIterator[Program]:
    """`tocsin agent` as a process, until the block ends. `before`: words that stand before it."""
    with host.log.open("ab") as out:
        process = await asyncio.create_subprocess_exec(
            *before, *host.words("run"), stdout=out, stderr=out, env=host.environment(**more), cwd=host.folder
        )
    made = Program(process, host)
    try:
        yield made
    finally:
        if process.returncode is None:
            await made.end()
