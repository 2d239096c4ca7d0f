"""The database cannot be written for a minute, under load, while a target fails: nothing is lost, people are told at once."""

from __future__ import annotations

import sqlite3
import time

from bench import rig
from bench.report import Figure, at_least, at_most, plain, record

COUNT, INTERVAL = 1000, 10


def main() -> list[Figure]:
    """Another process's lock on the database for 60 s, 1,000 monitors every 10 s meanwhile."""
    with rig.running() as (server, target):
        receiver = rig.Receiver()
        server.call(
            "POST",
            "/channels",
            {"name": "hook", "type": "webhook", "config": {"url": f"http://127.0.0.1:{receiver.port}/"}},
        )
        server.monitors(target, COUNT, INTERVAL, channels=[])
        victim = server.call("POST", "/monitors", {
            "name": "Victim", "type": "http", "target": {"url": f"http://127.0.0.1:{target.http}/"}, "interval_s": 1, "timeout_s": 0.8,
            "retry_interval_s": 0.3,
        })["id"]  # fmt: skip
        rig.wait_for(lambda: server.call("GET", f"/monitors/{victim}")["verdict"] == "up", 20, "up")
        server.page("/")  # signs in: that needs the database
        time.sleep(3)
        before = server.metrics()
        locked = sqlite3.connect(server.folder / "tocsin.db", isolation_level=None, timeout=30)
        locked.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        time.sleep(15)
        failed_at = time.time()
        target.say("down")
        rig.wait_for(lambda: receiver.of("incident.opened"), 45, "the opening while the database is locked")
        told_after = receiver.of("incident.opened")[0][0] - failed_at
        health = server.ask("GET", "/monitors?limit=1")[0]
        breaker = server.metrics()["tocsin_store_breaker_state"] == 2 and b"database" in server.page("/")
        target.say("up")
        time.sleep(max(0, 60 - (time.monotonic() - began)))
        meanwhile = server.metrics()
        due = COUNT / INTERVAL * (time.monotonic() - began)
        locked.execute("ROLLBACK")
        locked.close()
        freed = time.monotonic()
        rig.wait_for(
            lambda: server.metrics().get("tocsin_spool_batches", 0) == 0 and _closed(server), 150, "the replay"
        )
        replayed = time.monotonic() - freed
        time.sleep(3)
        after = server.metrics()
        finished = rig.gone_up(before, meanwhile, "monitor_checks_total{")
        server.stop()
        stored = server.stored()
        at_stop = rig.gone_up({}, after, "monitor_checks_total{")
        told = [m["key"] for _, m in receiver.told]
        receiver.end()
    return record(
        "outage",
        f"SQLite locked by another process for 60 s, {COUNT:,} monitors every {INTERVAL} s; the target fails and comes back",
        [
            at_most("results lost (checks finished that are in no table)", max(0.0, at_stop - stored), "", 0),
            at_most("messages lost (one opening, one resolution are due)", 2 - len(set(told)), "", 0),
            at_most("messages told twice", len(told) - len(set(told)), "", 0),
            plain("target fails to message, while locked", told_after, "s"),
            plain("API answer while locked (status)", health, ""),
            plain("checks finished meanwhile", finished, ""),
            at_least("breaker seen in /metrics and on the page meanwhile", float(breaker), "", 1),
            at_least("checks finished meanwhile, of those due", finished / due * 100, "%", 99),
            plain("replayed after the lock is gone", replayed, "s"),
        ],
    )


def _closed(server: rig.Server) -> bool:
    return server.metrics().get("tocsin_store_breaker_state", 0) == 0


if __name__ == "__main__":
    main()
