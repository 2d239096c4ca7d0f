"""Push (a dead man's switch): nothing is looked at; a job calls us, and its silence is what we notice."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Annotated, NoReturn

from tocsin.core.shape import Help, Hidden, Pattern, Range
from tocsin.errors import CheckInvalid
from tocsin.net import Net


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A job that should call in on time.

    The server makes the token, also a new one when an empty one is sent; nobody chooses it. A call is late after
    period_s + grace_s."""

    token: Annotated[
        str,
        Hidden,
        Pattern(r"|[A-Za-z0-9_-]{16,64}", "a token of 16 to 64 letters, digits, _ or -"),
        Help("Secret part of the address, made by the server; send an empty one for a new address"),
    ] = ""
    period_s: Annotated[int, Range(1, 31_622_400), Help("How often the job calls, seconds")] = 3600
    grace_s: Annotated[int, Range(0, 31_622_400), Help("How late a call may be, seconds")] = 300


def new_token() -> str:
    """256 random bits, fit for a URL."""
    return secrets.token_urlsafe(32)


def summary(target: Target) -> str:
    """The rhythm; the token is the monitor's secret."""
    return f"a call every {target.period_s} s, at most {target.grace_s} s late"


async def check(target: Target, net: Net) -> NoReturn:
    """Never a result: calls and the watchdog make the results of a push monitor. Raises CheckInvalid."""
    raise CheckInvalid("a push monitor waits for calls; there is nothing to check from here")
