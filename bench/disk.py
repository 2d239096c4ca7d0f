"""What a result costs on the disk: bytes that stay, and bytes written on the way."""

from __future__ import annotations

import sqlite3
import time

from bench import rig
from bench.report import Figure, at_most, plain, record


def main() -> list[Figure]:
    """500 checks a second for BENCH_MINUTES (2), then the size of the file."""
    length = rig.minutes(2) * 60
    with rig.running() as (server, target):
        server.monitors(target, 500, 1, retries=0)
        time.sleep(5)
        before, wrote = server.metrics(), rig.written_bytes(server.pid)
        time.sleep(length)
        after, wrote = server.metrics(), rig.written_bytes(server.pid) - wrote
        results = after["tocsin_intake_results_total"] - before["tocsin_intake_results_total"]
        server.stop()  # moves the tail
        stored = server.stored()
        with sqlite3.connect(server.folder / "tocsin.db") as db:
            db.execute("VACUUM")
            tables = dict(db.execute("SELECT name, sum(pgsize) FROM dbstat GROUP BY name").fetchall())
        size = (server.folder / "tocsin.db").stat().st_size
    return record(
        "disk",
        f"500 checks a second for {length:.0f} s, then stopped, compacted and weighed",
        [
            at_most("bytes that stay for each result, its table", tables["results"] / stored, "B", 50),
            plain(
                "bytes of the whole file for each result, minute rollups of so short a run included", size / stored, "B"
            ),
            at_most("bytes written for each result, before the move", wrote / results, "B", 1500),
            plain("results stored", stored, ""),
        ],
    )


if __name__ == "__main__":
    main()
