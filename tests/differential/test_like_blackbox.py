"""Verdicts and what they rest on are those of blackbox exporter, over http, tcp, tls, dns and icmp; differences are named."""

# ruff: noqa: E501

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import hostile
from checks.looking import look
from checks.test_dns import answer as dns_answer
from daemon import daemon, free_port
from hostile import Talk, authority, issue, serving
from needs import program
from tocsin.net import Net

TIMEOUT_S = 2.0


@dataclass(frozen=True)
class Case:
    """One situation: what blackbox is asked, what we are asked. `server` makes what both look at; {port} is its port."""

    name: str
    module: dict[str, Any]
    type: str
    target: dict[str, Any]
    goal: str
    server: str = ""
    rules: tuple[dict[str, Any], ...] = ()
    figures: dict[str, Any] = field(default_factory=dict)


def http(
    name: str, server: str, module: dict[str, Any] | None = None, rules: Any = (), scheme: str = "http", **target: Any
) -> Case:
    made = {"preferred_ip_protocol": "ip4", "ip_protocol_fallback": False, **(module or {})}
    url = f"{scheme}://127.0.0.1:{{port}}/"
    return Case(
        f"http: {name}", {"prober": "http", "http": made}, "http", {"url": url, **target}, url, server, tuple(rules)
    )


def tcp(name: str, server: str, module: dict[str, Any] | None = None, **target: Any) -> Case:
    made = {"preferred_ip_protocol": "ip4", "ip_protocol_fallback": False, **(module or {})}
    return Case(
        f"tcp: {name}",
        {"prober": "tcp", "tcp": made},
        "tcp",
        {"host": "127.0.0.1", "port": "{port}", **target},
        "127.0.0.1:{port}",
        server,
    )


def tls(name: str, server: str, ca: bool = True, host: str = "127.0.0.1", module: dict[str, Any] | None = None) -> Case:
    config = {"server_name": host} | ({"ca_file": "{ca}"} if ca else {})
    made = {"preferred_ip_protocol": "ip4", "tls": True, "tls_config": config, **(module or {})}
    target = {"host": "127.0.0.1", "port": "{port}", "server_name": host} | ({"ca_file": authority().pem} if ca else {})
    return Case(f"tls: {name}", {"prober": "tcp", "tcp": made}, "tls", target, "127.0.0.1:{port}", server)


def dns(name: str, record: str, query: str, module: dict[str, Any] | None = None, **target: Any) -> Case:
    made = {"preferred_ip_protocol": "ip4", "query_name": query, "query_type": record, **(module or {})}
    asked = {"name": query, "record_type": record, "server": "127.0.0.1:{port}", **target}
    return Case(f"dns: {name}", {"prober": "dns", "dns": made}, "dns", asked, "127.0.0.1:{port}", "dns")


def ping(name: str, host: str) -> Case:
    module = {"prober": "icmp", "icmp": {"preferred_ip_protocol": "ip6" if ":" in host else "ip4"}}
    return Case(f"icmp: {name}", module, "ping", {"host": host, "count": 1}, host)


