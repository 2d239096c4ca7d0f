"""What one round of judgement wants kept and told, and what memory was before it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from tocsin.clock import new_id
from tocsin.core.alert import OutboxRow
from tocsin.core.consensus import LocationState, Verdict
from tocsin.core.incident import Incident, Step
from tocsin.core.result import CheckResult
from tocsin.pipeline.watchlist import Watched, Watchlist
from tocsin.store.batch import Batch, IncidentChange, StateChange, VerdictChange


class _Before(NamedTuple):
    """What was known of a monitor before a round."""

    watched: Watched
    states: dict[str, LocationState]
    verdict: Verdict | None
    incident: Incident | None
    gap_from: datetime | None
    calm: bool
    judge_again_at: datetime | None
    waiting: dict[str, datetime]
    leans: bool


@dataclass(slots=True)
class Told:
    """Something to publish after the commit."""

    workspace_id: str
    monitor_id: str | None = None
    verdict: Verdict | None = None
    step: Step | None = None


@dataclass(slots=True)
class Draft:
    """What one round wants kept and told, and what memory was before it."""

    by: str = "tocsin"
    results: list[CheckResult] = field(default_factory=list[CheckResult])
    states: list[StateChange] = field(default_factory=list[StateChange])
    verdicts: list[VerdictChange] = field(default_factory=list[VerdictChange])
    incidents: list[IncidentChange] = field(default_factory=list[IncidentChange])
    outbox: list[OutboxRow] = field(default_factory=list[OutboxRow])
    told: list[Told] = field(default_factory=list[Told])
    late: list[CheckResult] = field(default_factory=list[CheckResult])
    judged: dict[str, Watched] = field(default_factory=dict[str, Watched])
    before: dict[str, _Before] = field(default_factory=dict[str, _Before])
    others: dict[tuple[str, str], Incident | None] = field(default_factory=dict[tuple[str, str], Incident | None])

    def touch(self, w: Watched) -> None:
        """Remember what is known of a monitor before this round changes it."""
        if w.monitor.id not in self.before:
            known = _Before(
                w, w.states.copy(), w.verdict, w.incident, w.gap_from, w.calm, w.judge_again_at, w.waiting.copy(), w.leans
            )  # fmt: skip
            self.before[w.monitor.id] = known

    def touch_other(self, watchlist: Watchlist, workspace_id: str, subject: str) -> None:
        """Remember the incident of a subject that is not a monitor's verdict."""
        key = workspace_id, subject
        self.others.setdefault(key, watchlist.incidents.get(key))

    def take_back(self, watchlist: Watchlist) -> None:
        """Make memory what it was: nothing of this round was stored."""
        for (workspace_id, subject), incident in self.others.items():
            watchlist.put_incident(incident, workspace_id, subject)
        for known in self.before.values():
            w = known.watched
            w.states, w.verdict, w.incident = known.states, known.verdict, known.incident
            w.gap_from, w.calm, w.judge_again_at = known.gap_from, known.calm, known.judge_again_at
            w.waiting, w.leans = known.waiting, known.leans

    def batch(self) -> Batch:
        """All of it, as one transaction."""
        return Batch(
            id=new_id(),
            by=self.by,
            results=tuple(self.results),
            states=tuple(self.states),
            verdicts=tuple(self.verdicts),
            incidents=tuple(self.incidents),
            outbox=tuple(self.outbox),
        )

    def marks(self) -> tuple[int, ...]:
        """How much there is of what a judgement adds, for `cut`."""
        return len(self.verdicts), len(self.incidents), len(self.outbox), len(self.told)

    def cut(self, marks: tuple[int, ...]) -> None:
        """Forget what was added since `marks`."""
        verdicts, incidents, outbox, told = marks
        del self.verdicts[verdicts:], self.incidents[incidents:], self.outbox[outbox:], self.told[told:]

    @property
    def empty(self) -> bool:
        return not (self.results or self.states or self.verdicts or self.incidents or self.outbox)
