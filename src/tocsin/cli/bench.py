"""`tocsin bench`: how fast this machine checks, judges and stores (cycle), and what one check costs (engine)."""

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
        description="Measure this machine with targets of our own on loopback. cycle: check, judge and store many monitors"
        " once, each count in turn, in a database that is removed afterwards. engine: what one check of each kind costs, and"
        " how true its times are.",
        allow_abbrev=False,
    )
    made.add_argument("what", choices=["cycle", "engine"], metavar="cycle|engine", help="what is measured")
    made.add_argument(
        "--monitors",
        type=_counts,
        default=COUNTS,
        metavar="N,N…",
        help="cycle: how many, a cycle each (default: 5,25,100,1000)",
    )
    made.add_argument(
        "--checks", type=_checks, default=3000, metavar="N", help="engine: how many checks of each kind (default: 3000)"
    )
    made.add_argument("--json", action="store_true", help="one JSON object")
    args = made.parse_args(argv)
    if args.what == "engine":
        return _engine(args.checks, as_json=args.json)
    return asyncio.run(_measure(args.monitors, as_json=args.json))


def _checks(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 100 <= int(text[:9]) <= 1_000_000):
        raise argparse.ArgumentTypeError(f"expected a number from 100 to 1000000, found {text!r}")
    return int(text)


def _engine(count: int, *, as_json: bool) -> int:
    import uvloop

    from tocsin.cli.bench_engine import KINDS, Engine, measure

    async def look() -> list[Engine]:
        seen: list[Engine] = []
        async for one in measure(KINDS, count):
            seen.append(one)
            if not as_json:
                error = "" if one.ttfb_error_p99_ms is None else f"{one.ttfb_error_p99_ms:.1f} ms"
                print(f"{one.kind:>6}  {one.cpu_s_per_1000:>10.3f} s  {one.rss_mb:>6.0f} MB  {error}")
        return seen

    if not as_json:
        print(f"{'kind':>6}  {'cpu / 1,000':>12}  {'memory':>9}  ttfb error, p99")
    seen = uvloop.run(look())
    if as_json:
        shown = {one.kind: {k: v for k, v in asdict(one).items() if k != "kind"} for one in seen}
        print(json.dumps(shown, indent=2))
    return 0


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
