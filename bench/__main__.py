"""`python -m bench [NAME…]`: all figures, or the named ones; then docs/figures.md."""

from __future__ import annotations

import sys
import time
from importlib import import_module

from bench.report import write_page

ALL = (
    "start",
    "cli",
    "patterns",
    "alert",
    "engine",
    "steady",
    "rate",
    "disk",
    "capture",
    "kill",
    "failover",
    "cycles",
    "simulation",
    "outage",
    "storm",
    "bad_channel",
    "page",
    "probe",
    "probed",
    "agent",
    "ingest",
)


def main(names: list[str]) -> int:
    """1 when a bound was missed or a script failed."""
    unknown = [n for n in names if n not in (*ALL, "report")]
    if unknown:
        print(f"bench: expected some of {', '.join(ALL)} or report, found {', '.join(unknown)}", file=sys.stderr)
        return 2
    missed = 0
    for name in [n for n in names if n != "report"] or ([] if names else list(ALL)):
        at = time.monotonic()
        try:
            missed += sum(1 for figure in import_module(f"bench.{name}").main() if figure.met is False)
        except AssertionError as error:
            print(f"\n{name}: FAILED: {error}")
            missed += 1
        print(f"  ({time.monotonic() - at:.0f} s)")
    write_page()
    print(f"\n{missed} missed" if missed else "\nevery bound met")
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
