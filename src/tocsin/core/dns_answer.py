"""Plain DNS answers, read without a library (RFC 1035, 3596, 6891): those that nearly every check gets.

`read` accepts only what dnspython accepts, and sees in it what dnspython sees; of anything else it says that it is not
plain, and a full reader has to look. So it can refuse whatever it likes, and never needs to name what is wrong."""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct, error

A, NS, CNAME, SOA, PTR, MX, TXT, AAAA, SRV, OPT, RRSIG = 1, 2, 5, 6, 12, 15, 16, 28, 33, 41, 46
ALONE = (CNAME, SOA)
"""Of these a name has one."""
MOST_RECORDS = 200
_HEAD, _RECORD, _TIMES = Struct("!HHHHHH"), Struct("!HHIH"), Struct("!5I")
_IN = 1
_REPLY, _OTHER_KIND, TRUNCATED, AUTHENTICATED = 0x8000, 0x7800, 0x0200, 0x0020
"""Flags of the header."""
_MOST_JUMPS = 16
_LONGEST_TIME = 0x7FFFFFFF
_FIRST_NAME = b"\xc0\x0c"  # points at the question

_BEFORE_NAME = {NS: 0, CNAME: 0, PTR: 0, MX: 2, SRV: 6}
"""How many bytes come before the name with which data of this kind ends."""


@dataclass(frozen=True, slots=True)
class Plain:
    """An answer to our question: the header's flags, where the data of each record of the wanted kind begins and how
    long it is, and the shortest time to live of them (None without any)."""

    flags: int
    places: tuple[tuple[int, int], ...]
    ttl_s: int | None


class _NotPlain(Exception):
    """A full reader has to look."""


def read(wire: bytes, question: bytes, kind: int) -> Plain | None:
    """What an answer to this question (name, kind and class as they were sent) says in records of that kind; None when
    it is anything but plain: truncated, an error in more than its code, with records of rarer kinds, broken, no answer."""
    try:
        return _read(wire, question, kind)
    except (_NotPlain, error, IndexError):
        return None


def _read(wire: bytes, question: bytes, kind: int) -> Plain:
    _, flags, questions, answers, authorities, others = _HEAD.unpack_from(wire)
    at = 12 + len(question)
    if not flags & _REPLY or flags & (_OTHER_KIND | TRUNCATED) or questions != 1:
        raise _NotPlain
    if answers + authorities + others > MOST_RECORDS or not _same(wire[12:at], question):
        raise _NotPlain
    places: list[tuple[int, int]] = []
    ttl_s: int | None = None
    for n in range(answers + authorities):
        found, ttl, start, at = _record(wire, at)
        if n < answers and found == kind:
            ttl = 0 if ttl > _LONGEST_TIME else ttl
            ttl_s = ttl if ttl_s is None or ttl < ttl_s else ttl_s
            places.append((start, at - start))
    extended = False
    for _ in range(others):
        if wire[at] == 0 and _RECORD.unpack_from(wire, at + 1)[0] == OPT:
            at = _extension(wire, at + 1, again=extended)
            extended = True
        else:
            *_, at = _record(wire, at)
    if kind in ALONE and len(places) > 1:
        raise _NotPlain
    return Plain(flags, tuple(places), ttl_s)


def _same(given: bytes, asked: bytes) -> bool:
    """Whether it is the same question, whatever the case of its letters. (No length of a label looks like a letter.)"""
    return given == asked or (given[-4:] == asked[-4:] and given[:-4].lower() == asked[:-4].lower())


def _record(wire: bytes, at: int) -> tuple[int, int, int, int]:
    """(kind, time to live, where its data begins, where it ends) of the record there."""
    at = at + 2 if wire[at : at + 2] == _FIRST_NAME else _name(wire, at, len(wire))
    kind, class_, ttl, size = _RECORD.unpack_from(wire, at)
    start = at + 10
    end = start + size
    if class_ != _IN or end > len(wire):
        raise _NotPlain
    if kind in (A, AAAA):
        if size != (4 if kind == A else 16):
            raise _NotPlain
    elif kind in _BEFORE_NAME:
        if _name(wire, start + _BEFORE_NAME[kind], end) != end:
            raise _NotPlain
    else:
        _rarer(wire, kind, start, end)
    return kind, ttl, start, end


def _rarer(wire: bytes, kind: int, start: int, end: int) -> None:
    if kind == SOA:
        at = _name(wire, _name(wire, start, end), end)
        if at + 20 != end or max(_TIMES.unpack_from(wire, at)[1:]) > _LONGEST_TIME:
            raise _NotPlain
    elif kind == TXT:
        at = start
        while at < end:
            at += 1 + wire[at]
        if at != end or start == end:
            raise _NotPlain
    elif kind == RRSIG:
        if start + 18 >= end or wire[start + 4] & 0x80 or _name(wire, start + 18, end, jumps=0) > end:
            raise _NotPlain
    else:
        raise _NotPlain


def _extension(wire: bytes, at: int, *, again: bool) -> int:
    """Where an OPT record ends, of which only its presence says something: no options, no higher bits of the code."""
    _, _, more, size = _RECORD.unpack_from(wire, at)
    if again or size or more >> 24:
        raise _NotPlain
    return at + 10


def _name(wire: bytes, at: int, end: int, jumps: int = _MOST_JUMPS) -> int:
    """Where the name there ends. Each part it points to must end before the part that points to it begins."""
    after, start, total = -1, at, 1
    while True:
        if at >= end:
            raise _NotPlain
        count = wire[at]
        if count == 0:
            return at + 1 if after < 0 else after
        if count < 64:
            total += 1 + count
            at += 1 + count
            if total > 255 or at > end:
                raise _NotPlain
        else:
            if count < 192 or at + 2 > end or jumps == 0:
                raise _NotPlain
            after = at + 2 if after < 0 else after
            jumps -= 1
            at, end = (count & 0x3F) << 8 | wire[at + 1], start
            if at >= start:
                raise _NotPlain
            start = at
