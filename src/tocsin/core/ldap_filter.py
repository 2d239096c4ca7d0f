"""Search filters of LDAP, from the text that people write (RFC 4515) to the bytes of the protocol (RFC 4511)."""

from __future__ import annotations

import re

from tocsin.core import ber

_AND, _OR, _NOT, _EQUAL, _SUBSTRINGS, _GREATER, _LESS, _PRESENT, _APPROX, _EXTENSIBLE = (
    0xA0, 0xA1, 0xA2, 0xA3, 0xA4, 0xA5, 0xA6, 0x87, 0xA8, 0xA9,
)  # fmt: skip
_INITIAL, _ANY, _FINAL = 0x80, 0x81, 0x82
_RULE, _TYPE, _VALUE, _WITH_DN = 0x81, 0x82, 0x83, 0x84
MAX_DEPTH = 20
_ATTRIBUTE = r"[A-Za-z0-9][A-Za-z0-9.;_-]{0,199}"
_ITEM = re.compile(rf"({_ATTRIBUTE})\s*(=|>=|<=|~=)([^()]*)")
_MATCH = re.compile(rf"({_ATTRIBUTE})?(:dn)?(?::({_ATTRIBUTE}))?:=([^()]*)", re.IGNORECASE)


def encode(text: str) -> bytes:
    """The filter as the protocol has it. Raises ValueError, whose message says what is wrong and where."""
    text = text.strip()
    made, end = _filter(text, 0, MAX_DEPTH)
    if end != len(text):
        raise ValueError(f"something follows the last ) at character {end + 1}")
    return made


def _filter(text: str, at: int, depth: int) -> tuple[bytes, int]:
    if not depth:
        raise ValueError(f"more than {MAX_DEPTH} brackets are nested")
    if text[at : at + 1] != "(":
        raise ValueError(f"( expected at character {at + 1}")
    at += 1
    sign = text[at : at + 1]
    if sign and sign in "&|!":
        made, at = _joined(text, at + 1, sign, depth)
    else:
        made, at = _item(text, at)
    if text[at : at + 1] != ")":
        raise ValueError(f") expected at character {at + 1}")
    return made, _skip(text, at + 1)


def _joined(text: str, at: int, sign: str, depth: int) -> tuple[bytes, int]:
    parts: list[bytes] = []
    at = _skip(text, at)
    while text[at : at + 1] == "(":
        part, at = _filter(text, at, depth - 1)
        parts.append(part)
    if not parts or (sign == "!" and len(parts) > 1):
        raise ValueError(f"{'one filter' if sign == '!' else 'a filter'} expected after {sign} at character {at + 1}")
    return ber.encode({"&": _AND, "|": _OR, "!": _NOT}[sign], *parts), at


def _skip(text: str, at: int) -> int:
    while text[at : at + 1].isspace():
        at += 1
    return at


def _item(text: str, at: int) -> tuple[bytes, int]:
    if (item := _ITEM.match(text, at)) is not None:
        attribute, sign, value = item.groups()
        if sign == "=":
            return _equal(attribute, value, at), item.end()
        tag = {">=": _GREATER, "<=": _LESS, "~=": _APPROX}[sign]
        return ber.encode(tag, ber.octets(attribute), ber.octets(_value(value, at))), item.end()
    if (item := _MATCH.match(text, at)) is not None and (item[1] or item[3]):
        parts = [ber.octets(name, tag) for tag, name in ((_RULE, item[3]), (_TYPE, item[1])) if name]
        parts.append(ber.octets(_value(item[4], at), _VALUE))
        if item[2]:
            parts.append(ber.boolean(True, _WITH_DN))
        return ber.encode(_EXTENSIBLE, *parts), item.end()
    raise ValueError(f"attribute=value expected at character {at + 1}")


def _equal(attribute: str, value: str, at: int) -> bytes:
    if value == "*":
        return ber.octets(attribute, _PRESENT)
    if "*" not in value:
        return ber.encode(_EQUAL, ber.octets(attribute), ber.octets(_value(value, at)))
    first, *middle, last = value.split("*")
    parts = [(_INITIAL, first), *((_ANY, part) for part in middle), (_FINAL, last)]
    made = [ber.octets(_value(part, at), tag) for tag, part in parts if part]
    if not made:
        raise ValueError(f"something beside * expected at character {at + 1}")
    return ber.encode(_SUBSTRINGS, ber.octets(attribute), ber.encode(ber.SEQUENCE, *made))


def _value(text: str, at: int) -> bytes:
    r"""The bytes that a value stands for: \2a is an asterisk."""
    if "*" in text or re.search(r"\\(?![0-9A-Fa-f]{2})", text):
        raise ValueError(rf"\ and two hexadecimal digits expected for *, ( ) and \ in the value at character {at + 1}")
    return re.sub(rb"\\([0-9A-Fa-f]{2})", lambda found: bytes.fromhex(found[1].decode()), text.encode())
