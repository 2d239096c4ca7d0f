"""One monitor and what is known of it now."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any

from tocsin.core.condition import Condition
from tocsin.core.consensus import LocationState, Seat, Verdict, decide
from tocsin.core.figures import Figure
from tocsin.core.incident import Incident
from tocsin.core.monitor import Monitor
from tocsin.core.redaction import credentials
from tocsin.core.result import CheckResult, Status
from tocsin.core.schedule import slot_at_or_before
from tocsin.pipeline.known import TALLY
from tocsin.store.letters import letter


@dataclass(slots=True, eq=False)
class Watched:
    """One monitor and what is known of it now.

    `target` is the parsed Target, None when it cannot be read (`problem` says why); `breaks` says which rules of its
    type it breaks that came later. `host` is what it contacts, for fair waiting. `tally` holds a letter for each of
    the latest 90 slots: u up, s degraded, p down while others are up, d down, `.` not judged. `last` holds each
    location's latest result since the start, `good` the latest that was well. `settled_at`: until then too few fresh
    votes, and votes that were not heard since, keep the stored verdict. `calm`: the next result like the last changes
    nothing but the state. `gap_from`: since then (before the start) no votes were fresh, to be recorded with the next
    judgement. `heard_from`: since then no call of its job was missed by us. `waiting`: since when the condition of a
    rule (by id) has held. `leans`: it is held back for the sake of what it depends on; `asks`: ids of those whose
    next result decides. `quarantined`: locations that abstain now; `domains`: their failure domains, by location.
    `slot_at`, `slot_says`: the newest slot in the tally, and what each location saw in it. `failed_at`: the slot of
    each location's latest failure. `figures`: what the conditions of its rules look at, as far as it was read
    (pipeline.figures). `spoke`: the locations that results came from since all was read.
    """

    monitor: Monitor
    target: Any
    shown: str
    host: str
    assigned: tuple[str, ...]
    settled_at: datetime
    heard_from: datetime
    problem: str | None = None
    breaks: str = ""
    states: dict[str, LocationState] = field(default_factory=dict[str, LocationState])
    verdict: Verdict | None = None
    incident: Incident | None = None
    tally: bytearray = field(default_factory=bytearray)
    last: dict[str, CheckResult] = field(default_factory=dict[str, CheckResult])
    good: dict[str, CheckResult] = field(default_factory=dict[str, CheckResult])
    next_at: datetime | None = None
    running: set[str] = field(default_factory=set[str])
    idle: list[asyncio.Future[None]] = field(default_factory=list[asyncio.Future[None]])
    judge_again_at: datetime | None = None
    calm: bool = False
    gap_from: datetime | None = None
    generation: int = 0
    gone: bool = False
    waiting: dict[str, datetime] = field(default_factory=dict[str, datetime])
    leans: bool = False
    asks: tuple[str, ...] = ()
    quarantined: frozenset[str] = frozenset()
    domains: Mapping[str, str] = field(default_factory=dict[str, str])
    figures: dict[Condition, Figure] = field(default_factory=dict[Condition, Figure])
    spoke: set[str] = field(default_factory=set[str])
    slot_at: datetime | None = None
    slot_says: dict[str, Status] = field(default_factory=dict[str, Status])
    failed_at: dict[str, datetime] = field(default_factory=dict[str, datetime])
    _secrets: tuple[Monitor, list[str]] | None = None

    @property
    def secrets(self) -> list[str]:
        """Every text of its target that may be a credential (core.redaction), found once for each configuration."""
        if self._secrets is None or self._secrets[0] is not self.monitor:
            self._secrets = self.monitor, credentials(self.monitor.target)
        return self._secrets[1]

    @property
    def subject(self) -> str:
        return f"monitor:{self.monitor.id}"

    def wake(self) -> None:
        """Tell those who wait until nothing of it runs to look again."""
        waiters, self.idle = self.idle, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    def judge(self, now: datetime) -> Verdict:
        """The verdict from the present states."""
        monitor, settled = self.monitor, now >= self.settled_at
        return decide(
            self.seats(), monitor.quorum, monitor.fresh_s(), self.verdict, now, settled=settled, heard=self.spoke
        )

    def renew(self, fresh: Watched) -> None:
        """Be what was read anew: whoever holds on to this monitor goes on with it. What runs goes on."""
        for name in _RENEWED:
            setattr(self, name, getattr(fresh, name))
        self.generation += 1

    def seats(self) -> list[Seat]:
        """Its locations at the vote. One that is alone votes also in quarantine: there is nobody else."""
        states, domains = self.states, self.domains
        silent = self.quarantined if len(self.assigned) > 1 else frozenset[str]()
        return [
            Seat(location=p, state=states.get(p), quarantined=p in silent, failure_domain=domains.get(p))
            for p in self.assigned
        ]

    def count(self, result: CheckResult) -> None:
        """Add a result to the tally: a letter a slot, of what its locations saw in it (also asked again by each other). One
        that comes after a newer slot has begun is left out."""
        at = result.at
        if len(self.assigned) > 1:
            at = slot_at_or_before(self.monitor.id, self.monitor.interval_s, at)
        again = self.slot_at == at
        if self.slot_at is not None and at < self.slot_at:
            return
        if not again:
            self.slot_at, self.slot_says = at, {}
        self.slot_says[result.seat] = result.status
        said = letter(self.slot_says.values())
        if said == "d" and self.verdict is not None and self.verdict.value == "partial":
            said = "p"
        if again and self.tally:
            self.tally[-1] = ord(said)
            return
        self.tally.append(ord(said))
        if len(self.tally) > TALLY:
            del self.tally[0]


_RENEWED = tuple(f.name for f in fields(Watched) if f.name not in ("running", "idle", "generation"))
