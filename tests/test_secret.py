from __future__ import annotations

import copy
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.secret import Secret


def test_it_never_shows_itself() -> None:
    secret = Secret("canary")
    shown = [
        repr(secret),
        str(secret),
        f"{secret}",
        f"{secret:>20}",
        "%s" % secret,  # noqa: UP031
        repr([secret]),
        repr({"a": secret}),
    ]
    assert all("canary" not in text for text in shown)
    assert shown[0] == "***"
    assert secret.reveal() == "canary"


def test_it_is_neither_pickled_nor_copied_by_accident() -> None:
    with pytest.raises(TypeError):
        pickle.dumps(Secret("canary"))
    with pytest.raises(TypeError):
        copy.deepcopy(Secret("canary"))


@given(st.text(max_size=30), st.text(max_size=30))
def test_same_means_the_same_text(a: str, b: str) -> None:
    assert Secret(a).same(b) == (a == b)
    assert (Secret(a) == Secret(b)) == (a == b)
    assert Secret(a).same(Secret(a))
    assert hash(Secret(a)) == hash(Secret(a))


def test_it_is_not_equal_to_its_text() -> None:
    assert Secret("a") != "a"
    assert not Secret("")
    assert Secret("x")
