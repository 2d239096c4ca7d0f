"""A WebSocket to a server of ours that stays open, on a connection to an address that the guard allows."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tocsin import __version__
from tocsin.core.plain import clip
from tocsin.errors import CheckFailed, CheckInvalid, EgressRefused, PeerLost
from tocsin.net.url import Url

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

    from tocsin.net import Net

OPEN_S = 10.0
PING_S, PONG_S = 10.0, 15.0
CLOSE_S = 2.0
_QUIET = logging.getLogger("tocsin.channel")
_QUIET.setLevel(logging.WARNING)  # below that the library writes down whole messages, keys and targets among them


class NotOpened(PeerLost):
    """The server answered, but with no WebSocket: `status` and at most 16 KiB of `body` say why."""

    def __init__(self, message: str, status: int, body: bytes) -> None:
        super().__init__(message)
        self.status, self.body = status, body


class Channel:
    """An open WebSocket. Every end of it is a PeerLost, whose `code` is what the other side closed it with (1006: it did
    not)."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection

    async def send(self, text: bytes) -> None:
        """Send one message of text; returns when it is on its way."""
        from websockets.exceptions import ConnectionClosed

        try:
            await self._connection.send(text, text=True)
        except ConnectionClosed as closed:
            raise _ended(closed) from None
        except OSError as error:
            raise PeerLost(f"the connection broke: {error}") from None

    async def receive(self) -> bytes:
        """The next message."""
        from websockets.exceptions import ConnectionClosed

        try:
            got = await self._connection.recv(decode=False)
        except ConnectionClosed as closed:
            raise _ended(closed) from None
        return bytes(got)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Hang up."""
        await self._connection.close(code, reason)

    def abort(self) -> None:
        """Drop it without a word."""
        self._connection.transport.abort()


class Closed(PeerLost):
    """The other side closed the WebSocket, with this code."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


def _ended(closed: Any) -> Closed:
    code, reason = (closed.rcvd.code, closed.rcvd.reason) if closed.rcvd is not None else (1006, "")
    said = f": {clip(reason, 120)}" if reason else ""
    return Closed(f"the link was closed by the other side ({code}){said}" if code != 1006 else "the link broke", code)


async def open_channel(
    net: Net, url: Url, headers: Sequence[tuple[str, str]], *, pin: str | None = None, max_size: int = 1 << 20
) -> Channel:
    """An open WebSocket at this http or https URL. `pin` is the SHA-256 of the one certificate that is accepted; without
    it the usual authorities count. Nothing of the headers leaves before the certificate has been looked at.

    Raises PeerLost (NotOpened when the server said why)."""
    try:
        async with asyncio.timeout(OPEN_S):
            async with net.connect(url.host, url.port) as connection:
                lent = connection.detach()
            return await _shake(lent, url, headers, pin, max_size)
    except TimeoutError:
        raise PeerLost(f"no WebSocket of {url.authority} within {OPEN_S:g} s") from None
    except (CheckFailed, CheckInvalid, EgressRefused, OSError) as error:
        raise PeerLost(f"{url.authority} cannot be reached: {clip(str(error), 200)}") from None


async def _shake(lent: Any, url: Url, headers: Sequence[tuple[str, str]], pin: str | None, max_size: int) -> Channel:
    from websockets.asyncio.client import ClientConnection
    from websockets.client import ClientProtocol
    from websockets.exceptions import InvalidHandshake, InvalidStatus
    from websockets.uri import WebSocketURI

    from tocsin.net.tls import context

    secure = url.scheme == "https"
    path, _, query = url.path.partition("?")
    uri = WebSocketURI(secure, url.host, url.port, path, query)
    protocol = ClientProtocol(uri, max_size=max_size, logger=_QUIET)
    loop = asyncio.get_running_loop()
    transport, made = await loop.create_connection(
        lambda: ClientConnection(
            protocol, ping_interval=PING_S, ping_timeout=PONG_S, close_timeout=CLOSE_S, max_queue=256
        ),
        sock=lent,
        ssl=context(pin is None, None, None, None, ("http/1.1",)) if secure else None,
        server_hostname=url.host if secure else None,
    )
    try:
        if secure and pin is not None:
            _same_certificate(transport, pin, url)
        await made.handshake(list(headers), f"Tocsin/{__version__}")
    except InvalidStatus as refused:
        transport.abort()
        answer = refused.response
        raise NotOpened(
            f"{url.authority} answered {answer.status_code}", answer.status_code, bytes(answer.body or b"")[:16_384]
        ) from None
    except (InvalidHandshake, EOFError, ValueError) as error:
        transport.abort()
        raise PeerLost(f"{url.authority} speaks no WebSocket: {clip(str(error), 160)}") from None
    except BaseException:
        transport.abort()
        raise
    made.start_keepalive()
    return Channel(made)


def _same_certificate(transport: asyncio.BaseTransport, pin: str, url: Url) -> None:
    tls = transport.get_extra_info("ssl_object")
    shown = hashlib.sha256(tls.getpeercert(True) or b"").hexdigest()
    if shown != pin:
        raise PeerLost(f"{url.authority} shows another certificate than the pinned one (SHA-256 {shown[:16]}…)")
