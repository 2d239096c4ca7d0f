from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from typing import Any

import pytest

import hostile
from hostile import Talk, authority, issue, serving
from tocsin import checks
from tocsin.clock import SystemClock
from tocsin.core.monitor import Assertion
from tocsin.core.result import Outcome
from tocsin.core.shape import read
from tocsin.errors import Invalid
from tocsin.net import Egress, Net


@pytest.fixture
async def net() -> AsyncIterator[Net]:
    async with Net() as net:
        yield net


async def look(
    net: Net, url: str, *, timeout_s: float = 5, assertions: tuple[Assertion, ...] = (), **target: Any
) -> Outcome:
    made = read(checks.kind("http").target, {"url": url, **target})
    outcome = await checks.run(checks.Order("http", made, timeout_s, assertions), net, SystemClock())
    assert (outcome.seen.timing.total or 0) <= timeout_s * 1000 + 500
    return outcome


def failed(outcome: Outcome, type_: str, phase: str | None = None, words: str = "") -> bool:
    error = outcome.error
    assert error is not None
    assert (outcome.status, error.type) == ("down", type_), error
    assert phase is None or error.phase == phase, error
    assert words in error.message, error
    return True


async def test_a_good_site_is_up_with_all_its_facts(net: Net) -> None:
    async def script(talk: Talk) -> None:
        await talk.answer("200 OK", b"hello", "Content-Type: text/plain", "X-Two: a", "X-Two: b")

    async with serving(script) as server:
        outcome = await look(net, server.url("/a?b=c"))
    seen, timing = outcome.seen, outcome.seen.timing
    assert (outcome.status, outcome.error) == ("up", None)
    assert (seen.status_code, seen.body, seen.body_bytes, seen.truncated) == (200, b"hello", 5, False)
    assert (seen.ip, seen.http_version, seen.redirects, seen.final_url) == ("127.0.0.1", "1.1", 0, server.url("/a?b=c"))
    assert ("content-type", "text/plain") in seen.headers
    assert [v for n, v in seen.headers if n == "x-two"] == ["a", "b"]
    parts = [timing.dns, timing.connect, timing.ttfb, timing.transfer]
    assert all(part is not None and part >= 0 for part in parts)
    assert timing.tls is None
    assert sum(p for p in parts if p) <= (timing.total or 0) + 0.5
    assert outcome.assertions[0].type == "status_code"
    assert outcome.assertions[0].ok
    assert server.talks[0].header("accept-encoding")
    assert (server.talks[0].header("user-agent") or "").startswith("Tocsin/")


async def test_every_check_uses_a_fresh_connection(net: Net) -> None:
    async def script(talk: Talk) -> None:
        await talk.answer()
        await talk.hang()

    async with serving(script) as server:
        for _ in range(3):
            assert (await look(net, server.url())).status == "up"
        assert len(server.talks) == 3


async def test_500_is_down_by_the_default_assertion(net: Net) -> None:
    async def script(talk: Talk) -> None:
        await talk.answer("500 Internal Server Error")

    async with serving(script) as server:
        outcome = await look(net, server.url())
        assert failed(outcome, "assertion", None, "expected 200-299, found 500")
        assert outcome.seen.status_code == 500
        own = (Assertion(type="status_code", op="in", value=["500"]),)
        assert (await look(net, server.url(), assertions=own)).status == "up"


async def test_the_request_carries_what_the_target_says(net: Net) -> None:
    async with serving(hostile.good) as server:
        outcome = await look(
            net, server.url("/p"), method="PUT", body="näh", headers={"X-A": "1", "User-Agent": "me", "X-Empty": ""}
        )
        talk = server.talks[0]
    assert outcome.status == "up"
    assert talk.head.startswith(b"PUT /p HTTP/1.1\r\n")
    assert talk.body == "näh".encode()
    assert (talk.header("x-a"), talk.header("user-agent"), talk.header("x-empty")) == ("1", "me", "")
    assert talk.header("expect") is None


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "DELETE", "POST"])
async def test_methods(net: Net, method: str) -> None:
    async with serving(hostile.good) as server:
        assert (await look(net, server.url(), method=method)).status == "up"
        assert (await look(net, server.url())).seen.body == b"ok"  # a used handle keeps nothing of it
    assert server.talks[0].head.startswith(method.encode() + b" ")
    assert server.talks[1].head.startswith(b"GET ")


