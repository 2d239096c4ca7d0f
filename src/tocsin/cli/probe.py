"""`tocsin probe`: runs checks here for a server elsewhere."""

from __future__ import annotations

import gc
import sys

from tocsin.cli.options import parser, read_settings
from tocsin.errors import PeerLost

REFUSED = 1


def run(argv: list[str]) -> int:
    """Run a probe until a signal comes; 0 after a graceful stop, 2 when a setting is wrong, 1 when joining was refused."""
    gc.disable()  # until it has started
    made = parser("probe", "Run checks from here for a server elsewhere: it asks, or is called.")
    made.add_argument(
        "--join",
        metavar="URL#TOKEN",
        help="join the server at URL with a token that it made; needed once; - reads it from standard input",
    )
    args = made.parse_args(argv)
    settings = read_settings(args)
    from tocsin.app.probe import serve

    given = settings["PROBE_JOIN"]
    join = sys.stdin.readline().strip() if args.join == "-" else args.join or (given.reveal() if given else None)
    try:
        return serve(settings, join)
    except PeerLost as refused:
        print(f"tocsin: {refused}", file=sys.stderr)
        return REFUSED