STATUS = (200, 201, 204, 206, 300, 304, 400, 401, 403, 404, 410, 418, 429, 500, 502, 503, 504)
CASES = [
    *[http(f"status {code}", f"status {code}") for code in STATUS],
    http("301 followed", "redirect"), http("302 not followed", "redirect", {"follow_redirects": False}, follow_redirects=False),
    http("302 not followed, but wanted", "redirect", {"follow_redirects": False, "valid_status_codes": [302]}, [{"type": "status_code", "op": "in", "value": [302]}], follow_redirects=False),
    http("a loop", "loop"), http("404 wanted", "status 404", {"valid_status_codes": [404]}, [{"type": "status_code", "op": "in", "value": [404]}]),
    http("a word that is there", "body", {"fail_if_body_not_matches_regexp": ["hello"]}, [{"type": "body", "op": "matches", "value": "hello"}]),
    http("a word that is not there", "body", {"fail_if_body_not_matches_regexp": ["bye"]}, [{"type": "body", "op": "matches", "value": "bye"}]),
    http("a word that should not be there", "body", {"fail_if_body_matches_regexp": ["hello"]}, [{"type": "body", "op": "not_matches", "value": "hello"}]),
    http("a header that fits", "body", {"fail_if_header_not_matches": [{"header": "X-Kind", "regexp": "^good$"}]}, [{"type": "header", "name": "x-kind", "op": "matches", "value": "^good$"}]),
    http("a header that does not fit", "body", {"fail_if_header_not_matches": [{"header": "X-Kind", "regexp": "bad"}]}, [{"type": "header", "name": "x-kind", "op": "matches", "value": "bad"}]),
    http("a method", "method", {"method": "POST"}, method="POST"), http("the wrong method", "method"),
    http("basic sign-in", "basic", {"basic_auth": {"username": "u", "password": "p"}}, auth="basic", username="u", password="p"),
    http("no sign-in", "basic"), http("a wrong password", "basic", {"basic_auth": {"username": "u", "password": "x"}}, auth="basic", username="u", password="x"),
    http("bearer", "bearer", {"bearer_token": "t0ken"}, auth="bearer", token="t0ken"),
    http("gzip", "gzip", {"compression": "gzip", "headers": {"Accept-Encoding": "gzip"}, "fail_if_body_not_matches_regexp": ["hello"]}, [{"type": "body", "op": "contains", "value": "hello"}]),
    http("silence", "silence"), http("a closed port", "closed"), http("closed at once", "hangup"), http("reset", "reset"), http("garbage", "garbage"),
    http("half a body", "half"), http("TLS, trusted", "tls good", {"tls_config": {"ca_file": "{ca}"}}, scheme="https", ca_file=authority().pem),
    http("TLS, unknown authority", "tls good", scheme="https"), http("TLS, not looked at", "tls expired", {"tls_config": {"insecure_skip_verify": True}}, scheme="https", verify_tls=False),
    http("TLS, expired", "tls expired", {"tls_config": {"ca_file": "{ca}"}}, scheme="https", ca_file=authority().pem),
    http("TLS on a plain port", "body", scheme="https"), http("plain on a TLS port", "tls good"),
    tcp("open", "hangup"), tcp("closed", "closed"), tcp("a greeting", "ssh", {"query_response": [{"expect": "^SSH-2.0-"}]}, expect=["^SSH-2.0-"]),
    tcp("another greeting", "ssh", {"query_response": [{"expect": "^220 "}]}, expect=["^220 "]), tcp("no greeting", "silence", {"query_response": [{"expect": "."}]}, expect=["."]),
    tcp("said and heard", "echo", {"query_response": [{"send": "hello"}, {"expect": "^hello"}]}, send=[r"hello\n"], expect=["^hello"]),
    tcp("closed before it spoke", "hangup", {"query_response": [{"expect": "x"}]}, expect=["x"]),
    tls("trusted", "tls good"), tls("unknown authority", "tls good", ca=False), tls("expired", "tls expired"), tls("not valid yet", "tls future"),
    tls("another name", "tls good", host="else.test"), tls("self-signed", "tls self"), tls("no TLS there", "ssh"), tls("silence", "silence"), tls("closed", "closed"), tls("closed at once", "hangup"),
    dns("A", "A", "a.test"), dns("AAAA", "AAAA", "a.test"), dns("MX", "MX", "a.test"), dns("TXT", "TXT", "a.test"), dns("NS", "NS", "a.test"), dns("SOA", "SOA", "a.test"),
    dns("CNAME", "CNAME", "www.test"), dns("unknown name", "A", "nothing.test"),
    dns("unknown name is right", "A", "nothing.test", {"valid_rcodes": ["NXDOMAIN"]}, rcode="NXDOMAIN"),
    dns("an answer that fits", "A", "a.test", {"validate_answer_rrs": {"fail_if_none_matches_regexp": [r".*192\.0\.2\.1"]}}, expect=[r"192\.0\.2\.1"], expect_mode="regex"),
    dns("an answer that does not", "A", "a.test", {"validate_answer_rrs": {"fail_if_none_matches_regexp": [r".*10\.0\.0\.1"]}}, expect=[r"10\.0\.0\.1"], expect_mode="regex"),
    dns("over TCP", "A", "a.test", {"transport_protocol": "tcp"}, protocol="tcp"),
    ping("this machine", "127.0.0.1"), ping("IPv6", "::1"), ping("another loopback address", "127.8.8.8"),
]  # fmt: skip
DIFFERENT: dict[str, tuple[str, str]] = {}
"""Name of the situation: (what we say: up or down, why that is right)."""