async def test_refused(net: Net) -> None:
    outcome = await look(net, f"http://127.0.0.1:{hostile.refused_port()}/")
    assert failed(outcome, "connection_refused", "connect")
    assert outcome.seen.ip == "127.0.0.1"


async def test_unknown_name(net: Net) -> None:
    assert failed(await look(net, "http://no-such-name.invalid/"), "dns", "dns", "no such name")


async def test_timeout_in_connect(net: Net) -> None:
    with hostile.silent_port() as port:
        outcome = await look(net, f"http://127.0.0.1:{port}/", timeout_s=0.4)
    assert failed(outcome, "timeout", "connect")


async def test_timeout_in_tls(net: Net) -> None:
    async with serving(Talk.hang, read=False) as server:
        outcome = await look(net, f"https://127.0.0.1:{server.port}/", timeout_s=0.4)
    assert failed(outcome, "timeout", "tls")


async def test_timeout_before_the_answer(net: Net) -> None:
    async with serving(Talk.hang) as server:
        outcome = await look(net, server.url(), timeout_s=0.4)
    assert failed(outcome, "timeout", "ttfb", "0.4 s")
    assert (outcome.seen.timing.ttfb or 0) > 300


async def test_timeout_while_sending(net: Net) -> None:
    async def hold(talk: Talk) -> None:
        await talk.over.wait()

    async with serving(hold, read=False) as server:
        made = read(checks.kind("http").target, {"url": server.url(), "method": "POST"})
        object.__setattr__(made, "body", "x" * 50_000_000)
        outcome = await checks.run(checks.Order("http", made, 0.5), net, SystemClock())
    assert failed(outcome, "timeout", "send")


async def test_timeout_in_the_body(net: Net) -> None:
    async def script(talk: Talk) -> None:
        await talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc")
        await talk.hang()

    async with serving(script) as server:
        outcome = await look(net, server.url(), timeout_s=0.4)
    assert failed(outcome, "timeout", "transfer")
    assert (outcome.seen.status_code, outcome.seen.body) == (200, b"abc")


async def test_a_body_that_drips_ends_at_the_deadline(net: Net) -> None:
    async def script(talk: Talk) -> None:
        await talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while True:
            await talk.send(b"x")
            await asyncio.sleep(0.05)

    async with serving(script) as server:
        assert failed(await look(net, server.url(), timeout_s=0.4), "timeout", "transfer")


async def test_the_deadline_is_one_for_all_hops(net: Net) -> None:
    async def script(talk: Talk) -> None:
        await asyncio.sleep(0.15)
        await talk.answer("302 Found", b"", f"Location: /{len(server.talks)}")

    async with serving(script) as server:
        outcome = await look(net, server.url(), timeout_s=0.5)
    assert failed(outcome, "timeout", "ttfb")
    assert outcome.seen.redirects in (2, 3)


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", "shorter than promised"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n", ""),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc", ""),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzop\r\n\r\nabc", ""),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nabc", ""),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc", "encoding"),
        (b"HTTP/1.1 abc OK\r\n\r\n", ""),
        (b"HTTP/9.9 200 OK\r\n\r\n", ""),
        (b"hello, this is no HTTP\r\n\r\n", ""),
        (b"220 mail.example ESMTP\r\n", ""),
        (b"\x00\x01\x02\x03\x04\x05\x06\x07\r\n\r\n", ""),
        (b"HTTP/1.1 200 OK\r\nno colon here\r\n\r\n", ""),
        (b"HTTP/1.1 200 OK\r\nA: " + b"x" * 1_000_000 + b"\r\n\r\n", ""),
    ],
)
async def test_broken_answers_are_protocol_errors(net: Net, sent: bytes, words: str) -> None:
    async def script(talk: Talk) -> None:
        await talk.send(sent)

    async with serving(script) as server:
        assert failed(await look(net, server.url()), "protocol", None, words)


