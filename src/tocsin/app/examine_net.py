"""The doctor's examinations of what leaves this machine: HTTP client, certificates, names, ping."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import ssl

from tocsin.app.examine import Finding
from tocsin.clock import SystemClock
from tocsin.settings import Settings


async def http_client(settings: Settings) -> list[Finding]:
    """A real check against a server of our own on loopback, through everything a check goes through."""
    from tocsin import checks
    from tocsin.core import shape
    from tocsin.net import Net

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, Net() as net:
        target = shape.read(checks.kind("http").target, {"url": f"http://127.0.0.1:{port}/"})
        seen = await checks.run(checks.Order("http", target, 5.0), net, SystemClock())
    import pycurl

    version = " ".join(pycurl.version.split()[:3])
    if seen.status != "up":
        why = seen.error.message if seen.error else seen.status
        return [Finding("http client", "check of our own page", "failed", why, f"the HTTP library is {version}")]
    detail = f"up in {seen.seen.timing.total or 0:.1f} ms, {version}"
    return [Finding("http client", "check of our own page", "ok", detail), _authorities()]


def _authorities() -> Finding:
    paths = ssl.get_default_verify_paths()
    file, path = paths.cafile, paths.capath
    known = len(ssl.create_default_context().get_ca_certs())
    there = bool(known) or bool(path and os.path.isdir(path) and os.listdir(path))
    return Finding(
        "http client", "certificate authorities", "ok" if there else "failed",
        f"{known} in {file or path}" if there else "none found",
        "" if there else "install ca-certificates: without them every https check fails",
    )  # fmt: skip


async def network(settings: Settings) -> list[Finding]:
    """Names, IPv6 and the way a ping can go."""
    return [await _names(), _ping()]


async def _names() -> Finding:
    try:
        found = await asyncio.get_running_loop().getaddrinfo("localhost", 1, type=socket.SOCK_STREAM)
    except OSError as error:
        return Finding("network", "names", "failed", f"localhost: {error}", "see /etc/hosts and /etc/resolv.conf")
    return Finding("network", "names", "ok", "localhost is " + ", ".join(sorted({str(f[4][0]) for f in found})))


def _ping() -> Finding:
    ways: list[str] = []
    for name, kind in (("raw socket", socket.SOCK_RAW), ("datagram socket", socket.SOCK_DGRAM)):
        try:
            with socket.socket(socket.AF_INET, kind, socket.IPPROTO_ICMP):
                ways.append(name)
        except OSError:  # not allowed to this user: the next way is tried
            continue
    if shutil.which("ping"):
        ways.append("ping program")
    if ways:
        return Finding("network", "ping", "ok", "by " + ways[0])
    return Finding(
        "network", "ping", "warning", "no way", "give the process CAP_NET_RAW, or install ping (iputils-ping)"
    )
