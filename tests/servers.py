"""Real servers of one cluster, each a `tocsin serve` with a data folder of its own: all on loopback, or each on a machine
of its own (a network namespace), whose links to the others can be cut, one way too."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import sqlite3
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from daemon import free_port
from needs import program
from real import FIRST
from tocsin.cluster.disk import membership_of
from tocsin.core.control_log import MEMBERS

SECRET = "the secret of these servers"
_COUNT = count(1)
HUB = "10.77.0.254"
"""Where the test itself is reached in a network of its own."""
QUIET: tuple[str, ...] = ()
"""What is run in a network of the test's own before its bridge is made."""
SHORT = {"TOCSIN_HEARTBEAT_INTERVAL_S": "1"}
"""Beats every second, leases of three."""


class Machine:
    """A network namespace with one address on the bridge of the namespace that the test is in; gone with its holder."""

    def __init__(self, number: int) -> None:
        self.number, self.address = number, f"10.77.0.{number}"
        self.mac = f"02:00:00:00:77:{number:02x}"
        self._holder = subprocess.Popen([program("unshare"), "--net", "sleep", "7200"], stdin=subprocess.DEVNULL)
        here = os.readlink("/proc/thread-self/ns/net")
        while os.readlink(f"/proc/{self._holder.pid}/ns/net") == here:
            assert self._holder.poll() is None, "no network namespace can be made"
        link = f"to{number}"
        _ip(f"link add {link} type veth peer name eth0 address {self.mac} netns {self._holder.pid}")
        _ip(f"link set {link} master bridge up")
        for words in ("link set lo up", f"addr add {self.address}/24 dev eth0", "link set eth0 up"):
            subprocess.run([*self.inside, program("ip"), *words.split()], check=True)

    @property
    def inside(self) -> list[str]:
        """What stands before the words of a program that is to run there."""
        return [program("nsenter"), f"--net=/proc/{self._holder.pid}/ns/net"]

    def deaf(self, to: Machine, *, cut: bool) -> None:
        """Whether what is sent from here to that machine is lost on the way."""
        mac = "02:00:00:00:77:ff" if cut else to.mac
        words = f"neigh replace {to.address} lladdr {mac} dev eth0 nud permanent"
        subprocess.run([*self.inside, program("ip"), *words.split()], check=True)

    def end(self) -> None:
        self._holder.kill()
        self._holder.wait()


def _ip(words: str) -> None:
    subprocess.run([program("ip"), *words.split()], check=True)


