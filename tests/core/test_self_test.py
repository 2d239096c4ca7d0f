"""When a failure is doubted: a table of what failed and what the location found of itself."""

# ruff: noqa: E501

from __future__ import annotations

import pytest

from tocsin.core.result import CheckError, ErrorType
from tocsin.core.self_test import Looks, doubt, needs_looks

DEAD = Looks(resolver="no answer", route="no route", anchors=2, failed=2)


@pytest.mark.parametrize(
    ("type_", "ip", "anchors", "asked"),
    [
        ("dns", None, False, True), ("network", None, False, True), ("timeout", "192.0.2.1", False, False),
        ("timeout", "192.0.2.1", True, True), ("tls", "192.0.2.1", True, True), ("assertion", "192.0.2.1", True, False),
        ("cors", "192.0.2.1", True, False), ("timeout", "127.0.0.1", True, False), ("network", "::1", False, False),
    ],
)  # fmt: skip
def test_when_a_location_looks_at_itself(type_: ErrorType, ip: str | None, anchors: bool, asked: bool) -> None:
    assert needs_looks(CheckError(type_, ""), ip, anchors=anchors) is asked


@pytest.mark.parametrize(
    ("type_", "looks", "words"),
    [
        ("timeout", DEAD, "none of its 2 anchors"), ("timeout", Looks(anchors=2, failed=1), None), ("timeout", Looks(), None),
        ("dns", Looks(resolver="it is silent"), "resolver does not work: it is silent"), ("dns", Looks(route="x"), None),
        ("network", Looks(route="no way out"), "cut off: no way out"), ("network", Looks(resolver="x"), None),
        ("timeout", Looks(resolver="x", route="x"), None), ("tls", Looks(clock_off_s=4000), "clock is 4000 s fast"),
        ("tls", Looks(clock_off_s=-301), "clock is 301 s slow"), ("tls", Looks(clock_off_s=100), None),
        ("timeout", Looks(clock_off_s=4000), None), ("dns", Looks(anchors=3, failed=0), None),
    ],
)  # fmt: skip
def test_what_is_doubted(type_: ErrorType, looks: Looks, words: str | None) -> None:
    why = doubt(CheckError(type_, ""), looks)
    assert why is None if words is None else words in (why or "")