async def _status(talk: Talk, code: int) -> None:
    await talk.answer(f"{code} Word", b"" if code in (204, 304) else b"ok")


async def _redirect(talk: Talk) -> None:
    await (talk.answer("302 Found", b"", "Location: /there") if talk.path == "/" else talk.answer())


async def _loop(talk: Talk) -> None:
    await talk.answer("302 Found", b"", "Location: /")


async def _body(talk: Talk) -> None:
    await talk.answer("200 OK", b"hello world", "X-Kind: good")


async def _method(talk: Talk) -> None:
    await talk.answer("200 OK" if talk.head.startswith(b"POST ") else "405 No")


async def _basic(talk: Talk) -> None:
    good = talk.header("authorization") == "Basic dTpw"
    await talk.answer("200 OK" if good else "401 Who", b"", 'WWW-Authenticate: Basic realm="r"')


async def _bearer(talk: Talk) -> None:
    await talk.answer("200 OK" if talk.header("authorization") == "Bearer t0ken" else "401 Who")


async def _gzip(talk: Talk) -> None:
    await talk.answer("200 OK", hostile.gzipped(b"hello"), "Content-Encoding: gzip")


async def _silence(talk: Talk) -> None:
    await talk.hang()


async def _hangup(_: Talk) -> None:
    return


async def _reset(talk: Talk) -> None:
    talk.reset()


async def _garbage(talk: Talk) -> None:
    await talk.send(b"\0\1\2\3\r\n\r\n")


async def _half(talk: Talk) -> None:
    await talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")


async def _ssh(talk: Talk) -> None:
    await talk.send(b"SSH-2.0-Test\r\n")
    await talk.hang()


async def _echo(talk: Talk) -> None:
    await talk.send(await talk.reader.readline())
    await talk.hang()


SCRIPTS = {
    "redirect": _redirect, "loop": _loop, "body": _body, "method": _method, "basic": _basic, "bearer": _bearer, "gzip": _gzip,
    "garbage": _garbage, "half": _half, "reset": _reset,
}  # fmt: skip
SILENT = {"silence": _silence, "hangup": _hangup, "ssh": _ssh, "echo": _echo}
CERTIFICATES: dict[str, dict[str, Any]] = {
    "tls good": {},
    "tls expired": {"days": -2},
    "tls future": {"days": 60, "from_days": 20},
}


class _Dns(asyncio.DatagramProtocol):
    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.transport.sendto(dns_answer(data, None, False), addr)


