"""`tocsin check … --json` in a process of its own, against every kind of trouble a first-time user may point it at."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.handlers import Sink
from aiosmtpd.smtp import SMTP

from checks.test_dns import name_server
from hostile import Identity, Talk, authority, bomb, good, issue, refused_port, serving, silent_port
from needs import require

UP, DOWN = 0, 1
EXIT = {"up": UP, "degraded": UP, "down": DOWN}
FIELDS = {
    "type", "target", "status", "status_code", "error", "timing_ms", "ip", "http_version", "final_url", "redirects",
    "headers", "body_bytes", "tls", "assertions", "started_at", "location",
}  # fmt: skip


async def check(*words: str, within: tuple[str, ...] = ()) -> dict[str, Any]:
    """The one object on standard output; its status and the exit code agree, and every documented field is there."""
    process = await asyncio.create_subprocess_exec(
        *within, sys.executable, "-m", "tocsin", "check", *words, "--json", stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    shown = json.loads(out)
    assert out.count(b"\n") == 1
    assert shown.keys() >= FIELDS
    assert process.returncode == EXIT[shown["status"]]
    assert (shown["error"] is None) == (shown["status"] == "up")
    return shown


def seen(shown: dict[str, Any]) -> tuple[Any, ...]:
    """(status, error type, phase) in short."""
    error = shown["error"] or {}
    return shown["status"], error.get("type"), error.get("phase")


@contextlib.asynccontextmanager
async def site(script: Any, who: Identity | None = None) -> AsyncIterator[str]:
    async with serving(script, tls=who.context() if who else None) as server:
        yield server.url()


@pytest.fixture
def ca(tmp_path: Path) -> str:
    """The test authority's certificate in a file."""
    file = tmp_path / "ca.pem"
    file.write_text(authority().pem)
    return str(file)


async def test_a_good_site_and_a_500():
    async with site(good) as url:
        shown = await check("http", url)
    assert seen(shown) == ("up", None, None)
    assert (shown["status_code"], shown["ip"], shown["body_bytes"]) == (200, "127.0.0.1", 2)
    assert shown["timing_ms"]["total"] >= shown["timing_ms"]["ttfb"] > 0

    async def broken(talk: Talk) -> None:
        await talk.answer("500 Internal Server Error")

    async with site(broken) as url:
        shown = await check("http", url)
    assert seen(shown) == ("down", "assertion", None)
    assert shown["assertions"] == [{"type": "status_code", "ok": False, "expected": "200-299", "actual": 500}]


async def test_nobody_answers():
    async def silent(talk: Talk) -> None:
        await talk.hang()

    async with site(silent) as url:
        assert seen(await check("http", url, "--timeout", "0.5")) == ("down", "timeout", "ttfb")
    with silent_port() as port:
        shown = await check("http", f"http://127.0.0.1:{port}/", "--timeout", "0.5")
    assert seen(shown) == ("down", "timeout", "connect")
    assert shown["timing_ms"]["total"] < 1000
    shown = await check("http", f"http://127.0.0.1:{refused_port()}/")
    assert seen(shown) == ("down", "connection_refused", "connect")
    assert seen(await check("http", "http://no-such-name.invalid/")) == ("down", "dns", "dns")


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: issue("127.0.0.1", by=authority(), days=-3), "expired"),
        (lambda: issue("other.example", by=authority()), "other.example"),
        (lambda: issue("127.0.0.1"), "self-signed"),
        (lambda: issue("127.0.0.1", by=issue("Nobody's Authority", authority=True)), "authority"),
    ],
    ids=["expired", "wrong host", "self-signed", "unknown CA"],
)
async def test_a_certificate_that_is_not_right(make: Any, says: str, ca: str):
    async with site(good, make()) as url:
        shown = await check("http", url, "--ca-file", ca)
    assert seen(shown) == ("down", "tls", "tls")
    assert says in shown["error"]["message"]
    assert shown["tls"]["verified"] is False
    assert len(shown["tls"]["fingerprint_sha256"]) == 64
    assert shown["tls"]["days_left"] is not None


