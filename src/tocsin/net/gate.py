"""The HTTP/1.1 reading end: deadlines and sizes for what is read, and how many connections one address may have.

Drips, stalls and floods end early, and one client cannot take every connection. Loopback is not counted; nor is anybody
behind trusted proxies, where every connection comes from the proxy: there the proxy has to limit.
"""

from __future__ import annotations

import asyncio
import functools
import ipaddress
from http import HTTPStatus
from typing import ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from tocsin.core import limits
from tocsin.net.mutual import shown_by

CLIENT_CERTIFICATE = "tocsin.client_certificate"
"""In a scope's `extensions`: the certificate (DER) that the caller showed and that was accepted."""


class Gate(HttpToolsProtocol):
    """uvicorn's protocol; a connection whose request head or body does not come in time (408), whose head is too long
    (431), or which is one too many from its address (429), is answered so, where no answer has begun, and closed.

    The head must be complete `head_s` after the connection or the next request's first byte, the body `body_s` later."""

    head_s: ClassVar[float] = 10.0
    body_s: ClassVar[float] = 60.0
    head_bytes: ClassVar[int] = 16_384
    head_lines: ClassVar[int] = 100
    per_address: ClassVar[int] = 0  # 0: any number
    loopback_too: ClassVar[bool] = False

    _deadline: asyncio.TimerHandle | None = None
    _shown: bytes | None = None  # the certificate of who calls
    _in_head = True
    _heads = 0  # begun on this connection
    _lines = _parsed = _waiting = 0  # of this head: header lines, bytes of them and the URL, bytes since it began

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        super().connection_made(transport)
        self._shown = shown_by(transport.get_extra_info("ssl_object"))
        if self._one_too_many():
            self._refuse(HTTPStatus.TOO_MANY_REQUESTS)
        else:
            self._expect(self.head_s)

    def connection_lost(self, exc: Exception | None) -> None:
        self._expect(None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        heads = self._heads
        super().data_received(data)
        if self._in_head and heads == self._heads:  # a chunk in which a head began may hold a whole body before it
            self._waiting += len(data)
            if self._waiting > self.head_bytes:
                self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        elif not self._in_head and self._deadline is None and self.cycle and self.cycle.response_complete:
            self._expect(self.head_s)  # line ends between requests: the idle clock has stopped, so this one must run

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head, self._heads = True, self._heads + 1
        self._lines = self._parsed = self._waiting = 0
        if self._deadline is None:
            self._expect(self.head_s)

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        self._measure(len(url), lines=0)

    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value)
        self._measure(len(name) + len(value) + 4, lines=1)

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._expect(None)
        if self._shown is not None:
            self.scope["extensions"] = {CLIENT_CERTIFICATE: self._shown}  # pyright: ignore[reportGeneralTypeIssues]
        super().on_headers_complete()
        if self.parser is not None and not self.parser.should_upgrade():
            self._expect(self.body_s)

    def on_message_complete(self) -> None:
        self._expect(None)
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """As uvicorn's, unless the request was refused already: the parser reports our own stop too."""
        if not self.transport.is_closing():
            super().send_400_response(msg)

    def _one_too_many(self) -> bool:
        if not self.per_address or self.client is None:
            return False
        if not self.loopback_too and _is_loopback(self.client[0]):
            return False
        mine = _name(self.client[0])
        # Live connections have left this class, but stay in uvicorn's set: so they are looked up there, not counted here.
        others = (getattr(c, "client", None) for c in self.connections)
        return sum(1 for client in others if client and _name(client[0]) == mine) > self.per_address

    def _measure(self, size: int, *, lines: int) -> None:
        """Count what the parser found of the head; stops the parser by an exception when it is too much."""
        self._parsed += size
        self._lines += lines
        if self._parsed > self.head_bytes or self._lines > self.head_lines:
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
            raise ValueError("the head is too long")

    def _expect(self, seconds: float | None) -> None:
        """What is awaited now must come within these seconds; None: nothing is awaited."""
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = None if seconds is None else self.loop.call_later(seconds, self._late)

    def _late(self) -> None:
        self._deadline = None
        self._refuse(HTTPStatus.REQUEST_TIMEOUT)

    def _refuse(self, status: HTTPStatus) -> None:
        self._expect(None)
        if not self.transport.is_closing():
            answering = self.cycle and not self.cycle.response_complete
            if not answering:  # else this would land in the middle of an answer, or before it
                line = f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
                self.transport.write(line.encode())
            self.transport.close()


def limited(per_address: int) -> type[Gate]:
    """The gate of a server that takes at most so many connections from one address (0: any number)."""
    return type("Gate", (Gate,), {"per_address": per_address})


@functools.lru_cache(20_000)
def _is_loopback(address: str) -> bool:
    return ipaddress.ip_address(address).is_loopback


@functools.lru_cache(20_000)
def _name(address: str) -> str:
    """What counts as one address."""
    return limits.address_name(address)
