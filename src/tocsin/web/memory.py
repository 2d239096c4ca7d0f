"""What the HTTP edge remembers between calls, all of it bounded and none of it needed after a restart."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

from tocsin.core.access import Principal
from tocsin.core.limits import Attempts, Buckets
from tocsin.core.monitor import Monitor
from tocsin.web.repeat import KeptAnswers

_MOST, _MOST_SHOWN = 10_000, 1000
SHOWN_S = 60.0
MOST_CONFIGS = 2000
WRONG_LINKS_PER_MINUTE = 30


@dataclass(slots=True)
class Tickets:
    """One-use tickets for live connections, thirty seconds each."""

    held: OrderedDict[str, tuple[Principal, float]] = field(default_factory=OrderedDict[str, tuple[Principal, float]])

    def give(self, ticket: str, principal: Principal, now: float) -> None:
        """Keep a ticket until it is used or thirty seconds old."""
        self.held[ticket] = (principal, now + 30)
        while len(self.held) > _MOST or next(iter(self.held.values()))[1] <= now:
            self.held.popitem(last=False)

    def take(self, ticket: str, now: float) -> Principal | None:
        """Whom the ticket was given to, once."""
        principal, until = self.held.pop(ticket, (None, 0.0))
        return principal if until > now else None


class Shown:
    """Secrets that were just made, for the page that whoever made them is led to: for a minute, so that it can be read again
    and nothing is made twice."""

    def __init__(self) -> None:
        self._held: OrderedDict[tuple[str, str], tuple[str, float]] = OrderedDict()

    def keep(self, who: str, of: str, secret: str, now: float) -> None:
        """Keep what was made for somebody."""
        self._held.pop((who, of), None)
        self._held[who, of] = secret, now + SHOWN_S
        while len(self._held) > _MOST_SHOWN or next(iter(self._held.values()))[1] <= now:
            self._held.popitem(last=False)

    def get(self, who: str, of: str, now: float) -> str:
        """What was made, empty when that is longer ago."""
        secret, until = self._held.get((who, of), ("", 0.0))
        return secret if until > now else ""


class Known:
    """Who somebody turned out to be, for a second: a sign-in or key is looked up once, not at each request.

    What this process itself changes (sign-out, password, revoked key) is forgotten at once."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, tuple[Principal, float]] = OrderedDict()

    def get(self, name: str, now: float) -> Principal | None:
        """The caller of that name if it was looked up within the last second."""
        principal, until = self._known.get(name, (None, 0.0))
        return principal if until > now else None

    def keep(self, name: str, principal: Principal, now: float) -> None:
        """Remember it for a second."""
        self._known.pop(name, None)
        self._known[name] = (principal, now + 1)
        if len(self._known) > _MOST:
            self._known.popitem(last=False)

    def forget(self) -> None:
        """Look everybody up again."""
        self._known.clear()


class Memory:
    """Limits, tickets, looked-up callers, fresh secrets, and answers kept for repeated writes."""

    def __init__(self, *, requests_per_minute: int, logins_per_minute: int) -> None:
        self.requests = Buckets(requests_per_minute)
        self.strangers = Buckets(requests_per_minute)
        self.logins = Attempts(logins_per_minute)
        self.wrong_links = Attempts(WRONG_LINKS_PER_MINUTE)
        self.known = Known()
        self.tickets = Tickets()
        self.shown = Shown()
        self.answers = KeptAnswers()
        self.hashing = asyncio.Semaphore(2)
        self.sockets_by_address: dict[str, int] = {}
        self.sockets_by_workspace: dict[str, int] = {}
        self.setup_done = False
        self.configs: dict[str, tuple[Monitor, dict[str, Any], dict[str, Any]]] = {}

    def forget(self) -> None:
        """Look up anew what another instance may have written: who callers are, how monitors are set."""
        self.known.forget()
        self.configs.clear()
        self.setup_done = False
