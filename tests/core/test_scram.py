"""SCRAM against the exchanges in its RFCs, and servers that do not keep to them."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from tocsin.core import scram
from tocsin.errors import CheckFailed

# RFC 7677, section 3; RFC 5802, section 5.
EXCHANGES: list[tuple[scram.Algorithm, str, str, str, str]] = [
    (
        "sha256",
        "rOprNGfwEbeRWgbNEkqO",
        "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
        "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
        "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
    ),
    (
        "sha1",
        "fyko+d2lbbFgONRv9qkxdawL",
        "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
        "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
        "v=rmF9pqV8S7suAoZWja4dJRkFsKQ=",
    ),
]


@pytest.mark.parametrize(("algorithm", "nonce", "answer", "last", "verdict"), EXCHANGES)
def test_the_exchanges_of_the_rfcs(algorithm: Any, nonce: str, answer: str, last: str, verdict: str) -> None:
    assert scram.first("user", nonce) == f"n,,n=user,r={nonce}"
    proof = scram.prove("user", "pencil", nonce, answer, algorithm)
    assert proof.message == last
    scram.confirm(proof, verdict)
    assert "expected" not in repr(proof)
    for lie in (EXCHANGES[0][4].replace("6", "7"), "v=", "v=" + base64.b64encode(bytes(32)).decode()):
        with pytest.raises(CheckFailed, match="did not prove"):
            scram.confirm(proof, lie)
    with pytest.raises(CheckFailed, match="did not let the user in: invalid-proof"):
        scram.confirm(proof, "e=invalid-proof")
    with pytest.raises(CheckFailed, match="Base64"):
        scram.confirm(proof, "v=***")


def test_names_are_escaped() -> None:
    assert scram.first("a=b,c", "n") == "n,,n=a=3Db=2Cc,r=n"


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ("", "a SCRAM message"), ("r=nonce1,s=AAAA", "a SCRAM message"), ("m=x,r=nonce1,s=AAAA,i=1", "a SCRAM message"),
        ("r=other,s=AAAA,i=1", "continues ours"), ("r=nonce,s=AAAA,i=1", "continues ours"), ("r=nonce1,s=A,i=1", "Base64"),
        ("r=nonce1,s=Ä,i=1", "Base64"), ("r=nonce1,s=AAAA,i=0", "iterations"), ("r=nonce1,s=AAAA,i=-5", "iterations"),
        ("r=nonce1,s=AAAA,i=٣", "iterations"), ("r=nonce1,s=AAAA,i=1000001", "at most 1000000"),
        ("r=nonce1,s=AAAA,i=99999999999999", "iterations"), ("r=nonce" + "x" * 5000 + ",s=AAAA,i=1", "at most 4096"),
    ],
)  # fmt: skip
def test_servers_that_do_not_speak_scram(answer: str, says: str) -> None:
    with pytest.raises(CheckFailed, match=says) as caught:
        scram.prove("user", "pencil", "nonce", answer)
    assert caught.value.type == "protocol"
    assert "pencil" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "made"),
    [
        # RFC 4013, section 3, and what it prohibits, which stays as it is.
        ("I\u00adX", "IX"), ("user", "user"), ("USER", "USER"), ("\u00aa", "a"), ("\u2168", "IX"), ("a\u00a0b", "a b"),
        ("\u0007", "\u0007"), ("\u0627\u0031", "\u0627\u0031"), ("\u0221", "\u0221"), ("\u0627x\u0628", "\u0627x\u0628"),
        ("\u0627\u0628", "\u0627\u0628"), ("\u00ad", "\u00ad"), ("", ""),
    ],
)  # fmt: skip
def test_passwords_are_prepared(text: str, made: str) -> None:
    assert scram.prepared(text) == made
