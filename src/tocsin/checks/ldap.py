"""LDAP: sign in, search, count what is found, leave. Without a base the server's own entry (rootDSE) is read."""

from __future__ import annotations

import ipaddress
import time
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from msgspec.structs import replace

from tocsin.checks._terms import CaFile, ClientCert, ClientKey, Host, IpVersion, Port, ServerName, VerifyTls, wish
from tocsin.core import ber, ldap_filter
from tocsin.core.ber import BrokenBer, Element
from tocsin.core.plain import clip, found
from tocsin.core.result import Observation
from tocsin.core.shape import Front, Help, Hidden, Length, Range
from tocsin.errors import CheckFailed, Invalid, Problem
from tocsin.net import Connection, Net, starttls

TITLE, SAYS = "LDAP", "sign-in, a search"

OFFERS = ("certificate_days",)

_MOST_BYTES = 65_536  # of one message
_MOST_RECEIVED = 4 << 20  # of all messages
_MOST_ENTRIES = 1000
_BIND, _BOUND, _UNBIND, _SEARCH, _ENTRY, _DONE, _REFERENCE, _EXTENDED, _INTERMEDIATE = (
    0x60, 0x61, 0x42, 0x63, 0x64, 0x65, 0x73, 0x78, 0x79,
)  # fmt: skip
_SIMPLE = 0x80
_SCOPES = {"base": 0, "one": 1, "sub": 2}
_OF_THE_SERVER = {
    "namingContexts": "naming_contexts",
    "supportedLDAPVersion": "versions",
    "vendorName": "vendor",
    "vendorVersion": "vendor_version",
    "dnsHostName": "host_name",
    "serverName": "server_name",
}
_NO_SUCH_OBJECT, _SIZE_LIMIT = 32, 4
# Result codes of RFC 4511 that a check may well meet.
_CODES = {
    1: "operations error", 2: "protocol error", 3: "time limit exceeded", 4: "size limit exceeded",
    7: "this way to sign in is not supported", 8: "a stronger way to sign in is required",
    10: "it is on another server (referral)", 11: "administrative limit exceeded",
    13: "confidentiality required (TLS)", 16: "no such attribute", 18: "inappropriate matching",
    32: "no such object", 34: "invalid DN syntax", 48: "inappropriate authentication", 49: "invalid credentials",
    50: "insufficient access rights", 51: "busy", 52: "unavailable", 53: "unwilling to perform", 80: "other error",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """An LDAP directory that should let a user in and find entries."""

    host: Host
    port: Port = 389
    tls: Annotated[bool, Front, Help("Speak TLS from the start (port 636)")] = False
    starttls: Annotated[bool, Front, Help("Go over to TLS by StartTLS")] = False
    user: Annotated[
        str | None, Front, Length(1, 1000), Help("Sign in as this entry (its DN); else nobody signs in")
    ] = None
    password: Annotated[str | None, Hidden, Front, Length(1, 1000), Help("The user's password")] = None
    base: Annotated[
        str | None, Front, Length(1, 1000), Help("Where to search (a DN); else the server's own entry is read")
    ] = None
    scope: Annotated[Literal["base", "one", "sub"], Help("That entry, those right below it, or all below it")] = "sub"
    filter: Annotated[str, Front, Length(3, 2000), Help("What to search for")] = "(objectClass=*)"
    min_entries: Annotated[int, Range(0, _MOST_ENTRIES), Help("How many entries there must be at least")] = 1
    verify_tls: VerifyTls = True
    server_name: ServerName = None
    ca_file: CaFile = None
    client_cert: ClientCert = None
    client_key: ClientKey = None
    ip_version: IpVersion = None

    def __post_init__(self) -> None:
        """What the marks cannot say. Raises Invalid."""
        problems: list[Problem] = []
        if self.starttls and self.tls:
            problems.append(Problem("starttls", "either starttls or tls", "both"))
        if (self.user is None) != (self.password is None):
            lacking = "password" if self.password is None else "user"
            problems.append(Problem(lacking, "both user and password, or neither", "nothing"))
        try:
            ldap_filter.encode(self.filter)
        except ValueError as error:
            problems.append(Problem("filter", f"a search filter such as (uid=alice) ({error})", found(self.filter)))
        if problems:
            raise Invalid(*problems)


async def check(target: Target, net: Net) -> Observation:
    """Sign in where asked, search, and leave."""
    wanted = wish(target)
    at_once = wanted if target.tls else None
    async with net.connect(target.host, target.port, tls=at_once, ip_version=target.ip_version) as connection:
        if target.starttls:
            await starttls.ask(connection, "ldap")
            await connection.start_tls(wanted)
        server = _Server(connection)
        began = time.perf_counter()
        facts: dict[str, Any] = {}
        if target.user is not None:
            await _sign_in(server, target.user, target.password or "")
            facts["signed_in"] = True
        facts |= await _search(server, target)
        timing = replace(connection.timing, ttfb=server.first_answer_ms(began))
        seen = Observation(timing=timing, ip=connection.peer, tls=connection.tls, facts=facts)
        if target.base is not None and facts["entries"] < target.min_entries:
            said = f"expected at least {target.min_entries} entries, found {facts['entries']}"
            raise CheckFailed("assertion", said, observation=seen)
        await server.leave()
        return seen


class _Server:
    """The other side: requests go there by their number, and what answers them comes back."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._number = 1  # the one before was StartTLS
        self._received = 0
        self._answered_at: float | None = None

    def first_answer_ms(self, began: float) -> float | None:
        """From `began` to the first answer, in ms."""
        return None if self._answered_at is None else (self._answered_at - began) * 1000

    async def ask(self, operation: bytes) -> None:
        """Send a request."""
        self._number += 1
        await self.connection.write(ber.encode(ber.SEQUENCE, ber.integer(self._number), operation))

    async def answer(self) -> Element:
        """The next part of the answer to the latest request. CheckFailed for everything else that comes."""
        try:
            first, operation = ber.read(await self._message())[0].parts(2)[:2]
            number = ber.expect(first, ber.INTEGER, "a message's number").number()
            last_words = _result(operation)[1] if number == 0 and operation.tag == _EXTENDED else None
        except BrokenBer as broken:
            raise _broken(broken) from None
        if last_words is not None:
            raise CheckFailed("protocol", f"the server ends the session: {last_words}", phase="ttfb")
        if number != self._number:
            raise CheckFailed("protocol", f"an answer to request {number}, not to {self._number}", phase="ttfb")
        return operation

    async def _message(self) -> bytes:
        """One whole message."""
        head = await self.connection.read(2)
        if self._answered_at is None:
            self._answered_at = time.perf_counter()
        if head[0] != ber.SEQUENCE:
            raise CheckFailed("protocol", f"expected an LDAP message, found {clip(repr(head), 40)}", phase="ttfb")
        size, octets = ber.length_of(head[1:])
        if octets > 1:
            rest = await self.connection.read(octets - 1)
            head += rest
            size = int.from_bytes(rest, "big")
        if size > _MOST_BYTES:
            raise CheckFailed("protocol", f"a message of {size} bytes, at most {_MOST_BYTES} are taken", phase="ttfb")
        self._received += size
        if self._received > _MOST_RECEIVED:
            raise CheckFailed("protocol", f"{_MOST_RECEIVED} bytes came, and no end among them", phase="transfer")
        return head + await self.connection.read(size)

    async def leave(self) -> None:
        """Unbind: nothing answers to that."""
        try:
            await self.ask(ber.encode(_UNBIND))
        except CheckFailed:
            return


def _broken(why: Exception) -> CheckFailed:
    return CheckFailed("protocol", f"the answer is no LDAP: {why}", phase="ttfb")


def _result(operation: Element) -> tuple[int, str]:
    """(code, in words) of an operation that ends a request. Raises BrokenBer."""
    parts = operation.parts(3)
    code = ber.expect(parts[0], ber.ENUMERATED, "a result code").number()
    said = parts[2].content.decode("utf-8", "replace").rstrip("\0 ")
    words = f"{_CODES.get(code, 'result')} ({code})"
    return code, words + (f": {clip(said, 120)}" if said else "")


async def _sign_in(server: _Server, user: str, password: str) -> None:
    connection = server.connection
    if connection.tls is None and not ipaddress.ip_address(connection.peer).is_loopback:
        raise CheckFailed("protocol", "a password is not sent without TLS: use starttls or tls", phase="send")
    await server.ask(ber.encode(_BIND, ber.integer(3), ber.octets(user), ber.octets(password, _SIMPLE)))
    answer = await server.answer()
    try:
        code, words = _result(ber.expect(answer, _BOUND, "an answer to the sign-in"))
    except BrokenBer as broken:
        raise _broken(broken) from None
    if code:
        raise CheckFailed("protocol", f"the server did not let the user in: {words}", phase="ttfb")


async def _search(server: _Server, target: Target) -> dict[str, Any]:
    """How many entries there are, or what the server says of itself."""
    own = target.base is None
    scope = "base" if own else target.scope
    wanted = list(_OF_THE_SERVER) if own else ["1.1"]  # 1.1: no attributes, only that they are there
    await server.ask(
        ber.encode(
            _SEARCH,
            ber.octets(target.base or ""),
            ber.integer(_SCOPES[scope], ber.ENUMERATED),
            ber.integer(0, ber.ENUMERATED),
            ber.integer(_MOST_ENTRIES),
            ber.integer(0),
            ber.boolean(False),
            ldap_filter.encode("(objectClass=*)" if own else target.filter),
            ber.encode(ber.SEQUENCE, *(ber.octets(name) for name in wanted)),
        )
    )
    try:
        return await _count(server, own=own)
    except BrokenBer as broken:
        raise _broken(broken) from None


async def _count(server: _Server, *, own: bool) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    entries = 0
    for _ in range(3 * _MOST_ENTRIES):
        answer = await server.answer()
        if answer.tag == _ENTRY:
            entries += 1
            if own:
                facts |= _about(answer)
            if entries > _MOST_ENTRIES:
                raise CheckFailed("protocol", f"more entries than the {_MOST_ENTRIES} asked for", phase="transfer")
        elif answer.tag == _DONE:
            return _ended(answer, facts, entries, own=own)
        elif answer.tag not in (_REFERENCE, _INTERMEDIATE):
            raise BrokenBer(f"an entry or the end of the search expected, tag 0x{answer.tag:02x} found")
    raise CheckFailed("protocol", "a search that has no end", phase="transfer")


def _ended(answer: Element, facts: dict[str, Any], entries: int, *, own: bool) -> dict[str, Any]:
    code, words = _result(answer)
    if code == _NO_SUCH_OBJECT:
        raise CheckFailed("assertion", f"the base of the search is not there: {words}", phase="ttfb")
    if code and not (code == _SIZE_LIMIT and entries):
        raise CheckFailed("protocol", f"the search failed: {words}", phase="ttfb")
    if own:
        if not entries:
            raise CheckFailed("protocol", "the server does not show its own entry (rootDSE)", phase="ttfb")
        return facts
    return {"entries": entries} | ({"more": True} if code == _SIZE_LIMIT else {})


def _about(entry: Element) -> dict[str, Any]:
    """What the server's own entry says. Raises BrokenBer."""
    names = {name.lower(): fact for name, fact in _OF_THE_SERVER.items()}
    facts: dict[str, Any] = {}
    for attribute in entry.parts(2)[1].parts()[:50]:
        inner = attribute.parts(2)
        fact = names.get(inner[0].content.decode("utf-8", "replace").lower())
        values = [clip(v.content.decode("utf-8", "replace"), 200) for v in inner[1].parts()[:20]]
        if fact is not None and values:
            facts[fact] = values if fact in ("naming_contexts", "versions") else values[0]
    return facts
