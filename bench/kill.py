"""kill -9 at random moments under load: what was acknowledged is there, nothing is there twice, nothing is told twice."""

from __future__ import annotations

import contextlib
import os
import random
import sqlite3
import threading
import time
from collections import Counter
from itertools import pairwise
from typing import Any

from bench import rig
from bench.report import Figure, at_most, plain, record


def main() -> list[Figure]:
    """BENCH_KILLS (100) kills; clients keep what the server acknowledged and look for it at the end."""
    kills, chance = int(os.environ.get("BENCH_KILLS") or 100), random.Random(1)
    acknowledged: list[tuple[str, str]] = []
    starts: list[float] = []
    with rig.running() as (server, target):
        receiver = rig.Receiver()
        server.call(
            "POST",
            "/channels",
            {"name": "hook", "type": "webhook", "config": {"url": f"http://127.0.0.1:{receiver.port}/"}},
        )
        ids = server.monitors(target, 50, 1, retry_interval_s=0.3, reopen_s=0, flap_detection=False)
        over = threading.Event()

        def client(number: int) -> None:
            mine = random.Random(number)
            while not over.is_set():
                monitor = mine.choice(ids)
                try:
                    status, data = server.ask("POST", f"/monitors/{monitor}/run")
                except (OSError, rig.http.client.HTTPException, ValueError):
                    time.sleep(0.05)
                    continue
                if status == 200:
                    acknowledged.extend((monitor, r["id"]) for r in data["results"] if "id" in r)

        clients = [threading.Thread(target=client, args=(n,), daemon=True) for n in range(4)]
        for one in clients:
            one.start()
        for number in range(kills):
            if number % 5 == 2:
                target.say("down")
            if number % 5 == 4:
                target.say("up")
            time.sleep(0.5 + chance.random() * 1.5)
            server.kill()
            server.start()
            starts.append(server.started_s)
        target.say("up")
        time.sleep(8)
        over.set()
        for one in clients:
            one.join(30)
        lost = _lost(server, acknowledged)
        incidents = server.call("GET", "/incidents?limit=500")["items"]
        with contextlib.suppress(AssertionError):  # what a killed sender held is sent again when its lease is over
            rig.wait_for(lambda: len(set(receiver.keys())) >= _due(incidents), 90, "the last messages")
        intended = server.intended()
        waiting = server.metrics().get("tocsin_outbox_pending", 0)
        server.stop()
        check, doubled = _file(server)
        keys, heard = [m["key"] for _, m in receiver.told], set(receiver.keys())
        told = Counter((one["incident_id"], one["event"]) for one in intended if one["key"] in heard)
        opened = sum(n for (_, event), n in told.items() if event == "incident.opened")
        wrong = sum(told[i["id"], "incident.opened"] != 1 for i in incidents)
        wrong += sum(told[i["id"], "incident.resolved"] != (0 if i["open"] else 1) for i in incidents)
        receiver.end()
    return record(
        "kill",
        f"{kills} times kill -9 within 0.5 to 2 s of load (50 monitors every second, 4 clients, outages in between)",
        [
            at_most("acknowledged results lost", lost, "", 0),
            plain("acknowledged results", len(acknowledged), ""),
            at_most("results there twice", doubled, "", 0),
            at_most("file damaged", check, "", 0),
            at_most("serving again, slowest", max(starts), "s", 5),
            plain("incidents", len(incidents), ""),
            plain("messages of openings", opened, ""),
            at_most("incidents not told exactly once when they opened and when they ended", wrong, "", 0),
            at_most("incidents there twice (one subject, one outage)", _twice(incidents), "", 0),
            at_most("messages for an unchanged world", sum(told.values()) - _due(incidents), "", 0),
            at_most(
                "messages told again with the same key, in flight at a kill", len(keys) - len(set(keys)), "", kills
            ),
            at_most("messages still waiting", waiting, "", 0),
        ],
    )


def _due(incidents: list[dict[str, Any]]) -> int:
    """How many different messages the incidents call for."""
    return sum(1 if one["open"] else 2 for one in incidents)


def _twice(incidents: list[dict[str, Any]]) -> int:
    """Incidents of one subject whose times overlap."""
    spans: dict[str, list[tuple[str, str]]] = {}
    for one in incidents:
        spans.setdefault(one["subject"], []).append((one["opened_at"], one["resolved_at"] or "9"))
    return sum(b[0] < a[1] for each in spans.values() for a, b in pairwise(sorted(each)))


def _lost(server: rig.Server, acknowledged: list[tuple[str, str]]) -> int:
    lost = 0
    for monitor in {m for m, _ in acknowledged}:
        wanted = {i for m, i in acknowledged if m == monitor}
        cursor = ""
        while wanted:
            page = server.call("GET", f"/monitors/{monitor}/results?limit=500{cursor}")
            wanted -= {r["id"] for r in page["items"]}
            if not page["next_cursor"]:
                break
            cursor = f"&cursor={page['next_cursor']}"
        lost += len(wanted)
    return lost


def _file(server: rig.Server) -> tuple[int, int]:
    with sqlite3.connect(f"file:{server.folder / 'tocsin.db'}?mode=ro", uri=True) as db:
        check = db.execute("PRAGMA integrity_check").fetchone()[0]
        columns = [r[1] for r in db.execute("PRAGMA table_info(results)")]
        key = ", ".join(c for c in ("monitor", "at", "location", "attempt") if c in columns)
        doubled = db.execute(
            f"SELECT count(*) FROM (SELECT 1 FROM results GROUP BY {key} HAVING count(*) > 1)"
        ).fetchone()[0]
        return int(check != "ok"), doubled


if __name__ == "__main__":
    main()
