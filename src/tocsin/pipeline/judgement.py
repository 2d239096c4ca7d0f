"""One round of judgement in memory: fold results, decide, advance incidents; what to store, and how to take it back.

Level-triggered: it decides from the latest states, so whatever a crash leaves undone the next round does.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from msgspec.structs import replace

from tocsin import telemetry
from tocsin.clock import new_id
from tocsin.core.advance import advance
from tocsin.core.alert import About, OutboxRow, about, remembering, rows_for
from tocsin.core.condition import OnFailures, OnVerdict
from tocsin.core.consensus import AHEAD, LocationState, Verdict, fold, lost, set_right
from tocsin.core.coverage import NAME as EVERYTHING
from tocsin.core.coverage import SUBJECT as COVERAGE
from tocsin.core.coverage import Sight, coverage, coverage_terms
from tocsin.core.dependency import Held
from tocsin.core.escalation import Reach, reach_of
from tocsin.core.evidence import evidence
from tocsin.core.finding import Hush, Terms, finding_of, terms_of
from tocsin.core.follow import Case, follow
from tocsin.core.incident import Incident, Step, close
from tocsin.core.maintenance import changes_at, hush_of, in_maintenance
from tocsin.core.probe import SUBJECT as LOST
from tocsin.core.probe import lost_terms
from tocsin.core.quarantine import SUBJECT
from tocsin.core.quarantine import terms_of as quarantine_terms
from tocsin.core.result import CheckResult
from tocsin.core.rule import AlertRule, Facts, examine, rule_terms
from tocsin.pipeline.draft import Draft, Told
from tocsin.pipeline.parents import held
from tocsin.pipeline.telling import Telling
from tocsin.pipeline.watchlist import Watched, Watchlist
from tocsin.store.batch import IncidentChange, StateChange, VerdictChange

log = telemetry.logger("tocsin.judgement")

OLD_S = 300.0
"""A result older than this opens no incident: it fills history."""


class Judgement:
    """Folds and judges against a watchlist; `base_url` goes into messages as the link. While it does not `lead`, another
    instance judges: results are folded and kept, nothing else."""

    def __init__(self, watchlist: Watchlist, base_url: str) -> None:
        self._watchlist, self._base_url = watchlist, base_url
        self.leads = True

    def fold_in(self, draft: Draft, results: Iterable[CheckResult], now: datetime) -> None:
        """Fold results into their states and judge every monitor whose answer may have changed."""
        to_judge: dict[str, tuple[Watched, dict[str, CheckResult]]] = {}
        for result in results:
            w = self._watchlist.find(result.monitor_id)
            if w is None:
                continue
            draft.touch(w)
            if self._fold_safely(draft, w, result, now):
                seen = to_judge.setdefault(w.monitor.id, (w, {}))[1]
                seen[result.seat] = result
            draft.results.append(without_body(result))
            if self.leads and (now - result.at).total_seconds() > OLD_S:
                draft.late.append(draft.results[-1])
        for w, seen in to_judge.values() if self.leads else ():
            fresh = any((now - r.at).total_seconds() <= OLD_S for r in seen.values())
            self.judge_safely(draft, w, now, seen, may_open=fresh)

    def _fold_safely(self, draft: Draft, w: Watched, result: CheckResult, now: datetime) -> bool:
        """Fold one result of many; whether its monitor has to be judged."""
        known = w.states.get(result.seat)
        try:
            settled = steady(w, result)
            if result.seat not in w.assigned:
                return False
            self._fold(draft, w, result, now)
        except Exception:
            telemetry.faults.labels("judgement").inc()
            log.exception("judgement.fold_fault", monitor=w.monitor.id, location=result.location)
            if known is not None:
                w.states[result.seat] = known
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
            for (workspace_id, subject), incident in draft.others.items():
                if subject.endswith(f":{w.subject}"):
                    self._watchlist.put_incident(incident, workspace_id, subject)
            return False
        return True

    def _fold(self, draft: Draft, w: Watched, result: CheckResult, now: datetime) -> None:
        w.spoke.add(result.seat)
        before, at = w.states.get(result.seat) or LocationState(location=result.seat), result.scheduled_at
        if set_right(before.at, at, now) or is_later(before, result, now):
            before = replace(before, at=None)
        outcome, by = result.outcome, None if result.substitute_for is None else result.location
        after = fold(before, w.monitor, outcome.status, at, result.attempt, outcome.error, by)
        if after is before:
            return
        if at > now or result.here_at is not None:
            after = replace(after, heard=min(result.at, now))
        w.states[result.seat] = after
        if after.stand_in != before.stand_in or after.vote != before.vote or after.suspect != before.suspect:
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
        """Decide from the present states, and take its incidents a step further: that of the verdict, then those of
        the rules that cover it."""
        if w.monitor.paused or not self.leads:
            return
        draft.touch(w)
        draft.judged[w.monitor.id] = w
        telling = self._watchlist.telling(w.monitor.workspace_id)
        verdict = self._decide(draft, w, telling, now)
        idle = w.incident is None or not w.incident.open
        if idle and verdict.value == "down" and not may_open:
            w.calm = False
            return
        hush = self._hush(w, verdict, telling, now)
        opens = idle and verdict.value == "down"
        shown = evidence(w.monitor, verdict, {**w.last, **(seen or {})}, w.good) if opens else None
        terms = self.terms(w, telling, now)
        step = advance(w.incident, terms, finding_of(verdict), now, new_id=new_id(), evidence=shown, hush=hush)
        self.take_step(draft, terms, about(w.monitor, verdict, w.shown), step, now)
        moments = [step.judge_again_at, changes_at(telling.windows, w.monitor, now, telling.agenda)]
        rules = telling.rules_for(w.monitor)
        moments += [self._judge_rule(draft, w, rule, verdict, now, hush) for rule in rules]
        w.judge_again_at = min((moment for moment in moments if moment is not None), default=None)
        by_result = any(isinstance(rule.condition, OnVerdict | OnFailures) for rule in rules)
        settled = not by_result or (verdict.value == "up" and not w.waiting)
        w.calm = step.judge_again_at is None and settled and _agreed(w, verdict) and w.monitor.id not in w.asks

    def explain(self, w: Watched, now: datetime) -> tuple[Verdict, Hush | None]:
        """The verdict judged now, and what would hold an opening back; nothing is kept."""
        telling = self._watchlist.telling(w.monitor.workspace_id)
        verdict = replace(w.judge(now), maintenance=in_maintenance(telling.windows, w.monitor, now, telling.agenda))
        return verdict, _foremost(
            held(self._watchlist, w, verdict, now), hush_of(telling.windows, w.monitor, now, telling.agenda)
        )

    def _hush(self, w: Watched, verdict: Verdict, telling: Telling, now: datetime) -> Hush | None:
        """What holds messages of this monitor back now. Whose next result decides is not calm then: it is judged."""
        leaning = held(self._watchlist, w, verdict, now)
        w.leans, w.asks = leaning is not None, () if leaning is None else leaning.ask
        for asked in filter(None, map(self._watchlist.find, w.asks)):
            asked.calm = False
        return _foremost(leaning, hush_of(telling.windows, w.monitor, now, telling.agenda))

    def _judge_rule(
        self, draft: Draft, w: Watched, rule: AlertRule, verdict: Verdict, now: datetime, hush: Hush | None
    ) -> datetime | None:
        """Take the incident of a rule a step further; when time alone may change it."""
        terms = self._rule_terms(w, rule, self._watchlist.telling(rule.workspace_id), now)
        latest = self._watchlist.incidents.get((terms.workspace_id, terms.subject))
        states = tuple(state for place, state in w.states.items() if place not in w.quarantined)
        facts = Facts(monitor=w.monitor, verdict=verdict, states=states, now=now, figures=w.figures)
        finding = examine(rule, facts, fires=latest is not None and latest.open)
        if finding is None:
            return None
        case = Case(terms=terms, for_s=rule.for_s, latest=latest, waiting_since=w.waiting.pop(rule.id, None))
        followed = follow(case, finding, now, new_id=new_id, hush=hush)
        if followed.waiting_since is not None:
            w.waiting[rule.id] = followed.waiting_since
        for step in followed.steps:
            self.take_step(draft, terms, replace(about(w.monitor, verdict, w.shown), rule=rule.name), step, now)
        return followed.again_at

    def judge_coverage(self, draft: Draft, workspace_id: str, now: datetime) -> None:
        """Take the incident of the monitors that are not seen any more a step further."""
        watched, terms = self._watchlist.of(workspace_id), coverage_terms(workspace_id)
        finding = coverage(map(self._sight, watched), now)
        latest = self._watchlist.incidents.get((workspace_id, COVERAGE))
        if latest is None and finding.standing != "trouble":
            return
        step = advance(latest, terms, finding, now, new_id=new_id())
        self.take_step(draft, terms, About(name=EVERYTHING), step, now)

    def _sight(self, w: Watched) -> Sight:
        told = bool(self._watchlist.roster.lost(w.monitor.workspace_id, w.assigned))
        return Sight(monitor=w.monitor, verdict=w.verdict, settled_at=w.settled_at, told=told)

    def take_step(self, draft: Draft, terms: Terms, what: About, step: Step, now: datetime) -> None:
        """Keep and tell a step of a subject's incident."""
        incident = step.incident
        if not step.changed or incident is None:
            return
        incident = replace(incident, name=what.name, rule=what.rule)
        w = self._watchlist.find(terms.monitor_id)
        if w is not None:
            draft.touch(w)
        before = self._incident(terms)
        if w is None or w.subject != terms.subject:
            draft.touch_other(self._watchlist, terms.workspace_id, terms.subject)
        rows: Sequence[OutboxRow] = ()
        if step.transitions:
            telling = self._watchlist.telling(terms.workspace_id)
            reached = _reached(step, terms)
            heard = {number: found.ids for number, found in reached.items()}
            asked = {number: found.ids + found.vain for number, found in reached.items()}
            rows = rows_for(step, terms, what, telling.hearers, now, base_url=self._base_url, targets=asked)
            incident = remembering(incident, step.transitions, terms, telling.hearers, heard)
        opens = incident.open and (before is None or not before.open)
        self._watchlist.put_incident(incident, terms.workspace_id, terms.subject)
        draft.incidents.append(IncidentChange(incident=incident, entries=step.entries, opens=opens))
        draft.outbox.extend(rows)
        draft.told.append(Told(terms.workspace_id, terms.monitor_id, step=step))

    def _incident(self, terms: Terms) -> Incident | None:
        w = self._watchlist.find(terms.monitor_id)
        if w is not None and w.subject == terms.subject:
            return w.incident
        return self._watchlist.incidents.get((terms.workspace_id, terms.subject))

    def judge_all(self, draft: Draft, some: Iterable[Watched], now: datetime) -> None:
        """Judge these monitors, as far as they are still there."""
        for w in some:
            if not w.gone and w.verdict is not None:
                self.judge_safely(draft, w, now)

    def close_orphans(self, draft: Draft, workspace_id: str, now: datetime) -> None:
        """End the incidents of rules that are gone, switched off, or no longer about that monitor."""
        telling = self._watchlist.telling(workspace_id)
        for incident in tuple(self._watchlist.incidents.values()):
            if incident.workspace_id != workspace_id or not incident.open or incident.rule_id is None:
                continue
            if incident.host_id is not None:  # pipeline.host_watch looks after those
                continue
            w = self._watchlist.find(incident.monitor_id)
            if w is None or incident.rule_id not in {rule.id for rule in telling.rules_for(w.monitor)}:
                self.close(draft, incident, "its rule was changed or deleted", now)

    def close(self, draft: Draft, incident: Incident, reason: str, now: datetime) -> None:
        """End an incident for a reason that is no finding, and tell who was told of it."""
        step = close(incident, reason, now)
        self.take_step(draft, *self.terms_for(incident, now), step, now)

    def terms_for(self, incident: Incident, now: datetime) -> tuple[Terms, About]:
        """How an incident that is there behaves, and what its messages are about."""
        telling = self._watchlist.telling(incident.workspace_id)
        w = self._watchlist.find(incident.monitor_id)
        rule = next((rule for rule in telling.rules if rule.id == incident.rule_id), None)
        if w is not None and w.subject == incident.subject:
            terms = self.terms(w, telling, now)
        elif w is not None and rule is not None:
            terms = self._rule_terms(w, rule, telling, now)
        elif incident.subject.startswith(SUBJECT):
            location = incident.subject.removeprefix(SUBJECT)
            return quarantine_terms(incident.workspace_id, location), About(name=f"Location {location}")
        elif incident.subject.startswith(LOST):
            code = incident.subject.removeprefix(LOST)
            return lost_terms(incident.workspace_id, code), About(name=f"Location {code}")
        else:
            terms = Terms(
                subject=incident.subject,
                workspace_id=incident.workspace_id,
                monitor_id=incident.monitor_id,
                host_id=incident.host_id,
                rule_id=incident.rule_id,
            )
        name = EVERYTHING if incident.subject == COVERAGE else incident.name or incident.subject
        if w is None:
            return terms, About(name=name, rule=incident.rule)
        what = about(w.monitor, w.verdict or w.judge(now), w.shown)
        return terms, what if rule is None else replace(what, rule=rule.name)

    def terms(self, w: Watched, telling: Telling, now: datetime) -> Terms:
        """How the incident of a monitor's verdict behaves."""
        policy = telling.policy(w.monitor.escalation_policy)
        return replace(terms_of(w.monitor, policy), reach=telling.reach(policy, now))

    def _rule_terms(self, w: Watched, rule: AlertRule, telling: Telling, now: datetime) -> Terms:
        policy = telling.policy(rule.policy)
        return replace(rule_terms(rule, w.monitor, policy), reach=telling.reach(policy, now))

    def _decide(self, draft: Draft, w: Watched, telling: Telling, now: datetime) -> Verdict:
        before, verdict = w.verdict, w.judge(now)
        if in_maintenance(telling.windows, w.monitor, now, telling.agenda):
            verdict = replace(verdict, maintenance=True)
        gap, w.gap_from = w.gap_from, None
        workspace_id, monitor_id = w.monitor.workspace_id, w.monitor.id
        if gap is not None and before is not None:
            unseen = lost(verdict, gap, "Nobody looked")
            draft.verdicts.append(VerdictChange(workspace_id=workspace_id, monitor_id=monitor_id, verdict=unseen))
        changed = before is None or _said(before) != _said(verdict)
        if (changed or gap is not None) and not verdict.pending:
            draft.verdicts.append(VerdictChange(workspace_id=workspace_id, monitor_id=monitor_id, verdict=verdict))
        if changed:
            draft.told.append(Told(workspace_id, monitor_id, verdict=verdict))
        w.verdict = verdict
        return verdict


