"""The same table, guided by coverage (atheris): `python -m fuzz.guided [NAME…] [--seconds N]`, with tests/ in the path.

Each parser gets a process of its own, which begins with the examples of the table and keeps what reaches new code. An input
that breaks a promise is printed; it belongs into the parser's tests once the fault is mended.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path


def main(argv: list[str]) -> int:
    """1 when a parser broke a promise."""
    options = argparse.ArgumentParser(
        prog="fuzz.guided", description="Fuzz the parsers of the table, guided by coverage."
    )
    options.add_argument(
        "names", nargs="*", metavar="NAME", help="parsers, by their names or the start of them; else all"
    )
    options.add_argument("--seconds", type=int, default=60, help="how long each parser is fed (60)")
    options.add_argument("--one", help=argparse.SUPPRESS)
    args = options.parse_args(argv)
    if args.one is not None:
        _feed_for(args.one, args.seconds)
        return 0
    from fuzz.table import PARSERS

    chosen = [p.name for p in PARSERS if not args.names or p.name.startswith(tuple(args.names))]
    broken = [name for name in chosen if not _sound(name, args.seconds)]
    print(f"{len(chosen)} parsers, {args.seconds} s each; broken: {', '.join(broken) or 'none'}")
    return 1 if broken or not chosen else 0


def _sound(name: str, seconds: int) -> bool:
    """Whether a parser kept its promises for so long."""
    command = [sys.executable, "-m", "fuzz.guided", "--one", name, "--seconds", str(seconds)]
    with tempfile.TemporaryDirectory() as folder:
        ended = subprocess.run(command, capture_output=True, text=True, errors="replace", cwd=folder)
        said = ended.stderr.splitlines()
        done = next((line for line in reversed(said) if line.startswith("Done ")), "did not end by itself")
        print(f"{name}: {done if ended.returncode == 0 else 'BROKEN'}", flush=True)
        if ended.returncode:
            print(
                ended.stdout[-6000:],
                *[line for line in said if not line.startswith(("#", "INFO", "WARN"))][-60:],
                sep="\n",
            )
            for kept in Path(folder).glob("*-*"):
                if kept.is_file():
                    print(f"input: {kept.read_bytes()[:2000]!r}", flush=True)
        return ended.returncode == 0


def _feed_for(name: str, seconds: int) -> None:
    import atheris

    with atheris.instrument_imports(include=["tocsin"]):
        from fuzz.parser import feed
        from fuzz.table import PARSERS
    parser = next(p for p in PARSERS if p.name == name)
    corpus = Path.cwd() / "corpus"
    corpus.mkdir()
    for i, example in enumerate(parser.examples()):
        (corpus / str(i)).write_bytes(example)

    def one(data: bytes) -> None:
        feed(parser, data)

    limits = [f"-max_total_time={seconds}", "-max_len=8192", "-rss_limit_mb=4096", "-timeout=60", "-len_control=0"]
    atheris.Setup([sys.argv[0], *limits, str(corpus)], one)
    atheris.Fuzz()


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
