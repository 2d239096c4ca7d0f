"""What is told of certificates: also of those that no library should have let through."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from hostile import authority, issue
from tocsin.net.tls import facts_from_der, why_refused

NOW = datetime(2026, 1, 1, tzinfo=UTC)
VERSION_3 = bytes.fromhex("a003020102")


@pytest.mark.parametrize(
    ("good", "bad"),
    [(VERSION_3, bytes.fromhex("a003020109")), (b"\x06\x03\x55\x04\x03\x0c", b"\x06\x03\x55\x04\x03\x03")],
    ids=["of version 10", "with bits for a name"],
)  # fmt: skip
def test_a_certificate_that_is_none_costs_its_own_facts_only(good: bytes, bad: bytes) -> None:
    leaf, above = (i.cert.public_bytes(Encoding.DER) for i in (issue("example.org", by=authority()), authority()))
    assert good in leaf
    facts = facts_from_der([leaf.replace(good, bad), above], now=NOW)
    assert (facts.subject, facts.not_after, facts.days_left) == ("", None, None)
    assert [len(link["fingerprint_sha256"]) for link in facts.chain] == [64, 64]
    assert [link["subject"] for link in facts.chain] == ["", "CN=Test Authority"]


def test_what_a_certificate_says_is_shown_without_what_terminals_obey() -> None:
    self_signed = issue("evil\x1b[31m\r\nname", names=("example.org",))
    facts = facts_from_der([self_signed.cert.public_bytes(Encoding.DER)], now=NOW)
    assert facts.subject == facts.issuer == "CN=evil\\u001b[31m\\r\\nname"
    assert why_refused(facts, "example.org", 20, "no", NOW).isprintable()
