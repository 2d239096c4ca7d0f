"""The command line: one file a command; each imports what it needs when it runs."""

from __future__ import annotations


def main(argv: list[str] | None = None) -> int:
    """Run one command; the exit code."""
    from tocsin.cli.main import run

    return run(argv)
