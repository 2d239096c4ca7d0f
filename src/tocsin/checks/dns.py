"""DNS: one question to one server; the answer, its code, and whether it is what it should be."""

from __future__ import annotations

import functools
import ipaddress
import secrets
import socket
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.reversename
from msgspec import Struct

from tocsin.checks._terms import CaFile
from tocsin.core import dns_answer
from tocsin.core.assertion import judge
from tocsin.core.monitor import Assertion
from tocsin.core.pattern import check_pattern, search
from tocsin.core.plain import clip
from tocsin.core.result import Observation, Timing
from tocsin.core.shape import Front, Help, Length, Pattern, Range
from tocsin.errors import CheckFailed, CheckInvalid, Invalid, Problem
from tocsin.net import Net, TlsWish
from tocsin.net.progress import progress
from tocsin.net.resolve import is_host

TITLE, SAYS = "DNS", "records and answers"

OFFERS = ("dns_answer",)

RecordType = Literal["A", "AAAA", "CNAME", "MX", "NS", "TXT", "SOA", "SRV", "CAA", "PTR"]
_MOST_ANSWERS = 100
_MOST_RECORDS = 1000  # of an answer that is read at all, which takes its time
_RESOLV_CONF = Path("/etc/resolv.conf")
_NO_TIME = datetime(1970, 1, 1, tzinfo=UTC)  # an answer is judged without the time


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A name that a DNS server should know."""

    name: Annotated[str, Length(1, 255), Help("Name to ask for; an address for PTR")]
    server: Annotated[
        str | None,
        Front,
        Pattern(r"[^\s/]{1,260}", "ADDRESS or ADDRESS:PORT"),
        Help("Server to ask, as ADDRESS or ADDRESS:PORT; else the system's first"),
    ] = None
    record_type: Annotated[RecordType, Front, Help("Kind of record")] = "A"
    expect: Annotated[tuple[str, ...], Front, Length(0, 50), Help("What the answer should be; any when empty")] = ()
    expect_mode: Annotated[
        Literal["set", "subset", "regex"],
        Help("set: the whole answer in any order; subset: among others; regex: each matches some answer"),
    ] = "set"
    min_serial: Annotated[
        int | None, Range(0, 4_294_967_295), Help("SOA: the serial is not older than this (RFC 1982)")
    ] = None
    protocol: Annotated[Literal["udp", "tcp", "tls"], Help("How to ask")] = "udp"
    rcode: Annotated[
        Literal["NOERROR", "NXDOMAIN", "SERVFAIL", "REFUSED"],
        Help("Response code that is right; NXDOMAIN: must not exist"),
    ] = "NOERROR"
    authenticated: Annotated[bool, Help("The server must have validated the answer by DNSSEC (AD flag)")] = False
    verify_tls: Annotated[bool, Help("The certificate of a TLS server must be valid")] = True
    ca_file: CaFile = None
    ip_version: Annotated[Literal[4, 6] | None, Help("Reach the server only over IPv4 or only over IPv6")] = None

    def __post_init__(self) -> None:
        """What the marks cannot say. Raises Invalid."""
        problems: list[Problem] = []
        try:
            _question_name(self.name, self.record_type)
        except (dns.exception.DNSException, ValueError):
            problems.append(
                Problem("name", "an address" if self.record_type == "PTR" else "a domain name", clip(self.name))
            )
        if self.server is not None and _server(self.server, 53) is None:
            problems.append(
                Problem("server", "ADDRESS or ADDRESS:PORT, an IPv6 address with a port in [ ]", clip(self.server))
            )
        if self.expect_mode == "regex":
            for i, pattern in enumerate(self.expect):
                problems += check_pattern(pattern, f"expect[{i}]")
        if self.min_serial is not None and self.record_type != "SOA":
            problems.append(
                Problem("min_serial", f"nothing, as {self.record_type} has no serial", str(self.min_serial))
            )
        if self.expect and self.rcode != "NOERROR":
            problems.append(Problem("expect", f"nothing, as rcode is {self.rcode}", f"{len(self.expect)} answers"))
        if problems:
            raise Invalid(*problems)


def summary(target: Target) -> str:
    """The name and what is asked of whom."""
    return f"{target.name} {target.record_type}" + (f" @{target.server}" if target.server else "")


async def check(target: Target, net: Net) -> Observation:
    """Ask, and hold the answer against what it should be."""
    host, port = _whom(target)
    exchange = _Exchange(target, net, host, port)
    answer = await exchange.run()
    observation = _seen(target, answer, exchange)
    _require(target, answer, observation)
    return observation


class _Question(Struct, frozen=True):
    """What is asked: as a message, as what is sent of it after its number, and its question alone."""

    query: dns.message.QueryMessage
    rest: bytes
    asked: bytes
    kind: dns.rdatatype.RdataType


class _Answer(Struct, frozen=True):
    """What a server said: flags, code, the records of the kind that was asked for, their shortest time to live."""

    flags: int
    rcode: str
    answers: list[str] = []
    ttl_s: int | None = None
    serial: int | None = None


@functools.lru_cache(4096)
def _question(name: str, record_type: str) -> _Question:
    """The question: the same each time, and dear to put together.

    DO asks for the AD flag. AD itself would ask too, but simple servers echo it and so would claim to validate."""
    place = _question_name(name, record_type)
    query = dns.message.make_query(place, record_type, want_dnssec=True, payload=1232)
    wire = query.to_wire()
    return _Question(query, wire[2:], wire[12 : 12 + len(place.to_wire() or b"") + 4], query.question[0].rdtype)


def _question_name(name: str, record_type: str) -> dns.name.Name:
    if record_type == "PTR":
        try:
            return dns.reversename.from_address(name)
        except dns.exception.SyntaxError:
            if not name.rstrip(".").lower().endswith(".arpa"):
                raise
    if any(c.isspace() for c in name):
        raise ValueError("no name that anybody asks for has a space in it")
    return dns.name.from_text(name)


@functools.lru_cache(4096)
def _server(text: str, port: int) -> tuple[str, int] | None:
    """Host and port of ADDRESS[:PORT], or None when it is neither."""
    try:
        return str(ipaddress.ip_address(text)), port
    except ValueError:
        pass
    host, colon, given = text.rpartition(":")
    if not colon:
        return (text, port) if is_host(text) else None
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        return None
    return (
        (host, int(given)) if is_host(host) and given.isascii() and given.isdigit() and 0 < int(given) < 65536 else None
    )


def _whom(target: Target) -> tuple[str, int]:
    usual = 853 if target.protocol == "tls" else 53
    if target.server is not None:
        pair = _server(target.server, usual)
        assert pair is not None
        return pair
    try:
        lines = _RESOLV_CONF.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise CheckInvalid(f"no server is named, and {_RESOLV_CONF} cannot be read: {error.strerror}") from None
    for line in lines:
        words = line.split()
        if len(words) > 1 and words[0] == "nameserver":
            return words[1], usual
    raise CheckInvalid(f"no server is named, and {_RESOLV_CONF} names none")


class _Exchange:
    """One question on its way: what was asked of whom, how, and how long it took."""

    def __init__(self, target: Target, net: Net, host: str, port: int) -> None:
        self.target, self.net, self.host, self.port = target, net, host, port
        self.question = _question(target.name, target.record_type)
        self.number = secrets.token_bytes(2)
        self.wire = self.number + self.question.rest
        self.protocol: str = target.protocol
        self.tries = 1
        self.timing = Timing()
        self.ip: str | None = None
        self.tls: Any = None

    async def run(self) -> _Answer:
        """The answer; CheckFailed when none comes or it is no answer to our question."""
        if self.protocol != "udp":
            return await self._by_stream()
        answer = await self._by_datagram()
        if answer.flags & dns_answer.TRUNCATED:
            self.protocol = "tcp"
            return await self._by_stream()
        return answer

    async def _by_datagram(self) -> _Answer:
        addresses = await self.net.resolve(self.host, self.port, ip_version=self.target.ip_version)
        self.ip = addresses[0].ip
        while True:
            began = time.perf_counter()
            last = self.tries == 3
            try:
                # A datagram may be lost: asked three times, each within half of what is left.
                wait_s = None if last else progress().remaining_s() / 2
                raw = await self.net.datagram(addresses[0], self.wire, wait_s=wait_s)
                break
            except TimeoutError:
                self.tries += 1
        self.timing = Timing(ttfb=(time.perf_counter() - began) * 1000)
        return self._read(raw)

    async def _by_stream(self) -> _Answer:
        wish = None
        if self.target.protocol == "tls":
            wish = TlsWish(verify=self.target.verify_tls, server_name=self.host, ca_file=self.target.ca_file)
        wire = self.wire
        async with self.net.connect(self.host, self.port, tls=wish, ip_version=self.target.ip_version) as connection:
            began = time.perf_counter()
            await connection.write(len(wire).to_bytes(2, "big") + wire)
            size = int.from_bytes(await connection.read(2), "big")
            raw = await connection.read(size)
            timing = connection.timing
            self.timing = Timing(
                dns=timing.dns, connect=timing.connect, tls=timing.tls, ttfb=(time.perf_counter() - began) * 1000
            )
            self.ip, self.tls = connection.peer, connection.tls
        answer = self._read(raw)
        if answer.flags & dns.flags.TC:
            raise CheckFailed("protocol", "an answer that says it is cut short, where it need not be", phase="ttfb")
        return answer

    def _read(self, raw: bytes) -> _Answer:
        count = sum(int.from_bytes(raw[at : at + 2], "big") for at in (6, 8, 10))
        if _MOST_RECORDS < count < len(raw):  # with more it is no answer: each takes some bytes
            raise CheckFailed("protocol", f"{count} records, at most {_MOST_RECORDS} are taken", phase="ttfb")
        if raw[:2] == self.number and (plain := _plainly(raw, self.question)) is not None:
            return plain
        try:
            answer = dns.message.from_wire(raw, ignore_trailing=True)
        except (dns.exception.DNSException, ValueError) as error:
            # A truncated datagram may end in the middle of a record; its header says so.
            if len(raw) >= 12 and raw[2] & 0x02 and self.protocol == "udp" and raw[:2] == self.number:
                return _Answer(dns.flags.QR | dns.flags.TC, "NOERROR")
            raise CheckFailed(
                "protocol", f"not a DNS answer: {clip(str(error) or type(error).__name__)}", phase="ttfb"
            ) from None
        if raw[:2] != self.number or not answer.flags & dns.flags.QR or not self._same_question(answer):
            raise CheckFailed("protocol", "an answer to another question", phase="ttfb")
        return _fully(answer, self.question.kind)

    def _same_question(self, answer: dns.message.Message) -> bool:
        """Servers may leave the question out of an error, never put another one in."""
        if not answer.question:
            return answer.rcode() != dns.rcode.NOERROR or bool(answer.flags & dns.flags.TC)
        asked, given = self.question.query.question[0], answer.question[0]
        return len(answer.question) == 1 and (asked.name, asked.rdtype) == (given.name, given.rdtype)


def _plainly(raw: bytes, question: _Question) -> _Answer | None:
    """The answer, when it is a plain one: the same as `_fully` gives, for a fraction of the price (docs/adr/0011)."""
    plain = dns_answer.read(raw, question.asked, question.kind)
    if plain is None:
        return None
    serial = None
    if question.kind == dns.rdatatype.A:
        answers = [socket.inet_ntoa(raw[start : start + 4]) for start, _ in plain.places]
    else:
        found: list[Any] = [
            dns.rdata.from_wire(dns.rdataclass.IN, question.kind, raw, start, size) for start, size in plain.places
        ]
        answers = [_text(rdata) for rdata in found]
        if question.kind == dns.rdatatype.SOA and found:
            serial = int(found[0].serial)
    if len(answers) > 1 and len({answer.lower() for answer in answers}) < len(answers):
        return None  # records that are there twice count once
    return _Answer(plain.flags, _code(plain.flags & 0xF), answers, plain.ttl_s, serial)


def _fully(answer: dns.message.Message, kind: dns.rdatatype.RdataType) -> _Answer:
    """What dnspython sees in an answer."""
    sets: list[Any] = [s for s in answer.answer if s.rdtype == kind]
    return _Answer(
        flags=int(answer.flags),
        rcode=_code(answer.rcode()),
        answers=[_text(rdata) for s in sets for rdata in s],
        ttl_s=min(s.ttl for s in sets) if sets else None,
        serial=int(sets[0][0].serial) if kind == dns.rdatatype.SOA and sets else None,
    )


@functools.cache
def _code(number: int) -> str:
    return dns.rcode.to_text(dns.rcode.Rcode(number))


def _seen(target: Target, answer: _Answer, exchange: _Exchange) -> Observation:
    facts: dict[str, Any] = {
        "record_type": target.record_type,
        "answers": sorted(answer.answers[:_MOST_ANSWERS]),
        "rcode": answer.rcode,
        "authenticated": bool(answer.flags & dns_answer.AUTHENTICATED),
        "server": f"{exchange.ip or exchange.host} port {exchange.port}",
        "protocol": exchange.protocol,
    }
    if answer.serial is not None:
        facts["serial"] = answer.serial
    if answer.ttl_s is not None:
        facts["ttl_s"] = answer.ttl_s
    if exchange.tries > 1:
        facts["tries"] = exchange.tries
    return Observation(timing=exchange.timing, ip=exchange.ip, tls=exchange.tls, facts=facts)


def _text(rdata: Any) -> str:
    """A record as text; the parts of a TXT record joined as their readers do."""
    strings = getattr(rdata, "strings", None)
    text = b"".join(strings).decode("utf-8", "replace") if strings is not None else rdata.to_text()
    return clip(text, 1000)


def _require(target: Target, answer: _Answer, seen: Observation) -> None:
    """Raise CheckFailed unless the answer is what it should be."""
    rcode = answer.rcode
    if rcode != target.rcode:
        if target.rcode != "NOERROR":
            raise CheckFailed("assertion", f"expected {target.rcode}, found {rcode}", observation=seen)
        why = " (the name does not exist)" if rcode == "NXDOMAIN" else ""
        raise CheckFailed("dns", f"{target.name}: {rcode}{why}", phase="ttfb", observation=seen)
    if rcode == "NOERROR" and not seen.facts["answers"]:
        raise CheckFailed("dns", f"{target.name} has no {target.record_type} record", phase="ttfb", observation=seen)
    if target.expect:
        _require_answers(target, seen)
    if target.min_serial is not None and not _at_least(seen.facts.get("serial", 0), target.min_serial):
        found = f"expected a serial not older than {target.min_serial}, found {seen.facts.get('serial')}"
        raise CheckFailed("assertion", found, observation=seen)
    if target.authenticated and not seen.facts["authenticated"]:
        raise CheckFailed("assertion", "expected an answer validated by DNSSEC, found no AD flag", observation=seen)


def _at_least(serial: int, least: int) -> bool:
    """Whether a zone's serial is that one or newer, as numbers that wrap around (RFC 1982)."""
    return (serial - least) % 2**32 < 2**31


def _require_answers(target: Target, seen: Observation) -> None:
    if target.expect_mode == "regex":
        answers = [str(a).encode() for a in seen.facts["answers"]]
        for pattern in target.expect:
            if not any(search(pattern, answer).hit for answer in answers):
                found = b", ".join(answers).decode() or "nothing"
                message = f"expected an answer like {clip(pattern, 100)}, found {clip(found, 200)}"
                raise CheckFailed("assertion", message, observation=seen)
        return
    op = "eq" if target.expect_mode == "set" else "contains"
    expected = Assertion(type="dns_answer", op=op, value=list(target.expect))
    (result,) = judge((expected,), seen, _NO_TIME)
    if not result.ok:
        wanted, found = ", ".join(sorted(result.expected)), ", ".join(result.actual) or "nothing"
        raise CheckFailed("assertion", f"expected {clip(wanted, 200)}, found {clip(found, 200)}", observation=seen)
