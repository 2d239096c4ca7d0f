"""Ping: ICMP echo over IPv4 or IPv6; loss, round-trip times and jitter."""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any

from tocsin.checks._terms import Host, IpVersion
from tocsin.core.result import CheckError, Observation, Timing
from tocsin.core.shape import Help, Range
from tocsin.errors import CheckFailed
from tocsin.net import Net
from tocsin.net.icmp import Echoes
from tocsin.net.progress import progress

TITLE, SAYS = "Ping", "loss and round trip"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A host that should answer to ping."""

    host: Host
    count: Annotated[int, Range(1, 20), Help("How many packets")] = 3
    spacing_ms: Annotated[int, Range(10, 2000), Help("Time between packets, ms")] = 200
    wait_ms: Annotated[int, Range(50, 10_000), Help("How long to wait after the last packet, ms")] = 2000
    size: Annotated[int, Range(8, 1400), Help("Bytes in a packet")] = 56
    max_loss_percent: Annotated[int, Range(0, 99), Help("Degraded when more of the packets are lost")] = 25
    ip_version: IpVersion = None


async def check(target: Target, net: Net) -> Observation:
    """Send the packets; no reply at all is down, too many lost ones are degraded."""
    began = time.perf_counter()
    here = progress()
    here.phase = "dns"
    address = (await net.resolve(target.host, 0, ip_version=target.ip_version))[0]
    dns_ms = (time.perf_counter() - began) * 1000
    here.phase, here.ip = "ttfb", address.ip
    spacing_s = target.spacing_ms / 1000
    left = here.remaining_s() - spacing_s * (target.count - 1)
    wait_s = min(target.wait_ms / 1000, max(0.05, left * 0.9))
    echoes = await net.icmp.ping(address, count=target.count, spacing_s=spacing_s, wait_s=wait_s, size=target.size)
    return _judged(target, address.ip, dns_ms, echoes)


def _judged(target: Target, ip: str, dns_ms: float, echoes: Echoes) -> Observation:
    times = [t for t in echoes.round_trips if t is not None]
    loss = 100 * (1 - len(times) / target.count)
    facts: dict[str, Any] = {
        "sent": target.count,
        "received": len(times),
        "loss_percent": round(loss, 1),
        "way": echoes.way,
    }
    if not times:
        unreachable = "; a router says that it cannot be reached" if echoes.unreachable else ""
        seen = Observation(timing=Timing(dns=dns_ms), ip=ip, facts=facts)
        packets = f"{target.count} packet{'s' if target.count != 1 else ''}"
        raise CheckFailed("timeout", f"no reply to {packets}{unreachable}", phase="ttfb", observation=seen)
    mean = sum(times) / len(times)
    facts["min_ms"], facts["avg_ms"] = round(min(times), 3), round(mean, 3)
    facts["max_ms"], facts["jitter_ms"] = round(max(times), 3), round(_jitter(times), 3)
    degraded = None
    if loss > target.max_loss_percent:
        degraded = CheckError("timeout", f"{loss:.0f} % of {target.count} packets lost", "ttfb")
    timing = Timing(dns=dns_ms, ttfb=mean, total=dns_ms + mean)
    return Observation(timing=timing, ip=ip, facts=facts, degraded=degraded)


def _jitter(times: list[float]) -> float:
    """The mean difference between one round trip and the next."""
    steps = [abs(b - a) for a, b in pairwise(times)]
    return sum(steps) / len(steps) if steps else 0.0
