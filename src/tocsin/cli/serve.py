"""`tocsin serve`: the server."""

from __future__ import annotations

import gc

from tocsin.cli.options import parser, read_settings


def run(argv: list[str]) -> int:
    """Serve until a signal comes; 0 after a graceful stop, 2 when a setting is wrong."""
    gc.disable()  # until the server has started: a tenth of its time would go into looking at what it just made
    args = parser("serve", "Start the server: checks, alerts, API and pages.").parse_args(argv)
    settings = read_settings(args)
    from tocsin.app.server import serve

    return serve(settings)
