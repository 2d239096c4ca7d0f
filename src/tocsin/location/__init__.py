"""How a place runs checks fairly: its lag, and its look at itself. What a server and a probe have in common."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from tocsin.checks import Order
from tocsin.core.result import Outcome

Location = Callable[[Order], Awaitable[Outcome]]
"""How a location runs an order. Raises PeerLost when it cannot be asked, which is no evidence against the target."""
