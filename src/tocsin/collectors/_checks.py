"""Checks that an agent runs: each in a task of its own, at its own interval, so that one that hangs holds up no other."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime

from msgspec import Struct

from tocsin import telemetry
from tocsin.collectors import Check, Facility
from tocsin.collectors._answer import labelled, word
from tocsin.core.plain import clip
from tocsin.core.result import Outcome
from tocsin.core.sample import Reading, Service
from tocsin.errors import CheckInvalid, Invalid, Problem

log = telemetry.logger("tocsin.collectors")

FIRST_S = 1.5
"""The first look waits so long for the first results; what takes longer is seen at the next."""
RETRY_S = 1.0
AT_ONCE = 8


class Entry(Struct, frozen=True, kw_only=True):
    """One check: what it is called, how often it is run, how often a failure is tried again before it counts."""

    name: str
    check: Check
    every_s: float
    retries: int = 0


class Checks:
    """The checks of one source, run from its first look on. `kind`: of the services that they are; `type_`: the label that
    their series have."""

    def __init__(self, entries: Sequence[Entry], facility: Facility, kind: str, type_: str) -> None:
        self._entries, self._facility, self._kind, self._type = entries, facility, kind, type_
        self._turn = asyncio.Semaphore(AT_ONCE)
        self.latest: dict[str, Outcome] = {}
        self._since: dict[str, datetime] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._all_known = asyncio.Event()

    async def collect(self) -> Reading:
        """The latest result of each."""
        if not self._tasks:
            self._tasks = [self._begun(entry) for entry in self._entries]
            with suppress(TimeoutError):
                async with asyncio.timeout(FIRST_S):
                    await self._all_known.wait()
        trouble = self._begin_again()
        values: dict[str, float] = {}
        services: list[Service] = []
        for entry in self._entries:
            outcome = self.latest.get(entry.name)
            if outcome is None:
                continue
            services.append(self._shown(entry.name, outcome))
            labels = {"name": entry.name, "type": self._type}
            labelled(values, "check.total_ms", outcome.seen.timing.total, **labels)
            if outcome.status != "invalid":
                labelled(values, "check.up", 0.0 if outcome.status == "down" else 1.0, **labels)
                labelled(values, "check.degraded", 1.0 if outcome.status == "degraded" else 0.0, **labels)
        return Reading(values=values, services=tuple(services), trouble=trouble)

    def _begun(self, entry: Entry) -> asyncio.Task[None]:
        return asyncio.create_task(self._go_on(entry), name=f"check {entry.name}")

    def _begin_again(self) -> str:
        """Begin those anew that ended by a bug of ours; what it was, in words."""
        said: list[str] = []
        for n, (entry, task) in enumerate(zip(self._entries, self._tasks, strict=True)):
            if not task.done() or task.cancelled() or (error := task.exception()) is None:
                continue
            telemetry.faults.labels("collectors").inc()
            log.error("collectors.check_ended", check=entry.name, exc_info=error)
            said.append(clip(f"{entry.name}: {type(error).__name__}: {error}", 200))
            self.latest.pop(entry.name, None)
            self._tasks[n] = self._begun(entry)
        return "; ".join(said)

    async def close(self) -> None:
        """End what runs."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _go_on(self, entry: Entry) -> None:
        while True:
            began = self._facility.clock.monotonic()
            outcome = await self._result(entry)
            before = self.latest.get(entry.name)
            self.latest[entry.name] = outcome
            if len(self.latest) == len(self._entries):
                self._all_known.set()
            if before is None or before.status != outcome.status:
                self._since[entry.name] = outcome.started_at
                self._facility.wake()
            took = self._facility.clock.monotonic() - began
            await self._facility.clock.sleep(max(0.2, entry.every_s - took))

    async def _result(self, entry: Entry) -> Outcome:
        """The result, of the last try when all failed."""
        for _ in range(entry.retries):
            outcome = await self._run(entry)
            if outcome.status in ("up", "degraded"):
                return outcome
            await self._facility.clock.sleep(RETRY_S)
        return await self._run(entry)

    async def _run(self, entry: Entry) -> Outcome:
        async with self._turn:
            return await entry.check()

    def _shown(self, name: str, outcome: Outcome) -> Service:
        ok = {"up": True, "down": False}.get(outcome.status)
        state = "cannot be judged" if outcome.status == "invalid" else outcome.status
        facts: dict[str, str | float | int | bool | None] = {"target": word(outcome.target, 200)}
        if outcome.seen.status_code is not None:
            facts["status"] = outcome.seen.status_code
        if outcome.seen.tls is not None and outcome.seen.tls.days_left is not None:
            facts["certificate_days"] = round(outcome.seen.tls.days_left, 1)
        detail = word(outcome.error.message, 400) if outcome.error is not None else ""
        return Service(
            kind=self._kind, name=name, state=state, ok=ok, since=self._since.get(name), detail=detail, facts=facts
        )


def must_differ(field: str, called: Sequence[str]) -> None:
    """Invalid when two checks of that option have one name."""
    if twice := [name for name in called if called.count(name) > 1]:
        raise Invalid(Problem(field, "names of their own", f"{clip(twice[0])} twice"))


def not_here() -> CheckInvalid:
    """What is said where nothing can run checks."""
    return CheckInvalid("no checks can be run here")
