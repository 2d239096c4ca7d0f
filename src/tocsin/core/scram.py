"""SCRAM, the client's side: the password is proved but never sent, and the server must prove that it knows it too.

RFC 5802 with SHA-1, RFC 7677 with SHA-256 (and SHA-512 in the same way); without channel binding. Everything here is
computed from what is given: the nonce is an argument, and the work of `prove` (iterations that the server asks for)
belongs into a thread.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import stringprep
import unicodedata
from dataclasses import dataclass, field
from typing import Literal

from tocsin.core.plain import clip
from tocsin.errors import CheckFailed

Algorithm = Literal["sha256", "sha512", "sha1"]
MOST_ITERATIONS = 1_000_000
"""More than any server uses (PostgreSQL 4096, MongoDB 15000), and still less than a second of work."""
_LONGEST = 4096
_NO_BINDING = "n,,"
_PROHIBITED = (
    stringprep.in_table_a1, stringprep.in_table_c12, stringprep.in_table_c21_c22, stringprep.in_table_c3,
    stringprep.in_table_c4, stringprep.in_table_c5, stringprep.in_table_c6, stringprep.in_table_c7,
    stringprep.in_table_c8, stringprep.in_table_c9,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Proof:
    """What is sent last, and the signature that only a server which knows the password can answer with."""

    message: str
    expected: bytes = field(repr=False)


def first(user: str, nonce: str) -> str:
    """The client's first message."""
    return _NO_BINDING + _bare(user, nonce)


def prove(user: str, password: str, nonce: str, answer: str, algorithm: Algorithm = "sha256") -> Proof:
    """The client's last message, from the server's answer to the first one. CheckFailed (protocol) when that is none."""
    parts = _parts(answer, "r", "s", "i")
    theirs, salt, iterations = parts["r"], _decoded(parts["s"]), parts["i"]
    if not theirs.startswith(nonce) or len(theirs) == len(nonce):
        raise _wrong("a nonce that continues ours", "another one")
    if not (iterations.isascii() and iterations.isdigit() and len(iterations) < 10) or int(iterations) == 0:
        raise _wrong("a number of iterations", clip(iterations))
    if int(iterations) > MOST_ITERATIONS:
        raise _wrong(f"at most {MOST_ITERATIONS} iterations", iterations)
    salted = hashlib.pbkdf2_hmac(algorithm, prepared(password).encode(), salt, int(iterations))
    bare = f"c={base64.b64encode(_NO_BINDING.encode()).decode()},r={theirs}"
    signed = f"{_bare(user, nonce)},{answer},{bare}".encode()
    key = hmac.digest(salted, b"Client Key", algorithm)
    signature = hmac.digest(hashlib.new(algorithm, key).digest(), signed, algorithm)
    shown = base64.b64encode(bytes(a ^ b for a, b in zip(key, signature, strict=True))).decode()
    expected = hmac.digest(hmac.digest(salted, b"Server Key", algorithm), signed, algorithm)
    return Proof(f"{bare},p={shown}", expected)


def confirm(proof: Proof, answer: str) -> None:
    """Take the server's last message. CheckFailed (protocol) when it refuses, or does not prove that it knows the
    password."""
    if answer.startswith("e="):
        raise CheckFailed("protocol", f"the server did not let the user in: {clip(answer[2:], 100)}", phase="ttfb")
    given = _decoded(_parts(answer, "v")["v"])
    if not hmac.compare_digest(given, proof.expected):
        raise CheckFailed("protocol", "the server did not prove that it knows the password", phase="ttfb")


def prepared(text: str) -> str:
    """The text as SASLprep (RFC 4013) makes it; as it stands when it holds what SASLprep prohibits, as servers do."""
    if text.isascii() and text.isprintable():
        return text
    mapped = "".join(" " if stringprep.in_table_c12(c) else c for c in text if not stringprep.in_table_b1(c))
    made = unicodedata.ucd_3_2_0.normalize("NFKC", mapped)
    if not made or any(prohibited(c) for c in made for prohibited in _PROHIBITED):
        return text
    if any(stringprep.in_table_d1(c) for c in made):
        ends = stringprep.in_table_d1(made[0]) and stringprep.in_table_d1(made[-1])
        if not ends or any(stringprep.in_table_d2(c) for c in made):
            return text
    return made


def _bare(user: str, nonce: str) -> str:
    return f"n={user.replace('=', '=3D').replace(',', '=2C')},r={nonce}"


def _parts(message: str, *names: str) -> dict[str, str]:
    """The attributes of a message that begins with these, in this order; further ones may follow."""
    if len(message) > _LONGEST:
        raise _wrong(f"a SCRAM message of at most {_LONGEST} characters", f"{len(message)}")
    words = message.split(",")[: len(names)]
    if [word[:2] for word in words] != [f"{name}=" for name in names]:
        raise _wrong("a SCRAM message with " + ", ".join(f"{n}=" for n in names), repr(clip(message)))
    return {word[0]: word[2:] for word in words}


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise _wrong("Base64 in a SCRAM message", repr(clip(text))) from None


def _wrong(expected: str, found: str) -> CheckFailed:
    return CheckFailed("protocol", f"expected {expected}, found {found}", phase="ttfb")
