"""Who may be contacted: the one place that decides it, asked for every address before we connect and again after."""

from __future__ import annotations

import errno
import ipaddress
import socket
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Literal

from tocsin.errors import EgressRefused

Mode = Literal["private", "public"]
Ip = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


def _networks(*rows: tuple[str, str]) -> tuple[tuple[Network, str], ...]:
    return tuple((ipaddress.ip_network(text), what) for text, what in rows)


# Refused in both modes. Metadata first: its reason says more than "link-local".
_NEVER = _networks(
    ("169.254.169.254/32", "a cloud metadata address"),
    ("169.254.170.2/32", "a cloud metadata address"),
    ("168.63.129.16/32", "a cloud metadata address"),
    ("100.100.100.200/32", "a cloud metadata address"),
    ("192.0.0.192/32", "a cloud metadata address"),
    ("fd00:ec2::/32", "a cloud metadata address"),
    ("fd20:ce::254/128", "a cloud metadata address"),
    ("169.254.0.0/16", "a link-local address"),
    ("fe80::/10", "a link-local address"),
    ("0.0.0.0/8", "an unspecified address"),
    ("::/128", "an unspecified address"),
    ("224.0.0.0/4", "a multicast address"),
    ("ff00::/8", "a multicast address"),
    ("255.255.255.255/32", "the broadcast address"),
)

# Refused in public mode only: what does not lie on the public internet.
_NOT_PUBLIC = _networks(
    ("127.0.0.0/8", "a loopback address"),
    ("::1/128", "a loopback address"),
    ("10.0.0.0/8", "a private address"),
    ("172.16.0.0/12", "a private address"),
    ("192.168.0.0/16", "a private address"),
    ("fc00::/7", "a private address"),
    ("fec0::/10", "a site-local address"),
    ("100.64.0.0/10", "a carrier-grade NAT address"),
    ("192.0.0.0/24", "a reserved address"),
    ("192.0.2.0/24", "a documentation address"),
    ("198.51.100.0/24", "a documentation address"),
    ("203.0.113.0/24", "a documentation address"),
    ("192.88.99.0/24", "a relay address"),
    ("198.18.0.0/15", "a benchmarking address"),
    ("240.0.0.0/4", "a reserved address"),
    ("64:ff9b:1::/48", "a local translation address"),
    ("100::/64", "a discard address"),
    ("100:0:0:1::/64", "a reserved address"),
    ("2001:2::/48", "a benchmarking address"),
    ("2001:10::/28", "a reserved address"),
    ("2001:20::/28", "a reserved address"),
    ("2001:db8::/32", "a documentation address"),
    ("3fff::/20", "a documentation address"),
    ("5f00::/16", "a reserved address"),
)

METADATA_NAMES = frozenset(
    {
        "metadata",
        "metadata.google.internal",
        "metadata.goog",
        "instance-data",
        "instance-data.ec2.internal",
        "metadata.azure.internal",
        "metadata.azure.com",
        "metadata.packet.net",
        "metadata.platformequinix.com",
        "metadata.tencentyun.com",
        "metadata.oraclecloud.com",
        "metadata.nebula",
    }
)

_MEMORY = 20_000  # addresses whose answer is remembered; forgotten all at once when full


class Egress:
    """The guard. `mode` is the operator's choice, `own` the (ip, port) pairs this server listens on (ip None: any)."""

    def __init__(self, mode: Mode = "private", own: Iterable[tuple[str | None, int]] = ()) -> None:
        self.mode: Mode = mode
        self._own: dict[int, set[str | None]] = {}
        for ip, port in own:
            self.listens(ip, port)
        self._known: dict[str, str | None] = {}

    def listens(self, ip: str | None, port: int) -> None:
        """Say that this server listens there too (ip None: at any of its addresses)."""
        self._own.setdefault(port, set()).add(ip)

    def check(self, ip: str, port: int) -> None:
        """Return when this address may be contacted; else raise EgressRefused, whose message names the rule."""
        reason = self._known.get(ip, "")
        if reason == "":
            reason = self._reason(ip)
            if len(self._known) >= _MEMORY:
                self._known.clear()
            self._known[ip] = reason
        if reason is not None:
            raise EgressRefused(f"{ip} is {reason}, which this server does not contact")
        if port in self._own and self._is_own(ip, port):
            raise EgressRefused(f"{ip} port {port} is a port of this server itself, which it does not contact")

    def check_name(self, host: str) -> None:
        """Refuse names that stand for cloud metadata, whatever they resolve to."""
        name = host.lower().rstrip(".")
        if name in METADATA_NAMES:
            raise EgressRefused(f"{name} is a cloud metadata name, which this server does not contact")

    def _reason(self, ip: str) -> str | None:
        """Why this address is refused for every port, or None."""
        try:
            address = ipaddress.ip_address(ip)
        except ValueError:
            return "not an address"
        for form in unwrap(address):
            for network, what in _NEVER if self.mode == "private" else _NEVER + _NOT_PUBLIC:
                if form.version == network.version and form in network:
                    return what if form == address else f"{what} ({form}) in another form"
        return None

    def _is_own(self, ip: str, port: int) -> bool:
        forms = [str(form) for form in unwrap(ipaddress.ip_address(ip))]
        for listening in self._own[port]:
            if listening is None or ipaddress.ip_address(listening).is_unspecified:
                if any(_is_this_machine(form) for form in forms):
                    return True
            elif ipaddress.ip_address(listening).is_loopback:
                if any(ipaddress.ip_address(form).is_loopback for form in forms):
                    return True
            elif any(ipaddress.ip_address(form) == ipaddress.ip_address(listening) for form in forms):
                return True
        return False


def unwrap(address: Ip) -> tuple[Ip, ...]:
    """The address (without its zone) and every IPv4 address that its IPv6 form may be carried to.

    Mapped and compatible (RFC 4291), translated (RFC 2765), NAT64 (RFC 6052, both prefixes), 6to4 (RFC 3056), Teredo
    (RFC 4380: server and client) and ISATAP (RFC 5214)."""
    if isinstance(address, IPv4Address):
        return (address,)
    number = int(address)
    plain = IPv6Address(number)
    low = number & 0xFFFFFFFF
    found: list[int] = []
    if number >> 32 in (0xFFFF, 0xFFFF0000, 0x64FF9B << 64) or (number >> 32 == 0 and number > 1):
        found.append(low)
    if number >> 80 == 0x64FF9B0001:  # a /96 inside it carries the last 4 bytes, a /48 the 4 around byte 8
        found.append(low)
        if number >> 32 & 0xFFFFFFFFFFFF:
            found.append((number >> 64 & 0xFFFF) << 16 | (number >> 40 & 0xFFFF))
    if number >> 112 == 0x2002:
        found.append(number >> 80 & 0xFFFFFFFF)
    if number >> 96 == 0x20010000:
        found += [number >> 64 & 0xFFFFFFFF, low ^ 0xFFFFFFFF]
    if number >> 32 & 0xFCFFFFFF == 0x5EFE:
        found.append(low)
    return (plain, *(IPv4Address(n) for n in found))


def _is_this_machine(ip: str) -> bool:
    """Whether the address is one of this machine's own: only then can a socket be bound to it."""
    address = ipaddress.ip_address(ip)
    if address.is_loopback:
        return True
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((ip, 0))
    except OSError as error:
        return error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EINVAL)
    return True
