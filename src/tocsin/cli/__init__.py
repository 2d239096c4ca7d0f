"""The command line: one file a command; each imports what it needs when it runs."""

from __future__ import annotations


def main(argv: list[str] | None = None) -> int:
    """Run one command; the exit code."""
    import gc
    import sys

    from tocsin.cli.main import run

    words = sys.argv[1:] if argv is None else argv
    if words[:1] != ["check"]:
        return run(words)
    gc.disable()  # one check ends before there is anything to collect; looking for it takes a tenth of its time
    code = run(words)
    gc.freeze()  # nor is there anything to look for at the exit
    return code
