"""uvicorn's WebSockets, for a server that also says no: what was answered with a status instead is an answer."""

from __future__ import annotations

from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol


class Refusing(WebSocketsSansIOProtocol):
    """uvicorn's protocol, to which a refused handshake is a handshake that is over: it would log an error of each."""

    async def send(self, message: Any) -> None:
        """Send this ASGI message."""
        await super().send(message)
        if message["type"] == "websocket.http.response.body" and not message.get("more_body"):
            self.handshake_complete = True
