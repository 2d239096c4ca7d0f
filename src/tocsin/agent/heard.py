"""What an agent sends, read with suspicion: shapes, limits, and what may be kept of it. Pure."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar

import msgspec
from msgspec.structs import replace

from tocsin.agent import wire
from tocsin.core.host_rule import HostFinding
from tocsin.core.plain import sound
from tocsin.core.sample import Service, parts
from tocsin.core.wording import one_line
from tocsin.errors import Invalid, Problem

T = TypeVar("T")
LARGEST_SEQ = 2**53
MOST_BATCHES, MOST_SERVICES, MOST_FACTS, MOST_FINDINGS = 2000, 2000, 100, 500
MOST_REFUSED = 20
"""So many reasons are named."""
OLDEST = timedelta(days=30)
LONGEST_WAIT = timedelta(days=2)
"""No rule waits longer for what it sees to last."""
_NO_NEGATIVE = ("_bytes", "_per_s", "_ms")
_GZIP = 16 + zlib.MAX_WBITS


class Look(NamedTuple):
    """What a collector saw at a second of our clock; nothing when it was `blind`."""

    seq: int
    at: datetime
    collector: str
    names: list[str]
    values: list[float]
    things: tuple[Service, ...] | None
    blind: bool = False


class Read(NamedTuple):
    """What may be kept of a message, and what was wrong with the rest of it."""

    looks: list[Look]
    refused: list[str]


def plain_body(raw: bytes, encoding: str) -> bytes:
    """The body, unpacked where it came packed; never more than MAX_BODY bytes of it. Raises Invalid."""
    if encoding in ("", "identity"):
        return raw
    if encoding != "gzip":
        raise Invalid(Problem("Content-Encoding", "gzip or none", repr(encoding[:40])))
    try:
        unpacker = zlib.decompressobj(_GZIP)
        body = unpacker.decompress(raw, wire.MAX_BODY + 1)
    except zlib.error as error:
        raise Invalid(Problem("", "a body packed by gzip", str(error)[:100])) from None
    if len(body) > wire.MAX_BODY:
        raise Invalid(Problem("", f"at most {wire.MAX_BODY} bytes, unpacked", "more"))
    if not unpacker.eof:
        raise Invalid(Problem("", "a whole body packed by gzip", "one that is cut off"))
    return body


def decoded(type_: type[T], body: bytes) -> T:
    """The message. Raises Invalid: what is wrong, and where."""
    try:
        return msgspec.json.decode(body, type=type_)
    except (msgspec.DecodeError, RecursionError, UnicodeError, OverflowError, ValueError) as error:
        raise Invalid(Problem("", "a message as agents speak", one_line(str(error), 200))) from None


def enrol_of(body: bytes) -> wire.Enrol:
    """Who wants to enrol."""
    given = decoded(wire.Enrol, body)
    _must_be_name(given.incarnation, "incarnation")
    name = one_line(given.name, 200)
    if not name:
        raise Invalid(Problem("name", "a name", "nothing"))
    tags = [one_line(tag, 64) for tag in given.tags[:50]]
    return replace(
        given, name=name, agent_version=one_line(given.agent_version, 40), facts=facts_of(given.facts),
        tags=[tag for tag in dict.fromkeys(tags) if tag],
    )  # fmt: skip


def heartbeat_of(body: bytes) -> wire.Heartbeat:
    """A heartbeat, its texts short enough to be kept and shown."""
    given = decoded(wire.Heartbeat, body)
    _may_be_name(given.incarnation, "incarnation")
    _may_be_name(given.life, "life")
    _must_have_zone(given.timestamp, "timestamp")
    started = given.started_at if given.started_at is not None and given.started_at.tzinfo is not None else None
    most = LARGEST_SEQ
    return replace(
        given, agent_version=one_line(given.agent_version, 40), config_error=one_line(given.config_error, 400),
        facts=facts_of(given.facts), troubles=facts_of(given.troubles), started_at=started,
        every_s=min(max(0.0, given.every_s), 86_400.0),
        late_s=given.late_s if 0 <= given.late_s < LARGEST_SEQ else 0.0,
        buffered=min(max(0, given.buffered), most), dropped=min(max(0, given.dropped), most),
        rss_bytes=min(max(0, given.rss_bytes), most), config_version=min(max(0, given.config_version), most),
    )  # fmt: skip


def samples_of(body: bytes, now: datetime, offset_s: float) -> tuple[tuple[str, str], Read]:
    """((incarnation, life) that speaks, what may be kept). `offset_s` is added to its times, and what lies ahead of ours
    is of now. Raises Invalid when the whole is no such message."""
    given = decoded(wire.Samples, body)
    _must_be_name(given.incarnation, "incarnation")
    _may_be_name(given.life, "life")
    if len(given.series) > wire.MOST_SERIES:
        raise Invalid(Problem("series", f"at most {wire.MOST_SERIES}", f"{len(given.series)}"))
    if len(given.batches) > MOST_BATCHES:
        raise Invalid(Problem("batches", f"at most {MOST_BATCHES}", f"{len(given.batches)}"))
    refused = _Reasons()
    names = [
        name if _is_series(name) else refused.note(f"{name[:80]!r} is no name of a series") for name in given.series
    ]
    looks: list[Look] = []
    last = 0
    for n, batch in enumerate(given.batches):
        where = f"batches[{n}]"
        if not last < batch.seq <= LARGEST_SEQ:
            raise Invalid(Problem(f"{where}.seq", f"more than {last}, at most {LARGEST_SEQ}", str(batch.seq)[:40]))
        last = batch.seq
        _must_have_zone(batch.at, f"{where}.at")
        at = min(batch.at + timedelta(seconds=offset_s), now)
        if now - at > OLDEST:
            refused.note(f"{where} is older than {OLDEST.days} days")
            looks.append(Look(batch.seq, now, "", [], [], None, blind=True))
            continue
        looks.append(_look(batch, at, names, refused))
    return (given.incarnation, given.life), Read(looks, refused.told)


def findings_of(body: bytes) -> wire.Findings:
    """Turns of an agent's rules, their texts short enough to be kept and shown."""
    given = decoded(wire.Findings, body)
    _must_be_name(given.incarnation, "incarnation")
    _may_be_name(given.life, "life")
    if len(given.findings) > MOST_FINDINGS:
        raise Invalid(Problem("findings", f"at most {MOST_FINDINGS}", f"{len(given.findings)}"))
    return replace(given, findings=[_finding(one, f"findings[{n}]") for n, one in enumerate(given.findings)])


