"""The HTTP/1.1 reading end, with deadlines and a size for the head, so that drips and floods of headers end early."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class Gate(HttpToolsProtocol):
    """uvicorn's protocol; a connection whose request head or body does not come in time, or whose head is too long, is
    answered so and closed."""

    head_s: ClassVar[float] = 10.0
    body_s: ClassVar[float] = 60.0
    head_bytes: ClassVar[int] = 65_536

    _deadline: asyncio.TimerHandle | None = None
    _in_head = True
    _head_size = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        super().connection_made(transport)
        self._expect(self.head_s)

    def connection_lost(self, exc: Exception | None) -> None:
        self._expect(None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._in_head:  # a chunk that ended the head may hold a body of any size
            self._head_size += len(data)
            if self._head_size > self.head_bytes:
                self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head, self._head_size = True, 0
        self._expect(self.head_s)

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._expect(None)
        super().on_headers_complete()
        if self.parser is not None and not self.parser.should_upgrade():
            self._expect(self.body_s)

    def on_message_complete(self) -> None:
        self._expect(None)
        super().on_message_complete()

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
            if self._in_head:  # in a body, an answer may have begun already
                line = f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
                self.transport.write(line.encode())
            self.transport.close()
