"""What the HTTP edge works with: the running parts, put together by app/server.py."""

from __future__ import annotations

from dataclasses import dataclass

from tocsin.clock import Clock
from tocsin.net import Net
from tocsin.pipeline.corridor import Corridor
from tocsin.settings import Settings
from tocsin.store import Store


@dataclass(slots=True, kw_only=True)
class Parts:
    """The running parts of one server. `setup_token` is None when setup needs none (listening on loopback only)."""

    settings: Settings
    clock: Clock
    store: Store
    net: Net
    corridor: Corridor
    signing_key: bytes
    setup_token: str | None
