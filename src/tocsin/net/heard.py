"""What we know of servers from earlier exchanges with them."""

from __future__ import annotations

import time

from msgspec.structs import replace

from tocsin.core.result import TlsFacts


class Heard:
    """Which TLS version and cipher a server speaks. libcurl tells it only when it tells everything, which is dear: so
    we listen once an hour for each server, and go by that as long as it shows the same certificate. And which servers
    want a hybrid key exchange and nothing less (`hybrid`)."""

    def __init__(self) -> None:
        self.hybrid: set[str] = set()
        self._kept: dict[str, tuple[float, str, tuple[str, str]]] = {}

    def want_hybrid(self, authority: str) -> None:
        """Remember that this server takes no other key exchange."""
        if len(self.hybrid) >= 10_000:
            self.hybrid.clear()
        self.hybrid.add(authority)

    def wanted(self, authority: str) -> bool:
        """Whether to listen this time."""
        kept = self._kept.get(authority)
        return kept is None or kept[0] < time.monotonic()

    def complete(self, authority: str, facts: TlsFacts, spoken: tuple[str, str] | None) -> TlsFacts:
        """The facts with version and cipher, as far as they are known."""
        if spoken is not None:
            if len(self._kept) >= 10_000:
                self._kept.clear()
            self._kept[authority] = (time.monotonic() + 3600, facts.fingerprint_sha256, spoken)
        else:
            _, fingerprint, kept = self._kept.get(authority, (0.0, "", ("", "")))
            if fingerprint != facts.fingerprint_sha256:
                self._kept.pop(authority, None)
                return facts
            spoken = kept
        return replace(facts, protocol=spoken[0] or None, cipher=spoken[1] or None)