async def test_a_certificate_that_is_right(ca: str):
    async with site(good, issue("127.0.0.1", by=authority())) as url:
        shown = await check("http", url, "--ca-file", ca)
    assert seen(shown) == ("up", None, None)
    assert shown["tls"]["verified"] is True
    assert shown["tls"]["protocol"] == "TLSv1.3"


async def test_answers_that_go_wrong():
    async def around(talk: Talk) -> None:
        await talk.answer("302 Found", b"", f"Location: {talk.path}x")

    async with site(around) as url:
        shown = await check("http", url, "--max-redirects", "4")
    assert seen(shown)[:2] == ("down", "protocol")
    assert "redirect" in shown["error"]["message"]

    async def huge(talk: Talk) -> None:
        await talk.answer("200 OK", b"x" * 300_000)

    async with site(huge) as url:
        shown = await check("http", url, "--max-body", "100000")
    assert (seen(shown)[0], shown["truncated"]) == ("up", True)

    async def broken_chunk(talk: Talk) -> None:
        await talk.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n")

    async with site(broken_chunk) as url:
        assert seen(await check("http", url)) == ("down", "protocol", "transfer")

    async def explode(talk: Talk) -> None:
        await talk.answer("200 OK", bomb(64 << 20), "Content-Encoding: gzip")

    async with site(explode) as url:
        shown = await check("http", url)
    assert (seen(shown)[0], shown["truncated"], shown["body_bytes"]) == ("up", True, 1 << 20)


async def test_an_answer_that_is_not_what_was_expected(tmp_path: Path):
    async def packed(talk: Talk) -> None:
        await talk.answer("200 OK", gzip.compress(b'{"status": "broken"}'), "Content-Encoding: gzip")

    schema = tmp_path / "schema.json"
    schema.write_text('{"type": "object", "required": ["version"]}')
    async with site(packed) as url:
        keyword = await check("http", url, "--keyword", "all is well")
        mismatch = await check("http", url, "--json-schema", str(schema))
    assert seen(keyword) == seen(mismatch) == ("down", "assertion", None)
    assert [a["type"] for a in keyword["assertions"] if not a["ok"]] == ["body"]
    assert [a["type"] for a in mismatch["assertions"] if not a["ok"]] == ["json_schema"]


async def test_a_wrong_dns_answer():
    async with name_server() as server:
        right = await check(
            "dns", "a.test", "--server", server, "--expect", "192.0.2.1", "--expect", "192.0.2.2"
        )  # fmt: skip
        wrong = await check("dns", "a.test", "--server", server, "--expect", "192.0.2.99")
    assert seen(right) == ("up", None, None)
    assert seen(wrong) == ("down", "assertion", None)
    (failed,) = (a for a in wrong["assertions"] if not a["ok"])
    assert "192.0.2.99" in str(failed["expected"])
    assert "192.0.2.1" in str(failed["actual"])


async def test_a_mail_server_without_starttls():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(Sink(), hostname="mail.test", loop=loop), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        plain, asked = await check("smtp", f"127.0.0.1:{port}"), await check("smtp", f"127.0.0.1:{port}", "--starttls")
    finally:
        server.close()
        await server.wait_closed()
        await asyncio.sleep(0)
    assert seen(plain) == ("up", None, None)
    assert seen(asked)[:2] == ("down", "protocol")
    assert "STARTTLS" in asked["error"]["message"]


async def test_a_lost_ping():
    alone = ("unshare", "--net", "sh", "-c")
    probe = await asyncio.create_subprocess_exec(*alone, "ip link set lo up", stderr=asyncio.subprocess.DEVNULL)
    require("a network namespace of its own", await probe.wait() == 0)
    deaf = 'ip link set lo up; echo 1 > /proc/sys/net/ipv4/icmp_echo_ignore_all; exec "$0" "$@"'
    assert seen(await check("ping", "127.0.0.1", "--count", "1")) == ("up", None, None)
    lost = await check("ping", "127.0.0.1", "--count", "2", "--timeout", "1", within=(*alone, deaf))
    assert seen(lost)[:2] == ("down", "timeout")
    assert lost["facts"]["loss_percent"] == 100