@pytest.mark.parametrize("again", [b"A: b\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", b"A:" + b"b" * 8000 + b"\r\n"])
async def test_endless_headers_are_cut(net: Net, again: bytes) -> None:
    async def script(talk: Talk) -> None:
        await talk.send(again if again.startswith(b"HTTP") else b"HTTP/1.1 200 OK\r\n")
        while True:
            await talk.send(again * 1000)

    async with serving(script) as server:
        outcome = await look(net, server.url(), timeout_s=3)
    assert failed(outcome, "protocol")
    assert len(outcome.seen.headers) <= 200


async def test_a_connection_closed_without_an_answer(net: Net) -> None:
    async def script(talk: Talk) -> None:
        pass

    async with serving(script) as server:
        assert failed(await look(net, server.url()), "connection_reset", "ttfb", "without an answer")


@pytest.mark.parametrize("first", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nab"])
async def test_a_reset_connection(net: Net, first: bytes) -> None:
    async def script(talk: Talk) -> None:
        if first:
            await talk.send(first)
        talk.reset()

    async with serving(script) as server:
        assert failed(await look(net, server.url()), "connection_reset")


async def test_a_body_over_the_cap_is_up_and_cut(net: Net) -> None:
    async def script(talk: Talk) -> None:
        await talk.answer("200 OK", b"x" * 300_000)

    async with serving(script) as server:
        outcome = await look(net, server.url(), max_body=100_000)
        assert (outcome.status, outcome.seen.truncated, len(outcome.seen.body)) == ("up", True, 100_000)
        whole = await look(net, server.url(), max_body=300_000)
        assert (whole.status, whole.seen.truncated, whole.seen.body_bytes) == ("up", False, 300_000)
        none = await look(net, server.url(), max_body=0)
        assert (none.status, none.seen.truncated, none.seen.body) == ("up", True, b"")


async def test_an_endless_body_is_cut(net: Net) -> None:
    async def script(talk: Talk) -> None:
        await talk.send(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            await talk.send(b"x" * 65_536)

    async with serving(script) as server:
        outcome = await look(net, server.url())
    assert (outcome.status, outcome.seen.truncated, outcome.seen.body_bytes) == ("up", True, 1 << 20)


async def test_a_gzip_bomb_is_cut_at_its_decoded_size(net: Net) -> None:
    packed = hostile.bomb(1 << 28)

    async def script(talk: Talk) -> None:
        await talk.answer("200 OK", packed, "Content-Encoding: gzip")

    async with serving(script) as server:
        outcome = await look(net, server.url())
    assert (outcome.status, outcome.seen.truncated, outcome.seen.body_bytes) == ("up", True, 1 << 20)


async def test_gzip_is_decoded(net: Net) -> None:
    async def script(talk: Talk) -> None:
        await talk.answer("200 OK", hostile.gzipped(b"hello " * 100), "Content-Encoding: gzip")

    async with serving(script) as server:
        assert (await look(net, server.url())).seen.body == b"hello " * 100


# Redirects


async def test_redirects_are_followed_and_counted(net: Net) -> None:
    async def script(talk: Talk) -> None:
        left = int(talk.path.strip("/"))
        if left:
            await talk.answer("302 Found", b"", f"Location: ../{left - 1}")
        else:
            await talk.answer()

    async with serving(script) as server:
        outcome = await look(net, server.url("/3"))
        assert (outcome.status, outcome.seen.redirects, outcome.seen.final_url) == ("up", 3, server.url("/0"))
        assert failed(await look(net, server.url("/3"), max_redirects=2), "protocol", None, "more than 2 redirects")
        stays = await look(net, server.url("/3"), follow_redirects=False)
        assert (stays.seen.status_code, stays.seen.redirects) == (302, 0)


async def test_a_redirect_loop(net: Net) -> None:
    async def script(talk: Talk) -> None:
        await talk.answer("301 Moved", b"", "Location: /")

    async with serving(script) as server:
        assert failed(await look(net, server.url()), "protocol", None, "more than 10 redirects")
        assert len(server.talks) == 11


@pytest.mark.parametrize(
    "location",
    [
        "file:///etc/passwd",
        "gopher://127.0.0.1/",
        "ftp://a/",
        "http://u:p@127.0.0.1/",
        "http://a b/",
        "javascript:x",
    ],
)
async def test_redirects_that_lead_nowhere(net: Net, location: str) -> None:
    async def script(talk: Talk) -> None:
        await talk.answer("302 Found", b"secret", f"Location: {location}")

    async with serving(script) as server:
        assert failed(await look(net, server.url()), "protocol", None, "leads nowhere")


@pytest.mark.parametrize(
    "location",
    ["http://169.254.169.254/latest/meta-data/", "//[::ffff:169.254.169.254]/", "http://0xa9.254.169.254/", "http://0/",
     "http://metadata.google.internal/", "http://2852039166/"],
)  # fmt: skip
async def test_redirects_to_refused_addresses(net: Net, location: str) -> None:
    async def script(talk: Talk) -> None:
        await talk.answer("302 Found", b"", f"Location: {location}")

    async with serving(script) as server:
        outcome = await look(net, server.url())
    assert failed(outcome, "network", None, "refused:")
    assert (outcome.seen.status_code, outcome.seen.final_url) == (302, server.url())  # what led there is still seen
    assert outcome.seen.timing.ttfb is not None


def not_judged(outcome: Outcome, words: str) -> bool:
    assert outcome.error is not None
    assert (outcome.status, outcome.error.type) == ("invalid", "network"), outcome.error
    return words in outcome.error.message


async def test_a_refused_connection_has_no_phase_after_it(net: Net) -> None:
    async with serving(hostile.good) as server:
        url = server.url()
    outcome = await look(net, url)
    assert failed(outcome, "connection_refused", "connect")
    timing = outcome.seen.timing
    assert (timing.tls, timing.ttfb, timing.transfer) == (None, None, None)
    assert (timing.dns or 0) + (timing.connect or 0) <= (timing.total or 0) + 0.001


async def test_own_port_and_public_mode_are_refused() -> None:
    async with serving(hostile.good) as server:
        async with Net(Egress("private", own={("127.0.0.1", server.port)})) as net:
            assert not_judged(await look(net, server.url(host="localhost")), "port of this server itself")
        async with Net(Egress("public")) as net:
            for host in (
                "127.0.0.1",
                "localhost",
                "0x7f.1",
                "2130706433",
                "017700000001",
                "127.1",
                "①②⑦.0.0.1",
                "[::1]",
            ):
                assert not_judged(await look(net, server.url(host=host)), "refused:")
        assert not server.talks


@pytest.mark.parametrize("host", ["0x7f.1", "2130706433", "017700000001", "127.1", "①②⑦.0.0.1", "LOCALHOST"])
async def test_odd_hosts_reach_what_they_resolve_to(net: Net, host: str) -> None:
    async with serving(hostile.good) as server:
        outcome = await look(net, server.url(host=host))
    assert (outcome.status, outcome.seen.ip) == ("up", "127.0.0.1")


async def test_credentials_stay_on_their_host(net: Net) -> None:
    async def lead_away(talk: Talk) -> None:
        await talk.answer("302 Found", b"", f"Location: {elsewhere.url('/x', host='localhost')}", "Set-Cookie: s=1")

    headers = {"Cookie": "a=b", "X-Api-Key": "k", "X-Plain": "p", "Host": "shown.example"}
    async with serving(hostile.good) as elsewhere, serving(lead_away) as server:
        outcome = await look(net, server.url(), headers=headers, auth="basic", username="u", password="pw")
        first, second = server.talks[0], elsewhere.talks[0]
    assert outcome.status == "up"
    assert first.header("authorization") == "Basic " + base64.b64encode(b"u:pw").decode()
    assert (first.header("cookie"), first.header("x-api-key"), first.header("host")) == ("a=b", "k", "shown.example")
    assert [second.header(n) for n in ("authorization", "cookie", "x-api-key")] == [None, None, None]
    assert second.header("x-plain") is None
    assert second.header("host") == f"localhost:{elsewhere.port}"


@pytest.mark.parametrize("status", ["307 x", "308 x"])
async def test_what_a_request_says_stays_on_its_host(net: Net, status: str) -> None:
    async def lead_away(talk: Talk) -> None:
        await talk.answer(status, b"", f"Location: {elsewhere.url('/x', host='localhost')}")

    headers = {
        "Apikey": "k",
        "X-Signature": "s",
        "Content-Type": "text/plain",
        "Accept": "text/html",
        "User-Agent": "me",
    }
    async with serving(hostile.good) as elsewhere, serving(lead_away) as server:
        outcome = await look(net, server.url(), method="POST", headers=headers, body="card=4111")
        first, second = server.talks[0], elsewhere.talks[0]
    assert outcome.status == "up"
    assert (first.body, first.header("x-signature")) == (b"card=4111", "s")
    assert (second.head.split(b" ")[0], second.body) == (b"POST", b"")
    assert [second.header(n) for n in ("apikey", "x-signature", "content-type")] == [None, None, None]
    assert [second.header(n) for n in ("accept", "user-agent")] == ["text/html", "me"]


async def test_credentials_and_cookies_go_along_on_the_same_host(net: Net) -> None:
    async def script(talk: Talk) -> None:
        if talk.path == "/":
            await talk.answer(
                "302 Found", b"", "Location: /in", "Set-Cookie: sid=42; Path=/; HttpOnly", "Set-Cookie: b=2"
            )
        else:
            await talk.answer()

    async with serving(script) as server:
        assert (await look(net, server.url(), auth="bearer", token="tok")).status == "up"
        assert (await look(net, server.url("/in"))).status == "up"
    assert server.talks[1].header("authorization") == "Bearer tok"
    assert server.talks[1].header("cookie") == "sid=42; b=2"
    assert server.talks[2].header("cookie") is None  # another check begins with no cookies


@pytest.mark.parametrize(
    ("status", "method", "then"),
    [
        ("301 x", "POST", "GET"),
        ("302 x", "POST", "GET"),
        ("303 x", "PUT", "GET"),
        ("307 x", "POST", "POST"),
        ("308 x", "PUT", "PUT"),
    ],
)
async def test_methods_over_redirects(net: Net, status: str, method: str, then: str) -> None:
    async def script(talk: Talk) -> None:
        if talk.path == "/":
            await talk.answer(status, b"", "Location: /in")
        else:
            await talk.answer()

    async with serving(script) as server:
        await look(net, server.url(), method=method, body="b", headers={"Content-Type": "text/x"})
    assert server.talks[1].head.startswith(then.encode() + b" ")
    assert server.talks[1].body == (b"" if then == "GET" else b"b")
    assert server.talks[1].header("content-type") == (None if then == "GET" else "text/x")


# Names, addresses, logins, proxies


async def test_pins_and_the_name_in_the_request(net: Net) -> None:
    async with serving(hostile.good) as server:
        outcome = await look(net, server.url(host="shop.example"), resolve=[f"shop.example:{server.port}:127.0.0.1"])
        pins = [f"x.example:{server.port}:169.254.169.254"]
        assert not_judged(await look(net, server.url(host="x.example"), resolve=pins), "refused:")
    assert (outcome.status, outcome.seen.ip) == ("up", "127.0.0.1")
    assert server.talks[0].header("host") == f"shop.example:{server.port}"


async def test_the_next_address_is_tried_when_one_refuses(net: Net) -> None:
    async with serving(hostile.good) as server:
        outcome = await look(
            net, server.url(host="a.example"), resolve=[f"a.example:{server.port}:127.0.0.9,127.0.0.1"]
        )
    assert (outcome.status, outcome.seen.ip) == ("up", "127.0.0.1")


async def test_ip_version(net: Net) -> None:
    async with serving(hostile.good) as server:
        assert (await look(net, server.url(), ip_version=4)).status == "up"
        assert failed(await look(net, server.url(), ip_version=6), "dns", "dns", "no IPv6 address")


async def test_digest(net: Net) -> None:
    async def script(talk: Talk) -> None:
        if "Digest " in (talk.header("authorization") or ""):
            await talk.answer()
        else:
            await talk.answer(
                "401 No", b"", 'WWW-Authenticate: Digest realm="r", nonce="n", qop="auth", algorithm=SHA-256'
            )

    async with serving(script) as server:
        outcome = await look(net, server.url(), auth="digest", username="u", password="p")
        assert outcome.status == "up"
        assert 'username="u"' in (server.talks[-1].header("authorization") or "")
        again = await look(net, server.url())
        assert again.seen.status_code == 401  # nothing of it stays in a handle


async def test_a_proxy_is_used_and_guarded(net: Net) -> None:
    async with serving(hostile.good) as proxy:
        outcome = await look(net, "http://far.invalid/x", proxy=f"http://u:p@127.0.0.1:{proxy.port}")
        assert not_judged(await look(net, "http://far.invalid/", proxy="http://169.254.169.254:80"), "refused:")
        refused = await look(net, "http://169.254.169.254/", proxy=f"http://127.0.0.1:{proxy.port}")
        assert not_judged(refused, "refused:")
    assert outcome.status == "up"
    assert len(proxy.talks) == 1
    assert proxy.talks[0].head.startswith(b"GET http://far.invalid/x HTTP/1.1\r\n")
    assert proxy.talks[0].header("proxy-authorization") == "Basic " + base64.b64encode(b"u:p").decode()


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_proxy_that_refuses_is_told_apart_from_the_target(net: Net, scheme: str) -> None:
    closed = hostile.refused_port()
    async with serving(hostile.good) as server:
        url = f"{scheme}://127.0.0.1:{server.port}/"
        for proxy in (f"http://u:sekret@127.0.0.1:{closed}", f"socks5://u:sekret@127.0.0.1:{closed}"):
            outcome = await look(net, url, proxy=proxy)
            assert failed(outcome, "connection_refused", "connect", f"refused by the proxy 127.0.0.1:{closed}")
    assert not server.talks


async def test_a_silent_socks_proxy_is_named_and_nothing_came_of_it(net: Net) -> None:
    async with serving(Talk.hang, read=False) as proxy:
        way = {"proxy": f"socks5://127.0.0.1:{proxy.port}", "timeout_s": 0.5}
        plain = await look(net, "http://127.0.0.1:1/", **way)
        over_tls = await look(net, "https://127.0.0.1:1/", **way)
    assert failed(plain, "timeout", "connect", f"while connecting through the proxy 127.0.0.1:{proxy.port}")
    assert failed(over_tls, "timeout", None, f"through the proxy 127.0.0.1:{proxy.port}")
    for outcome in (plain, over_tls):
        assert (outcome.seen.timing.ttfb, outcome.seen.timing.transfer) == (None, None)


@pytest.mark.parametrize(
    ("answer", "type_", "words"),
    [(b"HTTP/1.1 502 Bad Gateway\r\n\r\n", "network", "refused: CONNECT"), (b"", "connection_reset", "closed")],
)
async def test_a_proxy_that_opens_no_tunnel(net: Net, answer: bytes, type_: str, words: str) -> None:
    async def script(talk: Talk) -> None:
        await talk.send(answer)

    async with serving(script) as proxy:
        outcome = await look(net, "https://127.0.0.1:1/", proxy=f"http://127.0.0.1:{proxy.port}")
    assert failed(outcome, type_, "connect", words)
    assert f"the proxy 127.0.0.1:{proxy.port}" in (outcome.error.message if outcome.error else "")


async def test_the_environment_chooses_no_proxy(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    async with serving(hostile.good) as server:
        assert (await look(net, server.url())).status == "up"


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (["*"], "up"),
        (["https://app.example"], "up"),
        (["https://other.example"], "down"),
        ([], "down"),
        (["*", "*"], "down"),
    ],
)
async def test_cors(net: Net, answer: list[str], status: str) -> None:
    async def script(talk: Talk) -> None:
        await talk.answer("200 OK", b"ok", *(f"Access-Control-Allow-Origin: {a}" for a in answer))

    async with serving(script) as server:
        outcome = await look(net, server.url(), cors_origin="https://app.example")
    assert outcome.status == status
    assert server.talks[0].header("origin") == "https://app.example"
    assert status == "up" or failed(outcome, "cors")


# TLS


async def over_tls(net: Net, identity: hostile.Identity, host: str = "a.example", **target: Any) -> Outcome:
    async with serving(hostile.good, tls=identity.context()) as server:
        pins = [f"{host}:{server.port}:127.0.0.1"]
        target.setdefault("ca_file", authority().pem)
        return await look(
            net, server.url(host=host), resolve=pins, **{k: v for k, v in target.items() if v is not None}
        )


async def test_a_good_certificate(net: Net) -> None:
    outcome = await over_tls(net, issue("a.example", by=authority(), names=("a.example", "*.b.example"), days=10.5))
    tls = outcome.seen.tls
    assert outcome.status == "up"
    assert tls is not None
    assert tls.verified
    assert (tls.subject, tls.issuer, tls.sans) == ("CN=a.example", "CN=Test Authority", ("a.example", "*.b.example"))
    assert 10.4 < (tls.days_left or 0) < 10.6
    assert len(tls.fingerprint_sha256) == 64
    assert outcome.seen.timing.tls
    assert (tls.protocol, (tls.cipher or "").startswith("TLS_")) == ("TLSv1.3", True)


async def test_version_and_cipher_are_there_at_the_second_check_too(net: Net) -> None:
    async with serving(hostile.good, tls=issue("127.0.0.1", by=authority()).context()) as server:
        seen = [(await look(net, server.url(), ca_file=authority().pem)).seen.tls for _ in range(2)]
    assert seen[0] is not None
    assert seen[1] is not None
    assert (seen[0].protocol, seen[0].cipher) == (seen[1].protocol, seen[1].cipher)
    assert seen[1].protocol == "TLSv1.3"


@pytest.mark.parametrize(
    ("identity", "ca", "words"),
    [
        (lambda: issue("a.example", by=authority(), days=-3.2), True, "certificate expired 3 days ago"),
        (lambda: issue("a.example", by=authority(), from_days=2.5), True, "not valid yet, it starts in 2 days"),
        (lambda: issue("b.example", by=authority()), True, "certificate is for b.example, not a.example"),
        (lambda: issue("a.example"), False, "self-signed certificate"),
        (lambda: issue("a.example", by=authority()), False, "unknown authority, CN=Test Authority"),
        (
            lambda: issue("b.example", days=-1.5),
            False,
            "expired 1 day ago; certificate is for b.example, not a.example",
        ),
    ],
)
async def test_bad_certificates_say_why_and_keep_their_facts(net: Net, identity: Any, ca: bool, words: str) -> None:
    made = identity()
    outcome = await over_tls(net, made, ca_file=authority().pem if ca else None)
    assert failed(outcome, "tls", "tls", words)
    tls = outcome.seen.tls
    assert tls is not None
    assert not tls.verified
    assert tls.not_after == made.cert.not_valid_after_utc
    lenient = await over_tls(net, made, ca_file=None, verify_tls=False)
    assert lenient.status == "up"
    assert lenient.seen.tls is not None
    assert not lenient.seen.tls.verified


async def test_a_certificate_for_an_address(net: Net) -> None:
    async with serving(hostile.good, tls=issue("127.0.0.1", by=authority()).context()) as server:
        assert (await look(net, server.url(), ca_file=authority().pem)).status == "up"


async def test_a_client_certificate(net: Net) -> None:
    mine = issue("me", by=authority())
    context = issue("127.0.0.1", by=authority()).context(client_ca=authority().pem)
    async with serving(hostile.good, tls=context) as server:
        with_it = await look(net, server.url(), ca_file=authority().pem, client_cert=mine.pem, client_key=mine.key_pem)
        without = await look(net, server.url(), ca_file=authority().pem)
    assert with_it.status == "up"
    assert without.status == "down"


@pytest.mark.parametrize(
    "garbage", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"SSH-2.0-OpenSSH\r\n", b"\x15\x03\x01\x00\x02\x02\x28"]
)
async def test_garbage_on_a_tls_port(net: Net, garbage: bytes) -> None:
    async def script(talk: Talk) -> None:
        await talk.send(garbage)
        await talk.hang()

    async with serving(script, read=False) as server:
        assert failed(await look(net, f"https://127.0.0.1:{server.port}/"), "tls", "tls")


