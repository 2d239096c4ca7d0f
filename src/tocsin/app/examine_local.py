"""The doctor's examinations of what of this machine checks may use: the browser, the plugins, the Docker Engine."""

from __future__ import annotations

import asyncio
import os
import stat
from pathlib import Path

from tocsin.app.examine import Finding
from tocsin.app.local import local_of
from tocsin.clock import SystemClock
from tocsin.net import Egress, Local, Net
from tocsin.settings import Settings

AREA = "checks"
_PAGE = b"<!doctype html><title>Tocsin</title><h1>It works</h1>"
_BROWSER_S = 30.0


async def local(settings: Settings) -> list[Finding]:
    """Whether what the operator has named can be used; what is not named is switched off, which is fine."""
    allowed = local_of(settings)
    return [await _browser(allowed), _plugins(allowed.plugin_dir), await _docker(allowed.docker_socket)]


async def _browser(allowed: Local) -> Finding:
    """A real browser check of a page of our own."""
    what, program = "browser", allowed.browser
    if program is None:
        return Finding(AREA, what, "ok", "switched off: TOCSIN_BROWSER names none")
    if not os.access(program, os.X_OK) or not program.is_file():
        advice = "install it, or let TOCSIN_BROWSER name another one; browser checks are invalid until then"
        return Finding(AREA, what, "failed", f"{program} is no program that this user may run", advice)
    status, told = await _walk(allowed)
    if status == "up":
        return Finding(AREA, what, "ok", f"{program} {told}")
    return Finding(AREA, what, "failed", f"{program}: {told}", "browser checks are invalid until it can be started")


async def _walk(allowed: Local) -> tuple[str, str]:
    """The status of a check that opens our own page, and how long it took or why it is not up."""
    from tocsin import checks
    from tocsin.core import shape

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = (
            f"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: {len(_PAGE)}\r\nconnection: close\r\n\r\n"
        )
        writer.write(head.encode() + _PAGE)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    steps = [{"do": "goto", "url": f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"}]
    began = asyncio.get_running_loop().time()
    async with server, Net(egress=Egress("private"), local=allowed) as net:
        target = shape.read(checks.kind("browser").target, {"steps": steps})
        seen = await checks.run(checks.Order("browser", target, _BROWSER_S), net, SystemClock())
    took = asyncio.get_running_loop().time() - began
    return seen.status, f"opens a page in {took:.1f} s" if seen.error is None else seen.error.message


def _plugins(folder: Path | None) -> Finding:
    if folder is None:
        return Finding(AREA, "plugins", "ok", "switched off: TOCSIN_PLUGIN_DIR names no folder")
    try:
        count = sum(1 for f in folder.iterdir() if f.is_file() and os.access(f, os.X_OK))
        loose = folder.stat().st_mode & stat.S_IWOTH
    except OSError as error:
        return Finding(
            AREA, "plugins", "failed", str(error), "see TOCSIN_PLUGIN_DIR: nagios checks are refused until then"
        )
    if loose:
        return Finding(AREA, "plugins", "failed", f"everybody may write to {folder}", f"chmod o-w {folder}")
    return Finding(AREA, "plugins", "ok" if count else "warning", f"{count} programs in {folder}")


async def _docker(path: Path | None) -> Finding:
    """Whether the socket lets this user in."""
    if path is None:
        return Finding(AREA, "docker", "ok", "switched off: TOCSIN_DOCKER_SOCKET names no socket")
    from tocsin import checks
    from tocsin.core import shape

    async with Net(egress=Egress("private"), local=Local(docker_socket=path)) as net:
        target = shape.read(checks.kind("docker").target, {"container": "tocsin-doctor-asks"})
        seen = await checks.run(checks.Order("docker", target, 5.0), net, SystemClock())
    if seen.seen.status_code in (200, 404):
        return Finding(AREA, "docker", "ok", f"the engine behind {path} answers")
    why = seen.error.message if seen.error else seen.status
    return Finding(
        AREA, "docker", "failed", f"{path}: {why}", "see TOCSIN_DOCKER_SOCKET, and whether this user may open it"
    )
