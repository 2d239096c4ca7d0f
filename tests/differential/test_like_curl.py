"""The verdict and reason of an http check are those of curl, for every raw answer; where they are not, here stands why."""

# ruff: noqa: E501

from __future__ import annotations

import asyncio
import shutil

import pytest

from checks.looking import look
from differential.answers import Answer, answers, raw
from needs import program
from tocsin.net import Net

TIMEOUT_S = 1.0
ALL = answers()

# curl's exit codes as our types of error.
REASONS = {
    1: "protocol", 3: "protocol", 5: "dns", 6: "dns", 7: "connection_refused", 8: "protocol", 18: "protocol", 22: "assertion",
    23: "protocol", 27: "protocol", 28: "timeout", 35: "tls", 43: "protocol", 47: "protocol", 51: "tls", 52: "connection_reset",
    56: "connection_reset", 60: "tls", 61: "protocol", 63: "protocol", 92: "protocol",
}  # fmt: skip

_DIGITS = "RFC 9110 section 8.6: a length is digits and nothing else; newer curls refuse it too"
BROKEN = (b"chunked-encoding", b"Too large response headers")
"""What curl calls a failure to receive (56) while it did receive, and could not read it."""
DIFFERENT: dict[str, tuple[str, str]] = {
    "Content-Length '+2'": ("protocol", _DIGITS),
    "Content-Length '0x2'": ("protocol", _DIGITS),
    "Content-Length '2.0'": ("protocol", _DIGITS),
    "status line: lower case": ("protocol", "RFC 9112 section 2.3: the name of the protocol is in capitals"),
    "closed in the headers": ("protocol", "RFC 9112 section 8: an answer without the end of its headers is not whole"),
    "redirect: no host": ("protocol", "http:///there names no host; curl takes the path's first word for one"),
}
"""Name of the answer: (what we say, why that is right)."""


async def curl(url: str) -> tuple[str, int, str]:
    """What curl makes of it: (reason or "", status, its words)."""
    process = await asyncio.create_subprocess_exec(
        program("curl"), "-q", "-sS", "-L", "--max-redirs", "10", "--compressed", "--max-time", str(TIMEOUT_S), "--proto",
        "=http,https", "--proto-redir", "=http,https", "--noproxy", "*", "-o", "/dev/null", "-w", "%{http_code}", url,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env={"PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    out, said = await process.communicate()
    code, status = process.returncode or 0, int(out or b"0")
    if code == 56 and any(words in said for words in BROKEN):
        code = 8
    if code == 0:
        return ("" if 200 <= status < 300 else "assertion"), status, ""
    return REASONS.get(code, f"exit {code}"), status, said.decode().strip()


async def ours(net: Net, url: str) -> tuple[str, int, str]:
    """The same from a check of ours."""
    outcome = await look("http", net=net, url=url, timeout_s=TIMEOUT_S)
    error = outcome.error
    status = outcome.seen.status_code or 0
    return (error.type, status, error.message) if error else ("", status, "")


def test_there_are_enough_answers() -> None:
    assert len(ALL) >= 150
    assert set(DIFFERENT) <= {a.name for a in ALL}


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
async def test_as_curl_says() -> None:
    """All at once, eight at a time; the differences are printed together."""
    gate = asyncio.Semaphore(8)
    found: list[str] = []
    stale: list[str] = []

    async def compare(net: Net, answer: Answer) -> None:
        async with gate:
            async with raw(answer) as server:
                theirs = await curl(server.url())
            async with raw(answer) as server:
                mine = await ours(net, server.url())
        same = mine[0] == theirs[0] and (bool(mine[0]) or mine[1] == theirs[1])
        wanted, why = DIFFERENT.get(answer.name, (theirs[0], ""))
        if mine[0] != wanted:
            found.append(f"{answer.name}: curl says {theirs}, we say {mine}" + (f" (known: {why})" if why else ""))
        elif why and same:
            stale.append(answer.name)

    async with Net() as net:
        await asyncio.gather(*(compare(net, answer) for answer in ALL))
    assert not found, "\n" + "\n".join(found)
    assert stale == [], "these are no differences any more"
