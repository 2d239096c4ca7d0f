"""Whether what a monitor or a channel would contact may be contacted at all: asked when it is saved."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from tocsin.core.plain import as_list, as_map, found
from tocsin.errors import CheckFailed, CheckInvalid, EgressRefused, Problem
from tocsin.net import Net

_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443, "smtp": 25, "smtps": 465, "socks5": 1080, "socks5h": 1080}
_PATIENCE_S = 2.0


async def refused(net: Net, data: Mapping[str, Any], where: str) -> list[Problem]:
    """A problem for each field of a target or config that leads where the guard lets nobody go: an address as it stands
    there, or what a name resolves to right now. A name that does not resolve (in time) is no problem: it may yet."""
    problems: list[Problem] = []
    for field, host, port in _places(data):
        try:
            async with asyncio.timeout(_PATIENCE_S):
                await net.resolve(
                    host, port, ip_version=data.get("ip_version"), pins=as_list(data.get("resolve")) or ()
                )
        except EgressRefused as error:
            problems.append(Problem(f"{where}.{field}", f"a place that may be contacted ({error})", found(host)))
        except (CheckFailed, CheckInvalid, TimeoutError):
            continue
    return problems


def _places(data: Mapping[str, Any]) -> Iterator[tuple[str, str, int]]:
    """(field, host, port) of whatever is a place in it; a port of 0 is none in particular."""
    for field in ("url", "base_url", "proxy", "token_url", "smtp_url"):
        if isinstance(text := data.get(field), str):
            try:
                parts = urlsplit(text)
                host, port = parts.hostname, parts.port or _PORTS.get(parts.scheme, 0)
            except ValueError:
                continue
            if host:
                yield field, host, port
    for i, step in enumerate(as_list(data.get("steps")) or ()):
        for field, host, number in _places(as_map(step) or {}):
            if "{{" not in host:  # a variable is judged when it has a value
                yield f"steps[{i}].{field}", host, number
    port = data.get("port")
    if isinstance(host := data.get("host"), str) and host:
        yield "host", host, port if type(port) is int else 0
    if isinstance(server := data.get("server"), str) and server:
        yield "server", *_server(server)


def _server(text: str) -> tuple[str, int]:
    if text.startswith("["):
        host, _, port = text[1:].partition("]:")
        return host.rstrip("]"), int(port) if port.isdecimal() else 53
    host, colon, port = text.partition(":")
    return (host, int(port)) if colon and port.isdecimal() else (text, 53)
