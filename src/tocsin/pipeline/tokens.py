"""Which push monitor a token calls. Only hashes of tokens are kept for the look-up."""

from __future__ import annotations

import hashlib

from tocsin.core.monitor import Monitor


class Tokens:
    """The tokens of push monitors. Of two monitors with one token, the first is called."""

    def __init__(self) -> None:
        self._monitor_of: dict[bytes, str] = {}
        self._token_of: dict[str, bytes] = {}

    def put(self, monitor: Monitor) -> None:
        """Note a monitor's token as it is now; what it was called by before no longer works."""
        self.forget(monitor.id)
        token = monitor.target.get("token") if monitor.type == "push" else None
        if isinstance(token, str) and token:
            hashed = _hashed(token)
            if self._monitor_of.setdefault(hashed, monitor.id) == monitor.id:
                self._token_of[monitor.id] = hashed

    def forget(self, monitor_id: str) -> None:
        """What the monitor was called by no longer works."""
        token = self._token_of.pop(monitor_id, None)
        if token is not None:
            del self._monitor_of[token]

    def find(self, token: str) -> str | None:
        """The id of the monitor that this token calls, or None."""
        return self._monitor_of.get(_hashed(token))


def _hashed(token: str) -> bytes:
    return hashlib.blake2b(token.encode(), digest_size=16).digest()
