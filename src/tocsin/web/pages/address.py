"""From an address that somebody pasted to a check type and its target, and from a target to a name people know."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from tocsin.core.plain import as_list, as_map
from tocsin.errors import Invalid, Problem

_EXPECTED = "a web address, a host name, host:port, or tls://, dns://, smtp:// or ping:// and a name"
_USUAL = {"tcp": None, "tls": 443, "smtp": 25}
_NAMED = {"dns": "name", "docker": "container", "nagios": "plugin"}
_LONGEST = 120


def guess(text: str) -> tuple[str, dict[str, Any], str]:
    """(check type, target, a name for it). Raises Invalid for `address` when it is none of those."""
    type_, target = _guessed(text.strip())
    return type_, target, name_of(type_, target) or text.strip()[:_LONGEST]


def name_of(type_: str, target: Mapping[str, Any]) -> str:
    """What a monitor of this target is called when nobody named it: host, with the port where one was given, and path;
    "" when the target does not say where it is."""
    if type_ in ("http", "websocket"):
        return _of_url(str(target.get("url") or ""))
    if type_ in ("transaction", "browser"):
        first = next(iter(as_list(target.get("steps")) or ()), None)
        return _of_url(str((as_map(first) or {}).get("url") or ""))
    if type_ in _NAMED:
        return str(target.get(_NAMED[type_]) or "").strip()[:_LONGEST]
    host, port = str(target.get("host") or "").strip()[:_LONGEST], target.get("port")
    if not host or port in (None, "", _USUAL.get(type_)):
        return host
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _of_url(url: str) -> str:
    try:
        parts = urlsplit(url.strip())
        host = parts.netloc.rpartition("@")[2]
    except ValueError:
        return ""
    return (host + parts.path.rstrip("/"))[:_LONGEST] if host else ""


def _guessed(address: str) -> tuple[str, dict[str, Any]]:
    if not address or any(c.isspace() for c in address) or len(address) > 2000:
        raise Invalid(Problem("address", _EXPECTED, repr(address[:60]) if address else "nothing"))
    scheme, mark, rest = address.partition("://")
    if not mark:
        return _without_scheme(address)
    scheme = scheme.lower()
    if scheme in ("http", "https"):
        return "http", {"url": address}
    if scheme in ("ws", "wss"):
        return "websocket", {"url": address}
    host, port = _split(rest.partition("/")[0])
    if scheme == "dns" and host:
        return "dns", {"name": host}
    if scheme in ("ping", "icmp") and host:
        return "ping", {"host": host}
    if scheme in _USUAL and host and (port or _USUAL[scheme]):
        return scheme, {"host": host, "port": port or _USUAL[scheme]}
    raise Invalid(Problem("address", _EXPECTED, repr(address[:60])))


def _without_scheme(address: str) -> tuple[str, dict[str, Any]]:
    host, port = _split(address.partition("/")[0])
    if host and port and "/" not in address:
        return "tcp", {"host": host, "port": port}
    if _is_ip(host) and "/" not in address:
        return "ping", {"host": host}
    if host and ("." in host or host == "localhost"):
        return "http", {"url": "https://" + address}
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
