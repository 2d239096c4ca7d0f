"""A whole server with 200 probes that it calls and 200 that call it, each with 50 checks a minute; and one monitor at six of them."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bench import rig
from bench.report import Figure, at_most, plain, record

PROBES, EACH, INTERVAL_S, PLACES = 200, 50, 60, 8
"""So many probes of each kind, checks of each a minute, and places of one monitor."""
MONITORS = 2 * PROBES * EACH // PLACES


def main() -> list[Figure]:
    """Run for BENCH_MINUTES (3) with all of them."""
    length = rig.minutes(3) * 60
    with rig.folder() as place:
        server = rig.Server(place / "data")
        try:
            server.start().set_up()
            alone = rig.rss_mb(server.pid)
            with _probes(server) as (target, codes):
                after = _fan_out(server, target, codes)
                _monitors(server, target, codes)
                time.sleep(INTERVAL_S + 10)  # every monitor has its place, every connection is open
                figures = _watched(server, length)
                loaded = _fan_out(server, target, codes)
                figures.append(
                    plain("memory with all of them, beyond a server alone", rig.rss_mb(server.pid) - alone, "MB")
                )
            server.stop()
        finally:
            server.kill()
    return record(
        "probed",
        f"a whole server, {PROBES} probes that it calls and {PROBES} that call it (all in one process, not counted), each"
        f" with {EACH} tcp checks every {INTERVAL_S} s ({MONITORS:,} monitors at {PLACES} places each), for {length:.0f} s;"
        " then one monitor at six of them, asked by POST /run",
        [
            *figures,
            at_most(
                "one monitor at six probes: all known after the slowest check, 19 of 20",
                rig.percentile(after, 0.95),
                "ms",
                100,
            ),
            plain("the same under that load", rig.percentile(loaded, 0.95), "ms"),
        ],
    )


def _watched(server: rig.Server, length: float) -> list[Figure]:
    before, cpu, at = server.metrics(), rig.cpu_s(server.pid), time.monotonic()
    time.sleep(length)
    after, used, took = server.metrics(), rig.cpu_s(server.pid) - cpu, time.monotonic() - at
    ran = rig.gone_up(before, after, "monitor_checks_total{")
    good = sum(
        after[name] - before.get(name, 0)
        for name in after
        if name.startswith("monitor_checks_total{") and 'status="up"' in name
    )
    lateness = rig.histogram(before, after, "tocsin_scheduler_lateness_seconds")
    return [
        plain("checks, of those due", ran / (2 * PROBES * EACH / INTERVAL_S * took) * 100, "%"),
        at_most("checks that were not up", ran - good, "", 0),
        at_most("probes that were not reached", rig.gone_up(before, after, "tocsin_probe_lost_total"), "", 0),
        at_most("slots missed", rig.gone_up(before, after, "tocsin_slots_missed_total"), "", 0),
        at_most("checks start late, p99", rig.quantile(lateness, 0.99) * 1000, "ms", 250),
        at_most("processor, all of the server", used / took * 100, "% of a core", 60),
        plain("processor for each check", used / ran * 1000, "ms"),
        at_most("largest resident memory", rig.peak_mb(server.pid), "MB", 300),
    ]


@contextmanager
def _probes(server: rig.Server) -> Iterator[tuple[int, list[str]]]:
    """The probes, known to the server and all well: the port of their target, and the codes of their places."""
    called = [f"push-{number}" for number in range(PROBES)]
    calling = [f"pull-{number}" for number in range(PROBES)]
    joined = [_join(server, code) for code in calling]
    keys = [f"a key of the probe at {code}" for code in called]
    ends = subprocess.Popen(
        [sys.executable, "-m", "bench.probe_end"],
        cwd=rig.HERE.parent,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert ends.stdin
        assert ends.stdout
        asked = {"push": keys, "pull": [], "poll": [], "joined": joined, "canned": False, "server": ""}
        ends.stdin.write(json.dumps(asked) + "\n")
        ends.stdin.flush()
        said = json.loads(ends.stdout.readline())
        for code, key, port in zip(called, keys, said["ports"], strict=True):
            where = {"endpoint_url": f"https://127.0.0.1:{port}", "api_key": key, "pin": said["pin"]}
            server.call("POST", "/locations", {"code": code, "mode": "push"} | where)
        rig.wait_for(lambda: _well(server) == 2 * PROBES, 120, "all probes to be well")
        yield said["target"], [code for pair in zip(called, calling, strict=True) for code in pair]
    finally:
        ends.kill()
        ends.communicate()


def _join(server: rig.Server, code: str) -> dict[str, Any]:
    """What a probe that calls is given for its token."""
    made = server.call("POST", "/locations", {"code": code, "mode": "pull"})
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    body = json.dumps({"token": made["join"]["token"], "name": code})
    connection.request("POST", "/probe/api/join", body, {"content-type": "application/json"})
    answer = connection.getresponse()
    given = json.loads(answer.read())
    connection.close()
    assert answer.status == 200, given
    return given


def _well(server: rig.Server) -> int:
    time.sleep(0.5)
    found = server.call("GET", "/locations")
    return sum(one["state"] == "well" for one in found["items"] if one["kind"] == "probe")


def _monitors(server: rig.Server, target: int, codes: list[str]) -> None:
    """Each at eight of the places in turn, so that all of these have the same number of them."""
    for number in range(MONITORS):
        first = number * PLACES % len(codes)
        monitor = {
            "name": f"Monitor {number:04}", "type": "tcp", "target": {"host": "127.0.0.1", "port": target},
            "interval_s": INTERVAL_S, "timeout_s": 5, "monitoring_type": "global",
            "locations": codes[first : first + PLACES],
        }  # fmt: skip
        server.call("POST", "/monitors", monitor)


def _fan_out(server: rig.Server, target: int, codes: list[str]) -> list[float]:
    """How long after the slowest of its six checks (some 300 ms each) the results of a monitor are there, ms, 20 times."""
    made = server.call("POST", "/monitors", {
        "name": "At six", "type": "http", "target": {"url": f"http://127.0.0.1:{target}/300"}, "interval_s": 3600,
        "timeout_s": 5, "monitoring_type": "global", "locations": codes[:6],
    })  # fmt: skip
    late: list[float] = []
    for _ in range(21):
        began = time.perf_counter()
        ran = server.call("POST", f"/monitors/{made['id']}/run")["results"]
        took = (time.perf_counter() - began) * 1000
        assert len(ran) == 6
        assert all(one["status"] == "up" for one in ran), ran
        late.append(took - max(one["timing_ms"]["total"] for one in ran))
    return late[1:]


if __name__ == "__main__":
    main()
