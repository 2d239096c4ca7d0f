"""Signatures beside the library's own, the vectors of RFC 8032, and what must never be taken."""

from __future__ import annotations

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from tocsin.core.ed25519 import _ORDER, is_signed

RFC_8032 = (  # section 7.1: TEST 1, 2 and 3
    (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
    (
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    ),
)  # fmt: skip


def library(public: bytes, signature: bytes, message: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


@pytest.mark.parametrize(("public", "message", "signature"), RFC_8032)
def test_the_vectors_of_the_standard(public: str, message: str, signature: str) -> None:
    assert is_signed(bytes.fromhex(public), bytes.fromhex(signature), bytes.fromhex(message))


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=200), st.integers(0, 511), st.integers(0, 255))
def test_a_bit_that_is_another_one_spoils_it(seed: bytes, message: bytes, bit: int, key_bit: int) -> None:
    private = Ed25519PrivateKey.from_private_bytes(seed)
    public, signature = private.public_key().public_bytes_raw(), private.sign(message)
    assert is_signed(public, signature, message)
    assert not is_signed(public, _flipped(signature, bit), message)
    assert not is_signed(public, signature, message + b"\0")
    other = _flipped(public, key_bit)
    assert is_signed(other, signature, message) == library(other, signature, message) is False


@given(st.binary(min_size=32, max_size=32), st.binary(min_size=64, max_size=64), st.binary(max_size=20))
def test_nonsense_is_judged_as_the_library_does(public: bytes, signature: bytes, message: bytes) -> None:
    assert not is_signed(public, signature, message) or library(public, signature, message)


@pytest.mark.parametrize("y", [0, 1, 2**255 - 20, 2**255 - 19, 2**255 - 18, 2**255 - 1, 2**255 + 1, 2**256 - 1])
@pytest.mark.parametrize("scalar", [0, 1, _ORDER - 1, _ORDER, 2**255 - 1])
@pytest.mark.parametrize("first", [0, 1, 2**255 - 20, 2**255 - 18])
def test_points_at_the_edges_are_judged_as_the_library_does(y: int, scalar: int, first: int) -> None:
    public = y.to_bytes(32, "little")
    signature = first.to_bytes(32, "little") + scalar.to_bytes(32, "little")
    for message in (b"", b"a", b"b", b"c"):
        if is_signed(public, signature, message):
            assert library(public, signature, message)


def test_a_signature_has_one_form_and_one_length() -> None:
    private = Ed25519PrivateKey.generate()
    public, signature = private.public_key().public_bytes_raw(), private.sign(b"so it is")
    again = (int.from_bytes(signature[32:], "little") + _ORDER).to_bytes(32, "little")
    assert not is_signed(public, signature[:32] + again, b"so it is")
    assert not is_signed(public, signature + b"\0", b"so it is")
    assert not is_signed(public[:31], signature, b"so it is")
    assert not is_signed(b"", b"", b"")


def _flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)
