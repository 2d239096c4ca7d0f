"""Our reader of plain answers against dnspython: the same for the same bytes, or none; and it reads the plain ones."""

from __future__ import annotations

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.checks.dns import _fully, _plainly, _Question, _question
from tocsin.core import dns_answer

NAMES = ("a.test.", "www.A.test.", "mail.other.example.", ".", "x" * 63 + ".test.", r"we\.ird\032name.test.")
TEXTS = {
    "A": ["192.0.2.1", "192.0.2.2", "255.255.255.255"],
    "AAAA": ["2001:db8::1", "::", "::ffff:192.0.2.1", "::1:0:0:0", "1:0:0:2::3", "::192.0.2.1"],
    "CNAME": NAMES, "NS": NAMES, "PTR": NAMES,
    "MX": [f"10 {name}" for name in NAMES],
    "TXT": ['"v=spf1 " "-all"', '""', '"' + "y" * 255 + '"', r'"\000\255"'],
    "SOA": ["ns1.a.test. root.a.test. 1 2 3 4 5", ". . 4294967295 2147483647 0 0 0"],
    "SRV": [f"1 2 443 {name}" for name in NAMES],
    "CAA": ['0 issue "letsencrypt.org"', '128 iodef "mailto:x@example.org"'],
    "RRSIG": ["A 8 2 300 20300101000000 20200101000000 1 a.test. AAAA", "TXT 13 1 0 20300101000000 20200101000000 9 . AA=="],
    "DS": ["1 8 2 " + "ab" * 32],
}  # fmt: skip
KINDS = [kind for kind in TEXTS if kind not in ("RRSIG", "DS")]
records = st.sampled_from(sorted(TEXTS)).flatmap(
    lambda kind: st.tuples(
        st.sampled_from(NAMES), st.sampled_from([0, 1, 300, 2**31 - 1]), st.just(kind), st.sampled_from(TEXTS[kind])
    )
)


def asks(kind: str, *, upper: bool = False) -> _Question:
    name = "1.2.0.192.in-addr.arpa" if kind == "PTR" else "a.test"
    return _question(name.upper() if upper else name, kind)


@st.composite
def messages(draw: st.DrawFn) -> tuple[str, bytes]:
    """(kind asked for, an answer)."""
    kind = draw(st.sampled_from(KINDS))
    reply = dns.message.make_response(asks(kind).query, recursion_available=True)
    reply.id = 1
    for section in (reply.answer, reply.authority, reply.additional):
        for name, ttl, type_, text in draw(st.lists(records, max_size=4)):
            section.append(dns.rrset.from_text(name, ttl, "IN", type_, text))
    reply.set_rcode(draw(st.sampled_from([0, 2, 3, 5, 16])))
    reply.flags |= draw(st.sampled_from([0, dns.flags.AD]))
    if not draw(st.booleans()):
        reply.use_edns(False)
    return kind, reply.to_wire(max_size=65_535)


def differ(kind: str, wire: bytes) -> bool:
    """Whether both read it and see something else. (Whether it answers the question is asked elsewhere of the full one.)"""
    plain = _plainly(wire, asks(kind))
    if plain is None:
        return False
    return plain != _fully(dns.message.from_wire(wire, ignore_trailing=True), asks(kind).kind)


@given(messages())
def test_whole_answers(made: tuple[str, bytes]) -> None:
    assert not differ(*made)


@given(messages(), st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=4), st.integers(0, 400))
def test_damaged_answers(made: tuple[str, bytes], changes: list[tuple[int, int]], length: int) -> None:
    kind, wire = made
    spoilt = bytearray(wire)
    for at, byte in changes:
        spoilt[at % len(spoilt)] = byte
    assert not differ(kind, bytes(spoilt))
    assert not differ(kind, bytes(spoilt[:length]))


@given(st.binary(max_size=80), st.sampled_from(KINDS), st.integers(0, 3), st.integers(0, 3))
def test_whatever_follows_our_question(rest: bytes, kind: str, answers: int, others: int) -> None:
    head = bytes((0, 1, 0x81, 0x80, 0, 1, 0, answers, 0, 0, 0, others))
    assert not differ(kind, head + asks(kind).asked + rest)


@pytest.mark.parametrize("kind", [k for k in KINDS if k != "CAA"])
def test_plain_ones_are_read(kind: str) -> None:
    """With the signature and the OPT record that nearly all have; letters of another case are the same name."""
    asked = asks(kind)
    reply = dns.message.make_response(asks(kind, upper=True).query)
    for type_, text in [(kind, TEXTS[kind][0]), ("RRSIG", TEXTS["RRSIG"][0])]:
        reply.answer.append(dns.rrset.from_text("a.test.", 300, "IN", type_, text))
    reply.authority.append(dns.rrset.from_text("a.test.", 300, "IN", "NS", "ns1.a.test."))
    reply.additional.append(dns.rrset.from_text("ns1.a.test.", 300, "IN", "A", "192.0.2.53"))
    wire = reply.to_wire()
    plain = _plainly(wire, asked)
    assert plain is not None
    assert plain == _fully(dns.message.from_wire(wire), asked.kind)
    assert len(plain.answers) == 1
    reply.flags |= dns.flags.TC
    assert dns_answer.read(reply.to_wire(), asked.asked, asked.kind) is None
    other = asks("A" if kind != "A" else "AAAA")
    assert dns_answer.read(wire, other.asked, other.kind) is None


def test_a_missing_name_is_plain_too() -> None:
    asked = _question("a.test", "A")
    reply = dns.message.make_response(asked.query)
    reply.set_rcode(dns.rcode.NXDOMAIN)
    reply.authority.append(dns.rrset.from_text("test.", 300, "IN", "SOA", TEXTS["SOA"][0]))
    plain = _plainly(reply.to_wire(), asked)
    assert plain is not None
    assert (plain.rcode, plain.answers, plain.ttl_s) == ("NXDOMAIN", [], None)


def test_names_that_point_in_circles_or_forward_are_not_followed() -> None:
    question = _question("a.test", "A")
    head = bytes((0, 1, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0)) + question.asked
    at = len(head)
    rest = bytes((0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 7))
    for pointer in (at, at + 2, 0x3FFF):
        wire = head + (0xC000 | pointer).to_bytes(2, "big") + rest
        assert dns_answer.read(wire, question.asked, question.kind) is None
    assert dns_answer.read(head + b"\xc0\x0e" + rest, question.asked, question.kind) is not None