def facts_of(given: dict[str, str]) -> dict[str, str]:
    """Some of it, each short."""
    return {one_line(k, 64): one_line(v, 300) for k, v in list(given.items())[:MOST_FACTS] if one_line(k, 64)}


class _Reasons:
    """What was refused, the first of it in words."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def note(self, words: str) -> None:
        if len(self.told) < MOST_REFUSED and words not in self.told:
            self.told.append(one_line(words, 200))


def _look(batch: wire.Batch, at: datetime, names: list[str | None], refused: _Reasons) -> Look:
    known: list[str] = []
    values: list[float] = []
    for index, value in batch.values:
        if not 0 <= index < len(names):
            refused.note(f"there is no series {index} in the message")
            continue
        name = names[index]
        if name is None:
            continue
        if not math.isfinite(value):
            refused.note(f"{name} is no number")
        elif value < 0 and name.partition("{")[0].endswith(_NO_NEGATIVE):
            refused.note(f"{name} cannot be less than nothing, found {value:g}")
        else:
            known.append(name)
            values.append(value)
    things = None if batch.services is None else tuple(_things(batch.services, refused))
    blind = bool(batch.trouble) and not things and not values
    return Look(batch.seq, at, one_line(batch.collector, 64), known, values, things, blind)


def _things(given: Iterable[Service], refused: _Reasons) -> Iterable[Service]:
    for n, thing in enumerate(given):
        if n >= MOST_SERVICES:
            refused.note(f"more than {MOST_SERVICES} services")
            return
        name = one_line(thing.name, 200)
        if not name or (thing.since is not None and thing.since.tzinfo is None):
            refused.note(f"service {thing.name[:80]!r} has no name, or a time without a zone")
            continue
        facts: dict[str, Any] = {}
        for key, value in list(thing.facts.items())[:50]:
            plain = one_line(value, 300) if isinstance(value, str) else value
            if isinstance(plain, int) and not isinstance(plain, bool) and abs(plain) > LARGEST_SEQ:
                plain = float(plain) if abs(plain) < 1e300 else None
            facts[one_line(key, 64)] = plain
        yield replace(
            thing, kind=one_line(thing.kind, 40), name=name, state=one_line(thing.state, 100),
            detail=one_line(thing.detail, 400), facts=facts,
        )  # fmt: skip


def _finding(one: HostFinding, where: str) -> HostFinding:
    for name, text in (("rule", one.rule), ("what", one.what)):
        if not text or len(text) > 300 or not sound(text) or "\n" in text:
            raise Invalid(Problem(f"{where}.{name}", "one line of 1 to 300 characters", repr(text[:80])))
    if not 1 <= one.number <= LARGEST_SEQ:
        raise Invalid(Problem(f"{where}.number", f"1 to {LARGEST_SEQ}", str(one.number)[:40]))
    _must_have_zone(one.at, f"{where}.at")
    if one.told_at is not None:
        _must_have_zone(one.told_at, f"{where}.told_at")
    since = one.since if one.since is not None and one.since.tzinfo is not None else None
    if since is not None and not timedelta() <= one.at - since <= LONGEST_WAIT:
        since = None
    value = one.value if one.value is not None and math.isfinite(one.value) else None
    return replace(
        one, rule_name=one_line(one.rule_name, 200) or one.rule, words=one_line(one.words, 400), value=value, since=since,
        told=tuple(id[:64] for id in one.told[:50] if sound(id)),
        channels=None if one.channels is None else tuple(id[:64] for id in one.channels[:50] if sound(id)),
    )  # fmt: skip


def _must_be_name(text: str, where: str) -> None:
    if not 1 <= len(text) <= 64 or not (text.isascii() and text.isprintable()):
        raise Invalid(Problem(where, "1 to 64 printable ASCII characters", repr(text[:80])))


def _may_be_name(text: str, where: str) -> None:
    if text:
        _must_be_name(text, where)


def _must_have_zone(at: datetime, where: str) -> None:
    if at.tzinfo is None or not 2000 <= at.year <= 9000:
        raise Invalid(Problem(where, "a time with its zone, after the year 2000", at.isoformat()[:40]))


@lru_cache(maxsize=50_000)
def _is_series(name: str) -> bool:
    try:
        parts(name)
    except ValueError:
        return False
    return sound(name) and "\n" not in name and "\t" not in name