@asynccontextmanager
async def name_server() -> AsyncIterator[int]:
    """UDP and TCP on one port."""

    async def stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        size = int.from_bytes(await reader.readexactly(2), "big")
        reply = dns_answer(await reader.readexactly(size), None, True) or b""
        writer.write(len(reply).to_bytes(2, "big") + reply)
        await writer.drain()
        writer.close()

    listener = await asyncio.start_server(stream, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(_Dns, local_addr=("127.0.0.1", port))
    try:
        yield port
    finally:
        transport.close()
        listener.close()
        await asyncio.sleep(0)


@asynccontextmanager
async def servers() -> AsyncIterator[dict[str, int]]:
    """Every server that a case names, with its port."""
    async with AsyncExitStack() as stack:
        ports = {"closed": hostile.refused_port(), "": 0, "dns": await stack.enter_async_context(name_server())}
        for name, script in SCRIPTS.items():
            ports[name] = (await stack.enter_async_context(serving(script))).port
        for name, script in SILENT.items():
            ports[name] = (await stack.enter_async_context(serving(script, read=False))).port
        for code in STATUS:
            script = lambda talk, code=code: _status(talk, code)  # noqa: E731
            ports[f"status {code}"] = (await stack.enter_async_context(serving(script))).port
        for name, more in CERTIFICATES.items():
            pair = issue("127.0.0.1", by=authority(), **more)
            ports[name] = (await stack.enter_async_context(serving(hostile.good, tls=pair.context()))).port
        alone = issue("127.0.0.1")
        ports["tls self"] = (await stack.enter_async_context(serving(hostile.good, tls=alone.context()))).port
        yield ports


def filled(value: Any, port: int, ca: str) -> Any:
    if isinstance(value, str):
        return port if value == "{port}" else value.replace("{port}", str(port)).replace("{ca}", ca)
    if isinstance(value, dict):
        return {k: filled(v, port, ca) for k, v in value.items()}
    return [filled(v, port, ca) for v in value] if isinstance(value, list) else value


@pytest.fixture(scope="module")
def exporter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """blackbox exporter with a module for each case (module0, module1, …); its port."""
    folder = tmp_path_factory.mktemp("blackbox")
    (folder / "ca.pem").write_text(authority().pem)
    modules = {
        f"module{i}": filled(c.module, 0, str(folder / "ca.pem")) | {"timeout": f"{TIMEOUT_S:g}s"}
        for i, c in enumerate(CASES)
    }
    (folder / "blackbox.yml").write_text(json.dumps({"modules": modules}))
    port = free_port()
    words = [
        program("prometheus-blackbox-exporter"), f"--config.file={folder / 'blackbox.yml'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]  # fmt: skip
    with daemon(words, [port], folder / "log"):
        yield port


async def blackbox(port: int, number: int, goal: str) -> dict[str, float]:
    """The figures of one probe."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    goal = goal.replace(":", "%3A").replace("/", "%2F")
    writer.write(
        f"GET /probe?module=module{number}&target={goal} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()
    )
    text = (await reader.read()).decode()
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return {name: float(value) for name, value in re.findall(r"^(probe_\w+)(?:\{[^}]*\})? (\S+)\r?$", text, re.M)}


def differences(case: Case, theirs: dict[str, float], outcome: Any) -> list[str]:
    """What the two say differently: the verdict, and what it rests on where both name it."""
    mine = outcome.status in ("up", "degraded")
    wanted = DIFFERENT[case.name][0] == "up" if case.name in DIFFERENT else theirs.get("probe_success") == 1
    found: list[str] = []
    if outcome.status == "invalid" or mine != wanted:
        found.append(f"blackbox says {theirs.get('probe_success')}, we say {outcome.status} ({outcome.error})")
    code = theirs.get("probe_http_status_code", 0)
    if code and outcome.seen.status_code and code != outcome.seen.status_code:
        found.append(f"blackbox saw status {code:g}, we saw {outcome.seen.status_code}")
    expiry = theirs.get("probe_ssl_earliest_cert_expiry")
    if expiry and mine and outcome.seen.tls is not None and abs(outcome.seen.tls.not_after.timestamp() - expiry) > 1:
        found.append(f"blackbox saw the certificate end at {expiry:g}, we saw {outcome.seen.tls.not_after}")
    redirects = theirs.get("probe_http_redirects")
    followed = case.target.get("follow_redirects", True)  # blackbox counts one that it did not follow, too
    if (
        redirects is not None
        and followed
        and mine
        and outcome.seen.redirects is not None
        and redirects != outcome.seen.redirects
    ):
        found.append(f"blackbox saw {redirects:g} redirects, we saw {outcome.seen.redirects}")
    return [f"{case.name}: {words}" for words in found]


def test_there_are_enough_situations() -> None:
    assert len(CASES) >= 60
    assert {c.type for c in CASES} == {"http", "tcp", "tls", "dns", "ping"}
    assert set(DIFFERENT) <= {c.name for c in CASES}


async def test_as_blackbox_exporter_says(exporter: int, tmp_path: Path) -> None:
    found: list[str] = []
    gate = asyncio.Semaphore(6)

    async def compare(net: Net, ports: dict[str, int], number: int, case: Case) -> None:
        async with gate:
            port = ports[case.server]
            theirs = await blackbox(exporter, number, filled(case.goal, port, ""))
            target = filled(case.target, port, "")
            outcome = await look(case.type, net=net, timeout_s=TIMEOUT_S, rules=case.rules, **target)
        found.extend(differences(case, theirs, outcome))

    async with servers() as ports, Net() as net:
        await asyncio.gather(*(compare(net, ports, n, case) for n, case in enumerate(CASES)))
    assert not found, "\n" + "\n".join(sorted(found))
