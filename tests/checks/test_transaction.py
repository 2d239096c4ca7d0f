"""transaction: real HTTP servers on loopback that answer step by step, keep sessions, echo what they get, and misbehave."""

# ruff: noqa: E501

from __future__ import annotations

import json
import logging
import re
from typing import Any

import pytest
from msgspec.structs import replace

import hostile
from builders import a_monitor, a_result, a_verdict
from checks.looking import look, why
from hostile import Talk, authority, issue, serving
from tocsin.checks.transaction import Target
from tocsin.core.evidence import evidence
from tocsin.core.result import outcome_json
from tocsin.core.shape import dump, read
from tocsin.errors import Invalid
from tocsin.net import Egress, Net

CANARY, TOKEN = "canary-p4ssw0rd-in", "canary-t0ken-out"
LOG_IN = {
    "name": "log in", "url": "/login", "method": "POST", "body": '{"password": "{{password}}"}',
    "capture": {"token": {"json_path": "$.token"}},
}  # fmt: skip
READ = {"name": "read", "url": "/basket?u={{token}}", "headers": {"Authorization": "Bearer {{token}}"}}
LOG_OUT = {
    "name": "log out",
    "url": "/logout",
    "method": "POST",
    "headers": {"Authorization": "Bearer {{token}}"},
    "always": True,
}


async def shop(talk: Talk) -> None:
    """Lets in who knows the password, by a token and a cookie; echoes everything."""
    echo = {"you_sent": talk.body.decode(), "authorization": talk.header("authorization"), "path": talk.path}
    match talk.path.partition("?")[0]:
        case "/login" if CANARY in talk.body.decode():
            await talk.answer(
                "200 OK",
                json.dumps({"token": TOKEN, **echo}).encode(),
                "Set-Cookie: sid=42; Path=/",
                f"X-Token: {TOKEN}",
            )
        case "/login":
            await talk.answer("401 Unauthorized", json.dumps(echo).encode())
        case "/basket" | "/logout" if talk.header("authorization") == f"Bearer {TOKEN}":
            await talk.answer(
                "200 OK", json.dumps({"items": [], **echo}).encode(), f"X-Echo: {talk.header('authorization')}"
            )
        case "/hang":
            await talk.hang()
        case "/reset":
            talk.reset()
        case "/endless":
            await talk.send(b"HTTP/1.1 200 OK\r\n\r\n")
            while True:
                await talk.send(b"x" * 65536)
        case "/garbage":
            await talk.send(b"SSH-2.0-OpenSSH\r\n\r\n")
        case "/cut":
            await talk.send(b'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{"token": "')
        case "/plain":
            await talk.answer("200 OK", b"plain words, no JSON")
        case _:
            await talk.answer("404 Not Found", json.dumps(echo).encode())


async def walk(*steps: dict[str, Any], port: int, password: str = CANARY, **more: Any) -> Any:
    at = [
        s
        | {"url": s["url"] if s["url"].startswith("{{") or "://" in s["url"] else f"http://127.0.0.1:{port}{s['url']}"}
        for s in steps
    ]
    return await look("transaction", steps=at, secrets={"password": password}, **more)


def silent(outcome: Any) -> None:
    """Nothing secret or captured is in anything that is shown, kept or written down."""
    monitor = a_monitor(type="transaction", target={"steps": [], "secrets": {"password": CANARY}})
    kept = (
        evidence(monitor, a_verdict("down"), {"local": replace(a_result("down", monitor=monitor), outcome=outcome)})
        if outcome.status == "down"
        else {}
    )
    for text in (json.dumps(outcome_json(outcome)), repr(outcome), json.dumps(kept, default=str)):
        assert CANARY not in text
        assert TOKEN not in text
        assert "canary" not in text


def names(outcome: Any) -> list[str]:
    return [s["name"] for s in outcome.seen.facts["steps"]]


