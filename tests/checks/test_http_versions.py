"""http over HTTP/1.1, 2 and 3 against a real server of all three (hypercorn, aioquic): the same facts, no silent change."""

# ruff: noqa: E501

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import hostile
from checks.looking import look, why
from daemon import daemon, free_port
from hostile import Identity, authority, issue, serving

APP = """
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            step = await receive()
            await send({"type": step["type"] + ".complete"})
            if step["type"] == "lifespan.shutdown":
                return
    body = b"x" * 2_000_000 if scope["path"] == "/large" else b"hello"
    status = int(scope["path"].lstrip("/")) if scope["path"].lstrip("/").isdigit() else 200
    headers = [(b"content-type", b"text/plain"), (b"x-version", scope["http_version"].encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
"""


@dataclass(frozen=True)
class Site:
    """One port for TLS over TCP and for QUIC, one in the clear."""

    secure: int
    clear: int


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("versions")
    (folder / "versions_site.py").write_text(APP)
    pair = write(folder, issue("127.0.0.1", by=authority()))
    made = Site(free_port(), free_port())
    command = [
        sys.executable, "-W", "ignore", "-m", "hypercorn", f"asgi:{folder / 'versions_site.py'}:app", "--bind", f"127.0.0.1:{made.secure}", "--quic-bind",
        f"127.0.0.1:{made.secure}", "--insecure-bind", f"127.0.0.1:{made.clear}", "--certfile", pair[0], "--keyfile", pair[1],
    ]  # fmt: skip
    with daemon(command, [made.secure, made.clear], folder / "log"):
        yield made


def write(folder: Path, identity: Identity) -> tuple[str, str]:
    cert, key = folder / "cert.pem", folder / "key.pem"
    cert.write_text(identity.pem)
    key.write_text(identity.key_pem)
    return str(cert), str(key)


@pytest.mark.parametrize(("wanted", "spoken"), [("1.1", "1.1"), ("2", "2"), ("3", "3"), (None, "2")])
async def test_each_version_over_tls(site: Site, wanted: str | None, spoken: str) -> None:
    url = f"https://127.0.0.1:{site.secure}/"
    outcome = await look("http", url=url, ca_file=authority().pem, http_version=wanted)
    seen = outcome.seen
    assert why(outcome) == ("up", "", None), outcome.error
    assert (seen.http_version, seen.body, seen.ip) == (spoken, b"hello", "127.0.0.1")
    assert dict(seen.headers)["x-version"] == spoken
    assert seen.tls is not None
    assert (seen.tls.verified, seen.tls.sans) == (True, ("127.0.0.1",))
    assert None not in (seen.timing.connect, seen.timing.ttfb, seen.timing.total)


async def test_http_2_in_the_clear(site: Site) -> None:
    outcome = await look("http", url=f"http://127.0.0.1:{site.clear}/", http_version="2")
    assert (why(outcome)[0], outcome.seen.http_version) == ("up", "2")


@pytest.mark.parametrize("version", ["2", "3"])
async def test_failures_are_the_same_in_each_version(site: Site, version: str) -> None:
    url = f"https://127.0.0.1:{site.secure}"
    refused = await look("http", url=f"{url}/503", ca_file=authority().pem, http_version=version)
    assert why(refused)[:2] == ("down", "assertion")
    assert refused.seen.status_code == 503
    cut = await look("http", url=f"{url}/large", ca_file=authority().pem, http_version=version, max_body=1000)
    assert (cut.status, cut.seen.truncated, cut.seen.body_bytes) == ("up", True, 1000)
    unknown = await look("http", url=f"{url}/", http_version=version)
    assert why(unknown)[:2] == ("down", "tls"), unknown.error
    assert "unknown authority" in str(unknown.error), unknown.error
    assert unknown.seen.tls is not None
    wrong = await look(
        "http", url=f"https://else.test:{site.secure}/", resolve=[f"else.test:{site.secure}:127.0.0.1"],
        ca_file=authority().pem, http_version=version,
    )  # fmt: skip
    assert why(wrong)[:2] == ("down", "tls"), wrong.error


async def test_a_version_that_is_not_spoken_there_is_down() -> None:
    identity = issue("127.0.0.1", by=authority())
    async with serving(hostile.good, tls=identity.context(alpn=("http/1.1",))) as server:
        three = await look("http", url=server.url(), ca_file=authority().pem, http_version="3", timeout_s=2)
        two = await look("http", url=server.url(), ca_file=authority().pem, http_version="2")
    assert three.status == "down"
    assert two.status == "down", two.seen.http_version
    assert "HTTP/2" in str(two.error)
