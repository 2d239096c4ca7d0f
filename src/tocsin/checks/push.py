"""Push (a dead man's switch): nothing is looked at; a job calls us, and its silence is what we notice."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from typing import Annotated, NoReturn

from tocsin.core import rhythm
from tocsin.core.plain import found
from tocsin.core.rhythm import Rhythm
from tocsin.core.shape import Front, Help, Hidden, Length, Pattern, Range
from tocsin.errors import CheckInvalid, Invalid, Problem
from tocsin.net import Net

TITLE, SAYS = "Push", "a job calls us"
START = {"failure_threshold": 1}  # silence has been waited for long enough


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A job that should call in on time.

    The server makes the token, also a new one when an empty one is sent; only an admin may choose it, and only a random
    UUID. A call is late after period_s + grace_s, or grace_s after the time that the schedule names."""

    token: Annotated[
        str,
        Hidden,
        Pattern(r"|[A-Za-z0-9_-]{16,64}", "a token of 16 to 64 letters, digits, _ or -"),
        Help("Secret part of the address, made by the server; send an empty one for a new address"),
    ] = ""
    period_s: Annotated[int, Front, Range(1, 31_622_400), Help("How often the job calls, seconds")] = 3600
    schedule: Annotated[
        str | None,
        Front,
        Length(1, 100),
        Help("When the job runs, instead of a period: five cron fields, such as 30 2 * * 1-5"),
    ] = None
    timezone: Annotated[
        str,
        Front,
        Pattern(r"[A-Za-z0-9_+\-/]{1,64}", "a time zone such as Europe/Berlin"),
        Help("Time zone of the schedule, such as Europe/Berlin"),
    ] = "UTC"
    grace_s: Annotated[int, Front, Range(0, 31_622_400), Help("How late a call may be, seconds")] = 300
    max_run_s: Annotated[
        int,
        Range(0, 31_622_400),
        Help("How long a run may take from its start to its end, seconds; 0: as long as a call may be late"),
    ] = 0

    def __post_init__(self) -> None:
        """What the marks cannot say. Raises Invalid."""
        problems: list[Problem] = []
        if not rhythm.is_zone(self.timezone):
            problems.append(Problem("timezone", "a time zone such as Europe/Berlin", found(self.timezone)))
        if self.schedule is not None and (expected := rhythm.wrong_with(self.schedule)) is not None:
            problems.append(Problem("schedule", expected, found(self.schedule)))
        if problems:
            raise Invalid(*problems)

    @property
    def rhythm(self) -> Rhythm:
        """When it has to call."""
        return Rhythm(
            period_s=self.period_s, grace_s=self.grace_s, schedule=self.schedule, timezone=self.timezone
        )  # fmt: skip

    @property
    def run_limit_s(self) -> int:
        """How long a run may take; 0: that is not watched."""
        return self.max_run_s or self.grace_s


def new_token() -> str:
    """256 random bits, fit for a URL."""
    return secrets.token_urlsafe(32)


def is_uuid(token: str) -> bool:
    """Whether that is a random UUID (version 4: 122 random bits), as other programs make them."""
    return re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", token) is not None


def summary(target: Target) -> str:
    """The rhythm; the token is the monitor's secret."""
    often = f"every {target.period_s} s"
    if target.schedule is not None:
        often = f"{rhythm.explained(target.schedule)} ({target.timezone})"
    limit = f", each run at most {target.max_run_s} s long" if target.max_run_s else ""
    return f"a call {often}, at most {target.grace_s} s late{limit}"


async def check(target: Target, net: Net) -> NoReturn:
    """Never a result: calls and the watchdog make the results of a push monitor. Raises CheckInvalid."""
    raise CheckInvalid("a push monitor waits for calls; there is nothing to check from here")
