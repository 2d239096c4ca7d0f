"""`tocsin reset-password`: for somebody who cannot sign in, by the operator on the machine itself."""

from __future__ import annotations

import asyncio
import getpass
import sys

from tocsin.cli.options import parser, read_settings
from tocsin.errors import Invalid, NotFound


def run(argv: list[str]) -> int:
    """0 when the password was set; 1 when it could not be; 2 for wrong usage."""
    made = parser(
        "reset-password",
        "Set a new password for somebody and end all their sessions. Stop the server first. The password is asked for,"
        " or read as one line from standard input.",
    )
    made.add_argument("email", help="the address they sign in with")
    args = made.parse_args(argv)
    settings = read_settings(args)
    from tocsin.app.recovery import check_database, reset_password

    check_database(settings)  # before anybody types a password for nothing
    password = _ask()
    if password is None:
        print("tocsin: the two passwords differ", file=sys.stderr)
        return 1

    try:
        asyncio.run(reset_password(settings, args.email, password))
    except (NotFound, Invalid) as error:
        print(f"tocsin: {error}", file=sys.stderr)
        return 1
    print(f"{args.email} has a new password; every session of theirs has ended.")
    return 0


def _ask() -> str | None:
    """The password: twice from a terminal (None when they differ), else one line of standard input."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\n")
    first, second = getpass.getpass("New password: "), getpass.getpass("Once more: ")
    return first if first == second else None
