"""One round of judgement in memory: fold results, decide, advance incidents; what to store, and how to take it back.

Level-triggered: it decides from the latest states, so whatever a crash leaves undone the next round does.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from msgspec.structs import replace

from tocsin import telemetry
from tocsin.clock import new_id
from tocsin.core.alert import OutboxRow, remembering, rows_for
from tocsin.core.consensus import LocationState, Verdict, fold
from tocsin.core.evidence import evidence
from tocsin.core.incident import Incident, Step, advance
from tocsin.core.result import CheckResult
from tocsin.pipeline.watchlist import Watched, Watchlist
from tocsin.store.batch import Batch, IncidentChange, StateChange, VerdictChange

log = telemetry.logger("tocsin.judgement")

OLD_S = 300.0
"""A result older than this opens no incident: it fills history."""


class _Before(NamedTuple):
    """What was known of a monitor before a round."""

    watched: Watched
    states: dict[str, LocationState]
    verdict: Verdict | None
    incident: Incident | None
    gap_from: datetime | None
    calm: bool
    judge_again_at: datetime | None


@dataclass(slots=True)
class Told:
    """Something to publish after the commit."""

    watched: Watched
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
    judged: dict[str, Watched] = field(default_factory=dict[str, Watched])
    before: dict[str, _Before] = field(default_factory=dict[str, _Before])

    def touch(self, w: Watched) -> None:
        """Remember what is known of a monitor before this round changes it."""
        if w.monitor.id not in self.before:
            known = _Before(w, w.states.copy(), w.verdict, w.incident, w.gap_from, w.calm, w.judge_again_at)
            self.before[w.monitor.id] = known

    def take_back(self) -> None:
        """Make memory what it was: nothing of this round was stored."""
        for known in self.before.values():
            w = known.watched
            w.states, w.verdict, w.incident = known.states, known.verdict, known.incident
            w.gap_from, w.calm, w.judge_again_at = known.gap_from, known.calm, known.judge_again_at

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


class Judgement:
    """Folds and judges against a watchlist; `base_url` goes into messages as the link."""

    def __init__(self, watchlist: Watchlist, base_url: str) -> None:
        self._watchlist, self._base_url = watchlist, base_url

    def fold_in(self, draft: Draft, results: Iterable[CheckResult], now: datetime) -> None:
        """Fold results into their states and judge every monitor whose answer may have changed."""
        to_judge: dict[str, tuple[Watched, dict[str, CheckResult]]] = {}
        for result in results:
            w = self._watchlist.find(result.monitor_id)
            if w is None:
                continue
            draft.touch(w)
            if self._fold_safely(draft, w, result):
                seen = to_judge.setdefault(w.monitor.id, (w, {}))[1]
                seen[result.location] = result
            draft.results.append(without_body(result))
        for w, seen in to_judge.values():
            fresh = any((now - r.scheduled_at).total_seconds() <= OLD_S for r in seen.values())
            self.judge_safely(draft, w, now, seen, may_open=fresh)

    def _fold_safely(self, draft: Draft, w: Watched, result: CheckResult) -> bool:
        """Fold one result of many; whether its monitor has to be judged."""
        known = w.states.get(result.location)
        try:
            settled = steady(w, result)
            if result.location not in w.assigned:
                return False
            self._fold(draft, w, result)
        except Exception:
            telemetry.faults.labels("judgement").inc()
            log.exception("judgement.fold_fault", monitor=w.monitor.id, location=result.location)
            if known is not None:
                w.states[result.location] = known
            w.calm = False
            return False
        return not settled

    def judge_safely(
        self, draft: Draft, w: Watched, now: datetime, seen: dict[str, CheckResult] | None = None,
        *, may_open: bool = True,
    ) -> bool:  # fmt: skip
        """Judge one monitor of many, and say whether that was possible: a bug that only its facts wake must not stop
        the judgement of all."""
        draft.touch(w)
        known, marks = (w.verdict, w.incident, w.gap_from), draft.marks()
        try:
            self.judge(draft, w, now, seen, may_open=may_open)
        except Exception:
            telemetry.faults.labels("judgement").inc()
            log.exception("judgement.fault", monitor=w.monitor.id)
            draft.cut(marks)
            w.verdict, w.incident, w.gap_from = known
            w.calm = False
            return False
        return True

    def _fold(self, draft: Draft, w: Watched, result: CheckResult) -> None:
        before = w.states.get(result.location) or LocationState(location=result.location)
        outcome = result.outcome
        after = fold(before, w.monitor, outcome.status, result.scheduled_at, result.attempt, outcome.error)
        if after is before:
            return
        w.states[result.location] = after
        if after.vote != before.vote or after.suspect != before.suspect:
            change = StateChange(workspace_id=w.monitor.workspace_id, monitor_id=w.monitor.id, state=after)
            draft.states.append(change)

    def judge(
        self,
        draft: Draft,
        w: Watched,
        now: datetime,
        seen: dict[str, CheckResult] | None = None,
        *,
        may_open: bool = True,
    ) -> None:
        """Decide from the present states, and take the incident a step further."""
        if w.monitor.paused:
            return
        draft.touch(w)
        draft.judged[w.monitor.id] = w
        verdict = self._decide(draft, w, now)
        idle = w.incident is None or not w.incident.open
        if idle and verdict.value == "down" and not may_open:
            w.calm = False
            return
        shown = evidence(w.monitor, verdict, {**w.last, **(seen or {})}) if idle and verdict.value == "down" else None
        step = advance(w.incident, w.monitor, verdict, now, new_id=new_id(), evidence=shown)
        w.judge_again_at = step.judge_again_at
        self.take_step(draft, w, step, now)
        w.calm = step.judge_again_at is None and _agreed(w, verdict)

    def take_step(self, draft: Draft, w: Watched, step: Step, now: datetime) -> None:
        """Keep and tell a step of a monitor's incident."""
        incident = step.incident
        if not step.changed or incident is None:
            return
        draft.touch(w)
        verdict = w.verdict or w.judge(now)
        rows: Sequence[OutboxRow] = ()
        if step.transitions:
            channels = self._watchlist.channels(w.monitor.workspace_id)
            rows = rows_for(step, w.monitor, verdict, channels, now, base_url=self._base_url, shown=w.shown)
            incident = remembering(incident, step.transitions, w.monitor, channels)
        opens = incident.open and (w.incident is None or not w.incident.open)
        w.incident = incident
        draft.incidents.append(IncidentChange(incident=incident, entries=step.entries, opens=opens))
        draft.outbox.extend(rows)
        draft.told.append(Told(w, step=step))

    def _decide(self, draft: Draft, w: Watched, now: datetime) -> Verdict:
        before, verdict = w.verdict, w.judge(now)
        gap, w.gap_from = w.gap_from, None
        workspace_id, monitor_id = w.monitor.workspace_id, w.monitor.id
        if gap is not None and before is not None:
            lost = replace(verdict, value="unknown", pending=False, at=gap, since=gap, reason="Nobody looked")
            draft.verdicts.append(VerdictChange(workspace_id=workspace_id, monitor_id=monitor_id, verdict=lost))
        changed = before is None or (before.value, before.pending) != (verdict.value, verdict.pending)
        if (changed or gap is not None) and not verdict.pending:
            draft.verdicts.append(VerdictChange(workspace_id=workspace_id, monitor_id=monitor_id, verdict=verdict))
        if changed:
            draft.told.append(Told(w, verdict=verdict))
        w.verdict = verdict
        return verdict


def steady(w: Watched, result: CheckResult) -> bool:
    """Whether this result can change nothing but the state: no judgement is needed, and no hurry."""
    state = w.states.get(result.location)
    if not w.calm or state is None:
        return False
    status = result.outcome.status
    if status == "invalid":
        return True
    return state.vote == status and state.status == status and not state.suspect


def _agreed(w: Watched, verdict: Verdict) -> bool:
    """Whether every assigned location says what the verdict says, without doubt."""
    for place in w.assigned:
        state = w.states.get(place)
        if state is None or state.suspect or state.vote != verdict.value:
            return False
    return verdict.f == verdict.n


def without_body(result: CheckResult) -> CheckResult:
    """The result as it is kept: what only assertions and evidence needed is let go."""
    outcome = result.outcome
    if not outcome.seen.body and not outcome.seen.picture:
        return result
    return replace(result, outcome=replace(outcome, seen=replace(outcome.seen, body=b"", picture=b"")))


def live_data(step: Step) -> dict[str, Any]:
    """What a live event says of an incident."""
    i = step.incident
    return {} if i is None else {"incident": i.id, "severity": i.severity, "verdict": i.verdict, "reason": i.reason}
