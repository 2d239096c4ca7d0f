"""A small HTTP/1.1 server for a process that answers little: a bare ASGI function on h11, without TLS and WebSockets.

net/listen.py is what everybody else uses; this costs a process a tenth of the memory. What is read has deadlines and
sizes, and who comes when too many are there is sent away.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote_to_bytes

import h11

from tocsin import telemetry

log = telemetry.logger("tocsin.net.small_http")

Application = Callable[[Any, Callable[[], Awaitable[Any]], Callable[[Any], Awaitable[None]]], Awaitable[None]]

MOST = 64
"""So many connections at a time."""
HEAD_BYTES = 16_384
HEAD_S, BODY_S, IDLE_S = 10.0, 60.0, 75.0
"""From its first byte on a head must be there in so many seconds, its body and the answer so many later; a connection may
lie idle so long."""
_LINGER_S = 2.0
"""What is still being sent is taken for so long, so that who sends it can read why it was not wanted."""
_READ_BYTES = 65_536


class SmallServer:
    """A server that answers at a bound socket. `port` is where."""

    def __init__(self, app: Application, sock: socket.socket, *, grace_s: float) -> None:
        self.port: int = sock.getsockname()[1]
        self._app, self._sock, self._grace_s = app, sock, grace_s
        self._server: asyncio.Server | None = None
        self._open: dict[asyncio.Task[Any], _Visit] = {}

    async def start(self) -> None:
        """Begin to answer."""
        self._server = await asyncio.start_server(self._came, sock=self._sock, limit=_READ_BYTES)

    async def stop(self) -> None:
        """Take no more connections, let open requests end within the grace, hang up."""
        if self._server is None:
            self._sock.close()
            return
        self._server.close()
        for task in [task for task, visit in self._open.items() if visit.idle]:
            task.cancel()
        if self._open:
            await asyncio.wait(list(self._open), timeout=self._grace_s)
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _came(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        visit = _Visit(self._app, reader, writer)
        many = len(self._open) >= MOST
        self._open[task] = visit
        try:
            if many:
                await visit.refuse(HTTPStatus.SERVICE_UNAVAILABLE)
            else:
                await visit.serve()
        except (OSError, TimeoutError):  # it hung up, or reads nothing
            pass
        except asyncio.CancelledError:  # the server stops; the task is the event loop's own, and would say that it was
            pass
        finally:
            await visit.leave()
            self._open.pop(task, None)


class _Visit:
    """One connection."""

    def __init__(self, app: Application, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._app, self._reader, self._writer = app, reader, writer
        self._talk = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_BYTES)
        self._start: Any = None
        self._by = 0.0
        self.idle, self.broken = True, False

    async def serve(self) -> None:
        """Answer one request after another. Raises OSError and TimeoutError when it cannot be answered."""
        try:
            while await self._one():
                self._talk.start_next_cycle()
        except BaseException:
            self.broken = True
            raise

    async def leave(self) -> None:
        """Hang up: at once when it broke off, else when all was read, for which it has a moment."""
        if not self.broken:
            self._writer.close()
            with suppress(OSError, TimeoutError, asyncio.CancelledError):
                async with asyncio.timeout(_LINGER_S):
                    await self._writer.wait_closed()
        self._writer.transport.abort()

    async def refuse(self, status: HTTPStatus) -> None:
        """Say only that."""
        self._start = {"status": status.value, "headers": [(b"content-length", b"0"), (b"connection", b"close")]}
        await self._send({"type": "http.response.body"})

    async def _one(self) -> bool:
        """One request. Whether there may be another."""
        request = await self._head()
        if request is None:
            return False
        self._by, self._start = asyncio.get_running_loop().time() + BODY_S, None
        path, _, query = request.target.partition(b"?")
        scope = {
            "type": "http", "method": request.method.decode("ascii"), "query_string": query, "scheme": "http",
            "path": unquote_to_bytes(path).decode("utf-8", "replace"), "headers": list(request.headers),
            "client": self._writer.get_extra_info("peername"),
        }  # fmt: skip
        try:
            async with asyncio.timeout_at(self._by + HEAD_S):
                await self._app(scope, self._receive, self._send)
        except (OSError, TimeoutError):
            raise
        except Exception:
            log.exception("http.fault", path=scope["path"])
        if self._talk.our_state is h11.SEND_RESPONSE:  # nothing was answered: a fault, or a body that did not come
            late = asyncio.get_running_loop().time() >= self._by
            await self.refuse(HTTPStatus.REQUEST_TIMEOUT if late else HTTPStatus.INTERNAL_SERVER_ERROR)
        with suppress(h11.RemoteProtocolError):
            if self._talk.their_state is h11.SEND_BODY:
                self._talk.next_event()  # the end of a body that nobody asked for, if that is all
        if self._talk.our_state is h11.DONE and self._talk.their_state is h11.DONE:
            return True
        self.broken = self._talk.our_state is h11.SEND_BODY  # half an answer: it must not look whole
        if not self.broken:
            await self._linger()
        return False

    async def _head(self) -> h11.Request | None:
        """The next request; None when there is none, or none that is sound."""
        try:
            if not self._talk.trailing_data[0]:
                async with asyncio.timeout(IDLE_S):
                    self._talk.receive_data(await self._reader.read(_READ_BYTES))
        except TimeoutError:
            return None
        self.idle = False
        try:
            async with asyncio.timeout(HEAD_S):
                event = await self._event()
        except TimeoutError:
            await self.refuse(HTTPStatus.REQUEST_TIMEOUT)
            return None
        except h11.RemoteProtocolError as error:
            await self.refuse(HTTPStatus(error.error_status_hint))
            await self._linger()
            return None
        if not isinstance(event, h11.Request):
            return None
        if len(event.target) + sum(len(name) + len(value) for name, value in event.headers) > HEAD_BYTES:
            await self.refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
            await self._linger()
            return None
        return event

    async def _event(self) -> Any:
        """What h11 makes of what is sent. Raises RemoteProtocolError, OSError."""
        while (event := self._talk.next_event()) is h11.NEED_DATA:
            if self._talk.they_are_waiting_for_100_continue:
                self._write(h11.InformationalResponse(status_code=100, headers=[]))
            self._talk.receive_data(await self._reader.read(_READ_BYTES))
        return event

    async def _receive(self) -> dict[str, Any]:
        """The body, piece by piece."""
        if self._talk.their_state is not h11.SEND_BODY:
            return {"type": "http.disconnect"}
        try:
            async with asyncio.timeout_at(self._by):
                event = await self._event()
        except (h11.RemoteProtocolError, OSError, TimeoutError):
            return {"type": "http.disconnect"}
        if isinstance(event, h11.Data):
            return {"type": "http.request", "body": bytes(event.data), "more_body": True}
        return {"type": "http.request" if isinstance(event, h11.EndOfMessage) else "http.disconnect", "body": b""}

    async def _send(self, message: Any) -> None:
        """The answer. Raises OSError and TimeoutError when nobody reads it."""
        if message["type"] == "http.response.start":
            self._start = message
            return
        if self._start is not None:
            self._write(h11.Response(status_code=self._start["status"], headers=self._start.get("headers", [])))
            self._start = None
        if message.get("body"):
            self._write(h11.Data(data=message["body"]))
        if not message.get("more_body", False):
            self._write(h11.EndOfMessage())
            self.idle = True
        async with asyncio.timeout(BODY_S):
            await self._writer.drain()

    def _write(self, event: Any) -> None:
        self._writer.write(self._talk.send(event) or b"")  # pyright: ignore[reportUnknownArgumentType]

    async def _linger(self) -> None:
        with suppress(OSError, TimeoutError):
            self._writer.write_eof()
            async with asyncio.timeout(_LINGER_S):
                while await self._reader.read(_READ_BYTES):
                    pass