def only_up_to_tls(outcome: Outcome) -> bool:
    """Whether no byte of an answer is reported, and the phases are no more than the total."""
    timing = outcome.seen.timing
    phases = sum(p or 0 for p in (timing.dns, timing.connect, timing.tls, timing.ttfb, timing.transfer))
    return (timing.ttfb, timing.transfer) == (None, None) and bool(timing.tls) and phases <= (timing.total or 0) + 0.01


async def test_a_failed_handshake_reports_no_first_byte(net: Net) -> None:
    async with serving(hostile.good) as plain:
        assert only_up_to_tls(await look(net, f"https://127.0.0.1:{plain.port}/"))
    assert only_up_to_tls(await over_tls(net, issue("a.example"), ca_file=None))


async def test_https_must_not_fall_back(net: Net) -> None:
    """From https to http on the same host, credentials stay behind."""

    async def script(talk: Talk) -> None:
        await talk.answer("302 Found", b"", f"Location: {plain.url()}")

    async with serving(hostile.good) as plain:
        async with serving(script, tls=issue("127.0.0.1", by=authority()).context()) as server:
            outcome = await look(net, server.url(), ca_file=authority().pem, auth="bearer", token="t")
    assert outcome.status == "up"
    assert plain.talks[0].header("authorization") is None


