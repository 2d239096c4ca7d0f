"""What one check costs, kind by kind: Tocsin, blackbox_exporter, Node with axios and `ab`, in turn, three rounds each."""

from __future__ import annotations

import asyncio
import json
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench import rig
from bench.report import Figure, at_least, at_most, plain, record

ROUNDS, COUNT, AT_ONCE = 3, 3000, 100
BOUNDS = {"http": 6.0, "https": 1.2, "tcp": 3.0, "tls": None, "dns": 3.0, "ping": 8.0}
"""How many times less processor than blackbox_exporter a check should take."""
AXIOS = """
const axios = require("axios"), https = require("https"), fs = require("fs");
const [url, ca, count, atOnce] = [process.argv[2], process.argv[3], +process.argv[4], +process.argv[5]];
const one = () => axios.get(url, {httpsAgent: new https.Agent({ca: ca ? fs.readFileSync(ca) : undefined, keepAlive: false, maxCachedSessions: 0}),
  httpAgent: new (require("http").Agent)({keepAlive: false})});
(async () => {
  let left = count;
  const some = async () => { while (left-- > 0) { const r = await one(); if (r.status !== 200) throw new Error(r.status); } };
  await Promise.all(Array.from({length: 10}, one));
  const before = process.cpuUsage();
  await Promise.all(Array.from({length: atOnce}, some));
  const used = process.cpuUsage(before);
  console.log((used.user + used.system) / 1e6 / count * 1000);
})();
"""


@contextmanager
def target() -> Iterator[dict[str, Any]]:
    """The target of `tocsin bench engine`, for the peers."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tocsin.cli.bench_target"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        yield json.loads(process.stdout.readline())
    finally:
        process.kill()
        process.wait()


def ours() -> dict[str, dict[str, float]]:
    """One round of `tocsin bench engine`."""
    words = [sys.executable, "-m", "tocsin", "bench", "engine", "--json", "--checks", str(COUNT)]
    return json.loads(
        subprocess.run(words, check=True, capture_output=True, text=True, env=rig.clean_environment()).stdout
    )


def goals(ports: dict[str, Any]) -> dict[str, str]:
    """What blackbox is asked to probe for each kind."""
    return {
        "http": f"http://127.0.0.1:{ports['http']}/", "https": f"https://127.0.0.1:{ports['https']}/",
        "tcp": f"127.0.0.1:{ports['tcp']}", "tls": f"127.0.0.1:{ports['https']}", "dns": f"127.0.0.1:{ports['dns']}",
        "ping": "127.0.0.1",
    }  # fmt: skip


def modules(ca: str) -> dict[str, Any]:
    """blackbox's modules, one a kind."""
    four, trust = {"preferred_ip_protocol": "ip4"}, {"tls_config": {"ca_file": ca}}
    return {
        "http": {"prober": "http", "http": four}, "https": {"prober": "http", "http": four | trust},
        "tcp": {"prober": "tcp", "tcp": four}, "tls": {"prober": "tcp", "tcp": four | trust | {"tls": True}},
        "dns": {"prober": "dns", "dns": four | {"query_name": "bench.test", "query_type": "A"}},
        "ping": {"prober": "icmp", "icmp": four},
    }  # fmt: skip


