"""From an address that somebody pasted to a check type and its target."""

from __future__ import annotations

import ipaddress
from typing import Any
from urllib.parse import urlsplit

from tocsin.errors import Invalid, Problem

_EXPECTED = "a web address, a host name, host:port, or tls://, dns://, smtp:// or ping:// and a name"


def guess(text: str) -> tuple[str, dict[str, Any], str]:
    """(check type, target, a name for it). Raises Invalid for `address` when it is none of those."""
    address = text.strip()
    if not address or any(c.isspace() for c in address) or len(address) > 2000:
        raise Invalid(Problem("address", _EXPECTED, repr(address[:60]) if address else "nothing"))
    scheme, mark, rest = address.partition("://")
    if not mark:
        return _without_scheme(address)
    scheme = scheme.lower()
    if scheme in ("http", "https"):
        return "http", {"url": address}, urlsplit(address).hostname or address
    host, port = _split(rest.partition("/")[0])
    if scheme == "dns" and host:
        return "dns", {"name": host}, host
    if scheme in ("ping", "icmp") and host:
        return "ping", {"host": host}, host
    if scheme in ("tcp", "tls", "smtp") and host:
        usual = {"tcp": None, "tls": 443, "smtp": 25}[scheme]
        if port or usual:
            return scheme, {"host": host, "port": port or usual}, host
    raise Invalid(Problem("address", _EXPECTED, repr(address[:60])))


def _without_scheme(address: str) -> tuple[str, dict[str, Any], str]:
    host, port = _split(address.partition("/")[0])
    if host and port and "/" not in address:
        return "tcp", {"host": host, "port": port}, f"{host}:{port}"
    if _is_ip(host) and "/" not in address:
        return "ping", {"host": host}, host
    if host and ("." in host or host == "localhost"):
        return "http", {"url": "https://" + address}, host
    raise Invalid(Problem("address", _EXPECTED, repr(address[:60])))


def _split(text: str) -> tuple[str, int | None]:
    """Host and port of host, host:port or [v6]:port; ("", None) when it is neither."""
    try:
        parts = urlsplit("//" + text)
        return parts.hostname or "", parts.port
    except ValueError:
        return "", None


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
