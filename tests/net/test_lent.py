"""A socket that is given away closes its own descriptor, never another one that has its number by now."""

from __future__ import annotations

import os
import socket

from tocsin.net.lent import Lent


def lent() -> tuple[Lent, socket.socket]:
    """One end of a pair, lent out, and the other end."""
    one, other = socket.socketpair()
    return Lent(one.detach()), other


def test_it_closes_its_own() -> None:
    made, other = lent()
    made.close()
    assert other.recv(1) == b""
    assert made.fileno() == -1
    made.close()
    other.close()


def test_it_is_closed_when_nobody_has_it_any_more() -> None:
    made, other = lent()
    del made
    assert other.recv(1) == b""
    other.close()


def taken(number: int) -> int:
    """Another file that has this number."""
    os.close(number)
    reading, writing = os.pipe()
    os.close(writing)
    if reading != number:
        os.dup2(reading, number)
        os.close(reading)
    return number


def test_it_leaves_alone_what_has_its_number() -> None:
    for how in (Lent.close, Lent.__del__):
        made, other = lent()
        number = taken(made.fileno())
        how(made)
        del made
        assert os.read(number, 1) == b""
        os.close(number)
        other.close()