@dataclass
class Server:
    """One server as a process. `reached_at`: where the others reach its sync API, when that is not itself."""

    name: str
    folder: Path
    order: int
    machine: Machine | None = None
    first: Server | None = None
    more: dict[str, str] = field(default_factory=dict[str, str])
    reached_at: str = ""
    token: str = ""
    process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        self.host = "127.0.0.1" if self.machine is None else self.machine.address
        self.port, self.sync_port = (free_port(), free_port()) if self.machine is None else (3001, 3002)
        self.log = self.folder.parent / f"{self.name}.log"

    @property
    def sync_url(self) -> str:
        return self.reached_at or f"https://{self.host}:{self.sync_port}"

    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("TOCSIN_")}
        joins = {} if self.first is None else {"TOCSIN_PRIMARY_SYNC_URL": self.first.sync_url}
        return kept | joins | {
            "TOCSIN_DATA_DIR": str(self.folder), "TOCSIN_HOST": self.host, "TOCSIN_PORT": str(self.port),
            "TOCSIN_SYNC_API_PORT": str(self.sync_port), "TOCSIN_SYNC_URL": self.sync_url,
            "TOCSIN_ENABLE_SYNC_API": "true", "TOCSIN_SYNC_SECRET": SECRET, "TOCSIN_INSTANCE_NAME": self.name,
            "TOCSIN_LOCATION": f"place-{self.name}", "TOCSIN_FAILOVER_ORDER": str(self.order),
            "TOCSIN_MINIMUM_INTERVAL_S": "1", "TOCSIN_REQUESTS_PER_MINUTE": "1000000",
            "TOCSIN_LOGIN_ATTEMPTS_PER_MINUTE": "1000",
        } | self.more  # fmt: skip

    def begin(self) -> None:
        """Start the process, without waiting for it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        before = [] if self.machine is None else self.machine.inside
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                [*before, sys.executable, "-m", "tocsin", "serve"], env=self.environment(), cwd=self.folder,
                stdin=subprocess.DEVNULL, stdout=out, stderr=out,
            )  # fmt: skip

    async def start(self) -> Server:
        """Start it; returns when it answers."""
        self.begin()
        await until(self.healthy, 40, f"{self.name} to answer")
        return self

    async def healthy(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"{self.name} ended:\n{self.said()[-3000:]}"
        return (await self.ask("GET", "/health"))[0] == 200

    def said(self) -> str:
        """What it logged so far."""
        return self.log.read_text(errors="replace")

    def send(self, number: signal.Signals) -> None:
        """Send the process a signal."""
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        """kill -9."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    async def ask(self, method: str, path: str, body: Any = None, within_s: float = 10.0) -> tuple[int, Any]:
        """Status and data of one request; status 0 when there was no answer."""
        try:
            async with asyncio.timeout(within_s):
                return await _ask(self.host, self.port, method, path, body, self.token)
        except (OSError, TimeoutError, ValueError, IndexError):
            return 0, None

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        """The data of a request that is answered well."""
        status, data = await self.ask(method, path, body)
        assert 200 <= status < 300, f"{self.name}: {method} {path}: {status} {data}"
        return data

    async def leads(self) -> bool:
        """Whether its sync API says that it is primary."""
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        try:
            async with asyncio.timeout(3):
                _, said = await _ask(self.host, self.sync_port, "GET", "/health", None, "", context)
        except (OSError, TimeoutError, ValueError, IndexError):
            return False
        return said["role"] == "primary"

    def epoch(self) -> int:
        """The epoch that it has on disk."""
        with contextlib.closing(sqlite3.connect(f"file:{self.folder / 'tocsin.db'}?mode=ro", uri=True)) as db:
            return db.execute("SELECT epoch FROM control").fetchone()[0]

    def rows(self, table: str, where: str = "1 = 1") -> int:
        """How many rows of a table are on its disk."""
        with contextlib.closing(sqlite3.connect(f"file:{self.folder / 'tocsin.db'}?mode=ro", uri=True)) as db:
            return db.execute(f"SELECT count(*) FROM {table} WHERE {where}").fetchone()[0]

    def twice(self) -> int:
        """How many results are on its disk in more than one row."""
        both = " UNION ALL ".join(
            f"SELECT monitor, at, location, attempt FROM {t}" for t in ("results", "results_tail")
        )
        grouped = f"SELECT 1 FROM ({both}) GROUP BY monitor, at, location, attempt HAVING count(*) > 1"
        with contextlib.closing(sqlite3.connect(f"file:{self.folder / 'tocsin.db'}?mode=ro", uri=True)) as db:
            return len(db.execute(grouped).fetchall())

    async def sign_in(self) -> int:
        """The status of signing in here as the first account."""
        given = {name: FIRST[name] for name in ("email", "password")}
        return (await self.ask("POST", "/api/v1/auth/login", given))[0]

    async def results(self, monitor: str) -> dict[str, str]:
        """The location of every result of a monitor that is here, by id. Fails when one is there twice."""
        found: dict[str, str] = {}
        cursor = ""
        while True:
            page = await self.call("GET", f"/api/v1/monitors/{monitor}/results?limit=500{cursor}")
            for one in page["items"]:
                assert one["id"] not in found, f"{self.name} has {one['id']} twice"
                found[one["id"]] = one["location"]
            if not page["next_cursor"]:
                return found
            cursor = f"&cursor={page['next_cursor']}"


def _voters(one: Server) -> tuple[str, ...]:
    """Who votes, by the newest membership on this server's disk."""
    if not (one.folder / "tocsin.db").exists():
        return ()
    with contextlib.closing(sqlite3.connect(f"file:{one.folder / 'tocsin.db'}?mode=ro", uri=True)) as db:
        newest = "SELECT payload FROM control_log WHERE kind = ? ORDER BY n DESC LIMIT 1"
        row = db.execute(newest, (MEMBERS,)).fetchone() or db.execute("SELECT membership FROM control").fetchone()
    return membership_of(row[0]).voters() if row and row[0] else ()


async def _ask(
    host: str, port: int, method: str, path: str, body: Any, token: str, context: ssl.SSLContext | None = None
) -> tuple[int, Any]:
    payload = b"" if body is None else json.dumps(body).encode()
    lines = [
        f"{method} {path} HTTP/1.1",
        f"Host: {host}:{port}",
        "Connection: close",
        f"Content-Length: {len(payload)}",
    ]
    lines += ["Content-Type: application/json"] if payload else []
    lines += [f"Authorization: Bearer {token}"] if token else []
    reader, writer = await asyncio.open_connection(host, port, ssl=context)
    try:
        writer.write("\r\n".join([*lines, "", ""]).encode() + payload)
        answer = await reader.read()
    finally:
        writer.close()
        with contextlib.suppress(OSError, TimeoutError):
            await asyncio.wait_for(writer.wait_closed(), 1)
    top, _, rest = answer.partition(b"\r\n\r\n")
    return int(top.split()[1]), json.loads(rest) if rest else None


