"""A UDP port: send a datagram, wait for the one that answers it. Silence is down: UDP has no other sign of life."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Annotated

from tocsin.checks._terms import Host, IpVersion, Port
from tocsin.core.pattern import check_pattern, search
from tocsin.core.plain import clip, escaped
from tocsin.core.result import Observation, Timing
from tocsin.core.shape import Front, Help, Length, Range
from tocsin.errors import CheckFailed, Invalid, Problem
from tocsin.net import Net
from tocsin.net.progress import progress

TITLE, SAYS = "UDP", "a datagram is answered"

OFFERS = ("body", "body_bytes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A UDP port that should answer what it is sent."""

    host: Host
    port: Port
    send: Annotated[str, Front, Length(0, 8192), Help(r"What is sent; \r \n \t \0 \xNN \\ are understood")] = ""
    expect: Annotated[
        str, Front, Length(0, 1000), Help("Regular expression (RE2) that the answer matches; any answer when empty")
    ] = ""
    tries: Annotated[int, Range(1, 10), Help("How often it is sent, as datagrams may be lost")] = 3
    ip_version: IpVersion = None

    def __post_init__(self) -> None:
        """What the marks cannot say. Raises Invalid."""
        problems: list[Problem] = []
        if escaped(self.send) is None:
            problems.append(Problem("send", r"text with the escapes \r \n \t \0 \xNN \\", clip(self.send)))
        problems += check_pattern(self.expect, "expect") if self.expect else []
        if problems:
            raise Invalid(*problems)


async def check(target: Target, net: Net) -> Observation:
    """Ask until something answers, and hold the answer against what it should be."""
    here = progress()
    here.phase = "dns"
    began = time.perf_counter()
    addresses = await net.resolve(target.host, target.port, ip_version=target.ip_version)
    dns_ms = here.dns_ms = (time.perf_counter() - began) * 1000
    address, sent = addresses[0], escaped(target.send) or b""
    raw, number, ttfb = b"", 0, 0.0
    while True:
        number += 1
        left = target.tries - number
        began = time.perf_counter()
        try:
            async with asyncio.timeout(here.remaining_s() / (left + 1) if left else None):
                raw = await net.datagram(address, sent)
        except TimeoutError:
            continue
        ttfb = (time.perf_counter() - began) * 1000
        break
    text = clip(raw[:400].decode("utf-8", "replace"), 200)
    seen = Observation(
        timing=Timing(dns=dns_ms, ttfb=ttfb),
        ip=address.ip,
        body=raw,
        body_bytes=len(raw),
        facts={"received": text} | ({"tries": number} if number > 1 else {}),
    )
    if target.expect and not search(target.expect, raw).hit:
        raise CheckFailed(
            "assertion", f"expected {clip(target.expect)}, found {clip(text, 100) or 'an empty datagram'}", phase="ttfb",
            observation=seen,
        )  # fmt: skip
    return seen
