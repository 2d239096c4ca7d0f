"""What the primary asks of the others besides their own schedule: to confirm a failure, or because somebody wants to know
now. They ask for it by long poll, so that it works from behind NAT too."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime

import msgspec
from msgspec import Struct

from tocsin import telemetry
from tocsin.checks import Order
from tocsin.clock import new_id
from tocsin.core.result import Outcome
from tocsin.errors import NotPrimary, PeerLost
from tocsin.location import Location
from tocsin.pipeline.corridor import Corridor

log = telemetry.logger("tocsin.cluster")

POLL_S = 20.0
GONE_S = 30.0
"""An instance that has not asked for work for so long is not there."""
GRACE_S = 3.0
"""So much longer than its timeout a check may take to come back."""
MOST = 500


class Task(Struct, frozen=True, kw_only=True):
    """One check that is wanted now."""

    id: str
    monitor: str
    slot: datetime
    attempt: int = 0


class Tasks(Struct, frozen=True, kw_only=True):
    """What to do now; empty when nothing came up meanwhile."""

    tasks: tuple[Task, ...] = ()


class Done(Struct, frozen=True, kw_only=True):
    """What came of a task: an outcome (msgpack), or why there is none."""

    id: str
    outcome: bytes = b""
    why: str = ""


class _Desk:
    """What waits for one instance."""

    def __init__(self) -> None:
        self.waiting: list[Task] = []
        self.came = asyncio.Event()
        self.asked_at = 0.0


class Work:
    """The primary's side: desks by location, and who waits for what."""

    def __init__(self) -> None:
        self._desks: dict[str, _Desk] = {}
        self._open: dict[str, asyncio.Future[Outcome]] = {}
        self._closed = False
        self._office = 0

    def locations(self, names: Mapping[str, str]) -> dict[str, Location]:
        """What asks each of these locations, by its name; the instances' ids are the values."""
        return {place: self._location(instance) for place, instance in names.items()}

    async def wanted(self, instance: str) -> Tasks:
        """What this instance is to do; waits until there is something, or for 20 s. NotPrimary once it was closed: who
        asks again would be waited for."""
        if self._closed:
            raise NotPrimary("this instance stops")
        desk, office = self._desks.setdefault(instance, _Desk()), self._office
        loop = asyncio.get_running_loop()
        desk.asked_at = loop.time()
        if not desk.waiting:
            desk.came.clear()
            try:
                async with asyncio.timeout(POLL_S):
                    await desk.came.wait()
            except TimeoutError:
                pass
        if office != self._office:  # who asked in another office was not heard in this one
            return Tasks()
        desk.asked_at = loop.time()
        tasks, desk.waiting = tuple(desk.waiting), []
        return Tasks(tasks=tasks)

    def ago(self, instance: str) -> float | None:
        """How many seconds ago this instance asked for work; None: it never did."""
        desk = self._desks.get(instance)
        return None if desk is None or not desk.asked_at else asyncio.get_running_loop().time() - desk.asked_at

    def forget(self) -> None:
        """Another office began: of nobody is known in it that it asked for work, and who waits for some asks anew."""
        self._office += 1
        for desk in self._desks.values():
            desk.asked_at = 0.0
            desk.came.set()

    def close(self) -> None:
        """Let everybody go who waits for work, and nobody wait any more."""
        self._closed = True
        for desk in self._desks.values():
            desk.came.set()

    def done(self, said: Done) -> None:
        """Something came of a task; of one that nobody waits for any more nothing is kept."""
        waiting = self._open.get(said.id)
        if waiting is None or waiting.done():
            return
        if said.outcome:
            try:
                waiting.set_result(outcome_of(said.outcome))
            except PeerLost as wrong:
                waiting.set_exception(wrong)
        else:
            waiting.set_exception(PeerLost(said.why or "it gave no outcome"))

    def _location(self, instance: str) -> Location:
        async def ask(order: Order) -> Outcome:
            return await self._ask(instance, order)

        return ask

    async def _ask(self, instance: str, order: Order) -> Outcome:
        loop = asyncio.get_running_loop()
        desk = self._desks.get(instance)
        if desk is None or loop.time() - desk.asked_at > GONE_S + POLL_S:
            raise PeerLost("that instance does not ask for work")
        if len(desk.waiting) >= MOST or order.scheduled_at is None:
            raise PeerLost("too much waits for that instance")
        task = Task(id=new_id(), monitor=order.monitor_id, slot=order.scheduled_at, attempt=order.attempt)
        waiting: asyncio.Future[Outcome] = loop.create_future()
        self._open[task.id] = waiting
        desk.waiting.append(task)
        desk.came.set()
        try:
            async with asyncio.timeout(order.timeout_s + GRACE_S):
                return await waiting
        except TimeoutError:
            raise PeerLost("that instance gave no answer in time") from None
        finally:
            self._open.pop(task.id, None)
            desk.waiting = [one for one in desk.waiting if one.id != task.id]


async def carry_out(corridor: Corridor, task: Task) -> Done:
    """The other side: do what is wanted."""
    watched = corridor.watchlist.find(task.monitor)
    if watched is None:
        return Done(id=task.id, why="that monitor is not known here yet")
    outcome = await corridor.runner.look(watched, task.slot, task.attempt)
    seen = msgspec.structs.replace(outcome.seen, body=b"")
    return Done(id=task.id, outcome=msgspec.msgpack.encode(msgspec.structs.replace(outcome, seen=seen)))


def outcome_of(data: bytes) -> Outcome:
    """An outcome from what came. PeerLost when it is none."""
    try:
        return msgspec.msgpack.decode(data, type=Outcome)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise PeerLost(f"what came is no outcome: {str(error)[:200]}") from None
