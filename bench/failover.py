"""kill -9 of the primary of three, over and over: how long until the next write is taken. And of two: how long until the one
that is left tells what it sees, marked as unconfirmed."""

from __future__ import annotations

import os
import re
import sqlite3
import time
from contextlib import closing, suppress
from pathlib import Path

from bench import rig
from bench.report import Figure, at_most, plain, record

SECRET = "the secret of these servers"


def main() -> list[Figure]:
    """BENCH_RUNS (30) kills; a fifth as many pairs."""
    runs = int(os.environ.get("BENCH_RUNS") or 30)
    taken = _kills(runs)
    told = [_pair() for _ in range(max(1, runs // 5))]
    return record(
        "failover",
        f"{runs} times kill -9 of the primary of three (a beat every 5 s, leases of 15 s), and {len(told)} times of that of two,"
        " whose target fails then (interval 1 s)",
        [
            plain("from the kill to the next write that is taken, half", rig.percentile(taken, 0.5), "s"),
            at_most("the same, 95 %", rig.percentile(taken, 0.95), "s", 30),
            at_most("the same, slowest", max(taken), "s", 60),
            plain("of two, from the kill to the message marked as unconfirmed, half", rig.percentile(told, 0.5), "s"),
            at_most("the same, slowest", max(told), "s", 120),
        ],
    )


def _kills(runs: int) -> list[float]:
    with rig.folder() as place:
        servers, target = _cluster(place, 3), rig.Target()
        try:
            marker = servers[0].monitors(target, 1, 3600, mixed=False)[0]
            taken: list[float] = []
            lead = servers[0]
            for _ in range(runs):
                others = [one for one in servers if one is not lead]
                rig.wait_for(lambda others=others: all(_knows(one, marker) for one in others), 60, "all to know it")
                began = time.monotonic()
                lead.kill()
                new = rig.wait_for(lambda others=others: _writer(others, marker), 120, "a new primary")
                taken.append(time.monotonic() - began)
                lead.start()
                time.sleep(6)  # a beat: the one that is back has heard who leads, and has the log
                lead = new
            return taken
        finally:
            for one in servers:
                one.kill()
            target.end()


def _pair() -> float:
    with rig.folder() as place:
        servers, target, receiver = _cluster(place, 2), rig.Target(), rig.Receiver()
        try:
            hook = {"name": "hook", "type": "webhook", "config": {"url": f"http://127.0.0.1:{receiver.port}/"}}
            servers[0].call("POST", "/channels", hook)
            ids = servers[0].monitors(
                target, 1, 1, mixed=False, monitoring_type="global", locations=["place-0", "place-1"],
                retry_interval_s=0.3,
            )  # fmt: skip
            rig.wait_for(lambda: servers[0].call("GET", f"/monitors/{ids[0]}")["verdict"] == "up", 60, "it to be up")
            rig.wait_for(lambda: _knows(servers[1], ids[0]), 60, "the other to know it")
            time.sleep(3)
            began = time.monotonic()
            servers[0].kill()
            target.say("down")
            rig.wait_for(lambda: receiver.told, 120, "an unconfirmed message")
            assert "unconfirmed" in receiver.told[0][1]["reason"]
            return time.monotonic() - began
        finally:
            for one in servers:
                one.kill()
            target.end()
            receiver.end()


def _cluster(place: Path, count: int) -> list[rig.Server]:
    """So many servers that all vote."""
    servers: list[rig.Server] = []
    sync = [rig.free_port() for _ in range(count)]
    for number, port in enumerate(sync):
        settings = {
            "TOCSIN_ENABLE_SYNC_API": "true", "TOCSIN_SYNC_API_PORT": str(port), "TOCSIN_SYNC_SECRET": SECRET,
            "TOCSIN_SYNC_URL": f"https://127.0.0.1:{port}", "TOCSIN_INSTANCE_NAME": f"n{number}",
            "TOCSIN_LOCATION": f"place-{number}", "TOCSIN_FAILOVER_ORDER": str(number), "TOCSIN_LOG_LEVEL": "info",
        }  # fmt: skip
        if number:
            settings["TOCSIN_PRIMARY_SYNC_URL"] = f"https://127.0.0.1:{sync[0]}"
        one = rig.Server(place / f"n{number}", settings).start()
        if number:
            one.token = servers[0].token
        else:
            one.set_up()
        servers.append(one)
    rig.wait_for(lambda: all(_voters(one) == count for one in servers), 60, "all to vote")
    return servers


def _voters(one: rig.Server) -> int:
    """How many vote, by the newest membership on the disk of this server."""
    with closing(sqlite3.connect(f"file:{one.folder / 'tocsin.db'}?mode=ro", uri=True)) as db:
        newest = "SELECT payload FROM control_log WHERE kind = 'membership' ORDER BY n DESC LIMIT 1"
        row = db.execute(newest).fetchone() or db.execute("SELECT membership FROM control").fetchone()
    return len(re.findall(rb"\xa5voter", row[0])) if row else 0


def _knows(one: rig.Server, monitor: str) -> bool:
    return one.ask("GET", f"/monitors/{monitor}")[0] == 200


def _writer(among: list[rig.Server], marker: str) -> rig.Server | None:
    """Who of these takes a change."""
    for one in among:
        with suppress(OSError, ValueError):
            if one.ask("PATCH", f"/monitors/{marker}", {"tags": [f"t{time.monotonic_ns()}"]})[0] == 200:
                return one
    return None


if __name__ == "__main__":
    main()
