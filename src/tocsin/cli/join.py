"""`tocsin join`: what would come along if this server joined another one, and the operator's word for it."""

from __future__ import annotations

import asyncio
import sys

from tocsin.cli.options import parser, read_settings
from tocsin.errors import PeerLost


def run(argv: list[str]) -> int:
    """0 when nothing stands in the way (and, without --look, that was written down); 1 when something does; 2 for wrong
    usage or a wrong setting."""
    made = parser(
        "join",
        "Show what this server would bring along to the one at TOCSIN_PRIMARY_SYNC_URL and what stands in the way, and agree"
        " to it: the next start hands it over. Nothing is changed at the other side. Stop the server first.",
    )
    made.add_argument("--look", action="store_true", help="only show it")
    made.add_argument(
        "--same-person", metavar="EMAIL", action="append", default=[],
        help="whoever has this address here is who has it there: that account comes into the workspaces it is in here",
    )  # fmt: skip
    made.add_argument(
        "--stay-alone", action="store_true",
        help="take your word back; after an interrupted joining only once you made sure that the others have not the data",
    )  # fmt: skip
    args = made.parse_args(argv)
    settings = read_settings(args)
    from tocsin.app import offering

    if args.stay_alone:
        asyncio.run(offering.stay_alone(settings))
        print("This server stands alone.")
        return 0
    same = tuple(email.strip().lower() for email in args.same_person)
    try:
        has, offered = asyncio.run(offering.look(settings, same, agree=not args.look))
    except PeerLost as lost:
        print(f"tocsin: {lost}", file=sys.stderr)
        return 1
    print("\n".join(["Would come along:", *(f"  {line}" for line in has)]))
    for title, lines in (("Would be otherwise:", offered.changes), ("Stands in the way:", offered.conflicts)):
        if lines:
            print("\n".join([title, *(f"  {line}" for line in lines)]))
    if not offered.conflicts and not args.look:
        print("Agreed. Start the server with the same settings: it hands everything over, and joins.")
    return 1 if offered.conflicts else 0