async def test_a_token_goes_from_step_to_step() -> None:
    async with serving(shop) as server:
        outcome = await walk(LOG_IN, READ, LOG_OUT, port=server.port)
        talks = server.talks
    assert why(outcome) == ("up", "", None)
    assert [t.head.split()[0].decode() for t in talks] == ["POST", "GET", "POST"]
    assert talks[0].body == f'{{"password": "{CANARY}"}}'.encode()
    assert talks[1].path == f"/basket?u={TOKEN}"
    assert [t.header("authorization") for t in talks] == [None, f"Bearer {TOKEN}", f"Bearer {TOKEN}"]
    assert [t.header("cookie") for t in talks] == [None, "sid=42", "sid=42"]
    steps = outcome.seen.facts["steps"]
    assert [(s["name"], s["status_code"]) for s in steps] == [("log in", 200), ("read", 200), ("log out", 200)]
    assert all(s["ms"] > 0 and {"dns", "connect", "ttfb", "transfer"} <= s["phases"].keys() for s in steps)
    timing = outcome.seen.timing
    assert timing.total >= sum(s["ms"] for s in steps)
    assert timing.connect == pytest.approx(sum(s["phases"]["connect"] for s in steps), abs=0.01)
    assert (outcome.seen.status_code, outcome.seen.ip, outcome.seen.body, outcome.seen.headers) == (
        200,
        "127.0.0.1",
        b"",
        (),
    )
    assert outcome.target == f"http://127.0.0.1:{server.port}/login and 2 more steps"
    silent(outcome)


async def test_cookies_live_as_long_as_one_check_and_only_when_wanted() -> None:
    async with serving(shop) as server:
        async with Net(egress=Egress("private")) as net:
            for _ in range(2):
                await walk(LOG_IN, READ, port=server.port, net=net)
            await walk(LOG_IN, READ, port=server.port, net=net, cookies=False)
        assert [t.header("cookie") for t in server.talks] == [None, "sid=42", None, "sid=42", None, None]


