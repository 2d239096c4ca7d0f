"""A pattern without special signs is looked for without the engine, and finds the same."""

from __future__ import annotations

import string

import pytest
import re2
from hypothesis import given
from hypothesis import strategies as st

from tocsin.core.pattern import check_pattern, search


@given(st.text(string.printable, min_size=1, max_size=4), st.text("ab-/ .+#", max_size=30))
def test_it_finds_what_the_engine_finds(pattern: str, text: str) -> None:
    try:
        wanted = re2.search(pattern.encode(), text.encode()) is not None
    except re2.error:
        assert check_pattern(pattern, "here")
        return
    assert check_pattern(pattern, "here") == []
    assert search(pattern, text.encode()).hit is wanted


@pytest.mark.parametrize("sign", string.punctuation + " ")
def test_every_sign_means_what_it_means_to_the_engine(sign: str) -> None:
    for pattern in (f"a{sign}b", f"a{sign}", f"{sign}b", f"a{sign}{sign}b"):
        for text in (b"ab", b"aab", f"a{sign}b".encode(), f"a{sign}{sign}b".encode(), b"axb", b"a", b"b"):
            if not check_pattern(pattern, "here"):
                assert search(pattern, text).hit is (re2.search(pattern.encode(), text) is not None), (pattern, text)
