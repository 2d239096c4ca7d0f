"""BER: there and back, the examples of X.690 and RFC 1157, and whatever bytes come."""

# ruff: noqa: E501

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.core import ber
from tocsin.core.ber import BrokenBer

T = TypeVar("T")


@pytest.mark.parametrize(
    ("value", "wire"),
    [(0, "020100"), (127, "02017f"), (128, "02020080"), (256, "02020100"), (-128, "020180"), (-129, "0202ff7f"), (-1, "0201ff")],
)  # fmt: skip
def test_numbers(value: int, wire: str) -> None:
    assert ber.integer(value).hex() == wire
    assert ber.read(bytes.fromhex(wire))[0].number() == value


@given(st.integers(-(1 << 63), (1 << 64) - 1))
def test_numbers_come_back(value: int) -> None:
    assert ber.read(ber.integer(value))[0].number() == value


@pytest.mark.parametrize(
    ("text", "wire"),
    [("1.3.6.1.2.1.1.3.0", "06082b06010201010300"), ("2.999.3", "0603883703"), ("0.0", "060100"), (".1.3", "06012b")],
)
def test_object_identifiers(text: str, wire: str) -> None:
    assert ber.oid(text).hex() == wire
    assert ber.read(bytes.fromhex(wire))[0].oid() == text.removeprefix(".")


@given(st.lists(st.integers(0, (1 << 32) - 1), max_size=126), st.integers(0, 2), st.integers(0, 39))
def test_object_identifiers_come_back(rest: list[int], first: int, second: int) -> None:
    text = ".".join(map(str, (first, second, *rest)))
    assert ber.read(ber.oid(text))[0].oid() == text


@pytest.mark.parametrize(
    "text", ["", "1", "1.", "3.1", "1.40", "1.3.x", "1.3.-1", "1.3.4294967296", "1.٣", "1" + ".1" * 128]
)
def test_what_is_no_object_identifier(text: str) -> None:
    with pytest.raises(BrokenBer):
        ber.oid(text)


@given(st.binary(max_size=70_000), st.integers(0, 255).filter(lambda t: t & 0x1F != 0x1F))
def test_bytes_come_back(value: bytes, tag: int) -> None:
    wire = ber.octets(value, tag)
    element, end = ber.read(b"x" + wire + b"y", 1)
    assert (element.tag, element.content, end) == (tag, value, len(wire) + 1)


@pytest.mark.parametrize(
    "wire", ["", "30", "3001", "308000", "3085000000000100", "1f0100", "30847fffffff", "0482ffff00", "3081"]
)
def test_what_is_no_value(wire: str) -> None:
    with pytest.raises(BrokenBer):
        ber.read(bytes.fromhex(wire))


def taken(look: Callable[[], T]) -> T | None:
    """What it gives; None when it is refused, in words."""
    try:
        return look()
    except BrokenBer as broken:
        why = str(broken)
        assert why
        return None


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    """What is read is all that was there: written again it says the same, and nothing of it is made up."""
    elements = taken(lambda: list(ber.read_all(data)))
    if elements is None:
        return
    for element in elements:
        assert element.content in data
        assert ber.read(ber.encode(element.tag, element.content)) == (
            element,
            len(ber.encode(element.tag, element.content)),
        )
        number, oid, parts = taken(element.number), taken(element.oid), taken(element.parts)
        assert (number is None) == (not 1 <= len(element.content) <= 9)
        assert number is None or ber.read(ber.integer(number))[0].number() == number
        assert oid is None or all(int(arc) < 1 << 36 for arc in oid.split("."))
        assert parts is None or sum(len(part.content) + 2 for part in parts) <= len(element.content)
    assert sum(len(element.content) + 2 for element in elements) <= len(data)
