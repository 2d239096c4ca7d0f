"""What two channels that do not work cost the others: one takes what it is sent and never answers, one answers 500.

A hundred good channels are told of something each 20 s for BENCH_MINUTES (10). Messages are handed to the corridor as intake hands them over; the receivers are another process."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from bench import rig
from bench.report import Figure, at_most, plain, record
from tocsin.clock import SystemClock
from tocsin.core.account import User, Workspace
from tocsin.core.alert import Channel, Message, OutboxRow, notification_key
from tocsin.net import Net
from tocsin.net.egress import Egress
from tocsin.net.http import HttpEngine
from tocsin.pipeline.corridor import Corridor
from tocsin.store import Store
from tocsin.store.batch import Batch

GOOD, EACH_S = 100, 20.0
BAD_EACH_S = 5.0
BAD = ("hangs", "answers500")


def main() -> list[Figure]:
    """Two senders at the same time, so that both have the same machine: only one of them has the bad channels too."""
    length_s = rig.minutes(10) * 60
    with rig.folder() as place:
        receiver = _start("receive", str(place / "told"))
        try:
            assert receiver.stdout is not None
            port = receiver.stdout.readline().strip()
            senders = {}
            for name, bad in (("alone", ""), ("beside", ",".join(BAD))):
                (place / name).mkdir()
                senders[name] = _start("send", str(place / name), port, str(length_s), bad)
            handed = {name: json.loads(sender.communicate()[0]) for name, sender in senders.items()}
        finally:
            receiver.terminate()
            receiver.wait()
        told = [json.loads(line) for line in (place / "told").read_text().splitlines()]
    came: dict[str, list[float]] = {}
    for at, key in told:
        came.setdefault(key, []).append(at)
    took = {
        name: [(min(came[key]) - at) * 1000 for key, at in keys.items() if key in came] for name, keys in handed.items()
    }
    middle = {name: rig.percentile(ms, 0.5) for name, ms in took.items()}
    late = {name: rig.percentile(ms, 0.95) for name, ms in took.items()}
    every = {key for keys in handed.values() for key in keys}
    return record(
        "bad_channel",
        f"{GOOD} webhooks each told of something every {EACH_S:g} s for {length_s / 60:g} min, by one process alone, and at "
        f"the same time by another that also has a channel that hangs and one that answers 500, each given a message "
        f"every {BAD_EACH_S:g} s",
        [
            plain("messages to good channels", len(every), ""),
            plain("from commit to receiver, alone, median", middle["alone"], "ms"),
            plain("the same beside the bad ones", middle["beside"], "ms"),
            at_most("median beside, over alone", (middle["beside"] / middle["alone"] - 1) * 100, "%", 10),
            plain("p95 alone", late["alone"], "ms"),
            plain("p95 beside the bad ones", late["beside"], "ms"),
            at_most("messages that did not come", len(every - came.keys()), "", 0),
            at_most("messages that came twice", sum(len(at) > 1 for key, at in came.items() if key in every), "", 0),
        ],
    )


def _start(*what: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-m", "bench.bad_channel", *what], stdout=subprocess.PIPE, text=True)


def send(place: str, port: str, seconds: str, bad: str) -> None:
    """Tell for so many seconds, and print when each message for a good channel was committed, by its key."""
    handed = asyncio.run(_tell(Path(place), int(port), float(seconds), tuple(filter(None, bad.split(",")))))
    print(json.dumps(handed))


async def _tell(place: Path, port: int, seconds: float, bad: tuple[str, ...]) -> dict[str, float]:
    clock = SystemClock()
    store = await Store.open(
        f"sqlite:///{place}/tocsin.db", clock=clock, sealing_key=b"k" * 32, spool_dir=place / "spool"
    )
    net = Net(egress=Egress("private", own=set()), http=HttpEngine())
    await net.start()
    corridor = Corridor.build(store=store, net=net, clock=clock)
    now = clock.now()
    channels = [
        Channel(
            id=id, workspace_id="ws", name=id, type="webhook", config={"url": f"http://127.0.0.1:{port}/{id}"},
            created_at=now, updated_at=now,
        )
        for id in (*(f"good{n}" for n in range(GOOD)), *bad)
    ]  # fmt: skip
    await store.everything().write(
        lambda s: s.accounts.create_first(
            User(id="u", email="bench@example.org", password_hash="x", created_at=now),
            Workspace(id="ws", name="Bench", created_at=now),
        )
    )
    await store.of("ws").write(lambda s: [s.channels.add(channel) for channel in channels])
    await corridor.start()
    handed = await _hand(store, corridor, clock, seconds, bad)
    await asyncio.sleep(3)
    await corridor.stop()
    await net.close()
    await store.close()
    return handed


async def _hand(
    store: Store, corridor: Corridor, clock: SystemClock, seconds: float, bad: tuple[str, ...]
) -> dict[str, float]:
    at: dict[str, float] = {}
    begun, turn, bad_turn = time.monotonic(), 0, 0
    name = "beside" if bad else "alone"
    while (elapsed := time.monotonic() - begun) < seconds:
        if bad and elapsed >= bad_turn * BAD_EACH_S:
            await _keep(store, corridor, [_row(clock, one, f"{one}-{bad_turn}") for one in bad])
            bad_turn += 1
        row = _row(clock, f"good{turn % GOOD}", f"{name}-{turn}")
        at[row.key] = await _keep(store, corridor, [row])
        turn += 1
        await asyncio.sleep(max(0.0, begun + turn * EACH_S / GOOD - time.monotonic()))
    return at


async def _keep(store: Store, corridor: Corridor, rows: list[OutboxRow]) -> float:
    """When these were committed."""
    kept = await store.commit(Batch(id=rows[0].key, outbox=tuple(rows)))
    at = time.time()
    corridor.delivery.handed(rows, kept == "spooled")
    return at


def _row(clock: SystemClock, channel: str, subject: str) -> OutboxRow:
    now = clock.now()
    key = notification_key("ws", channel, subject, 1, "opened")
    message = Message(
        event="incident.opened", key=key, severity="critical", title=f"{subject} is down", text=f"{subject} is down",
        monitor={"id": subject, "name": subject}, incident={"id": subject}, verdict="down", reason="refused", at=now,
        url="https://t/",
    )  # fmt: skip
    return OutboxRow(
        key=key, workspace_id="ws", channel_id=channel, incident_id=None, monitor_id=None, subject=subject, order=1,
        message=message, created_at=now, next_at=now,
    )  # fmt: skip


def receive(path: str) -> None:
    """Take webhooks: `/hangs` is never answered, `/answers500` is, and of all others is written down when they came."""
    ended = threading.Event()
    with Path(path).open("w") as file:

        class Asked(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                at = time.time()
                post = json.loads(self.rfile.read(int(self.headers["content-length"])))
                if self.path == "/hangs":
                    ended.wait()
                    return
                if self.path != "/answers500":
                    file.write(json.dumps([at, post["key"]]) + "\n")
                    file.flush()
                self.send_response(500 if self.path == "/answers500" else 204)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                """Nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Asked)
        server.daemon_threads = True
        print(server.server_address[1], flush=True)
        server.serve_forever()


if __name__ == "__main__":
    {"receive": receive, "send": send}[sys.argv[1]](*sys.argv[2:]) if len(sys.argv) > 1 else main()