async def test_a_wrong_password_names_the_step_and_nothing_secret(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with serving(shop) as server:
        outcome = await walk(LOG_IN, READ, LOG_OUT, port=server.port, password="canary-wr0ng")
    assert why(outcome) == ("down", "assertion", None)
    assert outcome.error.message == "step 1 'log in': status code: expected 200-299, found 401"
    assert names(outcome) == ["log in", "log out"]
    assert outcome.seen.facts["steps"][1]["skipped"] == "no value for token"  # nobody is signed in
    assert outcome.seen.status_code == 401
    silent(outcome)
    assert "canary" not in caplog.text


@pytest.mark.parametrize(
    "assertion",
    [
        {"type": "body", "op": "eq", "value": "x"}, {"type": "body", "op": "not_contains", "value": "you_sent"}, {"type": "header", "name": "X-Token", "op": "eq", "value": "x"},
        {"type": "header", "name": "X-Token", "op": "matches", "value": "^x"}, {"type": "json_path", "path": "$.token", "op": "eq", "value": "x"},
        {"type": "json_path", "path": "$.you_sent", "op": "eq", "value": "x"}, {"type": "json_path", "path": "$.you_sent", "op": "matches", "value": "^x"},
        {"type": "json_schema", "op": "valid", "value": {"properties": {"token": {"type": "integer"}}}},
        {"type": "json_schema", "op": "valid", "value": {"properties": {"you_sent": {"const": 1}}}}, {"type": "json_schema", "op": "valid", "value": {"required": ["no"]}},
        {"type": "body", "op": "eq", "value": "x", "on_fail": "degrade"},
    ],
)  # fmt: skip
async def test_what_was_found_is_told_without_what_is_secret_or_captured(assertion: dict[str, Any]) -> None:
    async with serving(shop) as server:
        outcome = await walk(LOG_IN | {"assertions": [assertion]}, port=server.port)
    assert why(outcome)[:2] == ("degraded" if "on_fail" in assertion else "down", "assertion")
    assert outcome.error.message.startswith("step 1 'log in': ")
    assert "expected" in outcome.error.message
    silent(outcome)


async def test_what_was_told_before_a_value_was_taken_is_hidden_all_the_same() -> None:
    rules = [{"type": "json_path", "path": "$.token", "op": "eq", "value": "x", "on_fail": "degrade"}]
    async with serving(shop) as server:
        outcome = await walk(LOG_IN | {"capture": {}, "assertions": rules}, LOG_IN, READ, port=server.port)
    assert why(outcome)[:2] == ("degraded", "assertion")
    assert outcome.error.message == "step 1 'log in': JSON $.token: expected x, found ***"
    silent(outcome)


async def test_own_status_and_values_of_a_later_step() -> None:
    missed = {
        "url": "/no",
        "assertions": [
            {"type": "status_code", "op": "in", "value": [404]},
            {"type": "json_path", "path": "$.path", "op": "eq", "value": "/yes"},
        ],
    }
    async with serving(shop) as server:
        outcome = await walk(LOG_IN, missed, port=server.port)
    assert outcome.error.message == "step 2: JSON $.path: expected /yes, found /no"
    assert names(outcome) == ["log in", "step 2"]


@pytest.mark.parametrize(
    ("capture", "says"),
    [
        ({"json_path": "$.nothing"}, "x: expected a value at $.nothing, found nothing"),
        ({"header": "X-No"}, "in the header X-No, found no such header"), ({"regex": "no(.)match"}, "in the body by no(.)match, found no match"),
    ],
)  # fmt: skip
async def test_a_value_that_cannot_be_taken_fails_its_step(capture: dict[str, Any], says: str) -> None:
    async with serving(shop) as server:
        outcome = await walk(
            LOG_IN | {"capture": {"x": capture}}, READ | {"headers": {}, "url": "/x"}, port=server.port
        )
    assert why(outcome) == ("down", "assertion", None)
    assert outcome.error.message.startswith("step 1 'log in': x: expected a value")
    assert says in outcome.error.message
    assert names(outcome) == ["log in"]


@pytest.mark.parametrize(
    ("path", "error", "says"),
    [
        ("/reset", ("connection_reset", "ttfb"), "reset"), ("/garbage", ("protocol", "ttfb"), "HTTP"), ("/cut", ("protocol", "transfer"), "shorter"),
        ("/plain", ("assertion", None), "not JSON"), ("/endless", ("assertion", None), "cut at"), ("/hang", ("timeout", "ttfb"), "no result within"),
    ],
)  # fmt: skip
async def test_hostile_answers_and_the_cleaning_up_after_them(
    path: str, error: tuple[str, str | None], says: str
) -> None:
    bad = {"url": path, "assertions": [{"type": "json_path", "path": "$.a", "op": "eq", "value": 1}]}
    async with serving(shop) as server:
        outcome = await walk(LOG_IN, bad, READ, LOG_OUT, port=server.port, timeout_s=1.5)
        assert (server.talks[-1].path, len(server.talks)) == ("/logout", 3)
    assert why(outcome) == ("down", *error)
    assert outcome.error.message.startswith("step 2: ")
    assert says in outcome.error.message
    assert [s.get("status_code") for s in outcome.seen.facts["steps"]][::2] == [200, 200]
    assert names(outcome)[2] == "log out"
    assert outcome.seen.timing.total < 2500
    silent(outcome)


async def test_a_hanging_step_leaves_a_share_of_the_time_for_cleaning_up() -> None:
    async with serving(shop) as server:
        outcome = await walk(
            LOG_IN,
            {"url": "/hang"},
            LOG_OUT,
            {"url": "/hang", "always": True},
            LOG_OUT | {"name": "again"},
            port=server.port,
            timeout_s=4,
        )
        assert [t.path for t in server.talks] == ["/login", "/hang", "/logout", "/hang", "/logout"]
    assert re.search(r"step 2: no result within 2\.[5-8] s while waiting", outcome.error.message)
    steps = outcome.seen.facts["steps"]
    assert "no result within" in steps[3]["error"]
    assert steps[4]["status_code"] == 200
    assert outcome.seen.timing.total <= 5200


async def test_a_cleaning_step_that_fails_is_degraded_unless_it_says_down() -> None:
    gone = {"name": "tidy", "url": "/no", "always": True}
    async with serving(shop) as server:
        soft = await walk(LOG_IN, gone, LOG_OUT, port=server.port)
        hard = await walk(LOG_IN, gone | {"on_fail": "down"}, LOG_OUT, port=server.port)
        both = await walk(LOG_IN, READ | {"url": "/gone"}, gone | {"on_fail": "down"}, port=server.port)
    assert why(soft) == ("degraded", "assertion", None)
    assert soft.error.message == "step 2 'tidy': status code: expected 200-299, found 404"
    assert why(hard) == ("down", "assertion", None)
    assert names(hard) == names(soft) == ["log in", "tidy", "log out"]
    assert both.error.message.startswith("step 2 'read'")
    assert (both.seen.status_code, soft.seen.status_code) == (404, 200)


async def test_a_captured_place_passes_the_guard() -> None:
    async def lead(talk: Talk) -> None:
        host = (
            "169.254.169.254"
            if talk.path == "/to-metadata"
            else f"127.0.0.1:{server.port}"
            if talk.path == "/to-here"
            else f"127.0.0.1:{closed}"
        )
        await talk.answer("200 OK", json.dumps({"host": host, "next": f"http://{host}/latest"}).encode())

    closed = hostile.refused_port()
    take = {"capture": {"host": {"json_path": "$.host"}, "next": {"json_path": "$.next"}}}
    async with serving(lead) as server:
        good = await walk(
            {"url": "/to-here", **take}, {"url": "{{next}}"}, {"url": "http://{{host}}/more"}, port=server.port
        )
        for url in ("{{next}}", "http://{{host}}/x"):
            bad = await walk({"url": "/to-metadata", **take}, {"url": url}, port=server.port)
            assert why(bad)[:2] == ("down", "network")
            assert (
                bad.error.message
                == "step 2: refused: *** is a cloud metadata address, which this server does not contact"
            )
            assert "169.254" not in json.dumps(outcome_json(bad))
        gone = await walk({"url": "/to-nobody", **take}, {"url": "{{next}}"}, port=server.port)
        assert gone.error.message == "step 2: connection refused by ***"
        assert str(closed) not in json.dumps(outcome_json(gone))
    assert why(good) == ("up", "", None)
    assert good.seen.ip is None


async def test_a_place_of_ones_own_that_is_refused_is_not_judged() -> None:
    async with serving(shop) as server, Net(egress=Egress("public")) as net:
        outcome = await walk(LOG_IN, LOG_OUT, port=server.port, net=net)
        assert server.talks == []
    assert why(outcome)[:2] == ("invalid", "network")
    assert "refused: step 1 'log in': 127.0.0.1 is a loopback address" in outcome.error.message


async def test_values_cannot_break_out_of_a_header_or_make_a_url() -> None:
    async def script(talk: Talk) -> None:
        await talk.answer("200 OK", json.dumps({"a": "x\r\nEvil: yes", "b": "two words"}).encode())

    step = {"url": "/", "capture": {"a": {"json_path": "$.a"}, "b": {"json_path": "$.b"}}}
    async with serving(script) as server:
        outcome = await walk(step, {"url": "/x", "headers": {"X-A": "{{a}}"}}, port=server.port)
        assert len(server.talks) == 1
        assert why(outcome)[:2] == ("down", "protocol")
        assert (
            outcome.error.message == "step 2: expected values of one line for the header X-A, found control characters"
        )
        spaced = await walk(step, {"url": "/x{{b}}"}, port=server.port)
    assert why(spaced)[:2] == ("down", "protocol")
    assert "step 2: the URL has a space" in spaced.error.message


async def test_over_tls_the_certificate_that_ends_first_counts() -> None:
    tls = issue("127.0.0.1", by=authority(), days=9).context()
    async with serving(shop, tls=tls) as secure, serving(shop) as plain:
        url = f"https://127.0.0.1:{secure.port}/plain"
        rules = [{"type": "certificate_days", "op": "gte", "value": 20, "on_fail": "degrade"}]
        outcome = await walk({"url": "/plain"}, {"url": url}, port=plain.port, ca_file=authority().pem, rules=rules)
        inner = await walk({"url": url, "assertions": rules}, port=plain.port, ca_file=authority().pem)
        untrusted = await walk({"url": url}, port=plain.port)
    assert why(outcome)[:2] == why(inner)[:2] == ("degraded", "assertion")
    assert outcome.seen.tls.days_left == pytest.approx(9, abs=0.1)
    assert "certificate days left: expected >= 20, found 9" in inner.error.message.replace("8.9", "9")
    assert why(untrusted)[1:] == ("tls", "tls")
    assert untrusted.error.message.startswith("step 1: ")


async def test_the_total_time_may_be_asserted() -> None:
    async with serving(shop) as server:
        outcome = await walk(LOG_IN, port=server.port, rules=[{"type": "response_time_ms", "op": "lt", "value": 0}])
    assert why(outcome)[:2] == ("down", "assertion")


STEP = {"url": "https://a.example/"}


@pytest.mark.parametrize(
    ("data", "fields"),
    [
        ({"steps": []}, ["steps"]), ({"steps": [{}]}, ["steps[0].url"]), ({"steps": [STEP, {"url": "ftp://x"}]}, ["steps[1].url"]), ({"steps": [{"url": "/{{x}}"}]}, ["steps[0].url"]),
        ({"steps": [STEP | {"body": "{{x}}"}]}, ["steps[0].body"]), ({"steps": [STEP | {"headers": {"X-A": "{{ x }}"}}]}, ['steps[0].headers["X-A"]']),
        ({"steps": [{"url": "https://a/{{x}}", "capture": {"x": {"header": "y"}}}]}, ["steps[0].url"]), ({"steps": [STEP | {"headers": {"a b": "c"}}]}, ["steps[0].headers"]),
        ({"steps": [STEP | {"capture": {"1x": {"header": "y"}}}]}, ['steps[0].capture["1x"]']), ({"steps": [STEP | {"capture": {"x": {}}}]}, ["steps[0].capture.x"]),
        ({"steps": [STEP | {"assertions": [{"type": "dns_answer", "op": "eq", "value": "x"}]}]}, ["steps[0].assertions[0].type"]),
        ({"steps": [STEP | {"assertions": [{"type": "body", "op": "matches", "value": "(?=x)"}]}]}, ["steps[0].assertions[0].value"]),
        ({"steps": [STEP | {"always": True}]}, ["steps"]), ({"steps": [STEP | {"always": True}, STEP]}, ["steps[0].always"]), ({"steps": [STEP | {"on_fail": "down"}]}, ["steps[0].on_fail"]),
        ({"steps": [STEP], "secrets": {"a b": "long enough"}}, ['secrets["a b"]']), ({"steps": [STEP], "secrets": {"a": "abc"}}, ["secrets.a"]), ({"steps": [STEP], "secrets": {"a": "***"}}, ["secrets.a"]),
        ({"steps": [{"url": "https://{{s}}.example/"}], "secrets": {"s": "s3cret"}}, ["steps[0].url"]), ({"steps": [{"url": "{{s}}"}], "secrets": {"s": "s3cret"}}, ["steps[0].url"]),
        ({"steps": [STEP | {"capture": {"s": {"header": "x"}}}], "secrets": {"s": "s3cret"}}, ["steps[0].capture.s"]), ({"steps": [STEP], "client_key": "-----BEGIN x"}, ["client_cert"]),
        ({"steps": [STEP] * 21}, ["steps"]),
    ],
)  # fmt: skip
def test_targets_that_are_refused(data: dict[str, Any], fields: list[str]) -> None:
    with pytest.raises(Invalid) as caught:
        read(Target, data, where="")
    assert [p.field for p in caught.value.problems] == fields
    assert "s3cret" not in str(caught.value)


def test_a_target_comes_back_as_it_was_written() -> None:
    target = read(
        Target,
        {
            "steps": [STEP | {"capture": {"p": {"header": "x"}}}, {"url": "http://a:{{p}}/{{q}}", "always": True}],
            "secrets": {"q": "s3cret"},
        },
    )
    assert read(Target, dump(target)) == target
