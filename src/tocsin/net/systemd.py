"""What a service says to the service manager that started it: one datagram to the socket that NOTIFY_SOCKET names."""

from __future__ import annotations

import socket
import time

READY, STOPPING, WATCHDOG = "READY=1", "STOPPING=1", "WATCHDOG=1"


def notify(address: str | None, *said: str) -> bool:
    """Say it; whether anybody could hear. Without an address there is nobody."""
    if not address or address[0] not in "/@":
        return False
    place = "\0" + address[1:] if address[0] == "@" else address
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            sock.sendto("\n".join(said).encode(), place)
    except OSError:
        return False
    return True


def reloading() -> tuple[str, str]:
    """What is said while the configuration is read again, until the next READY."""
    return "RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}"
