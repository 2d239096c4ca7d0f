"""What the store keeps in memory because asking the database each time would cost too much. All of it can be
rebuilt."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from tocsin.core.result import CheckResult
from tocsin.store.tail import Seen, Tail
from tocsin.store.transport import Numbering

_SPANS = 15


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
    set_right: dict[tuple[int, int], tuple[int, int]] = field(default_factory=dict[tuple[int, int], tuple[int, int]])
    """Of those whose newest result is dated by a clock that was set right since: (slot, attempt) of what came last."""
    tail: Tail = field(default_factory=Tail)

    touched: dict[int, tuple[int, int]] = field(default_factory=dict[int, tuple[int, int]])
    """Between which slots results came, by monitor, since somebody last took this (pipeline.ticking)."""
    series: dict[tuple[str, str], dict[str, int]] = field(default_factory=dict[tuple[str, str], dict[str, int]])
    """The numbers of the series of each host (workspace, id), by name."""

    numbering: Numbering | None = None
    """How this instance's own results are numbered, in a cluster."""
    following: bool = False
    """Whether this is an instance of a cluster that another one leads."""

    rolled: dict[tuple[int, int, int], tuple[tuple[int, int, int], dict[int, Seen]]] = field(default_factory=dict)
    """Sums read from rollups by (step, from, to), each with the mark of the move it was read at."""

    def keep_rolled(self, span: tuple[int, int, int], mark: tuple[int, int, int], sums: dict[int, Seen]) -> None:
        """Keep the sums of a span; of those of other moments only a few stay."""
        self.rolled = {
            known: kept for known, kept in tuple(self.rolled.items())[-_SPANS:] if kept[0] == mark and known != span
        } | {span: (mark, sums)}

    def forget(self) -> None:
        """Drop the keys: they are read again when needed."""
        self.places.clear()
        self.locations.clear()
