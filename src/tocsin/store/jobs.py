"""Work for the database and what has to be undone in memory when it does not come to pass."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, InterfaceError

T = TypeVar("T")
Undo = list[Callable[[], object]]
GROUP_ROWS = 1000
"""How many rows are committed together at most (a single piece of work may have more)."""
FEW_ROWS = 50
"""A group of so few rows is written at once: it does not take on a job of more."""
ROOM_ROWS = 20_000
"""How many rows may wait before submitters wait themselves."""


@dataclass(slots=True, eq=False)
class Job:
    """A piece of writing work, in its own savepoint of a group's transaction."""

    work: Callable[[Connection, Undo], Any]
    rows: int
    loop: asyncio.AbstractEventLoop
    done: asyncio.Future[Any]
    alone: bool = False
    """Long work, which nobody else's commit should wait for."""
    local: bool = False
    """Work on what is this instance's own: at a primary it need not wait for what others wrote before it."""
    ours: bool = False
    """Work of the replica itself, by itself: it goes on while all other work is held up."""
    unbound: bool = False
    """Work that brings rows from elsewhere: on a connection of its own, on which nothing cascades and nothing is noted."""
    shares: bool = False
    settled: Callable[[], Awaitable[None]] | None = None
    """What is to be waited for, once it is durable, before it is done."""
    undo: Undo = field(default_factory=list[Callable[[], object]])
    result: Any = None
    error: BaseException | None = None

    def finish(self) -> None:
        """Tell who waits (in its loop's thread)."""
        if self.done.done():
            return
        if self.error is None:
            self.done.set_result(self.result)
        else:
            self.done.set_exception(self.error)

    def take_back(self) -> None:
        """Undo in memory what the work did there."""
        for step in reversed(self.undo):
            step()
        self.undo.clear()
        self.shares, self.settled = False, None


class Database(Protocol):
    """SQLite or PostgreSQL: reads side by side, writes one after the other in groups."""

    backlog: int

    async def read(self, work: Callable[[Connection], T]) -> T:
        """What the work gives, in a transaction that only reads."""
        ...

    async def write(
        self, work: Callable[[Connection, Undo], T], rows: int = 1, *, alone: bool = False, local: bool = False
    ) -> T:
        """What the work gives, once its transaction is durable (at a primary: on a majority)."""
        ...

    async def close(self) -> None:
        """Finish what waits and let go of the database."""
        ...


def take_group(jobs: deque[Job]) -> list[Job]:
    """The next jobs to commit together: all that wait, up to GROUP_ROWS rows, at least one; long work by itself. Nobody
    who writes a few rows waits for many that came later; who comes after many goes along with them."""
    group = [jobs.popleft()]
    rows = group[0].rows
    while jobs and not (group[0].alone or jobs[0].alone) and rows + jobs[0].rows <= GROUP_ROWS:
        if rows <= FEW_ROWS < jobs[0].rows:
            break
        group.append(jobs.popleft())
        rows += group[-1].rows
    return group


def run_group(connection: Connection, group: list[Job], check: Callable[[Connection, Job], None] | None = None) -> None:
    """Run each job in a savepoint of the open transaction, and `check` after it; one that fails takes only itself back."""
    for job in group:
        if len(group) > 1 and job.done.cancelled():
            continue
        alone = len(group) == 1  # then its savepoint would be the transaction itself
        try:
            with nullcontext() if alone else connection.begin_nested():
                job.result = job.work(connection, job.undo)
                if check is not None:
                    check(connection, job)
        except BaseException as error:
            job.take_back()
            if is_outage(error):
                raise
            job.error = error
            if alone:
                connection.rollback()


_SQLITE_AWAY = frozenset((5, 6, 7, 8, 9, 10, 11, 13, 14, 15, 26))
"""Busy, locked, no memory, read-only, interrupted, I/O error, corrupt, full, cannot open, locking, not a database."""
_POSTGRES_AWAY = ("08", "53", "55", "57", "58", "28", "3D", "40", "25006", "XX")
"""SQLSTATEs: connection, resources, not in a state to, operator, system, sign-in, no such database, rolled back, read-only,
internal."""


def is_outage(error: BaseException) -> bool:
    """Whether the database cannot be used now (locked, full, away), rather than refusing what was asked.

    Only what is known to be an outage is one: whatever else it says is about the statement, and must not keep anybody
    else from the database."""
    if isinstance(error, OSError | TimeoutError):
        return True
    if not isinstance(error, DBAPIError):
        return False
    if error.connection_invalidated:
        return True
    if (code := getattr(error.orig, "sqlite_errorcode", None)) is not None:
        return code & 0xFF in _SQLITE_AWAY
    if state := getattr(error.orig, "sqlstate", None):
        return str(state).startswith(_POSTGRES_AWAY)
    return isinstance(error, InterfaceError)
