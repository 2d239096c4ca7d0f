"""The rig: a target, a receiver of messages, and a real `tocsin serve` in a folder of its own, each a process we end."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

FIRST = {"email": "bench@example.org", "password": "a long enough sentence", "workspace": "Bench"}
HERE = Path(__file__).resolve().parent
TICK = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


def minutes(default: float) -> float:
    """How long a figure is measured: BENCH_MINUTES, else the modest default."""
    return float(os.environ.get("BENCH_MINUTES") or default)


def clean_environment() -> dict[str, str]:
    """The environment of a user: no setting of ours, and bytecode is kept, as Python does unless told otherwise."""
    return {k: v for k, v in os.environ.items() if not k.startswith("TOCSIN_") and k != "PYTHONDONTWRITEBYTECODE"}


def wait_for(condition: Callable[[], Any], seconds: float, what: str) -> Any:
    """The first true value of the condition; AssertionError when none came in time."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if value := condition():
            return value
        time.sleep(0.02)
    raise AssertionError(f"not within {seconds:g} s: {what}")


def free_port() -> int:
    """A port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def cpu_s(pid: int) -> float:
    """Processor seconds of a process so far, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def rss_mb(pid: int) -> float:
    """Resident memory of a process, MB."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE / 1e6


def peak_mb(pid: int) -> float:
    """Largest resident memory of a process so far, MB."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) * 1024 / 1e6 if found else 0.0


def written_bytes(pid: int) -> int:
    """Bytes a process caused to be written to storage."""
    found = re.search(r"^write_bytes: (\d+)", Path(f"/proc/{pid}/io").read_text(), re.M)
    return int(found[1]) if found else 0


class Target:
    """The watched process."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bench.target"],
            cwd=HERE.parent,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        ports = json.loads(self.process.stdout.readline())
        self.http, self.tcp = int(ports["http"]), int(ports["tcp"])

    def say(self, word: str) -> dict[str, Any]:
        """`down` or `up`; what it answered."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def end(self) -> None:
        self.process.kill()
        self.process.wait()


