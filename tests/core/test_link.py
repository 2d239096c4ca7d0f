"""Acknowledge links: there and back, and nothing that we did not make."""

from __future__ import annotations

import base64

from hypothesis import given
from hypothesis import strategies as st

from builders import START, at
from tocsin.core.link import Link, read_token, token_of
from tocsin.core.result import micros

KEY = b"k" * 32
LINK = Link("ws", "i1", micros(START), "person:alice")


def test_a_link_says_what_it_was_made_of() -> None:
    token = token_of(KEY, LINK)
    assert read_token(KEY, token) == LINK
    assert LINK.moment == START
    assert (LINK.expired(at(7 * 86_400 - 1)), LINK.expired(at(7 * 86_400))) == (False, True)
    assert read_token(b"x" * 32, token) is None


def test_a_link_that_was_changed_anywhere_is_none() -> None:
    token = token_of(KEY, LINK)
    data = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    for n in range(len(data)):
        spoilt = data[:n] + bytes([data[n] ^ 1]) + data[n + 1 :]
        assert read_token(KEY, base64.urlsafe_b64encode(spoilt).rstrip(b"=").decode()) is None
    assert read_token(KEY, token[:-4]) is None
    assert read_token(KEY, token + "AAAA") is None


@given(st.text(max_size=600))
def test_any_text_is_no_link(text: str) -> None:
    assert read_token(KEY, text) is None
