"""Inputs for parsers: any bytes, and good inputs with a few things done to them that go wrong on a wire or in a file."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st

from fuzz.parser import LONGEST

_WAYS = ("cut", "flip", "set", "double", "drop", "insert", "blow", "number", "word", "many")
_NUMBERS = (
    b"-1", b"0", b"1", b"00", b"65536", b"2147483648", b"4294967296", b"99999999999999999999", b"1e999", b"1e-9", b"NaN",
    b"0x10", b"+5", b"1_0", b"\xd9\xa3", b"9" * 400, b"9" * 5000,
)  # fmt: skip
_WORDS = (
    b"", b"\0", b"\r\n", b"\n\n", b"\xff\xfe", b"\xed\xa0\x80", b"\xe2\x80\xa8", b"\xef\xbf\xbd", b"{", b"[" * 2000, b'"',
    b"'", b"\\", b"%", b"%00", b"%ff", b"\\ud800", b":", b";", b",", b"=",
    b"/", b"//", b"..", b"@", b"?", b"#", b"*", b"(", b")",
    b"null", b"true", b"\x1b[31m", b"a" * 300, b" " * 2000, b"A" * 5000,
)  # fmt: skip
_LENGTHS = (
    b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\x80\0\0\0", b"\0\0\0\0", b"\xff\xff",
    b"\x84\x7f\xff\xff\xff", b"\xff" * 9, b"\x80" * 9,
)  # fmt: skip


def of(examples: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """Inputs for a parser that takes these."""
    return st.one_of(st.binary(max_size=120), st.sampled_from(examples), spoilt(examples), spoilt(examples))


@st.composite
def spoilt(draw: st.DrawFn, examples: Sequence[bytes]) -> bytes:
    """A good input that was cut, flipped, doubled, or says of something that it is far longer than it is."""
    data = bytearray(draw(st.sampled_from(examples)))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        _spoil(draw, data, at, draw(st.sampled_from(_WAYS)))
    return bytes(data[:LONGEST])


def _spoil(draw: st.DrawFn, data: bytearray, at: int, way: str) -> None:
    match way:
        case "cut":
            del data[at:]
        case "flip" if data:
            data[at] ^= 1 << draw(st.integers(0, 7))
        case "set" if data:
            data[at] = draw(st.integers(0, 255))
        case "double":
            data[at:at] = data[at : at + draw(st.integers(1, 64))]
        case "drop":
            del data[at : at + draw(st.integers(1, 16))]
        case "insert":
            data[at:at] = draw(st.binary(max_size=8))
        case "blow":
            wide = draw(st.sampled_from(_LENGTHS))
            data[at : at + len(wide)] = wide
        case "number":
            start = next((i for i in range(at, len(data)) if 48 <= data[i] <= 57), at)
            end = next((i for i in range(start, len(data)) if not 48 <= data[i] <= 57), len(data))
            data[start:end] = draw(st.sampled_from(_NUMBERS))
        case "word":
            data[at:at] = draw(st.sampled_from(_WORDS))
        case _:
            piece = bytes(data[at : at + draw(st.integers(1, 32))])
            data[at:at] = piece * draw(st.integers(2, 300))
    del data[LONGEST:]
