"""browser: a real Chromium against local sites, good, broken and hostile; and what it may not reach."""

# ruff: noqa: E501

from __future__ import annotations

import asyncio
import base64
import json
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

import hostile
from builders import a_monitor, a_result, a_verdict, until
from checks.looking import look, why
from hostile import Talk, authority, issue, serving
from needs import program
from tocsin.checks.browser import Target, told
from tocsin.core.evidence import evidence
from tocsin.core.result import outcome_json
from tocsin.core.shape import loads, read
from tocsin.errors import Invalid
from tocsin.net import Egress, Local, Net
from tocsin.net import browser as browsers
from tocsin.pipeline.judgement import without_body

CANARY = "canary-s3cret"
LOG_IN = b"""<!doctype html><title>Door</title><h1>Hello</h1><form action=/in method=post>
<label>User <input name=u></label><input type=password name=p id=p><button>Log in</button></form>
<script>console.error("a noise of the page")</script>"""


async def shop(talk: Talk) -> None:
    match talk.path.partition("?")[0]:
        case "/":
            await html(talk, LOG_IN)
        case "/in":
            await html(
                talk, b"<title>Account</title><p>Your orders</p><p>You sent " + talk.body + b"</p><img src=/gone>"
            )
        case "/hang":
            await talk.hang()
        case "/garbage":
            await talk.send(b"\x00\x01SSH-2.0-OpenSSH\r\n" * 10)
        case "/busy":
            await html(talk, b"<title>Busy</title><script>while (true) {}</script>")
        case "/to-metadata":
            await talk.answer("302 Found", b"", "Location: http://169.254.169.254/latest")
        case "/broken":
            await html(talk, b"<h1>Oops</h1>", "500 Oops")
        case _:
            await talk.answer("404 Not Found", b"gone")


async def html(talk: Talk, text: bytes, status: str = "200 OK") -> None:
    await talk.answer(status, text, "Content-Type: text/html; charset=utf-8")


def local() -> Local:
    return Local(browser=program("chromium", "chromium-browser", "google-chrome"), browser_sandbox=os.geteuid() != 0)


@pytest.fixture
async def net() -> AsyncIterator[Net]:
    async with Net(egress=Egress("private"), local=local()) as made:
        yield made


async def walk(net: Net, *steps: dict[str, Any], **more: Any) -> Any:
    outcome = await look("browser", net=net, steps=list(steps), **({"timeout_s": 30, "wait_s": 1} | more))
    await until(lambda: chromiums() == [])
    return outcome


