"""One datagram and the one that answers it, to an address the guard allows."""

from __future__ import annotations

import asyncio
import socket

from tocsin.net.connect import from_os_error
from tocsin.net.egress import Egress
from tocsin.net.progress import progress
from tocsin.net.resolve import Address

_LARGEST = 65_536


async def ask(egress: Egress, address: Address, payload: bytes, wait_s: float | None = None) -> bytes:
    """Send one datagram to a checked address and return the answer, which can only come from there. TimeoutError when
    none comes within `wait_s` (None: as long as the check may take). `asyncio.timeout` around it costs as much again."""
    egress.check(address.ip, address.port)
    here = progress()
    here.ip, here.phase = address.ip, "ttfb"
    kind = socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
    try:
        with socket.socket(address.family, kind) as sock:
            sock.connect((address.ip.encode(), address.port))  # bytes: text would be IDNA-encoded each time
            sock.send(payload)
            answer = await _answer(sock, here.loop, wait_s)
    except OSError as error:
        raise from_os_error(error, "ttfb", f"{address.ip} port {address.port}") from None
    if answer is None:
        raise TimeoutError
    return answer


async def _answer(sock: socket.socket, loop: asyncio.AbstractEventLoop, wait_s: float | None) -> bytes | None:
    come: asyncio.Future[bytes | None] = loop.create_future()

    def receive() -> None:
        try:
            came, failed = sock.recv(_LARGEST), None
        except BlockingIOError:  # a datagram that was damaged on its way
            return
        except OSError as error:
            came, failed = None, error
        if come.done():
            return
        if failed is not None:
            come.set_exception(failed)
        else:
            come.set_result(came)

    loop.add_reader(sock, receive)
    timer = None if wait_s is None else loop.call_later(wait_s, _give_up, come)
    try:
        return await come
    finally:
        loop.remove_reader(sock)
        if timer is not None:
            timer.cancel()


def _give_up(come: asyncio.Future[bytes | None]) -> None:
    if not come.done():
        come.set_result(None)
