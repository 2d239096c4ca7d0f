"""SNMP: one GET of one object, by version 1, 2c or 3, and whether its value is what it should be."""

from __future__ import annotations

import asyncio
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tocsin.checks._terms import Host, IpVersion, Port
from tocsin.core import ber, snmp
from tocsin.core.ber import BrokenBer
from tocsin.core.plain import LARGEST, clip, found
from tocsin.core.result import Observation, Timing
from tocsin.core.shape import Front, Help, Hidden, Length
from tocsin.core.snmp import NoValue, Pdu, Value
from tocsin.errors import CheckFailed, Invalid, Problem
from tocsin.net import Address, Net
from tocsin.net.progress import progress

TITLE, SAYS = "SNMP", "one object's value"

if TYPE_CHECKING:
    from tocsin.checks._usm import Security

UPTIME = "1.3.6.1.2.1.1.3.0"
_SIGNS = {"eq": "=", "ne": "not", "lt": "<", "lte": "at most", "gt": ">", "gte": "at least", "contains": "with"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A device whose SNMP agent should answer, and with the right value."""

    host: Host
    port: Port = 161
    oid: Annotated[
        str, Front, Length(3, 500), Help("Object to ask for; without one how long the agent has been up")
    ] = UPTIME
    version: Annotated[Literal["1", "2c", "3"], Front, Help("Version of SNMP")] = "2c"
    community: Annotated[str | None, Hidden, Front, Length(1, 255), Help("Community (1, 2c); else public")] = None
    user: Annotated[str | None, Length(1, 32), Help("User (3)")] = None
    auth: Annotated[
        Literal["md5", "sha1", "sha224", "sha256", "sha384", "sha512"], Help("How messages are made authentic (3)")
    ] = "sha256"
    auth_password: Annotated[str | None, Hidden, Length(8, 1000), Help("The user's password (3)")] = None
    privacy: Annotated[Literal["aes", "des"], Help("How messages are encrypted (3): AES-128 or DES")] = "aes"
    privacy_password: Annotated[str | None, Hidden, Length(8, 1000), Help("The password for encryption (3)")] = None
    context: Annotated[str, Length(0, 255), Help("Context name (3)")] = ""
    expect: Annotated[
        str | None, Front, Length(0, 1000), Help("What the value is compared with; any will do when empty")
    ] = None
    compare: Annotated[
        Literal["eq", "ne", "lt", "lte", "gt", "gte", "contains"],
        Help("How the value is compared with what is expected"),
    ] = "eq"
    ip_version: IpVersion = None

    def __post_init__(self) -> None:
        """What the marks cannot say. Raises Invalid."""
        problems: list[Problem] = []
        try:
            ber.oid(self.oid)
        except BrokenBer as error:
            problems.append(Problem("oid", f"an object such as {UPTIME} ({error})", found(self.oid)))
        if self.version == "3" and self.user is None:
            problems.append(Problem("user", "a user, as the version is 3", "nothing"))
        if self.version == "3" and self.community is not None:
            problems.append(Problem("community", "nothing, as the version is 3", "***"))
        if self.version != "3" and (self.user or self.auth_password or self.privacy_password):
            problems.append(Problem("version", "3, which alone has users", self.version))
        if self.privacy_password is not None and self.auth_password is None:
            problems.append(Problem("auth_password", "a password: nothing is encrypted without one", "nothing"))
        if self.compare in ("lt", "lte", "gt", "gte") and (self.expect is None or snmp.number_of(self.expect) is None):
            problems.append(Problem("expect", f"a number, as compare is {self.compare}", found(self.expect)))
        if problems:
            raise Invalid(*problems)


async def check(target: Target, net: Net) -> Observation:
    """Ask, and hold the value against what it should be."""
    here = progress()
    here.phase = "dns"
    began = time.perf_counter()
    address = (await net.resolve(target.host, target.port, ip_version=target.ip_version))[0]
    here.dns_ms = (time.perf_counter() - began) * 1000
    exchange = _Exchange(net, address)
    pdu = await (_by_user(target, exchange) if target.version == "3" else _by_community(target, exchange))
    timing = Timing(dns=here.dns_ms, ttfb=exchange.took_ms)
    facts: dict[str, Any] = {"oid": target.oid.removeprefix(".")} | ({"lost": exchange.lost} if exchange.lost else {})
    seen = Observation(timing=timing, ip=address.ip, facts=facts)
    try:
        value = snmp.value_of(pdu)
    except NoValue as nothing:
        raise CheckFailed("assertion", f"no value for {clip(target.oid, 80)}: {nothing}", observation=seen) from None
    except BrokenBer as broken:
        raise _broken(broken) from None
    facts |= {"type": value.type, "value": _shown(value.value)}
    if value.type == "TimeTicks" and isinstance(value.value, int):
        facts["seconds"] = value.value / 100
    _require(target, value, seen)
    return seen


def _shown(value: int | str | None) -> int | str | None:
    """The value as JSON can hold it everywhere."""
    if isinstance(value, str):
        return clip(value, 500)
    return str(value) if value is not None and value > LARGEST else value


def _require(target: Target, value: Value, seen: Observation) -> None:
    """Raise CheckFailed unless the value is what it should be."""
    if target.expect is not None and not snmp.holds(value.value, target.compare, target.expect):
        wanted = f"{_SIGNS[target.compare]} {clip(target.expect, 80)}".removeprefix("= ")
        shown = clip(str(value.value), 80) or "an empty text"
        raise CheckFailed("assertion", f"expected {wanted}, found {shown}", observation=seen)


def _broken(why: Exception) -> CheckFailed:
    return CheckFailed("protocol", f"the answer is no SNMP that was asked for: {why}", phase="ttfb")


class _Exchange:
    """Datagrams to one agent, and how long its answers took."""

    def __init__(self, net: Net, address: Address) -> None:
        self._net, self._address = net, address
        self.took_ms = 0.0
        self.lost = 0
        self.wrong = "the community is wrong"  # what may be behind a silence

    async def ask(self, wire: bytes) -> bytes:
        """The datagram that answers. One may be lost, so it is sent three times, each within half of what is left. An
        agent that is asked in a wrong way often says nothing at all, so silence is told with that in mind."""
        for last in (False, False, True):
            left = progress().remaining_s()
            began = time.perf_counter()
            try:
                async with asyncio.timeout(left * (0.8 if last else 0.5)):
                    answer = await self._net.datagram(self._address, wire)
            except TimeoutError:
                self.lost += 1
                continue
            self.took_ms += (time.perf_counter() - began) * 1000
            return answer
        said = f"no answer; agents are silent also when {self.wrong} or they do not let us ask"
        raise CheckFailed("timeout", said, phase="ttfb")


async def _by_community(target: Target, exchange: _Exchange) -> Pdu:
    number = secrets.randbits(31)
    wire = snmp.message(target.version, target.community or "public", snmp.get(number, target.oid))
    answer = await exchange.ask(wire)
    try:
        return _answering(snmp.read_message(answer, target.version), number)
    except BrokenBer as broken:
        raise _broken(broken) from None


def _answering(pdu: Pdu, number: int) -> Pdu:
    if pdu.tag != snmp.RESPONSE or pdu.request != number:
        raise BrokenBer("an answer to another request")
    return pdu


async def _by_user(target: Target, exchange: _Exchange) -> Pdu:
    """Find out who the engine is, then ask it; once more when its clock was another one than it had said."""
    from tocsin.checks import _usm  # cryptography, for those who use it

    security = _usm.Security(
        user=target.user or "",
        authentication=target.auth if target.auth_password else None,
        privacy=target.privacy if target.privacy_password else None,
        context=target.context,
    )
    try:
        exchange.wrong = "they do not speak version 3"
        await _sealed(security, exchange, UPTIME)
        if not security.engine.id:
            raise CheckFailed("protocol", "expected the name of the agent's engine, found none", phase="ttfb")
        exchange.wrong = "the password for privacy is wrong"
        await security.make_keys(target.auth_password, target.privacy_password)
        pdu, number = await _sealed(security, exchange, target.oid)
        if pdu.tag == snmp.REPORT and pdu.oid == _usm.NOT_IN_TIME:
            pdu, number = await _sealed(security, exchange, target.oid)
        if pdu.tag == snmp.REPORT:
            why = _usm.REPORTS.get(pdu.oid, f"the agent reports {pdu.oid}")
            raise CheckFailed("protocol", why, phase="ttfb")
        return _answering(pdu, number)
    except BrokenBer as broken:
        raise _broken(broken) from None


async def _sealed(security: Security, exchange: _Exchange, oid: str) -> tuple[Pdu, int]:
    """What an agent says to one question under that security, and the question's number."""
    number = secrets.randbits(31)
    answer = await exchange.ask(security.seal(number, snmp.get(number, oid)))
    return snmp.read_pdu(security.open(answer, number)), number
