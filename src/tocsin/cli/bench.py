"""`tocsin bench cycle`: how fast this machine checks, judges and stores."""

from __future__ import annotations

import argparse
import asyncio
import json
from dataclasses import asdict

COUNTS = (5, 25, 100, 1000)


def run(argv: list[str]) -> int:
    """0 when every check of every cycle was up, else 1."""
    made = argparse.ArgumentParser(
        prog="tocsin bench",
        description="Measure how long one cycle of checks takes, with targets of our own on loopback and a database"
        " that is removed afterwards.",
        allow_abbrev=False,
    )
    made.add_argument(
        "what", choices=["cycle"], metavar="cycle", help="check, judge and store many monitors once, each count in turn"
    )
    made.add_argument(
        "--monitors",
        type=_counts,
        default=COUNTS,
        metavar="N,N…",
        help="how many, a cycle each (default: 5,25,100,1000)",
    )
    made.add_argument("--json", action="store_true", help="one JSON object")
    args = made.parse_args(argv)
    return asyncio.run(_measure(args.monitors, as_json=args.json))


def _counts(text: str) -> tuple[int, ...]:
    parts = text.split(",")
    if not all(part.isascii() and part.isdigit() and 1 <= int(part[:9]) <= 10_000 for part in parts):
        raise argparse.ArgumentTypeError(f"expected numbers from 1 to 10000 with commas between, found {text!r}")
    return tuple(int(part) for part in parts)


async def _measure(counts: tuple[int, ...], *, as_json: bool) -> int:
    from tocsin import telemetry
    from tocsin.cli.bench_cycle import Cycle, measure

    telemetry.set_up_logging("warning")

    seen: list[Cycle] = []
    if not as_json:
        print(f"{'monitors':>8}  {'took':>9}  {'cpu per check':>13}  {'memory':>8}  up")
    async for one in measure(counts):
        seen.append(one)
        if not as_json:
            took, cpu, memory = f"{one.took_ms:.0f} ms", f"{one.cpu_ms_per_check:.2f} ms", f"{one.peak_mb:.0f} MB"
            print(f"{one.monitors:>8}  {took:>9}  {cpu:>13}  {memory:>8}  {one.up}")
    if as_json:
        print(json.dumps({"cycles": [asdict(one) for one in seen]}, indent=2))
    return 0 if all(one.up == one.monitors for one in seen) else 1
