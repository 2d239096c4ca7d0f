"""A socket that is given to a library, which gives it to the event loop, which closes it: sometimes without telling it."""

from __future__ import annotations

import os
import socket


class Lent(socket.socket):
    """A socket with a descriptor of ours. It closes that one or none: uvloop closes a descriptor behind its socket's back
    when the other side hangs up (or is hung up on) before `create_connection` is through, and by the time the socket
    itself goes the number may be another connection's."""

    def __init__(self, fileno: int) -> None:
        super().__init__(fileno=fileno)
        self._inode = os.fstat(fileno).st_ino

    def _is_open(self) -> bool:
        try:
            return os.fstat(self.fileno()).st_ino == self._inode
        except OSError:
            return False

    def close(self) -> None:
        """Close it, unless it is closed."""
        if self._is_open():
            super().close()
        else:
            self.detach()

    def __del__(self) -> None:
        still = self._is_open()
        number = self.detach()
        if still:
            os.close(number)