# Targets


@pytest.mark.parametrize(
    ("data", "fields"),
    [
        ({}, {"url"}),
        ({"url": "ftp://x/"}, {"url"}),
        ({"url": "http://u:p@x/"}, {"url"}),
        ({"url": "http://example.com:pass@169.254.169.254/"}, {"url"}),
        ({"url": "http://x/ y"}, {"url"}),
        ({"url": "http://x\\@y/"}, {"url"}),
        ({"url": "http:///p"}, {"url"}),
        ({"url": "http://x:99999/"}, {"url"}),
        ({"url": "http://x/", "method": "get"}, {"method"}),
        ({"url": "http://x/", "method": "GET / HTTP/1.1\r\nX: y"}, {"method"}),
        ({"url": "http://x/", "headers": {"A": "b\r\nC: d"}}, {"headers"}),
        ({"url": "http://x/", "headers": {"A\r\nB": "b"}}, {"headers"}),
        ({"url": "http://x/", "ca_file": "/etc/passwd", "client_key": "/k"}, {"ca_file", "client_key"}),
        ({"url": "http://x/", "resolve": ["a:b"], "proxy": "file:///x"}, {"resolve[0]", "proxy"}),
        ({"url": "http://x/", "auth": "bearer"}, {"token"}),
        ({"url": "http://x/", "username": "u"}, {"username"}),
        ({"url": "HTTP://x/", "http_version": "3"}, {"http_version"}),
        (
            {"url": "http://x/", "max_body": -1, "max_redirects": 99, "verify_tls": 1},
            {"max_body", "max_redirects", "verify_tls"},
        ),
    ],
)
def test_wrong_targets_name_each_field(data: dict[str, Any], fields: set[str]) -> None:
    with pytest.raises(Invalid) as caught:
        read(checks.kind("http").target, data)
    assert {p.field for p in caught.value.problems} == fields


def test_the_summary_shows_method_and_url_only() -> None:
    target = read(checks.kind("http").target, {"url": "http://x/", "method": "POST", "token": "t", "auth": "bearer"})
    assert checks.show("http", target) == "POST http://x/"


async def test_a_handle_that_is_used_again_goes_where_the_next_url_says(net: Net) -> None:
    """A named host, then an address, then the name again: each gets its own answer, over one pool of handles."""

    async def other(talk: Talk) -> None:
        await talk.answer("200 OK", b"other")

    async with serving(hostile.good) as one, serving(other) as two:
        for _ in range(3):
            named = await look(net, one.url(host="localhost"), ip_version=4)
            plain = await look(net, two.url(), headers={"Authorization": "Bearer of-two"})
            assert (named.seen.body, plain.seen.body) == (b"ok", b"other")
    assert len(one.talks) == len(two.talks) == 3
    assert all(talk.header("authorization") is None for talk in one.talks)
