"""The listening socket, bound before anything acts, so that a taken port stops the start early."""

from __future__ import annotations

import errno
import ipaddress
import socket

from tocsin.errors import SettingsError


def bind(host: str, port: int, prefix: str = "TOCSIN_") -> socket.socket:
    """A bound TCP socket. Raises SettingsError naming the setting (`prefix` and HOST or PORT) and what stands in the way."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise SettingsError(
            f"{prefix}HOST: expected an address of this machine, found {host!r} ({error.strerror})"
        ) from error
    family, _, _, _, address = found[0]
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if host == "::" else 1)
        made.bind(address)
    except OSError as error:
        made.close()
        raise _explained(error, host, port, prefix) from error
    made.setblocking(False)
    return made


def _explained(error: OSError, host: str, port: int, prefix: str) -> SettingsError:
    if error.errno == errno.EADDRINUSE:
        return SettingsError(
            f"{prefix}PORT: expected a free port, found {port} in use on {host} (is Tocsin running already?)"
        )
    if error.errno == errno.EACCES:
        return SettingsError(f"{prefix}PORT: expected a port we may open, found {port}: it needs more rights")
    return SettingsError(f"{prefix}HOST: expected an address of this machine, found {host!r} ({error.strerror})")


def own(listening: socket.socket) -> tuple[str | None, int]:
    """What the egress guard must refuse as our own: (address, port), the address None when we listen on all of them."""
    address, port = listening.getsockname()[:2]
    return (None if ipaddress.ip_address(address).is_unspecified else address, port)


def only_loopback(host: str) -> bool:
    """Whether nobody from another machine can reach this address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