def _foremost(leaning: Held | None, window: Hush | None) -> Hush | None:
    """A window says until when it lasts, so it goes first; what remains is looked at again at its end."""
    return window if window is not None or leaning is None else leaning.hush


def _reached(step: Step, terms: Terms) -> dict[int, Reach]:
    """Whom the steps of the escalation policy among these transitions tell."""
    steps = {t.step: reach_of(terms.reach, t.step) for t in step.transitions if t.what == "step"}
    return {number: found for number, found in steps.items() if found is not None}


def _said(verdict: Verdict) -> tuple[str, bool, bool]:
    """What makes it another verdict when it changes."""
    return verdict.value, verdict.pending, verdict.maintenance


def is_later(before: LocationState, result: CheckResult, now: datetime) -> bool:
    """Whether this was seen after what the state knows, though it is dated before it: one of the two has the date of a clock
    that is not ours."""
    differ = result.here_at is not None or before.heard is not None
    return differ and before.ages_from is not None and before.ages_from < result.at <= now + AHEAD


def steady(w: Watched, result: CheckResult) -> bool:
    """Whether this result can change nothing but the state: no judgement is needed, and no hurry."""
    state = w.states.get(result.seat)
    if not w.calm or state is None or (state.stand_in is None) != (result.substitute_for is None):
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
    if i is None:
        return {}
    data = {"incident": i.id, "severity": i.severity, "verdict": i.verdict, "reason": i.reason}
    return data if i.host_id is None else data | {"host_id": i.host_id}
