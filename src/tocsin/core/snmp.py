"""SNMP as far as one GET goes: the messages of versions 1 and 2c, PDUs, values and what they must be (RFC 1157, 3416)."""

from __future__ import annotations

import ipaddress
import math
from dataclasses import dataclass

from tocsin.core import ber
from tocsin.core.ber import BrokenBer, Element

GET, RESPONSE, REPORT = 0xA0, 0xA2, 0xA8
_COUNTER, _GAUGE, _TICKS, _COUNTER64, _ADDRESS, _OPAQUE = 0x41, 0x42, 0x43, 0x46, 0x40, 0x44
_NUMBERS = {
    ber.INTEGER: "INTEGER", _COUNTER: "Counter32", _GAUGE: "Gauge32", _TICKS: "TimeTicks", _COUNTER64: "Counter64",
}  # fmt: skip
_NOTHING = {0x80: "no such object", 0x81: "no such instance of the object", 0x82: "nothing beyond this object"}
_ERRORS = {
    1: "the answer is too big", 2: "no such object", 3: "bad value", 4: "read only", 5: "general error", 6: "no access",
    16: "not authorized",
}  # fmt: skip


class NoValue(Exception):
    """The agent answers, but not with a value; the message says what it says instead."""


@dataclass(frozen=True, slots=True)
class Value:
    """What an object has: the name of its type, and the value itself (bytes that are no text as 0x…)."""

    type: str
    value: int | str | None


@dataclass(frozen=True, slots=True)
class Pdu:
    """The inside of an answer: its kind (RESPONSE or REPORT), the request it answers, and its first object."""

    tag: int
    request: int
    error: int
    oid: str
    value: Element


def get(request: int, oid: str) -> bytes:
    """The PDU that asks for one object."""
    asked = ber.encode(ber.SEQUENCE, ber.oid(oid), ber.encode(ber.NULL))
    return ber.encode(GET, ber.integer(request), ber.integer(0), ber.integer(0), ber.encode(ber.SEQUENCE, asked))


def message(version: str, community: str, pdu: bytes) -> bytes:
    """A whole message of version 1 or 2c."""
    return ber.encode(ber.SEQUENCE, ber.integer(0 if version == "1" else 1), ber.octets(community), pdu)


def read_message(wire: bytes, version: str) -> Pdu:
    """The PDU of a message of that version. Raises BrokenBer."""
    spoken, _, pdu = ber.expect(ber.read(wire)[0], ber.SEQUENCE, "a message").parts(3)[:3]
    number = ber.expect(spoken, ber.INTEGER, "a version").number()
    if number != (0 if version == "1" else 1):
        raise BrokenBer(f"version {version} expected, another one ({number}) found")
    return read_pdu(pdu)


def read_pdu(element: Element) -> Pdu:
    """The PDU that is this element. Raises BrokenBer."""
    if element.tag not in (RESPONSE, REPORT):
        raise BrokenBer(f"a response expected, tag 0x{element.tag:02x} found")
    request, error, _, objects = element.parts(4)[:4]
    pair = ber.expect(objects, ber.SEQUENCE, "a list of objects").parts(1)[0].parts(2)
    oid = ber.expect(pair[0], ber.OID, "an object's identifier").oid()
    number, code = (ber.expect(part, ber.INTEGER, "a number").number() for part in (request, error))
    return Pdu(element.tag, number, code, oid, pair[1])


def value_of(pdu: Pdu) -> Value:
    """The object's value. Raises NoValue, or BrokenBer for a type that SNMP does not have."""
    if pdu.error:
        raise NoValue(_ERRORS.get(pdu.error, f"error {pdu.error}"))
    element = pdu.value
    if element.tag in _NOTHING:
        raise NoValue(_NOTHING[element.tag])
    if element.tag in _NUMBERS:
        return Value(_NUMBERS[element.tag], element.number())
    match element.tag:
        case ber.OCTETS:
            return Value("OCTET STRING", _text(element.content))
        case ber.OID:
            return Value("OBJECT IDENTIFIER", element.oid())
        case ber.NULL:
            return Value("NULL", None)
        case tag if tag == _ADDRESS and len(element.content) == 4:
            return Value("IpAddress", str(ipaddress.IPv4Address(element.content)))
        case tag if tag == _OPAQUE:
            return Value("Opaque", "0x" + element.content.hex())
        case tag:
            raise BrokenBer(f"a value of a type that SNMP does not have, tag 0x{tag:02x}")


def _text(content: bytes) -> str:
    try:
        text = content.decode().removesuffix("\0")
    except UnicodeDecodeError:
        return "0x" + content.hex()
    return text if all(c.isprintable() or c in "\t\r\n" for c in text) else "0x" + content.hex()


def number_of(value: int | str | None) -> float | None:
    """The value as a number, also when it is one in the form of text, as agents have it for fractions."""
    try:
        number = float(value) if value is not None else math.nan
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def holds(found: int | str | None, op: str, wanted: str) -> bool:
    """Whether `found op wanted` is true: as numbers where both are, else as texts (which are not more or less)."""
    a, b = number_of(found), number_of(wanted)
    if op == "contains":
        return wanted in str(found)
    if a is not None and b is not None:
        return {"eq": a == b, "ne": a != b, "lt": a < b, "lte": a <= b, "gt": a > b, "gte": a >= b}[op]
    return {"eq": str(found) == wanted, "ne": str(found) != wanted}.get(op, False)