def chromiums() -> list[str]:
    """What still runs of a browser of ours."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
        except OSError:
            continue
        if "tocsin.net.page" in line or "tocsin-browser-" in line:
            found.append(line)
    return found


def goto(url: str) -> dict[str, Any]:
    return {"do": "goto", "url": url}


SIGN_IN: list[dict[str, Any]] = [
    {"do": "fill", "label": "User", "value": "bob"}, {"do": "fill", "selector": "#p", "value": "{{pin}}"},
]  # fmt: skip


async def test_a_person_signs_in(net: Net) -> None:
    async with serving(shop) as server:
        outcome = await walk(
            net, goto(server.url("/?a=b")), {"do": "expect_title", "value": "Door"}, {"do": "wait_for", "text": "Hello"}, *SIGN_IN,
            {"do": "click", "role": "button", "text": "Log in"}, {"do": "wait_for", "url": "/in"}, {"do": "expect_url", "value": "/in"},
            {"do": "expect_text", "value": "Your orders"}, {"do": "expect_text", "selector": "p", "value": "u=bob"}, secrets={"pin": CANARY},
        )  # fmt: skip
        sent = [t.body for t in server.talks if t.path == "/in"]
    assert why(outcome) == ("up", "", None)
    assert sent == [f"u=bob&p={CANARY}".encode()]
    facts, seen = outcome.seen.facts, outcome.seen
    assert [s["name"] for s in facts["steps"]][:3] == [
        f"goto {server.url('/?a=…')}",
        "expect title 'Door'",
        "wait for 'Hello'",
    ]
    assert all(s["ms"] > 0 for s in facts["steps"])
    assert 0 < facts["ttfb_ms"] <= facts["load_ms"]
    assert 0 < facts["fcp_ms"] <= facts["lcp_ms"] < 30_000
    assert 0 <= facts["cls"] < 10
    assert facts["title"] == "Account"
    assert "a noise of the page" in facts["console_errors"]
    assert (seen.status_code, seen.ip, seen.final_url, seen.picture) == (200, "127.0.0.1", server.url("/in"), b"")
    assert seen.timing.total == pytest.approx(sum(s["ms"] for s in facts["steps"]))
    assert seen.engine_wait_ms > 0
    assert CANARY not in json.dumps(outcome_json(outcome)) + repr(outcome)


async def test_a_failure_is_told_with_its_trace_and_a_picture_without_secrets(net: Net) -> None:
    async with serving(shop) as server:
        outcome = await walk(
            net, goto(server.url()), *SIGN_IN, {"do": "press", "key": "Enter"}, {"do": "expect_text", "value": "Your invoices"},
            {"do": "click", "text": "never reached"}, secrets={"pin": CANARY},
        )  # fmt: skip
    assert why(outcome) == ("down", "assertion", None)
    assert (
        outcome.error.message
        == "step 5 (expect text 'Your invoices'): expected text 'Your invoices' within 1.0 s, found none that can be used"
    )
    assert [s["name"] for s in outcome.seen.facts["steps"]][3:] == ["press Enter", "expect text 'Your invoices'"]
    picture = outcome.seen.picture
    assert picture[:3] == b"\xff\xd8\xff"
    assert 1000 < len(picture) <= 200 * 1024
    shown = outcome_json(outcome)
    assert "picture" not in json.dumps(shown)
    assert CANARY not in json.dumps(shown)
    result = replace(a_result("down"), outcome=outcome)
    kept = evidence(
        a_monitor(type="browser", target={"secrets": {"pin": CANARY}}), a_verdict("down"), {"local": result}
    )
    assert base64.b64decode(kept["picture"]) == picture
    assert without_body(result).outcome.seen.picture == b""


@pytest.mark.parametrize(
    ("path", "error", "says"),
    [
        ("/broken", ("assertion", None), "expected a page, found status code 500"), ("/garbage", ("protocol", "transfer"), "ERR_"),
    ],
)  # fmt: skip
async def test_hostile_pages(net: Net, path: str, error: tuple[str, str | None], says: str) -> None:
    async with serving(shop) as server:
        outcome = await walk(
            net,
            goto(server.url(path)),
            {"do": "expect_title", "value": "never"},
        )
    assert why(outcome)[:2] == ("down", error[0])
    assert outcome.error.message.startswith("step ")
    assert says in outcome.error.message
    assert outcome.seen.timing.total < 12_000


async def test_places_that_do_not_answer(net: Net) -> None:
    closed = f"http://127.0.0.1:{hostile.refused_port()}/"
    refused, unknown = await asyncio.gather(
        look("browser", net=net, timeout_s=30, steps=[goto(closed)]),
        look("browser", net=net, timeout_s=30, steps=[goto("https://no-such-name.invalid/")]),
    )
    assert why(refused) == ("down", "connection_refused", "connect")
    assert (
        refused.error.message == f"step 1 (goto {closed}): connection refused by {closed[7:-1].replace(':', ' port ')}"
    )
    assert why(unknown) == ("down", "dns", "dns")
    assert unknown.seen.facts["failed_requests"]


async def test_a_certificate_that_chromium_does_not_trust(net: Net) -> None:
    async with serving(shop, tls=issue("127.0.0.1", by=authority()).context()) as server:
        strict, lenient = await asyncio.gather(
            look("browser", net=net, timeout_s=30, steps=[goto(server.url())]),
            look("browser", net=net, timeout_s=30, steps=[goto(server.url())], verify_tls=False),
        )
    assert why(strict) == ("down", "tls", "tls")
    assert "ERR_CERT_AUTHORITY_INVALID" in strict.error.message
    assert why(lenient) == ("up", "", None)


async def test_nothing_is_reached_under_public_that_is_not_public() -> None:
    async with serving(shop) as server, Net(egress=Egress("public"), local=local()) as net:
        here, metadata = await asyncio.gather(
            look("browser", net=net, timeout_s=30, steps=[goto(server.url())]),
            look("browser", net=net, timeout_s=30, steps=[goto("http://169.254.169.254/latest/")]),
        )
        assert server.talks == []
    assert why(here)[:2] == why(metadata)[:2] == ("invalid", "network")
    assert "127.0.0.1 is a loopback address" in here.error.message
    assert "169.254.169.254 is a cloud metadata address" in metadata.error.message


INTRUDER = """<!doctype html><title>wait</title><img src="http://169.254.169.254/a"><iframe src="file:///etc/passwd"></iframe>
<img src="http://OWN/img"><script>
const tried = [
  fetch("http://OWN/fetch", {mode: "no-cors"}), fetch("http://localhost:PORT/name", {mode: "no-cors"}), fetch("file:///etc/passwd"),
  fetch("http://[::1]:PORT/six", {mode: "no-cors"}),
  new Promise((good, bad) => { const s = new WebSocket("ws://OWN/socket"); s.onopen = good; s.onerror = bad; }),
  new Promise((good, bad) => navigator.geolocation.getCurrentPosition(good, bad)),
];
if (navigator.serviceWorker) { navigator.serviceWorker.register("/sw.js"); }
const peer = new RTCPeerConnection({iceServers: [{urls: "stun:127.0.0.1:UDP"}]});
peer.createDataChannel("x");
const gathered = new Promise((done) => { peer.onicecandidate = (e) => e.candidate || done(); setTimeout(done, 1500); });
peer.createOffer().then((o) => peer.setLocalDescription(o));
Promise.all([Promise.allSettled(tried), gathered]).then(([all]) => { document.title = "came through: " + all.filter((r) => r.status == "fulfilled").length; });
</script>"""


async def test_a_page_cannot_reach_what_is_refused() -> None:
    """This server's own port stands for whatever is not to be reached: no way of a page leads there."""
    reached: list[bytes] = []

    async def inside(talk: Talk) -> None:
        reached.append(talk.head)
        await talk.answer()

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", 0))
        udp.setblocking(False)
        async with serving(inside) as own:
            page = (
                INTRUDER.replace("OWN", f"127.0.0.1:{own.port}")
                .replace("PORT", str(own.port))
                .replace("UDP", str(udp.getsockname()[1]))
            )

            async def site(talk: Talk) -> None:
                await html(talk, page.encode()) if talk.path == "/" else await shop(talk)

            async with (
                serving(site) as server,
                Net(egress=Egress("private", own={(None, own.port)}), local=local()) as net,
            ):
                outcome, led = await asyncio.gather(
                    look(
                        "browser",
                        net=net,
                        timeout_s=30,
                        wait_s=10,
                        steps=[goto(server.url()), {"do": "expect_title", "value": "came through"}],
                    ),
                    look("browser", net=net, timeout_s=30, steps=[goto(server.url("/to-metadata"))]),
                )
        with pytest.raises(BlockingIOError):
            udp.recv(100)
    assert reached == []
    assert "/sw.js" not in [t.path for t in server.talks]
    assert why(outcome) == ("up", "", None), outcome.error
    assert outcome.seen.facts["title"] == "came through: 0"
    refused = " ".join(outcome.seen.facts["refused"])
    assert "169.254.169.254:80" in refused
    assert f"127.0.0.1:{own.port}" in refused
    assert why(led)[:2] == ("down", "network")
    assert "refused: 169.254.169.254 is a cloud metadata address" in led.error.message


