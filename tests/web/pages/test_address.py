"""What a pasted address becomes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin import checks
from tocsin.core.shape import read
from tocsin.errors import Invalid
from tocsin.web.pages.address import guess


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
    ],
)
def test_the_type_is_worked_out(text: str, type_: str, target: dict[str, object]) -> None:
    kind, found, name = guess(text)
    assert (kind, found) == (type_, target)
    assert name
    read(checks.kind(kind).target, found)


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
