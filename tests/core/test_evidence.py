"""What is kept of a failure: the exchange, small, and never a credential of ours."""

from __future__ import annotations

import base64

from msgspec import json

from builders import a_monitor, a_result, a_verdict
from tocsin.core.consensus import Vote
from tocsin.core.evidence import EXCERPT, evidence
from tocsin.core.result import Timing

SECRET = "hunter2-very-secret"


def down(votes: tuple[Vote, ...] = ()) -> object:
    return a_verdict("down", votes=votes)


def test_credentials_are_hidden_even_when_the_server_echoes_them() -> None:
    basic = base64.b64encode(f"bob:{SECRET}".encode()).decode()
    monitor = a_monitor(
        target={
            "url": "http://shop.example/",
            "headers": {"Authorization": f"Bearer {SECRET}", "X-Plain": "plain-value"},
            "auth": {"user": "bob", "password": SECRET},
        }
    )
    echo = f"you sent Bearer {SECRET} and Basic {basic}".encode()
    headers = (("set-cookie", f"session={SECRET}"), ("x-echo", SECRET), ("server", "nginx"))
    result = a_result("down", monitor=monitor, status_code=500, headers=headers, body=echo, ip="192.0.2.1")
    seen = evidence(monitor, down(), {"local": result})
    text = json.encode(seen).decode()
    assert SECRET not in text
    assert basic not in text
    assert "plain-value" not in text
    assert seen["response"]["status_code"] == 500
    assert seen["response"]["headers"] == {"set-cookie": "***", "x-echo": "***", "server": "nginx"}
    assert seen["request"]["headers"] == {"Authorization": "***", "X-Plain": "***"}
    assert seen["ip"] == "192.0.2.1"


def test_the_body_is_cut() -> None:
    monitor = a_monitor()
    seen = evidence(monitor, down(), {"local": a_result("down", monitor=monitor, body=b"x" * 10_000)})
    assert seen["response"]["body"] == "x" * EXCERPT


def test_a_secret_across_the_cut_is_hidden() -> None:
    monitor = a_monitor(target={"url": "http://a/", "headers": {"X": SECRET}})
    body = b"y" * (EXCERPT - 5) + SECRET.encode()
    seen = evidence(monitor, down(), {"local": a_result("down", monitor=monitor, body=body)})
    assert SECRET[:5] not in seen["response"]["body"]


def test_every_location_says_what_it_saw() -> None:
    monitor = a_monitor()
    votes = tuple(
        Vote(location=place, vote=vote, at=None, age_s=None, fresh=True) for place, vote in (("a", "down"), ("b", "up"))
    )
    last = {
        "a": a_result("down", monitor=monitor, location="a", timing=Timing(connect=3.0, total=4.0)),
        "b": a_result("up", monitor=monitor, location="b"),
    }
    seen = evidence(monitor, down(votes), last)
    assert [(x["location"], x["vote"], x["status"]) for x in seen["locations"]] == [
        ("a", "down", "down"),
        ("b", "up", "up"),
    ]
    assert seen["location"] == "a"
    assert seen["timing_ms"] == {"connect": 3.0, "total": 4.0}
    assert seen["error"]["type"] == "connection_refused"
