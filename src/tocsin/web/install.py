"""How a host gets its agent: /install.sh, and what that fetches with the key of the host."""

from __future__ import annotations

import asyncio
import hashlib

from tocsin.agent.bundle import WHEEL_NAME
from tocsin.agent.installer import Packed
from tocsin.core.limits import TooMany
from tocsin.web.call import Call, Reply, Route
from tocsin.web.parts import Parts
from tocsin.web.problem import Refused

MOST_AT_ONCE = 8
"""So many hosts may fetch at once; others come again."""


async def _packed(parts: Parts) -> Packed:
    try:
        return await parts.installer.packed()
    except (OSError, LookupError) as error:
        raise Refused(503, f"what hosts install cannot be packed here now: {error}") from error


async def script(parts: Parts) -> str:
    """install.sh of this server. Raises Refused when it cannot be made now."""
    await _packed(parts)
    return await parts.installer.script(parts.urls[0])


async def one_line(parts: Parts) -> str:
    """What somebody types on a host: it fetches install.sh, checks that it is this one, and runs it; the key is asked for.
    Raises Refused."""
    url, found = parts.urls[0], hashlib.sha256((await script(parts)).encode()).hexdigest()
    return (
        f"curl -fsSLo /tmp/tocsin-install.sh {url}/install.sh && echo '{found}  /tmp/tocsin-install.sh' | sha256sum -c -"
        " && sudo sh /tmp/tocsin-install.sh"
    )


async def _script(call: Call) -> Reply:
    return Reply(content=(await script(call.parts)).encode(), media_type="text/x-shellscript; charset=utf-8")


async def _bundle(call: Call) -> Reply:
    return await _file(call.parts, "bundle")


async def _wheel(call: Call) -> Reply:
    reply = await _file(call.parts, "wheel")
    reply.headers["content-disposition"] = f'attachment; filename="{WHEEL_NAME}"'
    return reply


async def _file(parts: Parts, which: str) -> Reply:
    packed, installer = await _packed(parts), parts.installer
    if installer.fetching >= MOST_AT_ONCE:
        raise TooMany("more hosts fetch the agent at once than may", 5.0)
    installer.fetching += 1
    try:
        file = packed.bundle if which == "bundle" else packed.wheel
        return Reply(content=await asyncio.to_thread(file.read_bytes), media_type="application/zip")
    finally:
        installer.fetching -= 1


ROUTES = [
    Route(
        method="GET", path="/install.sh", run=_script, permission="public", kind="open", loose=True, tag="agents",
        summary="The script that installs an agent on a host",
    ),
    Route(
        method="GET", path="/agent/bundle", run=_bundle, permission="enrol", kind="open", tag="agents",
        summary="The agent and all that it needs, for hosts like this server",
    ),
    Route(
        method="GET", path="/agent/wheel", run=_wheel, permission="enrol", kind="open", tag="agents",
        summary="Tocsin as a Python wheel, for other hosts",
    ),
]  # fmt: skip
