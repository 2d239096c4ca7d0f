"""10,000 monitors go down within 10 s and flap for five minutes: what is told, how fast, and what it costs.

The results are fed at intake, in the corridor's own process; the receiver is another one. (Ten thousand real checks every
10 s would measure the checks.)"""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import subprocess
import sys
import time
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from bench import rig
from bench.report import Figure, at_most, plain, record
from tocsin.clock import SystemClock
from tocsin.core.account import User, Workspace
from tocsin.core.alert import Channel
from tocsin.core.monitor import CALLED, Monitor
from tocsin.core.result import CheckError, CheckResult, Observation, Outcome
from tocsin.core.storm import DIGEST
from tocsin.net import Net
from tocsin.net.egress import Egress
from tocsin.net.http import HttpEngine
from tocsin.pipeline.corridor import Corridor
from tocsin.store import Store

WAVE_S, BATCH = 10.0, 100


def main() -> list[Figure]:
    """BENCH_MONITORS (10,000) flip within 10 s, every 30 s, for BENCH_MINUTES (5)."""
    count, length = int(os.environ.get("BENCH_MONITORS") or 10_000), rig.minutes(5) * 60
    with rig.folder() as place:
        receiver = subprocess.Popen(
            [sys.executable, "-m", "bench.storm", str(place / "told")], stdout=subprocess.PIPE, text=True
        )
        try:
            assert receiver.stdout is not None
            seen = asyncio.run(_storm(place, int(receiver.stdout.readline()), count, length))
        finally:
            receiver.terminate()
            receiver.wait()
        told = [json.loads(line) for line in (place / "told").read_text().splitlines()]
    moments = [at for at, _, _ in told]
    busiest = max(sum(at - 60 < other <= at for other in moments) for at in moments)
    keys = [key for _, _, some in told for key in some]
    lags = sorted(seen["lags"])
    return record(
        "storm",
        f"{count:,} monitors flip within {WAVE_S:.0f} s, every 30 s for {length / 60:g} min, told by one webhook",
        [
            at_most("messages within a minute, most", busiest, "", 20),
            at_most("transitions that nobody was told of", len(seen["keys"] - set(keys)), "", 0),
            at_most("transitions told twice", len(keys) - len(set(keys)), "", 0),
            plain("flips", seen["flips"], ""),
            at_most("flips that are not on record as a verdict", seen["flips"] - seen["recorded"], "", 0),
            plain("messages intended", len(seen["keys"]), ""),
            plain("messages", len(told), ""),
            at_most("all told after the last flip", seen["drained_s"], "s", 120),
            at_most("lag of the event loop, p99", rig.percentile(lags, 0.99) * 1000, "ms", 100),
            plain("the same before the storm, with nothing to do", rig.percentile(seen["idle"], 0.99) * 1000, "ms"),
            plain("lag of the event loop, most", lags[-1] * 1000, "ms"),
            at_most("memory, most", rig.peak_mb(os.getpid()), "MB", 512),
        ],
    )


async def _storm(place: Path, port: int, count: int, length: float) -> dict[str, Any]:
    clock = SystemClock()
    store = await Store.open(
        f"sqlite:///{place}/tocsin.db", clock=clock, sealing_key=b"k" * 32, spool_dir=place / "spool"
    )
    net = Net(egress=Egress("private", own=set()), http=HttpEngine())
    await net.start()
    corridor = Corridor.build(store=store, net=net, clock=clock)
    await _set_up(store, port, count, clock.now())
    await corridor.start()
    idle: list[float] = []
    lags: list[float] = []
    meter = asyncio.create_task(_measure(idle))
    await asyncio.sleep(10)
    meter.cancel()
    meter = asyncio.create_task(_measure(lags))
    began, wave = time.monotonic(), 0
    while time.monotonic() - began < length:
        at, wave = time.monotonic(), wave + 1
        for first in range(0, count, BATCH):
            for number in range(first, min(count, first + BATCH)):
                corridor.intake.offer(_result(number, down=wave % 2 == 1, now=clock.now()))
            await asyncio.sleep(max(0.0, at + WAVE_S * (first + BATCH) / count - time.monotonic()))
        flipped = time.monotonic()
        await asyncio.sleep(max(0.0, at + 30 - time.monotonic()) if at + 30 - began < length else 0)
    await corridor.intake.flushed()
    while await store.everything().read(lambda s: s.outbox.pending_count()):
        assert time.monotonic() - flipped < 600, "not drained within 10 minutes"
        await asyncio.sleep(0.2)
    drained = time.monotonic() - flipped
    meter.cancel()
    await corridor.stop()
    await net.close()
    await store.close()
    with sqlite3.connect(place / "tocsin.db") as database:
        keys = {row[0] for row in database.execute("SELECT key FROM outbox WHERE subject <> ?", (DIGEST,))}
        recorded = database.execute("SELECT count(*) FROM verdicts").fetchone()[0]
    return {
        "lags": lags, "idle": sorted(idle), "keys": keys, "drained_s": drained, "flips": wave * count, "recorded": recorded,
    }  # fmt: skip


async def _set_up(store: Store, port: int, count: int, now: datetime) -> None:
    """An account, a channel, and monitors that are called (so that nothing but what is fed here is judged)."""
    channel = Channel(
        id="hook", workspace_id="ws", name="hook", type="webhook", config={"url": f"http://127.0.0.1:{port}/"},
        created_at=now, updated_at=now,
    )  # fmt: skip
    await store.everything().write(
        lambda s: s.accounts.create_first(
            User(id="u", email="bench@example.org", password_hash="x", created_at=now),
            Workspace(id="ws", name="Bench", created_at=now),
        )
    )
    await store.of("ws").write(lambda s: s.channels.add(channel))
    for first in range(0, count, 500):
        some = [_monitor(number, now) for number in range(first, min(count, first + 500))]
        await store.of("ws").write(lambda s, some=some: [s.monitors.add(monitor) for monitor in some])


def _monitor(number: int, now: datetime) -> Monitor:
    return Monitor(
        id=f"m{number:05}", workspace_id="ws", name=f"Monitor {number:05}", type="push",
        target={"token": f"{number:032}", "period_s": 86_400, "grace_s": 86_400}, failure_threshold=1, channels=("hook",),
        created_at=now, updated_at=now,
    )  # fmt: skip


def _result(number: int, *, down: bool, now: datetime) -> CheckResult:
    """What came of a check of a monitor."""
    error = CheckError("connection_refused", "connection refused") if down else None
    outcome = Outcome(
        type="push", target="", status="down" if down else "up", error=error, started_at=now, location=CALLED,
        seen=Observation(),
    )  # fmt: skip
    return CheckResult(
        workspace_id="ws", monitor_id=f"m{number:05}", location=CALLED, scheduled_at=now, attempt=0, outcome=outcome
    )


async def _measure(lags: list[float]) -> None:
    while True:
        due = time.monotonic() + 0.02
        await asyncio.sleep(0.02)
        lags.append(max(0.0, time.monotonic() - due))


def receive(path: str) -> None:
    """Take webhooks, and write down when each came and what it told of; prints its port."""
    with Path(path).open("w") as file:

        class Asked(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                post = json.loads(self.rfile.read(int(self.headers["content-length"])))
                keys = [key for item in post["items"] for key in item["keys"]] if "items" in post else [post["key"]]
                file.write(json.dumps([time.time(), post["event"], keys]) + "\n")
                file.flush()
                self.send_response(204)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                """Nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Asked)
        print(server.server_address[1], flush=True)
        server.serve_forever()


if __name__ == "__main__":
    receive(sys.argv[1]) if len(sys.argv) > 1 else main()
