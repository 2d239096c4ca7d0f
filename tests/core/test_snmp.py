"""SNMP: the bytes of a GET, values of every type, comparisons, and whatever bytes come."""

# ruff: noqa: E501

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.core import ber, snmp
from tocsin.core.ber import BrokenBer
from tocsin.core.snmp import NoValue, Pdu


def answer(value: bytes, error: int = 0) -> Pdu:
    objects = ber.encode(ber.SEQUENCE, ber.encode(ber.SEQUENCE, ber.oid("1.3.6.1"), value))
    pdu = ber.encode(snmp.RESPONSE, ber.integer(7), ber.integer(error), ber.integer(0), objects)
    return snmp.read_message(snmp.message("2c", "public", pdu), "2c")


def test_a_question() -> None:
    """The bytes of a GET by the ASN.1 of RFC 1157 and 3416."""
    wire = snmp.message("2c", "public", snmp.get(1, "1.3.6.1.2.1.1.3.0"))
    assert wire.hex() == "302602010104067075626c6963a019020101020100020100300e300c06082b060102010103000500"
    assert snmp.message("1", "public", snmp.get(1, "1.3.6.1.2.1.1.3.0"))[4] == 0


@pytest.mark.parametrize(
    ("wire", "type_", "value"),
    [
        (ber.integer(-5), "INTEGER", -5), (ber.integer(1 << 31, 0x41), "Counter32", 1 << 31), (ber.integer((1 << 64) - 1, 0x46), "Counter64", (1 << 64) - 1),
        (ber.integer(100, 0x43), "TimeTicks", 100), (ber.integer(3, 0x42), "Gauge32", 3), (ber.octets("höflich\n"), "OCTET STRING", "höflich\n"), (ber.octets("a\0"), "OCTET STRING", "a"),
        (ber.octets(b"\x00\x1b\xff"), "OCTET STRING", "0x001bff"), (ber.octets("a\x1b[31m"), "OCTET STRING", "0x611b5b33316d"), (ber.oid("1.3.6"), "OBJECT IDENTIFIER", "1.3.6"),
        (ber.octets(bytes((192, 0, 2, 1)), 0x40), "IpAddress", "192.0.2.1"), (ber.octets(b"\x9f", 0x44), "Opaque", "0x9f"), (ber.encode(ber.NULL), "NULL", None),
    ],
)  # fmt: skip
def test_values(wire: bytes, type_: str, value: object) -> None:
    read = snmp.value_of(answer(wire))
    assert (read.type, read.value) == (type_, value)


@pytest.mark.parametrize(
    ("pdu", "says"),
    [(answer(ber.encode(0x80)), "no such object"), (answer(ber.encode(0x81)), "no such instance"), (answer(ber.encode(0x82)), "beyond"),
     (answer(ber.encode(ber.NULL), 2), "no such object"), (answer(ber.encode(ber.NULL), 16), "not authorized"), (answer(ber.encode(ber.NULL), 99), "error 99")],
)  # fmt: skip
def test_answers_without_a_value(pdu: Pdu, says: str) -> None:
    with pytest.raises(NoValue, match=says):
        snmp.value_of(pdu)


def test_types_that_snmp_does_not_have() -> None:
    for wire in (ber.octets("x", 0x47), ber.octets("12345", 0x40), ber.boolean(True)):
        with pytest.raises(BrokenBer):
            snmp.value_of(answer(wire))


@pytest.mark.parametrize(
    ("found", "op", "wanted", "so"),
    [
        (5, "eq", "5", True), (5, "eq", "5.0", True), ("0.42", "lt", "0.5", True), ("0.42", "gt", "0.5", False), (5, "gte", "5", True), (5, "lte", "4", False),
        (5, "ne", "5", False), ("up", "eq", "up", True), ("up", "ne", "down", True), ("up", "gt", "1", False), ("core switch", "contains", "switch", True),
        (1234, "contains", "23", True), ("nan", "eq", "nan", True), ("inf", "gt", "1", False), (None, "eq", "None", True), ("", "eq", "", True), ((1 << 64) - 1, "gt", "1", True),
    ],
)  # fmt: skip
def test_comparisons(found: int | str | None, op: str, wanted: str, so: bool) -> None:
    assert snmp.holds(found, op, wanted) is so


@given(st.binary(max_size=80))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    for wire in (data, ber.encode(ber.SEQUENCE, ber.integer(1), ber.octets("x"), ber.encode(snmp.RESPONSE, data))):
        try:
            pdu = snmp.read_message(wire, "2c")
        except BrokenBer as broken:
            why = str(broken)
            assert why
            continue
        assert pdu.tag in (snmp.RESPONSE, snmp.REPORT)
        assert pdu.oid.count(".") >= 1
        assert pdu.value.content in wire
        try:
            value = snmp.value_of(pdu)
        except (BrokenBer, NoValue) as nothing:
            why = str(nothing)
            assert why
            continue
        assert pdu.error == 0
        assert value.type
        assert isinstance(value.value, int | str | None)


@given(
    st.binary(max_size=80),
    st.sampled_from([2, 4, 5, 6, 0x40, 0x41, 0x42, 0x43, 0x44, 0x46, 0x80, 0x81, 0x82, 0x30, 0x47]),
)
def test_any_value_is_read_or_refused(content: bytes, tag: int) -> None:
    """Every value that an agent may send is a number, a text that can be shown, nothing, or refused in words."""
    try:
        value = snmp.value_of(answer(ber.octets(content, tag)))
    except (BrokenBer, NoValue) as refusal:
        why = str(refusal)
        assert why
        assert tag not in (4, 5, 0x44)
        return
    assert tag in (2, 4, 5, 6, 0x40, 0x41, 0x42, 0x43, 0x44, 0x46)
    if isinstance(value.value, int):
        assert value.value == int.from_bytes(content, "big", signed=True)
    elif value.value is not None:
        shown = value.value
        assert all(c.isprintable() or c in "\t\r\n" for c in shown)
        if tag == 4 and shown.startswith("0x") and not content.startswith(b"0x"):
            assert bytes.fromhex(shown[2:]) == content
        elif tag == 4:
            assert shown.encode() == content.removesuffix(b"\0")
