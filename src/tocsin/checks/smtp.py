"""A mail server: banner, EHLO, STARTTLS, sign-in when asked for, goodbye. No mail is sent."""

from __future__ import annotations

import asyncio
import base64
import ipaddress
import time
from dataclasses import dataclass
from typing import Annotated, Any

from msgspec.structs import replace

from tocsin.checks._terms import CaFile, Host, IpVersion, Password, Port, ServerName, User, VerifyTls, wish
from tocsin.core.plain import clip
from tocsin.core.result import Observation
from tocsin.core.shape import Front, Help, Pattern
from tocsin.errors import CheckFailed, Invalid, Problem
from tocsin.net import Connection, Net, smtp
from tocsin.net.progress import progress

TITLE, SAYS = "SMTP", "mail server greets"

OFFERS = ("certificate_days",)

_FAREWELL_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A mail server that should greet and, when asked, encrypt and let a user in."""

    host: Host
    port: Port = 25
    starttls: Annotated[bool, Front, Help("The server must offer STARTTLS, and its certificate must be valid")] = False
    tls: Annotated[bool, Front, Help("Speak TLS from the start (port 465)")] = False
    user: User = None
    password: Password = None
    helo: Annotated[str, Pattern(r"[A-Za-z0-9.\-\[\]:]{1,253}", "a host name"), Help("Our name in EHLO")] = (
        "tocsin.invalid"
    )
    verify_tls: VerifyTls = True
    server_name: ServerName = None
    ca_file: CaFile = None
    ip_version: IpVersion = None

    def __post_init__(self) -> None:
        """What the marks cannot say. Raises Invalid."""
        if self.starttls and self.tls:
            raise Invalid(Problem("starttls", "either starttls or tls", "both"))
        if self.user is not None and self.password is None:
            raise Invalid(Problem("password", "the user's password", "nothing"))
        if self.password is not None and self.user is None:
            raise Invalid(Problem("user", "whose password it is", "nothing"))


async def check(target: Target, net: Net) -> Observation:
    """Greet as a mail server would, and leave."""
    came = time.perf_counter()
    wanted = wish(target)
    at_once = wanted if target.tls else None
    async with net.connect(target.host, target.port, tls=at_once, ip_version=target.ip_version) as connection:
        began = time.perf_counter()
        banner = await smtp.greeting(connection)
        ttfb = (time.perf_counter() - began) * 1000
        offered = await smtp.hello(connection, target.helo)
        if target.starttls:
            await smtp.ask_for_tls(connection, offered)
            await connection.start_tls(wanted)
            offered = await smtp.hello(connection, target.helo)
        facts: dict[str, Any] = {
            "banner": clip(" ".join(banner.lines), 200),
            "offers": [clip(f"{k} {v}".strip()) for k, v in list(offered.items())[:30]],
        }
        if target.user is not None:
            await _sign_in(connection, target.user, target.password or "", offered)
            facts["signed_in"] = True
        timing = replace(
            connection.timing, ttfb=ttfb, total=(time.perf_counter() - came) * 1000
        )  # parting is none of it
        await _goodbye(connection)
        return Observation(timing=timing, ip=connection.peer, tls=connection.tls, facts=facts)


async def _sign_in(connection: Connection, user: str, password: str, offered: dict[str, str]) -> None:
    if connection.tls is None and not ipaddress.ip_address(connection.peer).is_loopback:
        raise CheckFailed("protocol", "a password is not sent without TLS: use starttls or tls", phase="send")
    ways = offered.get("AUTH", "").upper().split()
    if "PLAIN" in ways:
        words = base64.b64encode(f"\0{user}\0{password}".encode()).decode()
        answer = await smtp.command(connection, f"AUTH PLAIN {words}")
    elif "LOGIN" in ways:
        answer = await smtp.command(connection, "AUTH LOGIN")
        for text in (user, password):
            if answer.code != 334:
                break
            answer = await smtp.command(connection, base64.b64encode(text.encode()).decode())
    else:
        shown = ", ".join(ways) or "no AUTH"
        raise CheckFailed("protocol", f"expected AUTH PLAIN or LOGIN to be offered, found {clip(shown)}", phase="ttfb")
    if answer.code != 235:
        raise CheckFailed("protocol", f"the server did not let the user in: {answer.text}", phase="ttfb")


async def _goodbye(connection: Connection) -> None:
    """Say QUIT; a server that does not answer to it has still done its work."""
    try:
        async with asyncio.timeout(min(_FAREWELL_S, progress().remaining_s() / 2)):
            await smtp.command(connection, "QUIT")
    except (CheckFailed, TimeoutError):
        return
