"""What a pasted address becomes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin import checks
from tocsin.core.shape import read
from tocsin.errors import Invalid
from tocsin.web.pages.address import guess, name_of


@pytest.mark.parametrize(
    ("text", "type_", "target"),
    [
        ("https://shop.example/health?x=1", "http", {"url": "https://shop.example/health?x=1"}),
        (" HTTP://shop.example ", "http", {"url": "HTTP://shop.example"}),
        ("shop.example", "http", {"url": "https://shop.example"}),
        ("shop.example/health", "http", {"url": "https://shop.example/health"}),
        ("localhost:5432", "tcp", {"host": "localhost", "port": 5432}),
        ("[2001:db8::1]:53", "tcp", {"host": "2001:db8::1", "port": 53}),
        ("tls://mail.example", "tls", {"host": "mail.example", "port": 443}),
        ("smtp://mail.example:587", "smtp", {"host": "mail.example", "port": 587}),
        ("192.0.2.7", "ping", {"host": "192.0.2.7"}),
        ("ping://192.0.2.7", "ping", {"host": "192.0.2.7"}),
        ("dns://example.org", "dns", {"name": "example.org"}),
        ("wss://chat.example/live", "websocket", {"url": "wss://chat.example/live"}),
    ],
)
def test_the_type_is_worked_out(text: str, type_: str, target: dict[str, object]) -> None:
    kind, found, name = guess(text)
    assert (kind, found) == (type_, target)
    assert name
    read(checks.kind(kind).target, found)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("http://127.0.0.1:8080/health?x=1", "127.0.0.1:8080/health"),
        ("https://me:secret@shop.example/", "shop.example"),
        ("localhost:5432", "localhost:5432"),
        ("[2001:db8::1]:53", "[2001:db8::1]:53"),
        ("tls://mail.example", "mail.example"),
        ("smtp://mail.example:587", "mail.example:587"),
        ("ping://192.0.2.7", "192.0.2.7"),
    ],
)
def test_its_name_keeps_port_and_path_and_no_secret(text: str, name: str) -> None:
    assert guess(text)[2] == name


@pytest.mark.parametrize(
    ("type_", "target"), [("http", {"url": ""}), ("http", {"url": "http://[x"}), ("tcp", {}), ("push", {"token": "t"})]
)
def test_a_target_that_says_no_place_gives_no_name(type_: str, target: dict[str, object]) -> None:
    assert name_of(type_, target) == ""


@pytest.mark.parametrize("text", ["", "   ", "two words", "gopher://x", "tcp://host-without-port", "http", "x" * 3000])
def test_what_is_no_address_is_refused_by_name(text: str) -> None:
    with pytest.raises(Invalid) as caught:
        guess(text)
    assert caught.value.problems[0].field == "address"


@given(st.text(max_size=60))
def test_any_text_is_a_target_or_refused(text: str) -> None:
    try:
        kind, target, name = guess(text)
    except Invalid:
        return
    assert kind in checks.REGISTRY
    assert name
    assert all(target.values())


def test_services_on_one_host_are_told_apart() -> None:
    names = {name_of(t, {"host": "db.example", "port": p}) for t, p in (("redis", 6379), ("ssh", 22), ("ping", None))}
    assert names == {"db.example:6379", "db.example:22", "db.example"}
    assert name_of("docker", {"container": "shop"}) == "shop"
    assert name_of("nagios", {"plugin": "check_http"}) == "check_http"