class Receiver:
    """Takes webhooks in this process and notes when each came."""

    def __init__(self) -> None:
        self.told: list[tuple[float, dict[str, Any]]] = []
        told = self.told

        class Asked(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                at = time.time()
                told.append((at, json.loads(self.rfile.read(int(self.headers["content-length"])))))
                self.send_response(204)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                """Nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Asked)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def of(self, event: str) -> list[tuple[float, dict[str, Any]]]:
        """Messages of one event."""
        return [t for t in self.told if t[1]["event"] == event]

    def keys(self) -> list[str]:
        """The key of every message that came, by itself or in a digest."""
        posts = [post for _, post in self.told]
        return [
            key for p in posts for key in ([k for i in p["items"] for k in i["keys"]] if "items" in p else [p["key"]])
        ]

    def end(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@dataclass
class Server:
    """A real `tocsin serve` with its data in `folder`."""

    folder: Path
    settings: dict[str, str] = field(default_factory=dict[str, str])
    port: int = field(default_factory=free_port)
    token: str = ""
    cookies: str = ""
    process: subprocess.Popen[str] = field(init=False)
    started_s: float = 0.0
    finished: float = 0.0
    """Checks that its former lives finished."""

    def start(self) -> Server:
        """Start it and wait for the first 200 on /health; `started_s` is how long that took."""
        environment = clean_environment() | {
            "TOCSIN_DATA_DIR": str(self.folder),
            "TOCSIN_PORT": str(self.port),
            "TOCSIN_MINIMUM_INTERVAL_S": "1",
            "TOCSIN_REQUESTS_PER_MINUTE": "1000000",
            "TOCSIN_METRICS_TOKEN": "bench-metrics-token",
            "TOCSIN_MAX_CONCURRENT_PER_HOST": "5000",
            "TOCSIN_LOG_LEVEL": "warning",
            **self.settings,
        }
        self.folder.mkdir(parents=True, exist_ok=True)
        log = (self.folder.parent / f"{self.folder.name}.log").open("a")
        began = time.monotonic()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tocsin", "serve"],
            env=environment,
            cwd=self.folder,
            stdout=log,
            stderr=log,
            text=True,
        )
        wait_for(self.healthy, 30, f"/health of {self.folder}")
        self.started_s = time.monotonic() - began
        return self

    def healthy(self) -> bool:
        """Whether /health says 200 now."""
        assert self.process.poll() is None, (self.folder.parent / f"{self.folder.name}.log").read_text()[-3000:]
        try:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2)
            connection.request("GET", "/health")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            with contextlib.suppress(UnboundLocalError):
                connection.close()

    @property
    def pid(self) -> int:
        return self.process.pid

    def set_up(self) -> Server:
        """Make the first account, and an API key that lasts."""
        self.token = self.call("POST", "/setup", FIRST)["access_token"]
        made = self.call("POST", "/api-keys", {"name": "bench"})
        self.token = made["key"]
        return self

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """The answer of the API as data; AssertionError on anything but 2xx."""
        status, data = self.ask(method, path, body)
        assert 200 <= status < 300, f"{method} {path}: {status} {data}"
        return data

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Status and data of one call, over a connection kept for this thread."""
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        payload = None
        if body is not None:
            payload, headers["Content-Type"] = json.dumps(body), "application/json"
        for again in (False, True):
            connection = self._connection(fresh=again)
            try:
                connection.request(method, "/api/v1" + path, payload, headers)
                answer = connection.getresponse()
                text = answer.read()
            except (OSError, http.client.HTTPException):
                if again:
                    raise
                continue
            return answer.status, json.loads(text) if text else None
        raise AssertionError

    _kept: threading.local = field(default_factory=threading.local, repr=False)

    def _connection(self, *, fresh: bool) -> http.client.HTTPConnection:
        if fresh or getattr(self._kept, "to", None) != self.pid:
            self._kept.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
            self._kept.to = self.pid
        return self._kept.connection

    def intended(self) -> list[dict[str, Any]]:
        """The whole delivery log, digests left aside."""
        found: list[dict[str, Any]] = []
        cursor = ""
        while True:
            page = self.call("GET", f"/notifications?limit=500{cursor}")
            found += [one for one in page["items"] if one["event"] != "digest"]
            if not page["next_cursor"]:
                return found
            cursor = f"&cursor={page['next_cursor']}"

    def page(self, path: str) -> bytes:
        """A page as a signed-in person gets it."""
        address = f"http://127.0.0.1:{self.port}"
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        if not self.cookies:
            form = urlencode({"email": FIRST["email"], "password": FIRST["password"]})
            headers = {"Origin": address, "Content-Type": "application/x-www-form-urlencoded"}
            connection.request("POST", "/login", form, headers)
            answer = connection.getresponse()
            answer.read()
            sent = answer.headers.get_all("set-cookie") or []
            self.cookies = "; ".join(one.split(";", 1)[0] for one in sent)
        connection.request("GET", path, headers={"Cookie": self.cookies})
        answer = connection.getresponse()
        text = answer.read()
        assert answer.status == 200, (path, answer.status, text[:200])
        return text

    def metrics(self) -> dict[str, float]:
        """Every sample of /metrics by its text name with labels."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.request("GET", "/metrics", headers={"Authorization": "Bearer bench-metrics-token"})
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        assert answer.status == 200, text[:200]
        lines = (line.rpartition(" ") for line in text.splitlines() if line and not line.startswith("#"))
        return {name: float(value) for name, _, value in lines}

    def monitors(self, target: Target, count: int, interval_s: int, *, mixed: bool = True, **more: Any) -> list[str]:
        """Make monitors (half http, half tcp when mixed) and give their ids."""
        made: list[str] = []
        for number in range(count):
            http_ = not mixed or number % 2 == 0
            goal = (
                {"url": f"http://127.0.0.1:{target.http}/m/{number}"}
                if http_
                else {"host": "127.0.0.1", "port": target.tcp}
            )
            monitor = {
                "name": f"Monitor {number:04}", "type": "http" if http_ else "tcp", "target": goal,
                "interval_s": interval_s, "timeout_s": min(5, interval_s * 0.8), **more,
            }  # fmt: skip
            made.append(self.call("POST", "/monitors", monitor)["id"])
        return made

    def each(self, ids: list[str], action: str) -> None:
        """POST /monitors/{id}/{action} for all of them, four at a time."""
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda id: self.call("POST", f"/monitors/{id}/{action}"), ids))

    def stored(self) -> int:
        """How many results the file holds, in the tail and where they stay."""
        with contextlib.closing(sqlite3.connect(f"file:{self.folder / 'tocsin.db'}?mode=ro", uri=True)) as db:
            return sum(db.execute(f"SELECT count(*) FROM {t}").fetchone()[0] for t in ("results", "results_tail"))

    def stop(self) -> float:
        """End it gracefully; how long that took. AssertionError unless it ended with 0."""
        began = time.monotonic()
        self.finished += gone_up({}, self.metrics(), "monitor_checks_total{")
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(60)
        assert code == 0, f"ended with {code}"
        return time.monotonic() - began

    def kill(self) -> None:
        """kill -9."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """A folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="tocsin-bench-") as made:
        yield Path(made)


@contextlib.contextmanager
def running(**settings: str) -> Iterator[tuple[Server, Target]]:
    """A server that is set up, and a target; both ended afterwards."""
    with folder() as place:
        target, server = Target(), Server(place / "data", settings)
        try:
            yield server.start().set_up(), target
        finally:
            with contextlib.suppress(AttributeError):
                server.kill()
            target.end()


def gone_up(before: dict[str, float], after: dict[str, float], prefix: str) -> float:
    """By how much all samples whose name begins so went up between two looks at /metrics."""
    return sum(v - before.get(k, 0) for k, v in after.items() if k.startswith(prefix))


def histogram(before: dict[str, float], after: dict[str, float], name: str) -> list[tuple[float, float]]:
    """(upper bound, observations up to it) of a histogram between two looks at /metrics."""
    found: list[tuple[float, float]] = []
    for key, value in after.items():
        if (match := re.fullmatch(re.escape(name) + r'_bucket\{le="([^"]+)"\}', key)) is not None:
            found.append((float(match[1].replace("+Inf", "inf")), value - before.get(key, 0.0)))
    return sorted(found)


def quantile(buckets: list[tuple[float, float]], q: float) -> float:
    """The q-quantile of a histogram, at most its bucket's upper bound (linear inside a bucket)."""
    total = buckets[-1][1] if buckets else 0.0
    low, below = 0.0, 0.0
    for bound, count in buckets:
        if count >= q * total and total:
            if bound == float("inf"):
                return low
            share = (q * total - below) / (count - below) if count > below else 1.0
            return low + (bound - low) * share
        low, below = bound, count
    return 0.0


def percentile(values: list[float], q: float) -> float:
    """The q-quantile of values (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(q * len(ordered)))] if ordered else 0.0