@contextmanager
def blackbox(ca: str) -> Iterator[tuple[int, int] | None]:
    """(process, port) of a blackbox_exporter, None when there is none."""
    program = shutil.which("prometheus-blackbox-exporter")
    if program is None:
        yield None
        return
    with tempfile.TemporaryDirectory() as place:
        file, port = Path(place) / "blackbox.yml", rig.free_port()
        file.write_text(json.dumps({"modules": modules(ca)}))
        process = subprocess.Popen(
            [program, f"--config.file={file}", f"--web.listen-address=127.0.0.1:{port}", "--log.level=error"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            rig.wait_for(lambda: _listens(port), 10, "blackbox exporter")
            yield process.pid, port
        finally:
            process.kill()
            process.wait()


def _listens(port: int) -> bool:
    with rig.socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


async def _probe(port: int, kind: str, goal: str, count: int) -> None:
    gate = asyncio.Semaphore(AT_ONCE)

    async def one() -> None:
        async with gate:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(
                f"GET /probe?module={kind}&target={goal} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()
            )
            text = await reader.read()
            writer.close()
            assert b"\nprobe_success 1" in text, (kind, text[-300:])

    await asyncio.gather(*(one() for _ in range(count)))


def theirs(peer: tuple[int, int], kind: str, goal: str) -> float:
    """CPU seconds of blackbox for a thousand probes; its own HTTP front end is part of it."""
    pid, port = peer
    asyncio.run(_probe(port, kind, goal, AT_ONCE))
    before = rig.cpu_s(pid)
    asyncio.run(_probe(port, kind, goal, COUNT))
    return (rig.cpu_s(pid) - before) / COUNT * 1000


@contextmanager
def axios() -> Iterator[Path | None]:
    """A folder with axios in it, None when node or npm is missing."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        yield None
        return
    with tempfile.TemporaryDirectory() as place:
        done = subprocess.run(
            ["npm", "install", "--silent", "--no-audit", "--no-fund", "axios@1"], cwd=place, capture_output=True
        )
        (Path(place) / "check.js").write_text(AXIOS)
        yield Path(place) if done.returncode == 0 else None


def node(folder: Path, url: str, ca: str) -> float:
    """CPU seconds of Node with axios for a thousand requests."""
    words = ["node", "check.js", url, ca, str(COUNT), str(AT_ONCE)]
    return float(subprocess.run(words, cwd=folder, check=True, capture_output=True, text=True).stdout)


def ab(url: str) -> float:
    """CPU seconds of `ab`, the limit of what C does, for a thousand requests."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(["ab", "-q", "-c", str(AT_ONCE), "-n", str(COUNT), url], check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / COUNT * 1000


def main() -> list[Figure]:
    """Three rounds, each peer once a round; medians, and their ratios to ours."""
    took: dict[tuple[str, str], list[float]] = defaultdict(list)
    with target() as ports, tempfile.NamedTemporaryFile("w", suffix=".pem") as ca, axios() as folder:
        ca.write(ports["ca"])
        ca.flush()
        with blackbox(ca.name) as peer:
            for _ in range(ROUNDS):
                for kind, seen in ours().items():
                    for name, value in seen.items():
                        if value is not None:
                            took[kind, name].append(value)
                for kind, goal in goals(ports).items():
                    if peer is not None:
                        took[kind, "blackbox"].append(theirs(peer, kind, goal))
                    if kind in ("http", "https") and folder is not None:
                        took[kind, "axios"].append(node(folder, goal, ca.name if kind == "https" else ""))
                    if kind in ("http", "https") and shutil.which("ab"):
                        took[kind, "ab"].append(ab(goal))
                time.sleep(1)
    return record(
        "engine",
        f"processor seconds for 1,000 checks, {AT_ONCE} at a time, medians of {ROUNDS} rounds in turn; error of the first byte with 1,000"
        " in flight all the time, each that ends followed by the next, against what the target says its answer took (1 s with HTTP, 8 s"
        " with HTTPS: in so long one core can begin a thousand)",
        [figure for kind in BOUNDS for figure in _figures(kind, took)],
    )


def _figures(kind: str, took: dict[tuple[str, str], list[float]]) -> list[Figure]:
    mine = statistics.median(took[kind, "cpu_s_per_1000"])
    found = [plain(f"{kind}: Tocsin", mine, "s")]
    for peer, words in (("blackbox", "blackbox_exporter"), ("axios", "Node with axios"), ("ab", "ab")):
        if took[kind, peer]:
            value = statistics.median(took[kind, peer])
            bound = BOUNDS[kind] if peer == "blackbox" else None
            found.append(plain(f"{kind}: {words}", value, "s"))
            times = f"{kind}: {words} takes so many times as much"
            found.append(
                plain(times, value / mine, "×") if bound is None else at_least(times, value / mine, "×", bound)
            )
    if took[kind, "ttfb_error_p99_ms"]:
        error = statistics.median(took[kind, "ttfb_error_p99_ms"])
        found.append(at_most(f"{kind}: error of the first byte, p99", error, "ms", 15))
        found.append(plain(f"{kind}: memory with 1,000 in flight", statistics.median(took[kind, "rss_mb"]), "MB"))
    return found


if __name__ == "__main__":
    main()