class Servers:
    """Servers by name. `a` begins the cluster; the others join it."""

    def __init__(self, folder: Path, *, network: bool = False, **more: str) -> None:
        self.folder, self.network, self.more = folder, network, more
        self.ones: dict[str, Server] = {}
        self.marker = ""
        self.host = HUB if network else "127.0.0.1"
        if network:
            _ip("link add bridge type bridge")
            _ip(f"addr add {HUB}/24 dev bridge")
            _ip("link set bridge up")

    def one(self, name: str, **more: str) -> Server:
        """The server of this name; made, not started, when there was none. `more`: settings of its own."""
        if name not in self.ones:
            number, first = len(self.ones), next(iter(self.ones.values()), None)
            machine = Machine(number + 1) if self.network else None
            self.ones[name] = Server(name, self.folder / name, number, machine, first, self.more | more)
        return self.ones[name]

    async def gather(self, *names: str) -> list[Server]:
        """So many servers that are one cluster: all that can vote do, and all know the first account."""
        ones = [self.one(name) for name in names]
        await ones[0].start()
        first = re.search(r"setup token (\S+)", ones[0].said())
        made = await ones[0].call("POST", "/api/v1/setup", FIRST | ({"setup_token": first[1]} if first else {}))
        ones[0].token = made["access_token"]
        key = (await ones[0].call("POST", "/api/v1/api-keys", {"name": "tests"}))["key"]
        marker = {"name": "Marker", "type": "tcp", "target": {"host": self.host, "port": 1}, "paused": True}
        self.marker = (await ones[0].call("POST", "/api/v1/monitors", marker))["id"]
        for one in ones[1:]:
            one.begin()
        for one in ones:
            one.token = key
            await until(one.healthy, 60, f"{one.name} to answer")
        await until(lambda: self.voting(len(ones)), 60, "all to vote")
        return ones

    async def voting(self, wanted: int) -> bool:
        """Whether so many vote, by what each of them has on its disk."""
        return all(len(_voters(one)) == wanted for one in self.ones.values())

    def cut(self, one: Server, *others: Server, heal: bool = False, both: bool = True) -> None:
        """Lose what is sent from that server to these others, and the other way where `both`."""
        for other in others:
            assert one.machine is not None
            assert other.machine is not None
            one.machine.deaf(other.machine, cut=not heal)
            if both:
                other.machine.deaf(one.machine, cut=not heal)

    async def primary(self, among: Iterable[Server] | None = None) -> Server | None:
        """Who says that it leads and takes a write."""
        for one in among or self.ones.values():
            if await one.leads() and await self.writes(one):
                return one
        return None

    async def writes(self, one: Server) -> bool:
        """Whether this server takes a change."""
        status, _ = await one.ask(
            "PATCH", f"/api/v1/monitors/{self.marker}", {"tags": [f"t{next(_COUNT)}"]}, within_s=5
        )
        return 200 <= status < 300

    def stop(self) -> None:
        """End all of them at once."""
        for one in self.ones.values():
            if one.process is not None and one.process.poll() is None:
                one.send(signal.SIGCONT)
                one.kill()
            if one.machine is not None:
                one.machine.end()


@asynccontextmanager
async def servers(folder: Path, *, network: bool = False, **more: str) -> AsyncIterator[Servers]:
    """Servers that are all ended afterwards; what they logged is printed when the test fails."""
    made = Servers(folder, network=network, **more)
    try:
        yield made
    except BaseException:
        for one in made.ones.values():
            print(f"---- {one.name}\n{one.said()[-6000:]}")
        raise
    finally:
        made.stop()


@asynccontextmanager
async def slow(port: int, delay_s: float) -> AsyncIterator[int]:
    """A port that passes all on to this one of loopback and back, each piece so much later."""

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pieces: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

        async def write() -> None:
            data = b"-"
            while data:
                at, data = await pieces.get()
                await asyncio.sleep(max(0.0, at - time.monotonic()))
                writer.write(data)
            writer.close()

        async with asyncio.TaskGroup() as both:
            both.create_task(write())
            data = b"-"
            while data:
                try:
                    data = await reader.read(65_536)
                except OSError:
                    data = b""
                pieces.put_nowait((time.monotonic() + delay_s, data))

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            writer.close()
            return
        running.add(asyncio.current_task())
        try:
            await asyncio.gather(pass_on(reader, back), pass_on(there, writer), return_exceptions=True)
        finally:
            for one in (writer, back):
                one.transport.abort()

    running: set[Any] = set()
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await asyncio.sleep(0)  # what was hung up on is let go


async def until(condition: Callable[[], Awaitable[Any]], within_s: float, what: str) -> Any:
    """The first true value of the condition."""
    end = asyncio.get_running_loop().time() + within_s
    while not (value := await condition()):
        assert asyncio.get_running_loop().time() < end, f"not within {within_s:g} s: {what}"
        await asyncio.sleep(0.1)
    return value
