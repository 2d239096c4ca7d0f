"""Sockets at which programs of this machine, and nobody else, reach us: TCP and UDP on 127.0.0.1."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

HERE = "127.0.0.1"
_LARGEST = 65_536
_AT_ONCE = 64
"""So many datagrams are read before others of this process get their turn."""
_ROOM = 4 << 20


def _bound(kind: socket.SocketKind, port: int) -> socket.socket:
    made = socket.socket(socket.AF_INET, kind)
    try:
        if kind == socket.SOCK_STREAM:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((HERE, port))
    except OSError as error:
        made.close()
        raise OSError(error.errno, f"{HERE} port {port} cannot be listened at: {error.strerror}") from None
    made.setblocking(False)
    return made


def stream(port: int) -> socket.socket:
    """A bound TCP socket (port 0: any that is free). Raises OSError in words."""
    return _bound(socket.SOCK_STREAM, port)


class Datagrams:
    """Every datagram that comes to a port is given to `heard`. `port` is where. Raises OSError in words."""

    def __init__(self, port: int, heard: Callable[[bytes], None]) -> None:
        self._sock = _bound(socket.SOCK_DGRAM, port)
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _ROOM)
        self._heard = heard
        self.port: int = self._sock.getsockname()[1]
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._sock, self._read)

    def _read(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                data = self._sock.recv(_LARGEST)
            except OSError:  # nothing more is there
                return
            self._heard(data)

    def close(self) -> None:
        """Listen no more."""
        self._loop.remove_reader(self._sock)
        self._sock.close()
