"""How an instance stands, who hears of that, and how it reaches the others: what its carrier works with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from tocsin.core import turn
from tocsin.core.control_log import Position
from tocsin.core.membership import Membership
from tocsin.core.peer import Message
from tocsin.store.replica import Applied


class Peers(Protocol):
    """How the others are reached, by their ids."""

    def url(self, of: str | None) -> str | None:
        """Where that instance is reached, if it is known."""
        ...

    def web(self, of: str | None) -> str | None:
        """Where people reach that instance, if it is known."""
        ...

    def reaches(self, to: str) -> bool:
        """Whether there is an address of that instance."""
        ...

    async def say(self, to: str, message: Message) -> Message | None:
        """What that instance answers, if anything. Raises PeerLost."""
        ...

    async def place(self, of: str) -> tuple[Position, Membership]:
        """Where the log of that instance may be begun, and who belonged to the cluster there. Raises PeerLost."""
        ...

    async def snapshot(self, of: str, into: Path) -> Path:
        """A snapshot of that instance's tables, in a file in this folder. Raises PeerLost."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How this instance stands now. `primary` is the id of the one that leads, as far as is known here."""

    role: turn.Role
    epoch: int
    primary: str | None

    @property
    def leads(self) -> bool:
        return self.role == "primary"


async def _nothing(_: object) -> None:
    """Nobody hears of it."""


@dataclass(slots=True, kw_only=True)
class Hooks:
    """What the rest of the instance does when things change here. `turned`: lead or follow (gets how it stands); it may
    take its time. `applied`: rows came from whoever leads (None: all of them)."""

    turned: Callable[[Standing], Awaitable[None]] = field(default=_nothing)
    applied: Callable[[Applied | None], Awaitable[None]] = field(default=_nothing)
    changed: Callable[[], None] = field(default=lambda: None)
