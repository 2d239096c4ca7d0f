"""What the store keeps in memory because asking the database each time would cost too much. All of it can be
rebuilt."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from tocsin.core.result import CheckResult
from tocsin.store.tail import Tail


class Place(NamedTuple):
    """A monitor's integer keys."""

    monitor: int
    workspace: int
    workspace_id: str


@dataclass(slots=True)
class Newest:
    """The newest result of one monitor at one location: newer ones are surely not known yet."""

    at: int
    attempt: int
    status: str | None = None
    result: CheckResult | None = None
    kept: bool = True


@dataclass(slots=True)
class Memory:
    """Integer keys by id, the newest result of each monitor and location, and where the tail's rows are. Only the writer
    changes it."""

    places: dict[str, Place] = field(default_factory=dict[str, Place])
    locations: dict[str, int] = field(default_factory=dict[str, int])
    newest: dict[tuple[int, int], Newest] = field(default_factory=dict[tuple[int, int], Newest])
    tail: Tail = field(default_factory=Tail)

    def forget(self) -> None:
        """Drop the keys: they are read again when needed."""
        self.places.clear()
        self.locations.clear()
