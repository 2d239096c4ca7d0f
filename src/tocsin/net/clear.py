"""When a password may travel without TLS."""

from __future__ import annotations

import ipaddress

from tocsin.errors import CheckFailed
from tocsin.net.connect import Connection


def guard(connection: Connection, *, private: bool = False) -> None:
    """CheckFailed (protocol) unless the connection speaks TLS or stays on this machine; `private`: or in a network that
    is not the Internet."""
    if connection.tls is not None:
        return
    address = ipaddress.ip_address(connection.peer)
    if address.is_loopback or (private and address.is_private):
        return
    raise CheckFailed("protocol", "a password is not sent without TLS: use tls", phase="send")
