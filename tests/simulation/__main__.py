"""`make simulate`: many seeds, and how long it takes until there is a primary again."""

from __future__ import annotations

import argparse
import sys
import time
from concurrent.futures import ProcessPoolExecutor

from simulation.play import play_all, story
from simulation.takeover import figures


def main() -> int:
    """0 when no seed broke."""
    parser = argparse.ArgumentParser(prog="simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=500, help="how many, from --first on")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--story", type=int, metavar="SEED", help="tell the story of one seed")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--figures", action="store_true", help="only the times from losing a primary to the next one")
    given = parser.parse_args()
    if given.story is not None:
        print(story(given.story))
        return 0
    if given.figures:
        print(figures())
        return 0
    began, broken = time.monotonic(), 0
    chunks = [
        range(at, min(at + 50, given.first + given.seeds)) for at in range(given.first, given.first + given.seeds, 50)
    ]
    told = duplicates = elections = 0
    with ProcessPoolExecutor(given.workers) as pool:
        for played in pool.map(play_all, chunks):
            for seed, why in played.broken.items():
                print(f"seed {seed}: {why}", flush=True)
            broken += len(played.broken)
            told, duplicates = told + played.told, duplicates + played.duplicates
            elections += played.elections
    took = time.monotonic() - began
    print(f"{given.seeds} seeds in {took:.0f} s ({given.seeds / took:.1f}/s): {broken} broken; {told} messages told, "
          f"{duplicates} of them again while in doubt; {elections / given.seeds:.1f} elections a seed")  # fmt: skip
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