async def test_more_memory_than_allowed_ends_the_page(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(browsers, "MEMORY_MB", 20)
    async with serving(shop) as server:
        outcome = await walk(net, goto(server.url("/hang")))
    assert why(outcome)[:2] == ("down", "protocol")
    assert "more than 20 MB of memory" in outcome.error.message


async def test_a_page_that_never_rests_is_ended_in_time(net: Net) -> None:
    async with serving(shop) as server:
        outcome = await walk(net, goto(server.url("/busy")), timeout_s=10)
    assert why(outcome)[:2] == ("down", "timeout")
    assert outcome.error.message.startswith("step 1 (goto ")
    assert outcome.seen.timing.total < 10_000


async def test_two_at_once_and_no_more_and_none_is_left_of_a_cancelled_one(net: Net) -> None:
    async with serving(shop) as server:
        steps = [goto(server.url("/hang"))]
        both = [asyncio.ensure_future(look("browser", net=net, timeout_s=60, steps=steps)) for _ in range(2)]
        await until(lambda: len(server.talks) >= 2, within_s=30)
        third = await look("browser", net=net, timeout_s=1, steps=steps)
        for task in both:
            task.cancel()
        await asyncio.gather(*both, return_exceptions=True)
    assert why(third)[:2] == ("invalid", "unknown")
    assert "there was no place" in third.error.message
    await until(lambda: chromiums() == [])


async def test_without_a_browser_it_is_not_judged(tmp_path: Path) -> None:
    async with Net() as net:
        off = await look("browser", net=net, steps=[goto("http://127.0.0.1:9/")])
    assert why(off)[:2] == ("invalid", "unknown")
    assert "TOCSIN_BROWSER" in off.error.message
    async with Net(local=Local(browser=str(tmp_path / "none"))) as net:
        gone = await look("browser", net=net, timeout_s=20, steps=[goto("http://127.0.0.1:9/")])
    assert why(gone)[0] == "invalid"
    said = "Chromium could not be used" if os.geteuid() else "Chromium keeps no sandbox for root"
    assert said in gone.error.message


GO = {"do": "goto", "url": "https://a.example/"}


@pytest.mark.parametrize(
    ("data", "fields"),
    [
        ({"steps": []}, ["steps"]), ({"steps": [{"do": "click", "text": "x"}]}, ["steps[0].do"]), ({"steps": [{"do": "goto"}]}, ["steps[0].url"]),
        ({"steps": [goto("file:///etc/passwd")]}, ["steps[0].url"]), ({"steps": [goto("chrome://version")]}, ["steps[0].url"]), ({"steps": [goto("javascript:alert(1)")]}, ["steps[0].url"]),
        ({"steps": [GO, {"do": "evaluate", "value": "x"}]}, ["steps[1].do"]), ({"steps": [GO, {"do": "click"}]}, ["steps[1].selector"]),
        ({"steps": [GO, {"do": "click", "selector": "a", "text": "b"}]}, ["steps[1].text"]), ({"steps": [GO, {"do": "click", "text": "b", "value": "c"}]}, ["steps[1].value"]),
        ({"steps": [GO, {"do": "fill", "label": "x"}]}, ["steps[1].value"]), ({"steps": [GO, {"do": "press"}]}, ["steps[1].key"]), ({"steps": [GO, {"do": "press", "key": "a b"}]}, ["steps[1].key"]),
        ({"steps": [GO, {"do": "fill", "label": "x", "value": "{{y}}"}]}, ["steps[1].value"]), ({"steps": [goto("https://{{s}}/")], "secrets": {"s": "s3cret"}}, ["steps[0].url"]),
        ({"steps": [GO] * 31}, ["steps"]), ({"steps": [GO], "wait_s": 0}, ["wait_s"]), ({"steps": [GO, {"do": "wait_for", "url": "x", "text": "y"}]}, ["steps[1].text"]),
    ],
)  # fmt: skip
def test_targets_that_are_refused(data: dict[str, Any], fields: list[str]) -> None:
    with pytest.raises(Invalid) as caught:
        read(Target, data, where="")
    assert [p.field for p in caught.value.problems] == fields


def test_the_example_can_be_used_and_a_step_never_tells_what_is_filled_in() -> None:
    from tocsin.core.shape import fields

    example = loads(fields(Target)[0].marks.example)
    target = read(Target, {"steps": example, "secrets": {"password": CANARY}})
    assert told(target.steps[1]) == "fill 'E-mail'"
    assert told(target.steps[3]) == "click button 'Log in'"
