"""BER (ITU-T X.690), as far as LDAP and SNMP use it: tags of one byte, definite lengths. Reading never recurses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

INTEGER, OCTETS, NULL, OID, ENUMERATED, SEQUENCE, SET = 0x02, 0x04, 0x05, 0x06, 0x0A, 0x30, 0x31
BOOLEAN = 0x01
_LONGEST_OID = 128  # arcs, as SNMP has it


class BrokenBer(ValueError):
    """What was read is no BER, or not what is expected there; the message says which."""


@dataclass(frozen=True, slots=True)
class Element:
    """One value: its tag, and its content still encoded."""

    tag: int
    content: bytes

    def parts(self, least: int = 0) -> list[Element]:
        """What a value that holds others holds; BrokenBer when it is fewer than `least`."""
        parts = list(read_all(self.content))
        if len(parts) < least:
            raise BrokenBer(f"{least} parts expected, {len(parts)} found")
        return parts

    def number(self) -> int:
        """The content as a whole number, of at most 64 bits."""
        if not 1 <= len(self.content) <= 9:
            raise BrokenBer(f"a number of {len(self.content)} bytes")
        return int.from_bytes(self.content, "big", signed=True)

    def oid(self) -> str:
        """The content as an object identifier: 1.3.6.1 …"""
        return _read_oid(self.content)


def encode(tag: int, *contents: bytes) -> bytes:
    """One value with this tag, its content put together from these."""
    content = b"".join(contents)
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(octets))) + octets + content


def integer(value: int, tag: int = INTEGER) -> bytes:
    """A whole number (or what is written like one, by its tag)."""
    return encode(tag, value.to_bytes((value if value >= 0 else ~value).bit_length() // 8 + 1, "big", signed=True))


def octets(value: bytes | str, tag: int = OCTETS) -> bytes:
    """Bytes, or text as UTF-8."""
    return encode(tag, value.encode() if isinstance(value, str) else value)


def boolean(value: bool, tag: int = BOOLEAN) -> bytes:
    """True or false."""
    return encode(tag, b"\xff" if value else b"\0")


def oid(text: str) -> bytes:
    """An object identifier such as 1.3.6.1; BrokenBer for what is none."""
    words = text.strip().removeprefix(".").split(".")
    if not 2 <= len(words) <= _LONGEST_OID or not all(w.isascii() and w.isdigit() and len(w) <= 10 for w in words):
        raise BrokenBer(f"an object identifier has 2 to {_LONGEST_OID} numbers with dots between them")
    first, second, *rest = (int(w) for w in words)
    if first > 2 or (first < 2 and second > 39) or any(n >= 1 << 32 for n in (second, *rest)):
        raise BrokenBer("an object identifier begins with 0, 1 or 2, and its numbers have at most 32 bits")
    return encode(OID, *(_arc(n) for n in (first * 40 + second, *rest)))


def _arc(number: int) -> bytes:
    digits = [number & 0x7F]
    while number := number >> 7:
        digits.append(0x80 | number & 0x7F)
    return bytes(reversed(digits))


def _read_oid(content: bytes) -> str:
    arcs: list[int] = []
    number = 0
    if not content or content[-1] & 0x80:
        raise BrokenBer("an object identifier that has no end")
    for byte in content:
        number = number << 7 | byte & 0x7F
        if number >= 1 << 36 or len(arcs) > _LONGEST_OID:
            raise BrokenBer("an object identifier that is too long")
        if not byte & 0x80:
            arcs.append(number)
            number = 0
    first = min(arcs[0] // 40, 2)
    return ".".join(str(n) for n in (first, arcs[0] - 40 * first, *arcs[1:]))


def length_of(head: bytes) -> tuple[int, int]:
    """(length, bytes of the head it takes) from the bytes after the tag; raises BrokenBer. When the head is longer than
    what is given, the length is -1."""
    first = head[0]
    if first < 0x80:
        return first, 1
    count = first & 0x7F
    if not 1 <= count <= 4:
        raise BrokenBer("a length in a form that is not used")
    return (int.from_bytes(head[1 : 1 + count], "big") if len(head) > count else -1), 1 + count


def read(data: bytes, at: int = 0) -> tuple[Element, int]:
    """The value that begins there, and where the next one does."""
    if len(data) < at + 2:
        raise BrokenBer("it ends where a value should begin")
    tag = data[at]
    if tag & 0x1F == 0x1F:
        raise BrokenBer("a tag of more than one byte")
    size, head = length_of(data[at + 1 : at + 6])
    start = at + 1 + head
    if size < 0 or start + size > len(data):
        raise BrokenBer("it ends in the middle of a value")
    return Element(tag, data[start : start + size]), start + size


def read_all(data: bytes) -> Iterator[Element]:
    """Every value, one after the other, to the end."""
    at = 0
    while at < len(data):
        element, at = read(data, at)
        yield element


def expect(element: Element, tag: int, what: str) -> Element:
    """The element, when it has this tag; BrokenBer names what was expected."""
    if element.tag != tag:
        raise BrokenBer(f"{what} expected, tag 0x{element.tag:02x} found")
    return element
