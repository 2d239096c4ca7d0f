"""Errors of this machine's own: what it is short of says nothing about a target, so a check that meets it is invalid."""

from __future__ import annotations

import errno
import os
import socket
import ssl

from tocsin.errors import CheckInvalid

_EXHAUSTED = {
    errno.EMFILE: "this process has no file descriptor left",
    errno.ENFILE: "this machine has no file descriptor left",
    errno.ENOBUFS: "this machine has no network buffer left",
    errno.ENOMEM: "this machine has no memory left",
}
_NOT_LET = {
    errno.EADDRNOTAVAIL: "this machine has no address or port of its own left to come from",
    errno.EPERM: "this machine does not let us",
}
_OURS = _EXHAUSTED | _NOT_LET


def exhausted(error: OSError) -> bool:
    """Whether a resource of this machine has run out: another try at the same moment cannot fare better."""
    return _number(error) in _EXHAUSTED


def shortage(error: OSError | int) -> CheckInvalid | None:
    """The fault of ours that an error (or its number) stands for; None when it may be the other side's."""
    number = error if isinstance(error, int) else _number(error)
    words = _OURS.get(number or 0)
    return None if words is None else CheckInvalid(f"{words} ({os.strerror(number or 0)})")


def shortage_now() -> CheckInvalid | None:
    """Whether a socket can be opened at this moment: for those who swallow the error (name lookup, libcurl)."""
    try:
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC).close()
    except OSError as error:
        return shortage(error)
    return None


def _number(error: OSError) -> int | None:
    """The errno; none for the kinds of OSError that number their errors otherwise."""
    return None if isinstance(error, ssl.SSLError | socket.gaierror) else error.errno
